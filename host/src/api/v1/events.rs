//! Reading the event log: pull by cursor. The stream stands in `event_stream`.

use super::super::Api;
use super::super::codes;
use super::super::cursor::Position;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::keys::Narrowed;
use super::super::log_reader::Filter;
use super::super::openapi::Doc;
use super::super::openapi::EventShape;
use super::super::query::Query;
use super::super::routes::Routes;
use super::{endpoint_request, event_stream};
use crate::domain::AccountId;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const MAX_WAIT_SECONDS: u64 = 60;

pub fn routes() -> Routes {
    Routes::new()
        .get("/v1/events", pull_or_stream)
        .doc(
            reading("listEvents", "Read the event log, page by page")
                .more("With `Accept: text/event-stream` the same as `/v1/events/stream`.")
                .query(
                    "limit",
                    "What is above 1000 counts as 1000.",
                    json!({"type": "integer", "minimum": 1, "default": DEFAULT_LIMIT}),
                )
                .query(
                    "wait",
                    "Seconds that the answer may wait for a first event.",
                    json!({"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0}),
                )
                .ok_or::<EventPage>("text/event-stream"),
        )
        .get("/v1/events/stream", event_stream::stream)
        .doc(
            reading("streamEvents", "Follow the event log as server-sent events")
                .more("`id` is a cursor, `event` the type, `data` the envelope as webhooks get it.")
                .raw(&["text/event-stream"]),
        )
        .about("Events", "The durable log of everything that happened.")
}

fn reading(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, summary)
        .query(
            "after",
            "A `next_cursor`, `earliest` or `latest`.",
            json!({"type": "string"}),
        )
        .query(
            "types",
            "Only these, with commas between.",
            json!({"type": "string"}),
        )
        .query(
            "account_id",
            "Only of this account.",
            json!({"type": "string"}),
        )
        .header(
            "Last-Event-ID",
            "Of a stream: where it was; goes before `after`.",
            json!({"type": "string"}),
        )
        .fails([codes::CURSOR_EXPIRED, codes::TOO_MANY_STREAMS])
}

/// Where to begin and what to show; from the query, and `Last-Event-ID` before `after`.
pub async fn begin(
    api: &Api,
    key: &Narrowed,
    query: &Query,
    last_event_id: Option<&str>,
    default: &str,
) -> Result<(Position, Filter), ApiError> {
    let (field, after) = match last_event_id.filter(|text| !text.is_empty()) {
        Some(text) => ("Last-Event-ID", text),
        None => ("after", query.text("after").unwrap_or(default)),
    };
    let types = match query.text("types") {
        None => None,
        Some(text) => {
            let types = endpoint_request::read_types(text)?;
            (!types.iter().any(|name| name == "*") && !types.is_empty())
                .then(|| types.into_iter().collect())
        }
    };
    let heads = || async {
        api.reader
            .heads()
            .await
            .map_err(|error| Operation::OWN.storage(error))
    };
    let position = match after {
        "earliest" => {
            let tails = api.store.tails().await;
            Position::at(&tails.map_err(|error| Operation::OWN.storage(error))?)
        }
        "latest" => Position::at(&heads().await?),
        cursor => {
            let position = Position::decode(cursor)
                .ok_or_else(|| ApiError::field(field, "is not a cursor of this log"))?;
            if position.is_ahead_of(&heads().await?) {
                return Err(ApiError::field(
                    field,
                    "names events that this log does not have",
                ));
            }
            position
        }
    };
    let own = key.account.as_ref().map(AccountId::as_str);
    let account = match query.text("account_id").or(own) {
        None => None,
        Some(id) if !key.sees(id) => return Err(Operation::OWN.missing()),
        Some(id) => {
            let account = super::account(api, &Operation::OWN, &key.workspace, id).await?;
            Some((account.id, account.partition))
        }
    };
    Ok((position, Filter { types, account }))
}

/// Refuses a position behind which events were removed.
pub async fn refuse_missed(api: &Api, from: &Position, filter: &Filter) -> Result<(), ApiError> {
    let missed = api.reader.missed(from, filter).await;
    match missed.map_err(|error| Operation::OWN.storage(error))? {
        None => Ok(()),
        Some(oldest) => {
            let mut error = ApiError::new(
                codes::CURSOR_EXPIRED,
                "the events behind this cursor are not kept any more; oldest_cursor is the first from which nothing is missing",
            );
            error.details.oldest_cursor = Some(oldest.encode());
            Err(error)
        }
    }
}

#[derive(JsonSchema, Serialize)]
struct EventPage {
    #[schemars(with = "Vec<EventShape>")]
    items: Vec<Box<RawValue>>,
    has_more: bool,
    /// Always there: where to go on, also when there is nothing now.
    next_cursor: String,
}

async fn pull_or_stream(
    State(api): State<Api>,
    key: Narrowed,
    headers: HeaderMap,
    query: Query,
) -> Response {
    let wants_stream = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|item| {
            let kind = item.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/event-stream")
        });
    if wants_stream {
        event_stream::stream(State(api), key, headers, query)
            .await
            .into_response()
    } else {
        pull(&api, &key, &query).await.into_response()
    }
}

async fn pull(api: &Api, key: &Narrowed, query: &Query) -> Answer {
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)? as usize;
    let wait = query.integer("wait", 0..=MAX_WAIT_SECONDS)?.unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(wait);
    let (mut position, filter) = begin(api, key, query, None, "earliest").await?;
    let mut from_earliest = matches!(query.text("after"), None | Some("earliest"));
    let mut stopping = api.stopping.clone();
    loop {
        let mut changes = api.reader.changes();
        let batch = api
            .reader
            .read(&key.workspace, &position, &filter, limit)
            .await
            .map_err(|error| Operation::OWN.storage(error))?;
        // Not where nothing lies between: nothing can be missing there.
        if batch.next != position
            && let Err(error) = refuse_missed(api, &position, &filter).await
        {
            // Retention went on since "earliest" was looked up: it is further now.
            if from_earliest && error.code == codes::CURSOR_EXPIRED {
                position = begin(api, key, query, None, "earliest").await?.0;
                continue;
            }
            return Err(error);
        }
        from_earliest = false;
        position = batch.next;
        let over = Instant::now() >= deadline || *stopping.borrow();
        if !batch.events.is_empty() || batch.more || over {
            let items = batch
                .events
                .into_iter()
                .map(|(_, event)| raw(event.body))
                .collect::<Result<_, _>>()?;
            return Reply::ok(&EventPage {
                items,
                has_more: batch.more,
                next_cursor: position.encode(),
            });
        }
        tokio::select! {
            // Not when the writer is gone: then nothing comes any more.
            Ok(()) = changes.changed() => {}
            _ = tokio::time::sleep_until(deadline.into()) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}

/// The envelope of an event, byte for byte as it was signed.
fn raw(body: Vec<u8>) -> Result<Box<RawValue>, ApiError> {
    String::from_utf8(body)
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .ok_or_else(|| ApiError::internal("an event of the log is not JSON"))
}
