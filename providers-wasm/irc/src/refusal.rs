//! What the error numerics of a server mean for a message: the one table of them. It must
//! never decide which message an error belongs to.

use anyport_sdk::types::{Error, ErrorCode};

use crate::message::Line;
use crate::port::channel_error;

/// An error that answers a message, and the target it names, if it names one.
pub fn of(line: &Line) -> Option<(Error, Option<&str>)> {
    if line.command == "FAIL" {
        let command = line.param(0);
        if command != "PRIVMSG" && command != "NOTICE" && command != "*" {
            return None;
        }
        let code = match line.param(1) {
            "ACCOUNT_REQUIRED" | "NEED_REGISTRATION" | "ACCOUNT_REQUIRED_TO_SPEAK" => {
                ErrorCode::Forbidden
            }
            "RATE_LIMITED" | "TRY_AGAIN" => ErrorCode::RateLimited,
            "TEMPORARILY_UNAVAILABLE" => ErrorCode::Unavailable,
            "UNKNOWN_COMMAND" | "NOT_SUPPORTED" => ErrorCode::Unsupported,
            "INVALID_TARGET" | "NO_SUCH_CHANNEL" | "NO_SUCH_NICK" => ErrorCode::NotFound,
            "INVALID_UTF8" | "NEED_MORE_PARAMS" | "INVALID_PARAMS" | "MESSAGE_TOO_LONG" => {
                ErrorCode::Invalid
            }
            _ => ErrorCode::Forbidden,
        };
        return Some((
            channel_error(
                code,
                reason(line, "the server refused the message"),
                line.param(1),
            ),
            None,
        ));
    }
    let (code, message, names_target) = match line.numeric()? {
        401 => (
            ErrorCode::NotFound,
            "there is nobody with this nick and no such channel",
            true,
        ),
        402 => (ErrorCode::NotFound, "there is no such server", true),
        403 => (ErrorCode::NotFound, "there is no such channel", true),
        404 => (
            ErrorCode::Forbidden,
            "the channel does not let this account speak",
            true,
        ),
        406 => (ErrorCode::NotFound, "there was nobody with this nick", true),
        407 => (ErrorCode::Invalid, "too many targets", true),
        408 => (
            ErrorCode::Forbidden,
            "the channel does not allow this text",
            true,
        ),
        411 => (ErrorCode::Invalid, "the message has no target", false),
        412 => (ErrorCode::Invalid, "the message has no text", false),
        413..=415 => (ErrorCode::Invalid, "the target is not valid", true),
        416 | 439 => (
            ErrorCode::RateLimited,
            "too many targets in a short time",
            true,
        ),
        417 => (
            ErrorCode::Invalid,
            "the line is too long for the server",
            false,
        ),
        421 if matches!(line.param(1), "PRIVMSG" | "NOTICE") => (
            ErrorCode::Unsupported,
            "the server does not know the command",
            false,
        ),
        442 => (
            ErrorCode::Forbidden,
            "this account is not in the channel",
            true,
        ),
        461 if matches!(line.param(1), "PRIVMSG" | "NOTICE") => (
            ErrorCode::Invalid,
            "the server misses a part of the message",
            false,
        ),
        263 if matches!(line.param(1), "PRIVMSG" | "NOTICE") => {
            (ErrorCode::RateLimited, "the server is busy", false)
        }
        477 => (
            ErrorCode::Forbidden,
            "the target only takes messages of registered nicks",
            true,
        ),
        482 => (
            ErrorCode::Forbidden,
            "only operators of the channel may do this",
            true,
        ),
        484 | 486 | 489 | 492 | 494 => (
            ErrorCode::Forbidden,
            "the target does not take messages of this account",
            true,
        ),
        531 | 716 => (
            ErrorCode::Forbidden,
            "this person does not take messages of this account",
            true,
        ),
        _ => return None,
    };
    let target = names_target
        .then(|| line.param(1))
        .filter(|target| !target.is_empty());
    Some((
        channel_error(code, reason(line, message), line.command.clone()),
        target,
    ))
}

/// Our words, and the server's after them.
fn reason(line: &Line, message: &str) -> String {
    let said = line.said();
    if line.params.len() < 2 || said.is_empty() {
        message.to_owned()
    } else {
        format!("{message} ({said})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics() {
        let cases = [
            (
                ":s 401 me nobody :No such nick/channel",
                Some((ErrorCode::NotFound, "401", Some("nobody"))),
            ),
            (
                ":s 404 me #c :Cannot send to channel (+m)",
                Some((ErrorCode::Forbidden, "404", Some("#c"))),
            ),
            (
                ":s 412 me :No text to send",
                Some((ErrorCode::Invalid, "412", None)),
            ),
            (
                ":s 263 me PRIVMSG :Please wait",
                Some((ErrorCode::RateLimited, "263", None)),
            ),
            (":s 263 me LIST :Please wait", None),
            (":s 421 me FOO :Unknown command", None),
            (
                ":s FAIL PRIVMSG INVALID_UTF8 :Not UTF-8",
                Some((ErrorCode::Invalid, "INVALID_UTF8", None)),
            ),
            (":s FAIL JOIN X :no", None),
            (":s 372 me :- motd", None),
            (":s 301 me nick :away", None),
        ];
        for (text, expected) in cases {
            let line = crate::message::parse(text.as_bytes()).expect(text);
            let found = of(&line);
            let found = found.as_ref().map(|(error, target)| {
                (
                    error.code,
                    error.channel_code.as_deref().unwrap_or(""),
                    *target,
                )
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
