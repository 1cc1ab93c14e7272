//! What clients ask besides sending: each call becomes one request to the channel, and its answer
//! (`requests`) answers the client. The channel holds the rules.

use anyport_sdk::model::{MessageRef, Text};
use anyport_sdk::types::{Error, Page};
use anyport_simulator::request::{self, Ask, MemberChange, Target};

use crate::exports::{
    commands, contacts, conversation_actions, conversation_labels, conversations, groups, history,
    media, message_actions, profile,
};
use crate::{Provider, with_state};

type Outcome = Result<(), Error>;

fn ask(request: String, ask: Ask) -> Outcome {
    with_state(|state| state.ask(request, ask))
}

fn ask_with_picture(request: String, blob: Option<String>, ask: Ask) -> Outcome {
    with_state(|state| match blob {
        Some(blob) => state.ask_with_picture(request, blob, ask),
        None => state.ask(request, ask),
    })
}

fn refuse(request: &str, error: Error) -> Outcome {
    anyport_sdk::replies::failed(request, &error.not_done());
    Ok(())
}

/// The channel knows a message by the context that came with it, or by its id.
fn target(message: MessageRef) -> Target {
    Target {
        conversation: message.conversation,
        message: message.reply_context.unwrap_or(message.message),
    }
}

fn page(page: Page) -> request::Page {
    request::Page {
        cursor: page.cursor,
        limit: page.limit,
    }
}

impl message_actions::Guest for Provider {
    fn edit(request: String, message: MessageRef, text: Text) -> Outcome {
        let (target, text) = (target(message), simulator_mapping::text(text));
        ask(request, Ask::Edit { target, text })
    }

    fn revoke(request: String, message: MessageRef, for_everyone: bool) -> Outcome {
        let target = target(message);
        ask(
            request,
            Ask::Revoke {
                target,
                for_everyone,
            },
        )
    }

    fn react(request: String, message: MessageRef, emoji: Option<String>) -> Outcome {
        let target = target(message);
        ask(request, Ask::React { target, emoji })
    }

    fn pin(request: String, message: MessageRef, pinned: bool, seconds: Option<u32>) -> Outcome {
        let target = target(message);
        ask(
            request,
            Ask::PinMessage {
                target,
                pinned,
                seconds,
            },
        )
    }

    fn forward(request: String, message: MessageRef, to: String) -> Outcome {
        with_state(|state| state.forward(request, target(message), to))
    }
}

impl conversations::Guest for Provider {
    fn list_all(request: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Conversations { page })
    }

    fn get(request: String, id: String) -> Outcome {
        ask(request, Ask::Conversation { id })
    }

    fn list_members(request: String, conversation: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Members { conversation, page })
    }

    fn open_with(request: String, contacts: Vec<String>) -> Outcome {
        ask(request, Ask::OpenWith { contacts })
    }
}

impl conversation_actions::Guest for Provider {
    fn mark_read(request: String, conversation: String, up_to: Option<MessageRef>) -> Outcome {
        let up_to = up_to.map(|message| target(message).message);
        ask(
            request,
            Ask::MarkRead {
                conversation,
                up_to,
            },
        )
    }

    fn mark_unread(request: String, conversation: String) -> Outcome {
        ask(request, Ask::MarkUnread { conversation })
    }

    fn mute(request: String, conversation: String, muted: bool, until: Option<u64>) -> Outcome {
        ask(
            request,
            Ask::Mute {
                conversation,
                muted,
                until,
            },
        )
    }

    fn pin(request: String, conversation: String, pinned: bool) -> Outcome {
        ask(
            request,
            Ask::PinConversation {
                conversation,
                pinned,
            },
        )
    }

    fn archive(request: String, conversation: String, archived: bool) -> Outcome {
        ask(
            request,
            Ask::Archive {
                conversation,
                archived,
            },
        )
    }

    fn remove(request: String, conversation: String) -> Outcome {
        ask(request, Ask::RemoveConversation { conversation })
    }

    fn set_activity(request: String, conversation: String, kind: String, active: bool) -> Outcome {
        ask(
            request,
            Ask::SetActivity {
                conversation,
                kind,
                active,
            },
        )
    }
}

impl conversation_labels::Guest for Provider {
    fn list_all(request: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Labels { page })
    }

    fn upsert(request: String, id: Option<String>, name: String) -> Outcome {
        ask(request, Ask::PutLabel { id, name })
    }

    fn remove(request: String, id: String) -> Outcome {
        ask(request, Ask::RemoveLabel { id })
    }

    fn assign(request: String, id: String, conversations: Vec<String>, assigned: bool) -> Outcome {
        ask(
            request,
            Ask::AssignLabel {
                id,
                conversations,
                assigned,
            },
        )
    }
}

impl contacts::Guest for Provider {
    fn list_all(request: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Contacts { page })
    }

    fn get(request: String, id: String) -> Outcome {
        ask(request, Ask::Contact { id })
    }

    fn resolve(request: String, address: String) -> Outcome {
        ask(request, Ask::Resolve { address })
    }

    fn list_blocked(request: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Blocked { page })
    }

    fn block(request: String, contact: String, blocked: bool) -> Outcome {
        ask(request, Ask::Block { contact, blocked })
    }

    fn set_note(request: String, contact: String, note: String) -> Outcome {
        ask(request, Ask::SetNote { contact, note })
    }
}

impl groups::Guest for Provider {
    fn list_all(request: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Groups { page })
    }

    fn get(request: String, id: String) -> Outcome {
        ask(request, Ask::Group { id })
    }

    fn create(request: String, name: String, members: Vec<String>) -> Outcome {
        ask(request, Ask::CreateGroup { name, members })
    }

    fn leave(request: String, id: String) -> Outcome {
        ask(request, Ask::LeaveGroup { id })
    }

    fn update_members(
        request: String,
        id: String,
        action: String,
        members: Vec<String>,
    ) -> Outcome {
        let change = match action.as_str() {
            "add" => MemberChange::Add,
            "remove" => MemberChange::Remove,
            "promote" => MemberChange::Promote,
            "demote" => MemberChange::Demote,
            other => {
                let error = Error::unsupported(format!("members cannot be changed by `{other}`"));
                return refuse(&request, error);
            }
        };
        ask(
            request,
            Ask::ChangeMembers {
                id,
                change,
                members,
            },
        )
    }

    fn update_info(request: String, id: String, info: groups::Info) -> Outcome {
        let change = Ask::SetGroupInfo {
            id,
            name: info.name,
            description: info.description,
            avatar: None,
        };
        ask_with_picture(request, info.avatar, change)
    }

    fn list_join_requests(request: String, id: String) -> Outcome {
        ask(request, Ask::JoinRequests { id })
    }

    fn decide_join_requests(
        request: String,
        id: String,
        members: Vec<String>,
        approve: bool,
    ) -> Outcome {
        ask(
            request,
            Ask::DecideJoinRequests {
                id,
                members,
                approve,
            },
        )
    }

    fn set_join_approval(request: String, id: String, enabled: bool) -> Outcome {
        ask(request, Ask::SetJoinApproval { id, enabled })
    }

    fn get_invitation(request: String, id: String) -> Outcome {
        ask(request, Ask::Invitation { id })
    }
}

impl history::Guest for Provider {
    fn list_messages(request: String, conversation: String, asked: Page) -> Outcome {
        let page = page(asked);
        ask(request, Ask::Messages { conversation, page })
    }
}

impl media::Guest for Provider {
    fn fetch(request: String, reference: String) -> Outcome {
        with_state(|state| state.fetch(request, reference))
    }
}

impl profile::Guest for Provider {
    fn get(request: String) -> Outcome {
        ask(request, Ask::Profile {})
    }

    fn update(request: String, change: profile::Change) -> Outcome {
        let wanted = Ask::SetProfile {
            name: change.display_name,
            about: change.bio,
            avatar: None,
        };
        ask_with_picture(request, change.avatar, wanted)
    }

    fn set_presence(request: String, online: bool) -> Outcome {
        ask(request, Ask::SetPresence { online })
    }
}

impl commands::Guest for Provider {
    fn run(request: String, command: String, input: String) -> Outcome {
        ask(request, Ask::Run { command, input })
    }
}
