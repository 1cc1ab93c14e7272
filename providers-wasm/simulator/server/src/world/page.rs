//! Lists in pages. A cursor is the key of the last entry given, so that a list that changes meanwhile
//! gives nothing twice that stands still.

use serde::Serialize;

use crate::limits;
use crate::protocol::Fault;
use crate::request::{Page, Pages};

const AFTER: &str = "after:";

/// `entries`: with their keys, in the order of the keys.
pub(super) fn page<T: Serialize>(
    entries: impl Iterator<Item = (String, T)>,
    page: &Page,
) -> Result<Pages<T>, Fault> {
    if page.limit == 0 {
        return Err(Fault::new("invalid", "a page has at least one entry"));
    }
    let after = match page.cursor.as_deref() {
        None => None,
        Some(cursor) => Some(
            cursor
                .strip_prefix(AFTER)
                .ok_or_else(|| Fault::new("invalid", "this cursor is none of the channel's"))?,
        ),
    };
    let mut entries = entries
        .skip_while(|(key, _)| after.is_some_and(|after| key.as_str() <= after))
        .peekable();
    let (mut items, mut bytes, mut last) = (Vec::new(), 0, String::new());
    while let Some((_, entry)) = entries.peek() {
        bytes += serde_json::to_vec(entry).map_or(0, |json| json.len());
        let full = items.len() >= page.limit.min(limits::PAGE) as usize;
        if full || (!items.is_empty() && bytes > limits::PAGE_BYTES) {
            return Ok(Pages {
                items,
                next: Some(format!("{AFTER}{last}")),
            });
        }
        if let Some((key, entry)) = entries.next() {
            items.push(entry);
            last = key;
        }
    }
    Ok(Pages { items, next: None })
}

/// A key that puts higher numbers first.
pub(super) fn newest_first(number: u64) -> String {
    format!("{:020}", u64::MAX - number)
}
