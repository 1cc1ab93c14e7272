//! Stories of deliveries, with a real store and a receiver on a port of its own. Time stands
//! still until a test moves it.

mod bench;
mod order;
mod policy;
mod restart;
pub(crate) mod sink;

use crate::domain::endpoint::{Endpoint, EndpointState, Ordering, RetryPolicy};
use crate::domain::{EndpointId, Timestamp, WorkspaceId};

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        id: EndpointId::generate(),
        workspace: WorkspaceId::from_text("ws_1"),
        url: url.to_owned(),
        state: EndpointState::Enabled,
        state_reason: None,
        subscribed_events: vec![],
        accounts: vec![],
        secret: None,
        old_secret: None,
        retry: RetryPolicy::default(),
        ordering: Ordering::Conversation,
        created_at: Timestamp(0),
    }
}
