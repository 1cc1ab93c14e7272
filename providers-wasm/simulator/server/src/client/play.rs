//! Control over a user's world.

use std::io;

use super::{ControlClient, unexpected};
use crate::control::{ControlReply, ControlRequest};
use crate::model::{Contact, Content};
use crate::play::Play;
use crate::request::{Answer, Ask};
use crate::requests::{RequestFault, RequestRecord};
use crate::world::{Act, NewConversation};

impl ControlClient {
    async fn play(&mut self, user: &str, play: Play) -> io::Result<ControlReply> {
        let user = user.to_owned();
        self.call(&ControlRequest::Play { user, play }).await
    }

    /// As the user does on the phone.
    pub async fn ask(&mut self, user: &str, ask: Ask) -> io::Result<Answer> {
        match self.play(user, Play::Ask(ask)).await? {
            ControlReply::Answer(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns the ids of the events that came of it.
    pub async fn act(&mut self, user: &str, by: &str, act: Act) -> io::Result<Vec<String>> {
        let by = by.to_owned();
        self.played(user, Play::Act { by, act }).await
    }

    /// Returns the message's id.
    pub async fn say(
        &mut self,
        user: &str,
        by: &str,
        conversation: &str,
        text: &str,
    ) -> io::Result<String> {
        let act = Act::Say {
            conversation: conversation.to_owned(),
            content: Content::text(text),
            quote: None,
        };
        let events = self.act(user, by, act).await?;
        Ok(events
            .first()
            .map_or_else(String::new, |id| format!("m-{id}")))
    }

    pub async fn put_contact(&mut self, user: &str, contact: Contact) -> io::Result<()> {
        self.played(user, Play::PutContact(contact)).await.map(drop)
    }

    pub async fn put_conversation(&mut self, user: &str, new: NewConversation) -> io::Result<()> {
        self.played(user, Play::PutConversation(new))
            .await
            .map(drop)
    }

    pub async fn sync_history(&mut self, user: &str) -> io::Result<Vec<String>> {
        self.played(user, Play::SyncHistory {}).await
    }

    /// What happens to the next `count` requests of this name, or of any.
    pub async fn fail_requests(
        &mut self,
        user: &str,
        count: u32,
        only: Option<&str>,
        fault: RequestFault,
    ) -> io::Result<()> {
        let only = only.map(str::to_owned);
        self.played(user, Play::Fail { count, only, fault })
            .await
            .map(drop)
    }

    pub async fn requests(&mut self, user: &str) -> io::Result<Vec<RequestRecord>> {
        match self.play(user, Play::Requests {}).await? {
            ControlReply::Requests(records) => Ok(records),
            other => Err(unexpected(&other)),
        }
    }

    async fn played(&mut self, user: &str, play: Play) -> io::Result<Vec<String>> {
        match self.play(user, play).await? {
            ControlReply::Events(ids) => Ok(ids),
            other => Err(unexpected(&other)),
        }
    }
}
