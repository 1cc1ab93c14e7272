//! Media of messages that came: fetched when somebody asks, straight into the host's store.

use anyport_sdk::http_types::Request;
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{http, replies};

use crate::api::{self, Failed};
use crate::exports::reactor::{Response, ResponseBody};
use crate::state::{Phase, State};

/// What requests for media are named by, before the host's request.
pub const LABEL: &str = "media/";

impl State {
    pub fn fetch(&mut self, request: &str, reference: &str) {
        match self.download(reference) {
            Ok(asked) => http::submit(&format!("{LABEL}{request}"), &asked),
            Err(error) => replies::failed(request, &error.not_done()),
        }
    }

    fn download(&self, reference: &str) -> Result<Request, Error> {
        if self.phase != Phase::SignedIn {
            return Err(Error::unauthenticated("the account is not signed in"));
        }
        // It goes into a path.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if reference.is_empty() || !reference.bytes().all(plain) || reference.contains("..") {
            return Err(Error::new(
                ErrorCode::NotFound,
                "this names no medium of the channel",
            ));
        }
        Ok(Request {
            to_blob: true,
            timeout_ms: Some(api::MEDIA_TIMEOUT_MS),
            ..api::request(&self.config, "GET", &format!("media/{reference}"))?
        })
    }
}

/// The answer to the request with this label.
pub fn fetched(label: &str, outcome: Result<Response, Error>) {
    let request = label.strip_prefix(LABEL).unwrap_or(label);
    let error = match outcome {
        Ok(Response {
            body: ResponseBody::Blob(blob),
            ..
        }) => return replies::with_media(request, &blob),
        other => match api::read::<()>(other) {
            Err(Failed::Refused(error) | Failed::Unclear(error)) => error,
            Ok(()) => Error::unavailable("the channel gave no medium"),
        },
    };
    replies::failed(request, &error.not_done());
}
