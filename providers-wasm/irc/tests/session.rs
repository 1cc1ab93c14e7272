//! The session core with no server: a script of lines, and what must come of it. Snapshots
//! and faults at every point of the script must change nothing that others can see.

mod driver;

use anyport_sdk::account::Link;
use anyport_sdk::events::Event;
use anyport_sdk::replies::Certainty;
use anyport_sdk::types::ErrorCode;
use driver::{Memory, body};
use irc_provider::port::{Action, Input, Outgoing, Reply, error};
use irc_provider::session::{Session, Start};

const CONFIG: &str = r##"{"server":"irc.test","port":6667,"tls":false,"nick":"me","channels":["#One","#two key"],
    "flood-burst":100,"flood-interval-ms":0}"##;

/// A host with no socket: what is asked for stays in `actions`.
struct Scripted {
    session: Session,
    memory: Memory,
    now: u64,
    config: &'static str,
    actions: Vec<Action>,
}

impl Scripted {
    fn new(config: &'static str) -> Self {
        let memory = Memory {
            seed: 1,
            ..Memory::default()
        };
        let mut scripted = Self {
            session: Session::default(),
            memory,
            now: 1_000_000,
            config,
            actions: Vec::new(),
        };
        scripted.start(None, false, &[]);
        scripted
    }

    fn start(
        &mut self,
        resume: Option<(u32, Vec<u8>)>,
        open: bool,
        skip: &[&str],
    ) -> (bool, Vec<Action>) {
        let skip = skip.iter().map(|subject| (*subject).to_owned()).collect();
        let start = Start {
            config: self.config.to_owned(),
            resume,
            open,
            skip,
        };
        let (session, keeps, actions) = Session::start(&start, self.now, &mut self.memory);
        self.session = session;
        self.actions.extend(actions.clone());
        (keeps, actions)
    }

    fn reload(&mut self, open: bool) -> (bool, Vec<Action>) {
        let snapshot = self.session.suspend().expect("a snapshot");
        self.start(Some((1, snapshot)), open, &[])
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.now += 10;
        let actions = self.session.handle(input, self.now, &mut self.memory);
        actions.iter().for_each(check);
        self.actions.extend(actions.clone());
        actions
    }

    fn line(&mut self, line: &str) -> Vec<Action> {
        self.input(frame(line))
    }

    fn online(config: &'static str) -> Self {
        let mut scripted = Self::new(config);
        for input in sign_in() {
            scripted.input(input);
        }
        scripted
    }

    fn send(&mut self, request: &str, to: &str, text: &str) -> Vec<Action> {
        self.input(send(request, to, text))
    }

    fn lines(&self) -> Vec<&str> {
        self.actions
            .iter()
            .filter_map(|action| {
                if let Action::Line(line) = action {
                    Some(line.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    fn timer(&self, name: &str) -> (u64, Vec<u8>) {
        let of = |action: &Action| match action {
            Action::SetTimer { label, at, context } if *label == name => {
                Some((*at, context.clone()))
            }
            _ => None,
        };
        self.actions.iter().rev().find_map(of).expect("a timer")
    }

    fn fire(&mut self, name: &str) -> Vec<Action> {
        let (at, context) = self.timer(name);
        self.now = self.now.max(at);
        self.input(Input::Timer {
            label: name.to_owned(),
            context,
        })
    }
}

/// The host's rules: a turn that breaks one fails.
fn check(action: &Action) {
    let id = |id: &str| {
        assert!(
            (1..=512).contains(&id.len()),
            "an id of {} bytes in {action:?}",
            id.len()
        )
    };
    let extra = |extra: &Option<String>| {
        assert!(
            extra.as_ref().is_none_or(|extra| extra.len() <= 64 * 1_024),
            "{action:?}"
        )
    };
    match action {
        Action::Identity(identity) => id(&identity.id),
        Action::Line(line) => assert!(!line.contains(['\r', '\n', '\0'])),
        Action::Emit(emission) => {
            id(&emission.key);
            emission.conversation.as_deref().into_iter().for_each(id);
            match &emission.event {
                Event::MessageReceived(message) => {
                    [&message.id, &message.conversation, &message.sender]
                        .into_iter()
                        .for_each(|it| id(it));
                    message.quote.iter().for_each(|quote| id(&quote.message));
                    extra(&message.extra);
                }
                Event::GroupUpdated(change) => {
                    id(&change.conversation);
                    change
                        .members
                        .iter()
                        .chain(&change.by)
                        .for_each(|it| id(it));
                    extra(&change.extra);
                }
                Event::Reaction(reaction) => [&reaction.message, &reaction.by]
                    .into_iter()
                    .for_each(|it| id(it)),
                Event::Activity(activity) => [&activity.conversation, &activity.by]
                    .into_iter()
                    .for_each(|it| id(it)),
                Event::ConversationUpdated(conversation) => id(&conversation.id),
                Event::ContactUpdated(contact) => id(&contact.id),
                Event::Custom(custom) => extra(&Some(custom.value.clone())),
                other => panic!("{other:?}"),
            }
        }
        _ => {}
    }
}

fn frame(line: &str) -> Input {
    Input::Frame(line.as_bytes().to_vec())
}

fn send(request: &str, to: &str, text: &str) -> Input {
    let message = Outgoing {
        conversation: to.into(),
        text: Some(text.into()),
        ..Outgoing::default()
    };
    Input::Send {
        request: request.into(),
        message,
    }
}

fn sign_in() -> Vec<Input> {
    let mut inputs = vec![
        Input::Begin {
            request: "begin".into(),
            method: "password".into(),
        },
        Input::Opened,
    ];
    inputs.extend(
        [
            ":s NOTICE * :*** Looking up your hostname",
            ":s CAP * LS * :multi-prefix",
            ":s CAP * LS :server-time message-tags echo-message",
            ":s CAP me ACK :echo-message message-tags multi-prefix server-time",
            ":s 433 * me :Nickname is already in use",
            ":s 001 me_ :Welcome to the network me_!~u@h",
            ":s 005 me_ CASEMAPPING=ascii CHANTYPES=# PREFIX=(ov)@+ :are supported",
            ":me_!~u@h.cloak JOIN #One",
            ":s 353 me_ = #One :me_ @+Boss +Voice",
            ":s 366 me_ #One :End",
        ]
        .map(frame),
    );
    inputs
}

fn script() -> Vec<Input> {
    let mut inputs = sign_in();
    inputs.extend([
        frame("@time=2026-01-01T00:00:00.000Z;msgid=abc :Boss!b@h PRIVMSG #ONE :hello me_"),
        frame(":Boss!b@h PRIVMSG #one :same"),
        frame(":Boss!b@h PRIVMSG #one :same"),
        send("r1", "#one", "first\nsecond"),
        frame("@msgid=e1 :me_!~u@h.cloak PRIVMSG #one :first"),
        send("r2", "Nobody", "hi"),
        frame("@msgid=e2 :me_!~u@h.cloak PRIVMSG #one :second"),
        frame(":s PONG s :f10"),
        frame(":s 401 me_ nobody :No such nick"),
        frame(":Voice!v@h NICK :Choice"),
        frame(":Choice!v@h QUIT :bye"),
        frame(":Boss!b@h MODE #One +ovl-k me_ Boss 10 key"),
        frame("garbage \u{0}"),
        frame(":me_!~u@h.cloak PRIVMSG #one :from elsewhere"),
        frame(":me_!~u@h.cloak NICK me"),
        frame(":Boss!b@h KICK #One me :out"),
    ]);
    inputs
}

fn fences(actions: &[Action]) -> Vec<String> {
    let of = |action: &Action| {
        if let Action::Line(line) = action {
            line.strip_prefix("PING :f").map(str::to_owned)
        } else {
            None
        }
    };
    actions.iter().filter_map(of).collect()
}

/// Runs the script, with `between` after every input. Fences are answered as they are asked.
fn run(between: impl Fn(&mut Scripted, bool)) -> Scripted {
    let mut scripted = Scripted::new(CONFIG);
    let mut open = false;
    let mut online = false;
    for input in script() {
        let input = match input {
            Input::Frame(bytes) if bytes == b":s PONG s :f10" => {
                let fence = fences(&scripted.actions).remove(0);
                frame(&format!(":s PONG s :f{fence}"))
            }
            input => input,
        };
        open |= matches!(input, Input::Opened);
        let actions = scripted.input(input);
        online |= actions
            .iter()
            .any(|action| matches!(action, Action::Link(Link::Online, _)));
        if open {
            between(&mut scripted, online);
        }
    }
    for fence in fences(&scripted.actions.clone()) {
        scripted.line(&format!(":s PONG s :f{fence}"));
    }
    scripted
}

fn visible(scripted: &Scripted) -> Vec<&Action> {
    let of = |action: &&Action| {
        matches!(
            action,
            Action::Emit(_) | Action::Reply { .. } | Action::Line(_) | Action::SignInSucceeded(_)
        )
    };
    scripted.actions.iter().filter(of).collect()
}

#[test]
fn the_script_as_it_is() {
    let scripted = run(|_, _| {});
    let lines = scripted.lines();
    assert_eq!(lines[..3], ["CAP LS 302", "NICK me", "USER me 0 * :me"]);
    assert_eq!(
        lines[3..7],
        [
            "CAP REQ :echo-message message-tags multi-prefix server-time",
            "CAP END",
            "NICK me_",
            "JOIN #two,#One key"
        ]
    );
    let events: Vec<String> = scripted
        .actions
        .iter()
        .filter_map(|action| {
            let Action::Emit(emission) = action else {
                return None;
            };
            Some(match &emission.event {
                Event::MessageReceived(message) => format!(
                    "{} {} {}",
                    message.conversation,
                    message.id.split('-').next().unwrap_or(""),
                    body(message)
                ),
                Event::GroupUpdated(change) => format!(
                    "{} {} {}",
                    change.conversation,
                    change.kind,
                    change.members.join(",")
                ),
                Event::ConversationUpdated(conversation) => {
                    format!("{} conversation", conversation.id)
                }
                Event::ContactUpdated(contact) => format!("contact {}", contact.id),
                other => format!("{other:?}"),
            })
        })
        .collect();
    let salt = events[2]
        .split(' ')
        .nth(1)
        .map(str::to_owned)
        .unwrap_or_default();
    assert_eq!(salt, "abc");
    let plain: Vec<&str> = events
        .iter()
        .map(String::as_str)
        .filter(|event| !event.contains("same") && !event.contains("elsewhere"))
        .collect();
    assert_eq!(
        plain,
        [
            "#one conversation",
            "#one joined me_",
            "#one abc hello me_",
            "contact choice",
            "#one left choice",
            "#one promoted me_",
            "#one promoted boss",
            "#one settings ",
            "contact me",
            "#one removed me",
        ]
    );
    let reply = |request: &str| {
        scripted
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Reply {
                    request: name,
                    reply,
                } if name == request => Some(reply.clone()),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let Reply::Sent(sent) = &reply("r1")[0] else {
        panic!("sent")
    };
    assert_eq!(sent.messages, ["e1", "e2"]);
    let Reply::Failed(failure, certainty) = &reply("r2")[0] else {
        panic!("failed")
    };
    assert_eq!(
        (failure.code, *certainty),
        (ErrorCode::NotFound, Certainty::NotDone)
    );
    assert_eq!(reply("begin"), [Reply::Done]);
}

#[test]
fn a_reload_after_every_input_changes_nothing() {
    let plain = run(|_, _| {});
    let reloaded = run(|scripted, _| {
        let (keeps, actions) = scripted.reload(true);
        assert!(keeps && actions.is_empty(), "{actions:?}");
    });
    assert_eq!(plain.actions, reloaded.actions);
    assert_eq!(plain.memory.kv, reloaded.memory.kv);
}

#[test]
fn a_fault_after_every_input_loses_and_doubles_nothing() {
    let plain = run(|_, _| {});
    let faulty = run(|scripted, online| {
        if online {
            let (keeps, actions) = scripted.start(None, true, &[]);
            assert!(keeps, "{actions:?}");
        }
    });
    assert_eq!(visible(&plain), visible(&faulty));
}

#[test]
fn before_001_a_fault_ends_the_connection() {
    let mut scripted = Scripted::new(CONFIG);
    for input in sign_in().into_iter().take(5) {
        scripted.input(input);
    }
    let (keeps, actions) = scripted.start(None, true, &[]);
    assert!(!keeps);
    assert!(actions.contains(&Action::Close));
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Connect { .. })),
        "nobody is signed in"
    );
}

#[test]
fn what_left_is_unsure_and_what_did_not_waits() {
    let mut scripted = Scripted::online(CONFIG);
    scripted.send("left", "#one", "text");
    scripted.send("stuck", "#one", "text");
    // The host says that the second one's PRIVMSG and PING never left.
    let closed = Input::Closed {
        reason: error(ErrorCode::Unavailable, "reset"),
        undelivered: 2,
    };
    let actions = scripted.input(closed);
    let outcome = |request: &str| {
        actions.iter().find_map(|action| match action {
            Action::Reply {
                request: name,
                reply: Reply::Failed(_, certainty),
            } if name == request => Some(*certainty),
            _ => None,
        })
    };
    assert_eq!(
        (outcome("left"), outcome("stuck")),
        (Some(Certainty::MaybeDone), Some(Certainty::NotDone))
    );
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Link(Link::Offline, Some(_))))
    );
    assert_eq!(
        scripted.send("later", "#one", "text"),
        [Action::Reply {
            request: "later".into(),
            reply: Reply::Deferred
        }]
    );
    scripted.fire("reconnect");
    scripted.input(Input::Opened);
    let actions = scripted.line(":s 001 me :Welcome");
    let at = |wanted: &Action| actions.iter().position(|action| action == wanted);
    let dispatched = at(&Action::Reply {
        request: "later".into(),
        reply: Reply::Dispatched,
    });
    let line = at(&Action::Line("PRIVMSG #one :text".into()));
    assert!(dispatched.is_some() && dispatched < line, "{actions:?}");
}

#[test]
fn attempts_back_off() {
    let mut scripted = Scripted::online(CONFIG);
    let mut delays = Vec::new();
    for _ in 0..12 {
        scripted.input(Input::Closed {
            reason: error(ErrorCode::Unavailable, "refused"),
            undelivered: 0,
        });
        delays.push(scripted.timer("reconnect").0 - scripted.now);
        scripted.fire("reconnect");
    }
    assert!((1_000..=2_000).contains(&delays[0]), "{delays:?}");
    assert!((2_000..=4_000).contains(&delays[1]), "{delays:?}");
    assert!(
        delays[10..]
            .iter()
            .all(|delay| (150_000..=300_000).contains(delay)),
        "{delays:?}"
    );
}

#[test]
fn the_queue_is_bounded_and_fits_a_snapshot() {
    let mut scripted = Scripted::online(CONFIG);
    scripted.input(Input::Closed {
        reason: error(ErrorCode::Unavailable, "reset"),
        undelivered: 0,
    });
    let mut refused = 0;
    for number in 0..400 {
        let actions = scripted.send(
            &format!("r{number}"),
            "#one",
            &"\u{3}\"".repeat(number * 20 % 2_000),
        );
        refused += usize::from(actions.iter().any(|action| matches!(action, Action::Reply { reply: Reply::Failed(error, Certainty::NotDone), .. } if error.code == ErrorCode::RateLimited)));
    }
    assert!(refused > 0);
    assert!(scripted.session.suspend().expect("a snapshot").len() < 256 * 1_024);
}

#[test]
fn what_irc_cannot_carry_is_refused() {
    let mut scripted = Scripted::online(CONFIG);
    let refusal = |actions: Vec<Action>| match actions.first() {
        Some(Action::Reply {
            reply: Reply::Failed(error, Certainty::NotDone),
            ..
        }) => error.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refusal(scripted.send("1", "#one", "\n\r\n")),
        ErrorCode::Invalid
    );
    assert_eq!(
        refusal(scripted.send("2", "#one #two", "x")),
        ErrorCode::Invalid
    );
    assert_eq!(refusal(scripted.send("3", "a,b", "x")), ErrorCode::Invalid);
    assert_eq!(
        refusal(scripted.send("4", "$*.test", "x")),
        ErrorCode::Invalid
    );
    assert_eq!(
        refusal(scripted.send("5", "x\r\nQUIT", "x")),
        ErrorCode::Invalid
    );
    assert_eq!(refusal(scripted.send("6", "x", "a\0b")), ErrorCode::Invalid);
    assert_eq!(
        refusal(scripted.send("7", "x", "\u{1}DCC SEND\u{1}")),
        ErrorCode::Invalid
    );
    assert_eq!(
        refusal(scripted.send("8", "x", &"y".repeat(4_097))),
        ErrorCode::Invalid
    );
    assert_eq!(
        refusal(scripted.send("9", "x", &"y\n".repeat(101))),
        ErrorCode::Invalid
    );
    let media = Outgoing {
        conversation: "x".into(),
        ..Outgoing::default()
    };
    assert_eq!(
        refusal(scripted.input(Input::Send {
            request: "10".into(),
            message: media
        })),
        ErrorCode::Unsupported
    );
    // A line break is never more than a line break.
    scripted.send("11", "x", "a\r\nQUIT :b");
    assert!(scripted.lines().contains(&"PRIVMSG x :QUIT :b"));
}

#[test]
fn subjects_that_failed_twice_are_left_out() {
    let mut scripted = Scripted::online(CONFIG);
    let line = ":Boss!b@h PRIVMSG #one :poison";
    scripted.line(line);
    let subject = scripted.memory.subjects.last().cloned().expect("a subject");
    let (keeps, _) = scripted.start(None, true, &[&subject, "send:r9"]);
    assert!(keeps);
    let actions = scripted.line(line);
    assert!(
        matches!(&actions[..], [Action::Emit(emission)] if matches!(&emission.event, Event::Custom(custom) if custom.name == "line.skipped")),
        "{actions:?}"
    );
    let actions = scripted.send("r9", "#one", "poison");
    assert!(
        matches!(&actions[..], [Action::Reply { reply: Reply::Failed(error, Certainty::NotDone), .. }] if error.code == ErrorCode::Internal)
    );
}

#[test]
fn members_of_channels_that_are_over_are_swept() {
    let mut scripted = Scripted::online(CONFIG);
    for number in 0..700 {
        scripted.line(&format!(":n{number}!u@h JOIN #One"));
    }
    assert!(
        scripted
            .memory
            .kv
            .keys()
            .filter(|key| key.starts_with("member/"))
            .count()
            > 700
    );
    scripted.line(":me_!~u@h PART #One");
    for _ in 0..4 {
        scripted.fire("sweep");
    }
    assert_eq!(
        scripted
            .memory
            .kv
            .keys()
            .filter(|key| key.starts_with("member/") || *key == "sweep")
            .count(),
        0
    );
}

#[test]
fn lines_of_no_sense_are_harmless() {
    let commands = [
        "PRIVMSG",
        "NOTICE",
        "TAGMSG",
        "JOIN",
        "PART",
        "KICK",
        "QUIT",
        "NICK",
        "TOPIC",
        "MODE",
        "INVITE",
        "CHGHOST",
        "BATCH",
        "CAP",
        "AUTHENTICATE",
        "PING",
        "PONG",
        "ERROR",
        "FAIL",
        "001",
        "005",
        "332",
        "353",
        "396",
        "401",
        "404",
        "433",
        "903",
        "904",
        "ACK",
        "999",
    ];
    let long = "x".repeat(9_000);
    let long_tags = format!(
        "@msgid={long};+draft/reply={long};+draft/react=x;+typing=active;time=9999-12-31T23:59:59Z :x!y@z "
    );
    let long_source = format!(":{long}!y@z ");
    let controls = format!(" #One :{}", "\u{2}".repeat(9_000));
    let members = format!(
        " #One +{} {}",
        "o".repeat(100),
        format!("{} ", "n".repeat(190)).repeat(40)
    );
    let tails = [
        "",
        " ",
        " :",
        " *",
        " me_",
        " #One",
        " #One :",
        " #One +o",
        " #One +ooo-v a",
        " + :\u{1}",
        " me_ :\u{1}ACTION",
        " , ,",
        " :#One,,#two",
        long.as_str(),
        controls.as_str(),
        members.as_str(),
        " #One +o :",
        " #One ,a,,b",
        " me_ #One",
        " me_ = #One ::",
        " LS",
        " me_ LS",
        " me_ ACK :x",
        " +b",
        " -b",
        " f1",
        " :fzz",
    ];
    let mut registering = Scripted::new(CONFIG);
    registering.input(sign_in().remove(0));
    registering.input(Input::Opened);
    for mut scripted in [registering, Scripted::online(CONFIG)] {
        for source in [
            "",
            ":",
            ":s ",
            ":me_!u@h ",
            ":!@ ",
            ":a.b ",
            "@ :x!y@z ",
            "@a;b=\\;c= :x!y@z ",
            "@label=zz.q;batch=9 :x!y@z ",
            long_tags.as_str(),
            long_source.as_str(),
        ] {
            for command in commands {
                for tail in tails {
                    scripted.line(&format!("{source}{command}{tail}"));
                }
            }
        }
        assert!(scripted.session.suspend().expect("a snapshot").len() < 256 * 1_024);
    }
}

#[test]
fn a_bad_configuration_is_said_and_mended() {
    let mut scripted = Scripted::online(CONFIG);
    scripted.config = r#"{"server":"irc.test","port":6667,"nick":"a b"}"#;
    let (keeps, actions) = scripted.reload(true);
    assert!(!keeps && actions.contains(&Action::Close));
    assert!(actions.iter().any(|action| matches!(action, Action::Link(Link::Offline, Some(error)) if error.code == ErrorCode::Invalid)));
    scripted.config = CONFIG;
    let (_, actions) = scripted.reload(false);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Connect { .. })),
        "{actions:?}"
    );
}
