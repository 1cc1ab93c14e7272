//! Between the simulator channel's words and the contract's: what its providers share. Pure; asks
//! nothing of the host.

mod answers;
mod features;
mod inbound;
mod outbound;
#[cfg(feature = "recorder")]
pub mod recorder;

pub use answers::{error, identity, join_requests, label_page, member_page, page, sent};
pub use features::sends;
pub use inbound::{contact, conversation, emission, message};
pub use outbound::{content, quote, text};
