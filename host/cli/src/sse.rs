//! Server-sent events, as bytes come in. Pure.

/// One event; `data` keeps the bytes it came with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The last id so far, which also an event without one has.
    pub id: String,
    /// The type; empty when none is named.
    pub event: String,
    pub data: String,
}

/// The events of one connection.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    id: String,
    event: String,
    data: Option<String>,
}

/// Longer lines are not ours; without a bound a wrong peer could fill the memory.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

impl Parser {
    /// The events that these bytes complete. The error: a line is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, &'static str> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    messages.extend(self.take(&String::from_utf8_lossy(&line)));
                }
                _ if self.line.len() >= MAX_LINE_BYTES => return Err("a line is too long"),
                _ => self.line.push(byte),
            }
        }
        Ok(messages)
    }

    /// What to come back with. Ids count also without an event, so that what a filter left out
    /// is not read again.
    pub fn last_id(&self) -> &str {
        &self.id
    }

    fn take(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return self.data.take().map(|data| Message {
                id: self.id.clone(),
                event,
                data,
            });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1000\nid: A\n\nid: B\nevent: message.received\ndata: {\"é\":1}\n\n: heartbeat\nid: C\n\ndata: one\r\ndata: two\r\n\r\n";

    fn expected() -> [Message; 2] {
        [
            Message {
                id: "B".to_owned(),
                event: "message.received".to_owned(),
                data: "{\"é\":1}".to_owned(),
            },
            Message {
                id: "C".to_owned(),
                event: String::new(),
                data: "one\ntwo".to_owned(),
            },
        ]
    }

    #[test]
    fn reads_events_however_they_are_cut() {
        for size in 1..=STREAM.len() {
            let mut parser = Parser::default();
            let messages: Vec<Message> = STREAM
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| parser.push(chunk).unwrap())
                .collect();
            assert_eq!(messages, expected(), "in pieces of {size}");
        }
    }

    #[test]
    fn ids_count_without_events_and_what_is_cut_off_does_not_arrive() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(b"id: A\n\n: x\nid: B\n\n").unwrap(), []);
        assert_eq!(parser.last_id(), "B");
        assert_eq!(parser.push(b"event: e\ndata: half").unwrap(), []);
    }
}
