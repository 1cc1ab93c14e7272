//! What was read of the log and not taken by the receiver yet: which event of a conversation may
//! go next, and up to where everything has been dealt with. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Events of the same key go one after the other.
type Key = (String, String);

/// One event, with its bytes as they are signed.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub account: String,
    pub body: Arc<str>,
    conversation: String,
    /// The page it came with.
    page: u64,
}

impl Event {
    /// What has no id, type or account is no less an event: the receiver gets it as it is.
    pub fn new(body: &RawValue) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Envelope {
            id: String,
            r#type: String,
            account_id: String,
            data: Data,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Data {
            conversation: Option<Conversation>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Conversation {
            id: String,
        }
        let envelope: Envelope = serde_json::from_str(body.get()).unwrap_or_default();
        Self {
            id: envelope.id,
            kind: envelope.r#type,
            account: envelope.account_id,
            body: body.get().into(),
            conversation: envelope.data.conversation.unwrap_or_default().id,
            page: 0,
        }
    }

    fn key(&self) -> Key {
        (self.account.clone(), self.conversation.clone())
    }
}

#[derive(Debug)]
struct Page {
    /// Where the log goes on after it.
    cursor: String,
    left: usize,
}

#[derive(Debug, Default)]
pub struct Pages {
    /// In the order of the log; the first has events left, unless all are dealt with.
    pages: VecDeque<Page>,
    /// The number of the first page.
    first: u64,
    /// Behind the event of the key that is on its way.
    waiting: HashMap<Key, VecDeque<Event>>,
    count: usize,
    position: Option<String>,
}

impl Pages {
    pub fn new() -> Self {
        Self::default()
    }

    /// The events that may go now.
    pub fn add(&mut self, cursor: String, events: impl Iterator<Item = Event>) -> Vec<Event> {
        let number = self.first + self.pages.len() as u64;
        let mut ready = Vec::new();
        let mut left = 0;
        for event in events {
            let event = Event {
                page: number,
                ..event
            };
            left += 1;
            match self.waiting.get_mut(&event.key()) {
                Some(behind) => behind.push_back(event),
                None => {
                    self.waiting.insert(event.key(), VecDeque::new());
                    ready.push(event);
                }
            }
        }
        self.count += left;
        self.pages.push_back(Page { cursor, left });
        self.advance();
        ready
    }

    /// Taken or given up; the one that may go next, if any.
    pub fn done(&mut self, event: &Event) -> Option<Event> {
        let index = event.page.checked_sub(self.first)? as usize;
        let page = self.pages.get_mut(index)?;
        page.left = page.left.saturating_sub(1);
        self.count = self.count.saturating_sub(1);
        self.advance();
        let key = event.key();
        let next = self.waiting.get_mut(&key)?.pop_front();
        if next.is_none() {
            self.waiting.remove(&key);
        }
        next
    }

    /// Everything up to this cursor has been dealt with.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// How many events are not dealt with.
    pub fn waiting(&self) -> usize {
        self.count
    }

    fn advance(&mut self) {
        while self.pages.front().is_some_and(|page| page.left == 0)
            && let Some(page) = self.pages.pop_front()
        {
            self.first += 1;
            self.position = Some(page.cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, conversation: &str) -> Event {
        let text = format!(
            r#"{{"id":"{id}","type":"t","account_id":"acc","data":{{"conversation":{{"id":"{conversation}"}}}}}}"#
        );
        Event::new(&RawValue::from_string(text).unwrap())
    }

    fn ids(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        events.into_iter().map(|event| event.id).collect()
    }

    #[test]
    fn one_of_a_conversation_at_a_time_and_others_beside_it() {
        let mut pages = Pages::new();
        let page = [event("1", "a"), event("2", "a"), event("3", "b")];
        assert_eq!(
            ids(pages.add("c1".to_owned(), page.clone().into_iter())),
            ["1", "3"]
        );
        assert_eq!(
            ids(pages.add("c2".to_owned(), [event("4", "a")].into_iter())),
            [""; 0]
        );
        assert_eq!(pages.waiting(), 4);
        let first = page[0].clone();
        let second = pages.done(&first).unwrap();
        assert_eq!(second.id, "2");
        let fourth = pages.done(&second).unwrap();
        assert_eq!(fourth.id, "4");
        assert!(pages.done(&fourth).is_none());
        assert_eq!(
            ids(pages.add("c3".to_owned(), [event("5", "a")].into_iter())),
            ["5"]
        );
    }

    #[test]
    fn the_position_passes_nothing_that_is_left() {
        let mut pages = Pages::new();
        let slow = pages.add("c1".to_owned(), [event("1", "a")].into_iter());
        let quick = pages.add("c2".to_owned(), [event("2", "b")].into_iter());
        pages.done(&quick[0]);
        assert_eq!(pages.position(), None);
        pages.add("c3".to_owned(), std::iter::empty());
        pages.done(&slow[0]);
        assert_eq!(pages.position(), Some("c3"));
        assert_eq!(pages.waiting(), 0);
    }

    #[test]
    fn events_keep_their_bytes_and_need_no_conversation() {
        let text = r#"{"data": {"b":1,  "a":2}, "id":"evt_1"}"#;
        let event = Event::new(&RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(&*event.body, text);
        assert_eq!((&*event.id, &*event.conversation), ("evt_1", ""));
    }
}
