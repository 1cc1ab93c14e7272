//! Operators' keys.

use super::super::Api;
use super::super::body::{JsonBody, OptionalJsonBody};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::key_requests::{self, Desk, Owner};
use super::super::query::PathText;
use super::super::routes::Routes;
use axum::extract::State;

pub fn routes() -> Routes {
    Routes::new()
        .get("/admin/v1/operator-keys", list)
        .post("/admin/v1/operator-keys", create)
        .patch("/admin/v1/operator-keys/{key_id}", change)
        .post("/admin/v1/operator-keys/{key_id}/rotate", rotate)
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
