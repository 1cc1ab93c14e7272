//! Operators' keys.

use super::super::Api;
use super::super::body::{JsonBody, OptionalJsonBody};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::key_requests::{self, Desk, KeyView, KeyWithText, Owner};
use super::super::key_schema::{KeyChange, KeyRotation, NewOperatorKey};
use super::super::openapi::Doc;
use super::super::query::PathText;
use super::super::routes::Routes;
use axum::extract::State;

pub fn routes() -> Routes {
    Routes::new()
        .get("/admin/v1/operator-keys", list)
        .doc(Doc::new("listOperatorKeys", "List the operators' keys").ok::<Vec<KeyView>>())
        .post("/admin/v1/operator-keys", create)
        .doc(
            Doc::new("createOperatorKey", "Make an operator's key")
                .body::<NewOperatorKey>()
                .created::<KeyWithText>()
                .fails([codes::CONFLICT]),
        )
        .patch("/admin/v1/operator-keys/{key_id}", change)
        .doc(
            Doc::new("updateOperatorKey", "Change an operator's key")
                .more("The last one that is active and does not expire stays as it is.")
                .body::<KeyChange>()
                .ok::<KeyView>()
                .fails([codes::NOT_FOUND, codes::CONFLICT]),
        )
        .post("/admin/v1/operator-keys/{key_id}/rotate", rotate)
        .doc(
            Doc::new("rotateOperatorKey", "Give an operator's key a new text")
                .optional_body::<KeyRotation>()
                .ok::<KeyWithText>()
                .fails([codes::NOT_FOUND]),
        )
        .about("Operator Keys", "The keys of those who run the host.")
}

const DESK: Desk = Desk {
    owner: Owner::Operators,
    by_operator: true,
    full: codes::CONFLICT,
    missing: codes::NOT_FOUND,
};

async fn list(State(api): State<Api>) -> Answer {
    let keys = key_requests::list(&api, &Owner::Operators, codes::INTERNAL_ERROR).await?;
    Reply::ok(&keys)
}

async fn create(State(api): State<Api>, JsonBody(body): JsonBody) -> Answer {
    Reply::created(&key_requests::create(&api, &DESK, &body).await?)
}

async fn change(
    State(api): State<Api>,
    PathText(id): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    Reply::ok(&key_requests::change(&api, &DESK, &id, &body).await?)
}

async fn rotate(
    State(api): State<Api>,
    PathText(id): PathText,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Answer {
    Reply::ok(&key_requests::rotate(&api, &DESK, &id, &body).await?)
}
