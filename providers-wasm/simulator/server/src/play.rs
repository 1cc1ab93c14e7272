//! What control asks about one user's world: look at it, change it, and play the others in it.

use serde::{Deserialize, Serialize};

use crate::channel::{Channel, now_ms};
use crate::control::ControlReply;
use crate::model::Contact;
use crate::protocol::Fault;
use crate::request::Ask;
use crate::requests::RequestFault;
use crate::world::{Act, NewConversation};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "one at a time, and few of them")]
pub enum Play {
    /// The user asks for it on the phone: looks at everything, and changes it as an account can.
    Ask(Ask),
    /// Somebody else does something.
    Act {
        by: String,
        act: Act,
    },
    PutContact(Contact),
    PutConversation(NewConversation),
    /// The phone gives its past.
    SyncHistory {},
    /// What happens to the next `count` requests of the account; `only`: of those with this name.
    Fail {
        count: u32,
        only: Option<String>,
        fault: RequestFault,
    },
    /// The requests that came.
    Requests {},
}

pub(crate) fn play(channel: &Channel, user: &str, play: Play) -> ControlReply {
    let user = channel.user(user);
    let mut state = user.state();
    let now = now_ms();
    let world = channel.world(&user, &mut state);
    let outcome = match play {
        Play::Ask(ask) => match world.ask(ask, now) {
            Ok(answer) => {
                channel.tell(&user, &mut state);
                state.notify();
                return ControlReply::Answer(answer);
            }
            Err(fault) => Err(fault),
        },
        Play::Act { by, act } => world.act(&by, act, now),
        Play::PutContact(contact) => world.put_contact(contact),
        Play::PutConversation(new) => world.put_conversation(new, now),
        Play::SyncHistory {} => {
            world.sync_history(now);
            Ok(())
        }
        Play::Fail { count, only, fault } => {
            state.requests.arm(count, only, fault);
            Ok(())
        }
        Play::Requests {} => return ControlReply::Requests(state.requests.records()),
    };
    match outcome {
        Ok(()) => {
            let ids = channel.tell(&user, &mut state);
            state.notify();
            ControlReply::Events(ids)
        }
        Err(fault) => refused(&fault),
    }
}

fn refused(fault: &Fault) -> ControlReply {
    ControlReply::Error(format!("{}: {}", fault.code, fault.message))
}
