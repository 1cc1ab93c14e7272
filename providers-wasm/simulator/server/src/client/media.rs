//! Control over media.

use std::io;

use super::ControlClient;
use crate::model::{Attachment, Body, Content, Media, Medium, Message};

impl ControlClient {
    /// A message with a medium of so many bytes, which are [`crate::generated`]. The medium, and the
    /// event's id.
    pub async fn inject_medium(
        &mut self,
        user: &str,
        conversation: &str,
        kind: &str,
        size: u64,
        mime: &str,
    ) -> io::Result<(Medium, String)> {
        let medium = self.make_up_medium(size, mime).await?;
        let attachment = Attachment {
            kind: kind.to_owned(),
            reference: Some(medium.id.clone()),
            mime: Some(medium.mime.clone()),
            size: Some(medium.size),
            ..Attachment::default()
        };
        let message = Message {
            conversation: conversation.to_owned(),
            sender: conversation.to_owned(),
            content: Content::Media(Media {
                attachments: vec![attachment],
                caption: None,
            }),
            ..Message::default()
        };
        let event = self.inject(user, Body::Message(message)).await?;
        Ok((medium, event))
    }

    /// The media of a send, as they came up; none where no send of this token came, or none with
    /// media.
    pub async fn sent_media(&mut self, user: &str, token: &str) -> io::Result<Vec<Medium>> {
        let journal = self.journal(Some(user)).await?;
        let sent = journal
            .into_iter()
            .find(|record| record.token == token && record.kind == "media");
        let Some(sent) = sent else {
            return Ok(Vec::new());
        };
        let Content::Media(media) = serde_json::from_str(&sent.text)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for reference in media
            .attachments
            .iter()
            .filter_map(|one| one.reference.as_deref())
        {
            found.extend(self.medium(reference).await?);
        }
        Ok(found)
    }
}
