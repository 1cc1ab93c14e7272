//! Requests to the channel's HTTP API, and what their answers mean.

use anyport_sdk::http_types::{Place, Placement, Request};
use anyport_sdk::types::{Error, ErrorCode};
use anyport_simulator::protocol::Fault;
use serde::de::DeserializeOwned;

use crate::config::{Config, TokenPlace};
use crate::exports::reactor::{Response, ResponseBody};
use crate::session::TOKEN;

const TIMEOUT_MS: u32 = 20_000;
/// For a medium, the most that the host allows.
pub const MEDIA_TIMEOUT_MS: u32 = 600_000;

/// With the account's token, which the host puts in: this provider never sees it.
pub fn request(config: &Config, method: &str, path: &str) -> Result<Request, Error> {
    let base = config.base()?;
    let (first, place, before) = match config.token_in {
        TokenPlace::Header => ("v1", Place::Header("authorization".to_owned()), "Bearer "),
        // The host replaces this segment by `bot` and the token.
        TokenPlace::Path => ("bot", Place::PathSegment(0), "bot"),
    };
    Ok(Request {
        secrets: vec![Placement {
            secret: TOKEN.to_owned(),
            place,
            before: before.to_owned(),
            after: String::new(),
        }],
        timeout_ms: Some(TIMEOUT_MS),
        repeatable: true,
        ..Request::new(method, format!("{base}/{first}/{path}"))
    })
}

/// Why there is no answer of the kind that was wanted.
#[derive(Debug, PartialEq)]
pub enum Failed {
    /// The channel, or the host's policy, refuses: nothing was done.
    Refused(Error),
    /// It may have been done; asking again tells.
    Unclear(Error),
}

pub fn read<T: DeserializeOwned>(outcome: Result<Response, Error>) -> Result<T, Failed> {
    let response = match outcome {
        Ok(response) => response,
        Err(error) if error.code == ErrorCode::Unavailable => return Err(Failed::Unclear(error)),
        Err(error) => return Err(Failed::Refused(error)),
    };
    let body = match response.body {
        ResponseBody::Bytes(bytes) => bytes,
        ResponseBody::Blob(_) => Vec::new(),
    };
    match response.status {
        200..=299 => serde_json::from_slice(&body).map_err(|error| {
            let unclear = Error::unavailable("the channel answered what cannot be read");
            Failed::Unclear(unclear.with_detail(error.to_string()))
        }),
        status @ 400..=499 => Err(Failed::Refused(refusal(status, &body))),
        status => Err(Failed::Unclear(
            Error::unavailable("the channel has a problem").with_channel_code(status.to_string()),
        )),
    }
}

/// What stands before the channel (a proxy) may refuse in words of its own.
fn refusal(status: u16, body: &[u8]) -> Error {
    match serde_json::from_slice::<Fault>(body) {
        Ok(fault) => simulator_mapping::error(fault),
        Err(_) => {
            let code = match status {
                401 => ErrorCode::Unauthenticated,
                403 => ErrorCode::Forbidden,
                404 => ErrorCode::NotFound,
                429 => ErrorCode::RateLimited,
                _ => ErrorCode::Invalid,
            };
            Error::new(code, "the channel refuses").with_channel_code(status.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Response, Error> {
        Ok(Response {
            status,
            headers: Vec::new(),
            body: ResponseBody::Bytes(body.as_bytes().to_vec()),
        })
    }

    fn code(failed: Result<u32, Failed>) -> (bool, ErrorCode) {
        match failed {
            Err(Failed::Refused(error)) => (true, error.code),
            Err(Failed::Unclear(error)) => (false, error.code),
            Ok(value) => panic!("{value}"),
        }
    }

    #[test]
    fn what_was_refused_and_what_is_unclear() {
        assert_eq!(read::<u32>(answer(200, "7")), Ok(7));
        let limited = r#"{"code":"rate-limited","message":"slow down"}"#;
        for (given, wanted) in [
            (answer(200, "{"), (false, ErrorCode::Unavailable)),
            (answer(302, ""), (false, ErrorCode::Unavailable)),
            (answer(503, limited), (false, ErrorCode::Unavailable)),
            (answer(429, limited), (true, ErrorCode::RateLimited)),
            (answer(401, "<html>"), (true, ErrorCode::Unauthenticated)),
            (
                Err(Error::unavailable("reset")),
                (false, ErrorCode::Unavailable),
            ),
            (
                Err(Error::new(ErrorCode::Denied, "policy")),
                (true, ErrorCode::Denied),
            ),
        ] {
            assert_eq!(code(read(given)), wanted);
        }
    }

    #[test]
    fn the_token_stands_where_the_configuration_says() {
        let mut config = Config {
            server: Some("127.0.0.1".to_owned()),
            port: Some(80),
            ..Config::default()
        };
        let by_header = request(&config, "GET", "me").expect("it has an address");
        assert_eq!(by_header.url, "http://127.0.0.1:80/v1/me");
        config.token_in = TokenPlace::Path;
        let by_path = request(&config, "GET", "me").expect("it has an address");
        assert_eq!(by_path.url, "http://127.0.0.1:80/bot/me");
        assert_eq!(by_path.secrets[0].place, Place::PathSegment(0));
    }
}
