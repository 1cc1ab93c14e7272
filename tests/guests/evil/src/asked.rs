//! Answers to questions, as bad as the asked-for conversation's name wants them.

use anyport_sdk::model::{Conversation, MessageRef};
use anyport_sdk::replies::ConversationPage;
use anyport_sdk::types::{Error, ErrorCode, Page};
use anyport_sdk::{replies, timers, turn};

use crate::commands::{self, Outcome};
use crate::guest::{Provider, conversation_actions, conversations, enter};

/// How many conversations there are.
const ALL: u32 = 5;

impl conversations::Guest for Provider {
    /// The odd ones are groups. A page begins where its cursor says.
    fn list_all(request: String, page: Page) -> Result<(), Error> {
        enter();
        let from = page.cursor.and_then(|from| from.parse().ok()).unwrap_or(0);
        let until = ALL.min(from + page.limit);
        let items = (from..until).map(|number| conversation(&number.to_string()));
        let page = ConversationPage {
            items: items.collect(),
            next: (until < ALL).then(|| until.to_string()),
        };
        replies::with_conversations(&request, &page);
        Ok(())
    }

    fn get(request: String, id: String) -> Result<(), Error> {
        let (situation, _, _) = enter();
        if commands::run(&id, situation)? == Outcome::Silent {
            return Ok(());
        }
        match id.as_str() {
            "!wrong-kind" => replies::done(&request),
            "!bad-answer" => replies::with_conversation(
                &request,
                &Conversation {
                    kind: "club".to_owned(),
                    ..conversation("1")
                },
            ),
            "!later-answer" => timers::set(
                "answer",
                &timers::Spec {
                    context: format!("!answer {request}").into_bytes(),
                    ..timers::Spec::at(turn::now() + 20)
                },
            ),
            "!unknown" => {
                let error = Error::new(ErrorCode::NotFound, "no such conversation");
                replies::failed(&request, &error.not_done());
            }
            _ => {
                answer(&request);
                // The second one is not heard.
                replies::failed(&request, &Error::internal("again").not_done());
            }
        }
        Ok(())
    }

    fn list_members(request: String, _id: String, _page: Page) -> Result<(), Error> {
        replies::failed(&request, &Error::unsupported("no members").not_done());
        Ok(())
    }

    fn open_with(request: String, _contacts: Vec<String>) -> Result<(), Error> {
        answer(&request);
        Ok(())
    }
}

pub fn answer(request: &str) {
    replies::with_conversation(request, &conversation("1"));
}

fn conversation(id: &str) -> Conversation {
    let odd = id.parse::<u32>().is_ok_and(|number| number % 2 == 1);
    Conversation {
        id: id.to_owned(),
        kind: if odd { "group" } else { "user" }.to_owned(),
        title: Some(format!("Conversation {id}")),
        username: None,
        description: None,
        avatar: None,
        unread: None,
        members: None,
        is_pinned: None,
        is_muted: None,
        is_archived: None,
        created_at: None,
        last_message_at: None,
        last_message_text: None,
        extra: None,
    }
}

impl conversation_actions::Guest for Provider {
    fn mark_read(request: String, id: String, _up_to: Option<MessageRef>) -> Result<(), Error> {
        let (situation, _, _) = enter();
        if commands::run(&id, situation)? == Outcome::GoOn {
            replies::done(&request);
        }
        Ok(())
    }

    fn mark_unread(request: String, _id: String) -> Result<(), Error> {
        refuse(&request)
    }

    fn mute(request: String, _: String, _: bool, _: Option<u64>) -> Result<(), Error> {
        replies::done(&request);
        Ok(())
    }

    fn pin(request: String, _id: String, _pinned: bool) -> Result<(), Error> {
        refuse(&request)
    }

    fn archive(request: String, _id: String, _archived: bool) -> Result<(), Error> {
        refuse(&request)
    }

    fn remove(request: String, _id: String) -> Result<(), Error> {
        refuse(&request)
    }

    fn set_activity(request: String, _: String, _: String, _: bool) -> Result<(), Error> {
        refuse(&request)
    }
}

fn refuse(request: &str) -> Result<(), Error> {
    replies::failed(request, &Error::unsupported("not this one").not_done());
    Ok(())
}
