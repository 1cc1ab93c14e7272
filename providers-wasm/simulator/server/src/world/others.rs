//! What other people do, as control plays them.

use serde::{Deserialize, Serialize};

use super::World;
use super::messages::quoted;
use crate::model::{
    Activity, Body, Content, Failure, History, HistorySummary, Message, Presence, Receipt, Text,
};
use crate::protocol::Fault;
use crate::request::{MemberChange, Target};

/// Messages of one conversation that are given when history is synced.
const HISTORY_MESSAGES: u32 = 50;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Say {
        conversation: String,
        content: Content,
        /// A message of this conversation.
        quote: Option<String>,
    },
    Edit {
        target: Target,
        text: Text,
    },
    Delete {
        conversation: String,
        messages: Vec<String>,
    },
    React {
        target: Target,
        emoji: Option<String>,
    },
    /// `kind`: `delivered`, `read` or `played`; `and_earlier`: and all before.
    Receive {
        target: Target,
        kind: String,
        and_earlier: bool,
    },
    Activity {
        conversation: String,
        kind: String,
        active: bool,
    },
    Presence {
        online: bool,
    },
    Rename {
        name: String,
    },
    /// Asks to be let in where the group wants that.
    Join {
        group: String,
    },
    Leave {
        group: String,
    },
    ChangeMembers {
        group: String,
        change: MemberChange,
        members: Vec<String>,
    },
    SetGroupInfo {
        group: String,
        name: Option<String>,
        description: Option<String>,
        /// A medium's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        avatar: Option<String>,
    },
    /// The channel took a message of the user's and cannot deliver it.
    Undeliverable {
        target: Target,
        fault: Fault,
    },
}

impl World {
    pub(crate) fn act(&mut self, by: &str, act: Act, now: u64) -> Result<(), Fault> {
        match act {
            Act::Say {
                conversation,
                content,
                quote,
            } => return self.say(by, conversation, content, quote, now),
            Act::Edit { target, text } => return self.edit(&target, text, now),
            Act::Delete {
                conversation,
                messages,
            } => return self.delete(by, &conversation, messages),
            Act::React { target, emoji } => return self.react(by, &target, emoji),
            Act::Receive {
                target,
                kind,
                and_earlier,
            } => {
                self.chat(&target.conversation)?.entry(&target.message)?;
                self.events.push(Body::Receipt(Receipt {
                    conversation: target.conversation,
                    messages: vec![target.message],
                    and_earlier,
                    by: Some(by.to_owned()),
                    kind,
                }));
            }
            Act::Activity {
                conversation,
                kind,
                active,
            } => {
                self.chat_or_new(&conversation, now)?;
                self.events.push(Body::Activity(Activity {
                    conversation,
                    by: by.to_owned(),
                    kind,
                    active,
                }));
            }
            Act::Presence { online } => {
                self.contact_or_new(by);
                self.events.push(Body::Presence(Presence {
                    contact: by.to_owned(),
                    online,
                    last_seen: (!online).then_some(now),
                }));
            }
            Act::Rename { name } => {
                self.contact_or_new(by);
                return self.change_contact(by, |contact| contact.name = Some(name));
            }
            Act::Join { group } => return self.join(by, &group, now),
            Act::Leave { group } => return self.leave(by, &group),
            Act::ChangeMembers {
                group,
                change,
                members,
            } => return self.change_members(by, &group, change, members, now),
            Act::SetGroupInfo {
                group,
                name,
                description,
                avatar,
            } => return self.set_group_info(by, &group, name, description, avatar),
            Act::Undeliverable { target, fault } => {
                self.chat(&target.conversation)?.entry(&target.message)?;
                self.events.push(Body::Failed(Failure {
                    conversation: Some(target.conversation),
                    messages: vec![target.message],
                    error: fault,
                }));
            }
        }
        Ok(())
    }

    fn say(
        &mut self,
        by: &str,
        conversation: String,
        content: Content,
        quote: Option<String>,
        now: u64,
    ) -> Result<(), Fault> {
        let name = self.contact_or_new(by).name.clone();
        let chat = self.chat_or_new(&conversation, now)?;
        let quote = match quote {
            Some(message) => Some(quoted(&chat.entry(&message)?.message)),
            None => None,
        };
        // It gets its id, and is remembered, when it becomes an event.
        let said = Message {
            kind: chat.kind.clone(),
            title: (chat.kind != "user").then(|| chat.title.clone()),
            conversation,
            sender: by.to_owned(),
            sender_name: name,
            content,
            quote,
            ..Message::default()
        };
        self.events.push(Body::Message(said));
        Ok(())
    }

    /// The phone gives its past to a device that is new.
    pub(crate) fn sync_history(&mut self, now: u64) {
        let mut summary = HistorySummary::default();
        let ids: Vec<String> = self.chats.keys().cloned().collect();
        for id in ids {
            let Some(conversation) = self.conversation(&id, now) else {
                continue;
            };
            let messages = self.past(&id, HISTORY_MESSAGES);
            summary.conversations += 1;
            summary.messages += messages.len() as u32;
            self.events.push(Body::History(History {
                conversation,
                messages,
            }));
        }
        self.events.push(Body::HistorySynced(summary));
    }
}
