//! One request and its answer. A kept connection may have been closed under us: what is known not
//! to have been sent goes over a new one, and so does what may be repeated.

use super::answer::{Wanted, read};
use super::body::Outgoing;
use super::pool::{Connection, Dial, Pool};
use super::target::Target;
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::port::http::HttpResponse;
use http::Response;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

/// A request that can be made anew.
pub struct Sending<'s> {
    pub request: &'s (dyn Fn() -> Result<Outgoing, Failure> + Sync),
    /// It may be sent again.
    pub repeatable: bool,
    /// Its body comes out of the media store.
    pub streamed: bool,
}

pub async fn exchange(
    pool: &Pool,
    dial: &Dial<'_>,
    sending: &Sending<'_>,
    wanted: &Wanted<'_>,
    deadline: Instant,
) -> Result<HttpResponse, Failure> {
    let answer = async {
        let (response, connection) = send(pool, dial, sending).await?;
        let answer = read(response, dial.target, wanted).await?;
        // An answer may come before the whole of a long body has left.
        if !sending.streamed {
            pool.keep(connection);
        }
        Ok(answer)
    };
    timeout_at(deadline, answer).await.unwrap_or_else(|_| {
        Err(unavailable(format!(
            "{} did not answer in time; it may have acted on the request",
            place(dial.target)
        )))
    })
}

async fn send(
    pool: &Pool,
    dial: &Dial<'_>,
    sending: &Sending<'_>,
) -> Result<(Response<Incoming>, Connection), Failure> {
    let Sending {
        request,
        repeatable,
        ..
    } = sending;
    // Whatever is wrong with it is said before anything is dialed.
    let mut ready = Some(request()?);
    while let Some(mut connection) = pool.take() {
        if connection.sender.ready().await.is_err() {
            continue;
        }
        let next = match ready.take() {
            Some(request) => request,
            None => request()?,
        };
        match connection.sender.try_send_request(next).await {
            Ok(response) => return Ok((response, connection)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => ready = Some(unsent),
                None if *repeatable && !failed_here(error.error()) => {}
                None => return Err(cut_off(dial.target, error.error())),
            },
        }
    }
    let mut connection = dial.connect().await?;
    let next = match ready.take() {
        Some(request) => request,
        None => request()?,
    };
    match connection.sender.try_send_request(next).await {
        Ok(response) => Ok((response, connection)),
        Err(mut error) => Err(match error.take_message() {
            Some(_) => broken(dial.target, false),
            None => cut_off(dial.target, error.error()),
        }),
    }
}

/// The media store did not give all of the body.
fn failed_here(error: &hyper::Error) -> bool {
    error.is_user()
}

fn cut_off(target: &Target, error: &hyper::Error) -> Failure {
    if failed_here(error) {
        return unavailable(format!(
            "the media store did not give the whole body; {} got a part of it",
            place(target)
        ));
    }
    broken(target, true)
}

/// `maybe`: the other side may have acted on it.
pub fn broken(target: &Target, maybe: bool) -> Failure {
    let place = place(target);
    unavailable(if maybe {
        format!("the connection to {place} broke; it may have acted on the request")
    } else {
        format!("the connection to {place} broke before the request was sent")
    })
}

pub fn place(target: &Target) -> String {
    format!("{}:{}", target.host, target.port)
}

pub fn unavailable(message: String) -> Failure {
    Failure::new(FailureCode::Unavailable, message)
}
