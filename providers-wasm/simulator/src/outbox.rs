//! Sends on their way: those that wait for the link, for their media or for one before them in their
//! conversation, and those that were not answered yet. Pure; asks nothing of the host.

use std::collections::{HashSet, VecDeque};

use anyport_simulator::model::Content;
use anyport_simulator::protocol::ClientFrame;
use serde::{Deserialize, Serialize};

use crate::uploads::Upload;

/// Sends that may wait.
const MOST_QUEUED: usize = 500;
/// Unanswered sends that are remembered. Of older ones the host says in time that their
/// outcome is unknown; a late answer still counts.
const MOST_UNANSWERED: usize = 500;
/// Bytes of frames kept in memory. With quotes escaped once more they must fit into a
/// snapshot of 256 KiB, beside all the tokens.
const MOST_BYTES: usize = 64 * 1024;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outbox {
    queued: VecDeque<Waiting>,
    unanswered: VecDeque<Unanswered>,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub token: String,
    /// JSON, as it goes on the wire.
    pub frame: String,
    /// It left before on a connection that is gone.
    pub dispatched: bool,
    /// Where the order of sends counts. Empty: it is before all that wait.
    #[serde(default)]
    pub conversation: String,
    /// For the attachments of the frame that have no reference, in their order.
    #[serde(default)]
    pub media: Vec<Upload>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unanswered {
    token: String,
    /// None: too much is kept already, or the channel must not get it twice.
    frame: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Outbox {
    pub fn holds(&self, token: &str) -> bool {
        self.is_queued(token) || self.unanswered.iter().any(|sent| sent.token == token)
    }

    pub fn is_queued(&self, token: &str) -> bool {
        self.queued
            .iter()
            .any(|waiting| waiting.token == token && !waiting.dispatched)
    }

    pub fn queue(&mut self, waiting: Waiting) -> Result<(), Full> {
        let weight = waiting.weight();
        if self.queued.len() >= MOST_QUEUED || self.bytes + weight > MOST_BYTES {
            return Err(Full);
        }
        self.bytes += weight;
        self.queued.push_back(waiting);
        Ok(())
    }

    /// Something waits in this conversation, so what comes now must wait behind it.
    pub fn holds_back(&self, conversation: &str) -> bool {
        self.queued
            .iter()
            .any(|waiting| waiting.conversation == conversation)
    }

    /// The first whose media are all up, behind none of its conversation that waits for its own.
    pub fn next_ready(&mut self) -> Option<Waiting> {
        let mut held = HashSet::new();
        let index = self.queued.iter().position(|waiting| {
            let conversation = waiting.conversation.as_str();
            let ready = waiting.is_ready() && !held.contains(conversation);
            held.insert(conversation);
            ready
        })?;
        self.take(index)
    }

    fn take(&mut self, index: usize) -> Option<Waiting> {
        let waiting = self.queued.remove(index)?;
        self.bytes -= waiting.weight();
        Some(waiting)
    }

    /// Media of all that wait.
    pub fn media(&self) -> usize {
        self.queued.iter().map(|waiting| waiting.media.len()).sum()
    }

    pub fn next_upload(&self) -> Option<&Upload> {
        let mut media = self.queued.iter().flat_map(|waiting| &waiting.media);
        media.find(|upload| upload.medium.is_none())
    }

    pub fn upload(&self, name: &str) -> Option<&Upload> {
        let mut media = self.queued.iter().flat_map(|waiting| &waiting.media);
        media.find(|upload| upload.name == name)
    }

    pub fn uploaded(&mut self, name: &str, medium: String) {
        let mut media = self
            .queued
            .iter_mut()
            .flat_map(|waiting| &mut waiting.media);
        if let Some(upload) = media.find(|upload| upload.name == name) {
            upload.medium = Some(medium);
        }
    }

    /// The send that this upload is for goes. Returns its token.
    pub fn remove_with(&mut self, upload: &str) -> Option<String> {
        let index = self
            .queued
            .iter()
            .position(|waiting| waiting.media.iter().any(|one| one.name == upload))?;
        self.take(index).map(|waiting| waiting.token)
    }

    /// The frame left. `keep`: it may be sent again if no answer comes.
    pub fn sent(&mut self, token: String, frame: String, keep: bool) {
        let keep = keep && self.bytes + frame.len() <= MOST_BYTES;
        let frame = keep.then_some(frame);
        self.bytes += frame.as_ref().map_or(0, String::len);
        self.unanswered.push_back(Unanswered { token, frame });
        if self.unanswered.len() > MOST_UNANSWERED
            && let Some(oldest) = self.unanswered.pop_front()
        {
            self.bytes -= oldest.frame.map_or(0, |frame| frame.len());
        }
    }

    pub fn answered(&mut self, token: &str) {
        // Answers come in order, as a rule.
        if let Some(index) = self.unanswered.iter().position(|sent| sent.token == token)
            && let Some(sent) = self.unanswered.remove(index)
        {
            self.bytes -= sent.frame.map_or(0, |frame| frame.len());
        }
    }

    /// The connection is gone. What may be sent again waits once more, before all else;
    /// the tokens of the others come back: nobody will learn what became of them.
    pub fn link_lost(&mut self) -> Vec<String> {
        // The channel is asked once more what it has: it may be another one now.
        for upload in self
            .queued
            .iter_mut()
            .flat_map(|waiting| &mut waiting.media)
        {
            upload.medium = None;
        }
        let mut unknown = Vec::new();
        for sent in std::mem::take(&mut self.unanswered).into_iter().rev() {
            match sent.frame {
                Some(frame) => {
                    self.queued.push_front(Waiting {
                        token: sent.token,
                        frame,
                        dispatched: true,
                        conversation: String::new(),
                        media: Vec::new(),
                    });
                }
                None => unknown.push(sent.token),
            }
        }
        unknown.reverse();
        unknown
    }

    /// Everything, with whether it may have reached the channel.
    pub fn drain(&mut self) -> Vec<(String, bool)> {
        let unanswered = std::mem::take(&mut self.unanswered)
            .into_iter()
            .map(|sent| (sent.token, true));
        let queued = std::mem::take(&mut self.queued)
            .into_iter()
            .map(|waiting| (waiting.token, waiting.dispatched));
        self.bytes = 0;
        unanswered.chain(queued).collect()
    }
}

impl Waiting {
    fn weight(&self) -> usize {
        let media: usize = self.media.iter().map(Upload::weight).sum();
        self.frame.len() + self.conversation.len() + media
    }

    fn is_ready(&self) -> bool {
        self.media.iter().all(|upload| upload.medium.is_some())
    }

    /// As it goes on the wire, with the media that are up.
    pub fn complete(&self) -> Result<String, serde_json::Error> {
        if self.media.is_empty() {
            return Ok(self.frame.clone());
        }
        let mut frame = serde_json::from_str(&self.frame)?;
        if let ClientFrame::Send(sent) = &mut frame
            && let Content::Media(media) = &mut sent.content
        {
            let open = media.attachments.iter_mut();
            let open = open.filter(|attachment| attachment.reference.is_none());
            for (attachment, upload) in open.zip(&self.media) {
                attachment.reference.clone_from(&upload.medium);
            }
        }
        serde_json::to_string(&frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(outbox: &mut Outbox) -> Vec<(String, bool)> {
        std::iter::from_fn(|| outbox.next_ready())
            .map(|waiting| (waiting.token, waiting.dispatched))
            .collect()
    }

    fn waiting(token: &str, conversation: &str) -> Waiting {
        Waiting {
            token: token.to_owned(),
            frame: "{}".to_owned(),
            dispatched: false,
            conversation: conversation.to_owned(),
            media: Vec::new(),
        }
    }

    fn with_media(token: &str, conversation: &str, media: u32) -> Waiting {
        let upload = |number| Upload {
            name: format!("{token}/{number}"),
            blob: "blob".to_owned(),
            total: 1,
            mime: None,
            filename: None,
            medium: None,
        };
        Waiting {
            media: (0..media).map(upload).collect(),
            ..waiting(token, conversation)
        }
    }

    #[test]
    fn a_conversation_waits_for_its_media_and_no_other_does() {
        let mut outbox = Outbox::default();
        for one in [
            with_media("a", "1", 2),
            waiting("b", "1"),
            waiting("c", "2"),
            with_media("d", "2", 1),
            waiting("e", "2"),
        ] {
            outbox.queue(one).expect("there is room");
        }
        assert_eq!(outbox.media(), 3);
        assert!(outbox.holds_back("1") && !outbox.holds_back("3"));
        assert_eq!(tokens(&mut outbox), [("c".to_owned(), false)]);
        outbox.uploaded("d/0", "m".to_owned());
        let ready = ["d", "e"].map(|token| (token.to_owned(), false));
        assert_eq!(tokens(&mut outbox), ready);
        outbox.uploaded("a/0", "m".to_owned());
        assert_eq!(tokens(&mut outbox), []);
        let next = outbox.next_upload().map(|upload| upload.name.as_str());
        assert_eq!(next, Some("a/1"));
        // After another connection it is not known what is there.
        outbox.link_lost();
        let next = outbox.next_upload().map(|upload| upload.name.as_str());
        assert_eq!(next, Some("a/0"));
        assert_eq!(outbox.remove_with("a/1").as_deref(), Some("a"));
        assert_eq!(tokens(&mut outbox), [("b".to_owned(), false)]);
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn what_was_not_answered_goes_before_what_waits() {
        let mut outbox = Outbox::default();
        for token in ["a", "b", "c"] {
            outbox.sent(token.to_owned(), "{}".to_owned(), true);
        }
        outbox.queue(waiting("d", "c")).expect("there is room");
        outbox.answered("b");
        assert!(outbox.link_lost().is_empty());
        let expected =
            [("a", true), ("c", true), ("d", false)].map(|(token, sent)| (token.to_owned(), sent));
        assert_eq!(tokens(&mut outbox), expected);
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn what_must_not_be_repeated_comes_back() {
        let mut outbox = Outbox::default();
        outbox.sent("a".to_owned(), "{}".to_owned(), false);
        outbox.sent("b".to_owned(), "{}".to_owned(), false);
        outbox.answered("a");
        assert_eq!(outbox.link_lost(), ["b"]);
        assert!(!outbox.holds("b"));
    }

    #[test]
    fn it_stays_small() {
        let mut outbox = Outbox::default();
        let long = "x".repeat(MOST_BYTES / 2 + 1);
        let long_one = |token: &str| Waiting {
            frame: long.clone(),
            ..waiting(token, "c")
        };
        outbox.queue(long_one("a")).expect("there is room");
        assert_eq!(outbox.queue(long_one("b")), Err(Full));
        outbox.sent("c".to_owned(), long, true);
        assert_eq!(outbox.link_lost(), ["c"]);
        assert_eq!(outbox.drain(), [("a".to_owned(), false)]);
        for number in 0..=MOST_UNANSWERED {
            outbox.sent(number.to_string(), "{}".to_owned(), true);
        }
        assert!(!outbox.holds("0") && outbox.holds("1"));
        assert_eq!(outbox.drain().len(), MOST_UNANSWERED);
        assert_eq!(outbox.bytes, 0);
    }
}
