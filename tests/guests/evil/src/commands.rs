//! Misbehaviour by name. The first word of a line or of a text to send chooses it; what
//! is no command does nothing.

use anyport_sdk::connections::{Framing, Spec};
use anyport_sdk::events::{Emission, Event};
use anyport_sdk::model::{Content, Custom, Message};
use anyport_sdk::replies::SentMessage;
use anyport_sdk::sign_in_steps::{self, Question};
use anyport_sdk::types::{Error, Frame};
use anyport_sdk::{blobs, connections, events, http, kv, logging, replies, secrets, timers, turn};
use std::cell::RefCell;

use crate::guest::{MAIN, Situation};
use crate::web;

thread_local! {
    static SECRET: RefCell<String> = const { RefCell::new(String::new()) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    GoOn,
    /// Do not answer.
    Silent,
}

pub fn run(line: &str, situation: Situation) -> Result<Outcome, Error> {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    let number = argument.trim().parse::<u64>().ok();
    match command {
        // Ends of a turn.
        "!trap" | "!trap-always" => trap(),
        // Not in the instance that comes after the fault.
        "!trap-once" if !situation.after_fault => trap(),
        "!err" => return Err(Error::internal("an error on command").with_detail(argument)),
        "!panic" => panic!("{argument}"),
        "!exit" => std::process::exit(3),
        "!silent" => return Ok(Outcome::Silent),

        // CPU and memory.
        "!loop" => loop {
            std::hint::spin_loop();
        },
        "!burn" => {
            let rounds = number.unwrap_or(1_000_000);
            std::hint::black_box(
                (0..rounds).fold(0_u64, |sum, step| std::hint::black_box(sum ^ step)),
            );
        }
        "!alloc" => allocate_without_end(),
        "!recursion" => drop(std::hint::black_box(recurse(1))),

        // Budgets of host calls and output.
        "!hostcalls" => (0..number.unwrap_or(1_000_000)).for_each(|_| drop(kv::get("lines"))),
        "!logflood" => {
            let long = "flood ".repeat(1_000);
            (0..number.unwrap_or(100_000)).for_each(|_| logging::error(&long, &[("key", &long)]));
        }
        "!stdout" => (0..number.unwrap_or(100_000)).for_each(|step| println!("flood {step}")),
        "!bigout" => {
            let body = "x".repeat(64 * 1024);
            for step in 0..number.unwrap_or(10_000) {
                let said = Message::new(
                    "big",
                    "big",
                    "big",
                    turn::now(),
                    Content::plain(body.as_str()),
                );
                events::emit(&Emission::of_message(format!("big-{step}"), said));
            }
        }
        "!bigframes" => {
            let frame = Frame::Binary(vec![b'x'; 64 * 1024]);
            (0..number.unwrap_or(10_000)).for_each(|_| connections::send(MAIN, &frame));
        }
        "!timers" => {
            let spec = timers::Spec::at(turn::now() + 3_600_000);
            (0..number.unwrap_or(100_000))
                .for_each(|step| timers::set(&format!("timer-{step}"), &spec));
        }
        "!connections" => {
            let spec = Spec::tcp("127.0.0.1", 1, Framing::Line);
            (0..number.unwrap_or(10_000)).for_each(|step| {
                connections::ensure(&format!("c-{step}"), &spec);
            });
        }
        "!subjects" => (0..number.unwrap_or(100_000))
            .for_each(|step| turn::subject(&format!("subject-{step}"))),

        "!longfailures" => {
            let failure = Error::internal("x".repeat(1024 * 1024)).not_done();
            (0..number.unwrap_or(4_096)).for_each(|_| replies::failed("nobody", &failure));
        }
        "!amplify" => amplify(),

        // Written limits, one above each.
        "!kvquota" => {
            let value = vec![0; 256 * 1024];
            (0..number.unwrap_or(4_096))
                .for_each(|step| kv::put(&format!("quota-{step:06}"), &value));
        }
        "!kvkey" => kv::put(&"k".repeat(513), b"1"),
        "!kvvalue" => kv::put("large", &vec![0; 256 * 1024 + 1]),
        "!kvscan" => drop(kv::scan("", None, 257)),
        "!random" => drop(turn::random(4_097)),
        "!label" => timers::set(&"l".repeat(129), &timers::Spec::at(turn::now())),
        "!context" => timers::set(
            "context",
            &timers::Spec {
                context: vec![0; 4_097],
                ..timers::Spec::at(turn::now() + 1_000)
            },
        ),

        // Things that are not its business.
        "!secret" => {
            let secret = reveal("password")?;
            logging::error(&format!("the secret is {secret}"), &[("secret", &secret)]);
            return Err(Error::internal(format!("the secret is {secret}")).with_detail(secret));
        }
        "!secret-keep" => SECRET.set(reveal("password")?),
        // What an earlier turn kept.
        "!secret-tell" => {
            SECRET.with_borrow(|secret| logging::error(&format!("it was {secret}"), &[]));
        }
        "!secret-print" => panic!("the secret is {}", reveal("password")?),
        // At the end of a line that has to be cut within it.
        "!secret-long" => {
            let line = format!("{}{}", "x".repeat(4_090), reveal("password")?);
            logging::error(&line, &[]);
        }
        "!secret-replaced" => {
            let before = reveal("password")?;
            secrets::put("password", b"another-one");
            logging::error(&format!("it was {before}"), &[]);
        }
        "!reveal-refused" => drop(reveal("unreadable")?),
        "!secret-unnamed" => secrets::put("no-such-name", b"1"),
        "!connect" => {
            let (host, port) = argument.split_once(' ').unwrap_or((argument, "80"));
            let port = port.trim().parse().unwrap_or(80);
            connections::ensure("elsewhere", &Spec::tcp(host, port, Framing::Line));
        }
        "!answer" => crate::asked::answer(argument),
        "!answer-foreign" => replies::sent(argument, &SentMessage::new("forged", turn::now())),

        // Odd output.
        "!same-key" => {
            for text in ["first", "second"] {
                let said = Message::new(text, "lines", "server", turn::now(), Content::plain(text));
                events::emit(&Emission::of_message("same-key", said));
            }
        }
        "!bad-json" => {
            let custom = Custom {
                name: "bad".to_owned(),
                value: "{not json".to_owned(),
            };
            events::emit(&Emission::new(
                "bad-json",
                turn::now(),
                Event::Custom(custom),
            ));
        }
        "!put" => {
            let (key, value) = argument.split_once(' ').unwrap_or((argument, ""));
            kv::put(key, value.as_bytes());
        }
        "!attach" => crate::media::attach(argument),
        "!attach-made" => crate::media::attach_made(argument)?,
        // Limits of files, one above each.
        "!blobappend" => {
            blobs::create("large", None, None);
            blobs::append("large", &vec![0; 1024 * 1024 + 1]);
        }
        "!blobread" => blobs::submit_read("large", "nothing", 0, 1024 * 1024 + 1),
        "!blobless" => blobs::append("never-created", b"1"),
        "!blobs" => (0..number.unwrap_or(100))
            .for_each(|step| blobs::create(&format!("blob-{step}"), None, None)),
        "!close" => connections::close(MAIN),
        // What `web::request` makes of it, under the label that is the first word.
        "!http" => {
            let (label, request) = argument.split_once(' ').unwrap_or((argument, "{}"));
            http::submit(label, &web::request(request)?);
        }
        "!http-cancel" => http::cancel(argument),
        "!https" => (0..number.unwrap_or(65)).for_each(|step| {
            let request = web::request("{\"url\":\"http://127.0.0.1:1/\"}");
            http::submit(&format!("r-{step}"), &request.expect("it is one"));
        }),
        "!scan" => web::scan(argument),
        "!sign" => web::sign(argument)?,
        // Comes back as the rest of the line, as a command, after 50 ms.
        "!later" => timers::set(
            "later",
            &timers::Spec {
                context: argument.as_bytes().to_vec(),
                ..timers::Spec::at(turn::now() + 50)
            },
        ),

        #[cfg(feature = "ambient")]
        "!files" => expect_nothing(std::fs::read_dir("/").map(|entries| entries.count()))?,
        #[cfg(feature = "ambient")]
        "!environment" => expect_nothing(match std::env::vars().count() {
            0 => Err("empty"),
            count => Ok(count),
        })?,
        #[cfg(feature = "ambient")]
        "!sleep" => std::thread::sleep(std::time::Duration::from_millis(number.unwrap_or(1))),
        #[cfg(feature = "ambient")]
        "!stdin" => expect_nothing(match std::io::stdin().lines().next() {
            None | Some(Err(_)) => Err("closed"),
            Some(Ok(line)) => Ok(line),
        })?,
        #[cfg(feature = "ambient")]
        "!moment" => crate::ambient::moment(),
        #[cfg(feature = "ambient")]
        "!sockets" => expect_nothing(std::net::TcpStream::connect("127.0.0.1:80"))?,
        _ => {}
    }
    Ok(Outcome::GoOn)
}

pub fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

fn reveal(name: &str) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&secrets::reveal(name)?.unwrap_or_default()).into_owned())
}

/// One text of 1 MiB, given to the host a few thousand times in one call.
#[expect(
    unsafe_code,
    reason = "safe code would need the memory that it pretends to have"
)]
fn amplify() {
    use std::mem::ManuallyDrop;
    let text = ManuallyDrop::new("x".repeat(1024 * 1024));
    let choice =
        || unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), text.len(), text.capacity()) };
    let question = ManuallyDrop::new(Question {
        name: "amplified".to_owned(),
        kind: "choice".to_owned(),
        title: "Which?".to_owned(),
        hint: None,
        required: true,
        choices: (0..4_096).map(|_| choice()).collect(),
    });
    sign_in_steps::ask(std::slice::from_ref(&*question), None);
}

fn allocate_without_end() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1; 64 * 1024]));
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> [u64; 64] {
    let mut frame = std::hint::black_box([depth; 64]);
    frame[0] += recurse(depth + 1)[1];
    std::hint::black_box(frame)
}

/// What a sandbox holds back must come back as an error.
#[cfg(feature = "ambient")]
fn expect_nothing<T: std::fmt::Debug, E>(found: Result<T, E>) -> Result<(), Error> {
    match found {
        Ok(found) => Err(Error::internal(format!(
            "the sandbox let {found:?} through"
        ))),
        Err(_) => Ok(()),
    }
}
