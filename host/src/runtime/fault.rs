//! Why a turn failed, in words for people, for authors and for the log.

use super::convert;
use super::instance::Unreadable;
use super::limits::Breach;
use super::meter::CpuBudget;
use anyport_contract::anyport::provider::types;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub kind: FaultKind,
    /// For the account's status.
    pub message: String,
    /// For authors: the trap with its frames, what the guest said and printed. It may hold
    /// anything that the account knows, so it is for no log.
    pub detail: String,
    /// For the log: the trap with its frames, and the place of a panic.
    pub place: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Trap,
    /// An export returned an error.
    Err,
    /// A limit or a rule of the contract was broken.
    Limit,
    /// Storage could not answer a read. No strike.
    Unreadable,
    /// As many instances live as the host can hold. No strike.
    NoRoom,
    /// A test failed a turn that was good, to see its inputs come again. No strike.
    Injected,
}

impl FaultKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Err => "err",
            Self::Limit => "limit",
            Self::Unreadable => "unreadable",
            Self::NoRoom => "no_room",
            Self::Injected => "injected",
        }
    }

    /// Is it the provider's doing? If not, the same may well succeed another time.
    pub fn is_providers(self) -> bool {
        matches!(self, Self::Trap | Self::Err | Self::Limit)
    }
}

impl Fault {
    /// Of a call that ended in a trap, or in an error of a host function.
    pub(super) fn of(trap: &wasmtime::Error, printed: Option<&str>) -> Self {
        let (kind, message) = describe_trap(trap, printed);
        Self {
            kind,
            message,
            detail: with_output(format!("{trap:?}"), printed),
            place: place(format!("{trap:?}"), printed),
        }
    }

    /// Of an export that returned an error.
    pub(super) fn of_err(error: types::Error, printed: Option<&str>) -> Self {
        let failure = convert::failure(error);
        Self {
            kind: FaultKind::Err,
            message: failure.to_string(),
            detail: with_output(failure.detail.unwrap_or_default(), printed),
            place: place(String::new(), printed),
        }
    }

    pub(super) fn limit(message: String) -> Self {
        Self {
            kind: FaultKind::Limit,
            message,
            detail: String::new(),
            place: String::new(),
        }
    }

    pub(super) fn injected() -> Self {
        Self {
            kind: FaultKind::Injected,
            message: "a test failed this turn".into(),
            detail: String::new(),
            place: String::new(),
        }
    }

    pub(super) fn used_again() -> Self {
        Self {
            kind: FaultKind::Trap,
            message: "the instance has failed before and was called again".into(),
            detail: String::new(),
            place: String::new(),
        }
    }
}

/// For the log.
fn place(mut trap: String, printed: Option<&str>) -> String {
    if let Some(at) = panicked_at(printed) {
        if !trap.is_empty() {
            trap.push('\n');
        }
        trap.push_str("panicked at ");
        trap.push_str(at);
    }
    trap
}

/// `src/lib.rs:12:5`. Where a guest panicked is in its source; what it said there is for nobody but
/// its author.
fn panicked_at(printed: Option<&str>) -> Option<&str> {
    const PANIC: &str = "panicked at ";
    const LONGEST: usize = 256;
    let text = printed?;
    let line = text[text.find(PANIC)? + PANIC.len()..].lines().next()?;
    let place = line.strip_suffix(':').unwrap_or(line);
    let mut parts = place.rsplitn(3, ':');
    let number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
    let is_place =
        number(parts.next()) && number(parts.next()) && parts.next().is_some_and(is_source);
    (is_place && place.len() <= LONGEST).then_some(place)
}

/// Nothing that a sentence has.
fn is_source(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/\\:._-+".contains(&byte);
    path.ends_with(".rs") && path.bytes().all(plain)
}

fn with_output(mut detail: String, printed: Option<&str>) -> String {
    if let Some(printed) = printed {
        if !detail.is_empty() {
            detail.push('\n');
        }
        detail.push_str("it printed: ");
        detail.push_str(printed);
    }
    detail
}

/// The trap in one sentence for people.
fn describe_trap(trap: &wasmtime::Error, printed: Option<&str>) -> (FaultKind, String) {
    if let Some(breach) = trap.downcast_ref::<Breach>() {
        return (FaultKind::Limit, breach.0.clone());
    }
    if let Some(budget) = trap.downcast_ref::<CpuBudget>() {
        return (FaultKind::Limit, budget.to_string());
    }
    if let Some(unreadable) = trap.downcast_ref::<Unreadable>() {
        return (FaultKind::Unreadable, unreadable.to_string());
    }
    if trap.is::<PoolConcurrencyLimitError>() {
        let message = "the host holds as many instances as it can: raise runtime.max_instances";
        return (FaultKind::NoRoom, message.into());
    }
    let message = match (trap.downcast_ref::<Trap>(), trap.downcast_ref::<I32Exit>()) {
        (Some(Trap::UnreachableCodeReached), _) => match panicked_at(printed) {
            Some(place) => format!("it panicked at {place}"),
            None => "it panicked or reached unreachable code".into(),
        },
        (Some(Trap::StackOverflow), _) => "it overflowed its stack".into(),
        (Some(Trap::MemoryOutOfBounds), _) => {
            "it reached outside its memory, as a rule because its stack overflowed".into()
        }
        (Some(trap), _) => format!("it trapped: {trap}"),
        (None, Some(exit)) => format!("it ended itself with exit code {}", exit.0),
        (None, None) => format!("it trapped: {}", trap.root_cause()),
    };
    (FaultKind::Trap, message)
}

#[cfg(test)]
mod tests {
    use super::panicked_at;

    #[test]
    fn a_panic_tells_its_place_and_nothing_of_its_text() {
        let printed = "thread '<unnamed>' panicked at src/lib.rs:12:5:\nthe token is 123\n";
        assert_eq!(panicked_at(Some(printed)), Some("src/lib.rs:12:5"));
        for other in [
            "panicked at 'the token is 123', src/lib.rs:12:5",
            "panicked at the token 12:5",
            "hello",
        ] {
            let place = panicked_at(Some(other));
            assert!(
                place.is_none_or(|place| !place.contains("token")),
                "{place:?}"
            );
        }
    }
}
