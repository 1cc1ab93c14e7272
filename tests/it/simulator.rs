//! The native API against a channel that has everything: what is asked is what the channel says, what
//! is done is done there, what happens there is told, and what goes wrong there is answered as such.

use crate::support::host::{Answer, Host};
use crate::support::process::Client;
use crate::support::sink::Sink;
use crate::support::traffic::{Channel, provider_configuration};
use anyport_simulator::model::{Conversation, Text};
use anyport_simulator::protocol::Fault;
use anyport_simulator::request::{Answer as Said, Ask, MemberChange, Target};
use anyport_simulator::{Act, RequestFault};
use http::Method;
use serde_json::{Value, json};

const USER: &str = "ada";

struct World {
    channel: Channel,
    host: Host,
    sink: Sink,
    account: String,
}

impl World {
    async fn start() -> Self {
        crate::support::show_log();
        let channel = Channel::start().await;
        let providers = provider_configuration(channel.address());
        let host = Host::start_with(move |config| {
            config.simulator.enabled = Some(false);
            config.provider.clone_from(&providers);
            config.runtime.command_timeout_s = 2;
        })
        .await;
        let client = Client::new(&host.base, &host.key);
        let sink = Sink::start().await;
        let account = client.simulator_account("simulator", USER).await;
        // Those that have a name in the contract, and some of our own.
        let events = [
            "*",
            "message.activity",
            "contact.presence",
            "contact.updated",
        ];
        client.endpoint(&sink.url("/hook"), &events).await;
        Self {
            channel,
            host,
            sink,
            account,
        }
    }

    async fn get(&self, rest: &str) -> Answer {
        let path = format!("/v1/accounts/{}/{rest}", self.account);
        self.host.get(&path).await
    }

    async fn data(&self, rest: &str) -> Value {
        self.get(rest).await.expect(200)["data"].clone()
    }

    async fn post(&self, rest: &str, body: Value) -> Answer {
        let path = format!("/v1/accounts/{}/{rest}", self.account);
        self.host.post(&path, body).await
    }

    async fn done(&self, rest: &str, body: Value) -> Value {
        let said = body.to_string();
        let answer = self.post(rest, body).await;
        assert_eq!(answer.status, 200, "{rest} {said}: {:#}", answer.body);
        answer.body["data"].clone()
    }

    /// An action on a message.
    async fn act(&self, action: &str, conversation: &str, message: &str, more: Value) -> Answer {
        let mut body = json!({
            "account_id": self.account,
            "conversation_id": conversation,
            "message_id": message,
        });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.host
            .post(&format!("/v1/messages/{action}"), body)
            .await
    }

    /// The conversation as the channel has it.
    async fn seen(&mut self, id: &str) -> Conversation {
        let id = id.to_owned();
        let ask = Ask::Conversation { id };
        match self.channel.control.ask(USER, ask).await.unwrap() {
            Said::Conversation(seen) => *seen,
            other => panic!("{other:?}"),
        }
    }

    async fn plays(&mut self, by: &str, act: Act) {
        self.channel.control.act(USER, by, act).await.unwrap();
    }

    /// The first event of this type that fits.
    async fn told(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let parsed = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap_or_default();
        let is = |body: &Value| body["type"] == kind && fits(&body["data"]);
        let all = self
            .sink
            .wait_until(kind, |all| all.iter().any(|one| is(&parsed(&one.body))))
            .await;
        let found = all.iter().map(|one| parsed(&one.body)).find(is);
        found.unwrap()["data"].clone()
    }
}

fn ids(page: &Value, key: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_channel_has_is_read() {
    let world = World::start().await;
    let (mut conversations, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world
            .data(&format!("conversations?limit=1&cursor={cursor}"))
            .await;
        conversations.extend(ids(&page, "conversation_id"));
        cursor = page["next_cursor"].as_str().unwrap_or_default().to_owned();
        if page["has_more"] == false {
            break;
        }
    }
    conversations.sort();
    assert_eq!(conversations, ["channel:news", "echo", "group:lab"]);

    let lab = world
        .data("conversations/info?conversation_id=group%3Alab")
        .await;
    assert_eq!(
        (&lab["type"], &lab["title"]),
        (&json!("group"), &json!("Lab"))
    );
    assert_eq!(lab["members_count"], 3);
    let members = world
        .data("conversations/members?conversation_id=group%3Alab")
        .await;
    assert_eq!(
        ids(&members, "peer_id"),
        ["user:ada", "user:alan", "user:grace"]
    );
    assert_eq!(ids(&members, "role"), ["owner", "member", "member"]);

    let contacts = world.data("contacts").await;
    let people = ["echo", "user:alan", "user:barbara", "user:grace"];
    assert_eq!(ids(&contacts, "id"), people);
    let grace = world.data("contacts/info?contact_id=user%3Agrace").await;
    assert_eq!(grace["display_name"], "Grace");
    let found = world.data("contacts/resolve?address=15550000001").await;
    assert_eq!(found["id"], "user:grace");
    world
        .get("contacts/info?contact_id=nobody")
        .await
        .expect(404);

    let groups = world.data("groups").await;
    assert_eq!(ids(&groups, "id"), ["group:lab"]);
    let group = world.data("groups/info?group_id=group%3Alab").await;
    assert_eq!(
        (&group["name"], &group["member_count"]),
        (&json!("Lab"), &json!(3))
    );
    world
        .get("groups/info?group_id=group%3Anone")
        .await
        .expect(404);
    let invitation = world.data("groups/invite-code?group_id=group%3Alab").await;
    let code = invitation["invite_code"].as_str().unwrap();
    assert!(invitation["invite_url"].as_str().unwrap().ends_with(code));

    let profile = world.data("profile").await;
    assert_eq!(profile["id"], "user:ada");
    let stats = world.done("commands/stats", json!({})).await;
    assert_eq!(stats["value"]["conversations"], 3);

    // Each feature that is described is one that was asked for, or is tried below.
    let capabilities = world.data("capabilities").await;
    let features = capabilities["features"].as_array().unwrap().len();
    assert!(features > 40, "{capabilities:#}");
    world.host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_is_done_at_the_channel() {
    let mut world = World::start().await;
    let echo = json!({"conversation_id": "echo"});
    for (action, holds) in [
        (
            "unread",
            (|it| it.is_read == Some(false)) as fn(&Conversation) -> bool,
        ),
        ("read", |it| it.is_read == Some(true)),
        ("mute", |it| it.is_muted == Some(true)),
        ("unmute", |it| it.is_muted == Some(false)),
        ("pin", |it| it.is_pinned == Some(true)),
        ("unpin", |it| it.is_pinned == Some(false)),
        ("archive", |it| it.is_archived == Some(true)),
        ("unarchive", |it| it.is_archived == Some(false)),
    ] {
        world
            .done(&format!("conversations/{action}"), echo.clone())
            .await;
        let seen = world.seen("echo").await;
        assert!(holds(&seen), "{action}: {seen:?}");
    }
    let activity = json!({"conversation_id": "echo", "kind": "typing"});
    world.done("conversations/activity", activity).await;

    let made = world
        .done("conversations/labels/upsert", json!({"name": "Friends"}))
        .await;
    let label = made["id"].as_str().unwrap().to_owned();
    let put = json!({"label_id": label, "action": "add", "conversation_ids": ["echo"]});
    world.done("conversations/labels", put).await;
    assert_eq!(
        world.seen("echo").await.labels,
        std::slice::from_ref(&label)
    );
    let of_label = world.data(&format!("conversations?label_id={label}")).await;
    assert_eq!(ids(&of_label, "conversation_id"), ["echo"]);
    let listed = world.data("conversations/labels").await;
    assert_eq!(ids(&listed, "name"), ["Friends"]);
    world
        .done("conversations/labels/delete", json!({"label_id": label}))
        .await;
    assert!(world.seen("echo").await.labels.is_empty());

    let grace = json!({"contact_id": "user:grace"});
    world.done("contacts/block", grace.clone()).await;
    let blocked = world.data("contacts/blocklist").await;
    assert_eq!(blocked["blocklist"], json!(["user:grace"]));
    world.done("contacts/unblock", grace).await;
    let note = json!({"contact_id": "user:grace", "note": "prefers mornings"});
    world.done("contacts/note", note).await;
    let seen = world.data("contacts/info?contact_id=user%3Agrace").await;
    assert_eq!(seen["extra"]["note"], "prefers mornings");
    let long = json!({"contact_id": "user:grace", "note": "x".repeat(501)});
    let refused = world.post("contacts/note", long).await.expect(400);
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("500")
    );

    let made = world
        .done(
            "groups/create",
            json!({"name": "Crew", "members": ["user:alan"]}),
        )
        .await;
    let group = made["id"].as_str().unwrap().to_owned();
    for (action, member) in [
        ("add", "user:grace"),
        ("promote", "user:grace"),
        ("demote", "user:grace"),
        ("remove", "user:alan"),
    ] {
        let body = json!({"group_id": group, "action": action, "member_id": member});
        world.done("groups/members", body).await;
    }
    let renamed = json!({"group_id": group, "name": "Harbour crew"});
    world.done("groups/update-info", renamed).await;
    let enabled = json!({"group_id": group, "enabled": true});
    world.done("groups/join-approval-mode", enabled).await;
    let joins = |group: &str| Act::Join {
        group: group.to_owned(),
    };
    world.plays("user:eve", joins(&group)).await;
    world.plays("user:joe", joins(&group)).await;
    let asked = world
        .data(&format!("groups/join-requests?group_id={group}"))
        .await;
    assert_eq!(ids(&asked, "id"), ["user:eve", "user:joe"]);
    for (action, member) in [("approve", "user:eve"), ("reject", "user:joe")] {
        let body = json!({"group_id": group, "action": action, "member_ids": [member]});
        world.done("groups/join-requests/update", body).await;
    }
    let seen = world.seen(&group).await;
    assert_eq!(seen.title.as_deref(), Some("Harbour crew"));
    assert_eq!(seen.members, Some(3), "the account, Grace and Eve");
    world.done("groups/leave", json!({"group_id": group})).await;
    assert_eq!(world.seen(&group).await.members, Some(2));

    world.done("conversations/delete", echo).await;
    let gone = world.get("conversations/info?conversation_id=echo").await;
    gone.expect(404);
    world.host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_changed_quoted_and_told() {
    let mut world = World::start().await;
    let message = world
        .channel
        .control
        .say(USER, "user:grace", "group:lab", "hello")
        .await
        .unwrap();
    let told = world
        .told("message.received", |data| {
            data["message"]["id"] == message.as_str()
        })
        .await;
    let token = told["message"]["reply_token"].as_str().unwrap().to_owned();

    let reply = |token: &str, to: &str| {
        json!({
            "account_id": world.account,
            "to": {"id": to, "type": "group"},
            "message": {"type": "text", "text": "welcome"},
            "reply_to": {"reply_token": token},
        })
    };
    let (good, elsewhere) = (reply(&token, "group:lab"), reply(&token, "group:none"));
    let altered = reply(
        &token.replace(|last: char| last.is_ascii_lowercase(), "x"),
        "group:lab",
    );
    for body in [elsewhere, altered] {
        let refused = world.host.post("/v1/messages", body).await.expect(400);
        assert_eq!(refused["error"]["code"], "invalid_reply_token");
    }
    let sent = world.host.post("/v1/messages", good).await.expect(200);
    let own = sent["data"]["message_id"].as_str().unwrap().to_owned();
    let ask = Ask::Messages {
        conversation: "group:lab".to_owned(),
        page: anyport_simulator::request::Page {
            cursor: None,
            limit: 1,
        },
    };
    match world.channel.control.ask(USER, ask).await.unwrap() {
        Said::Messages(pages) => {
            let quote = pages.items[0].quote.as_ref().unwrap();
            assert_eq!(quote.message, message);
        }
        other => panic!("{other:?}"),
    }

    for (action, id, more) in [
        ("edit", &own, json!({"content": "welcome!"})),
        ("reaction", &message, json!({"emoji": "👍"})),
        ("pin", &message, json!({"pinned": true})),
    ] {
        world.act(action, "group:lab", id, more).await.expect(200);
    }
    let history = world
        .data("conversations/messages?conversation_id=group%3Alab&limit=10")
        .await;
    let text = |index: usize| history["items"][index]["text"].clone();
    assert_eq!(
        (text(0), text(1)),
        (json!("welcome!"), json!("hello")),
        "{history:#}"
    );
    let not_own = json!({"content": "no"});
    let refused = world.act("edit", "group:lab", &message, not_own).await;
    assert!(!refused.status.is_success(), "{:#}", refused.body);
    let gone = world.act("revoke", "group:lab", &own, json!({})).await;
    gone.expect(200);
    world
        .told("message.deleted", |data| {
            data["message"]["id"] == own.as_str()
        })
        .await;
    world.host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_at_the_channel_is_told() {
    let mut world = World::start().await;
    let body = json!({
        "account_id": world.account,
        "to": {"id": "user:grace", "type": "user"},
        "message": {"type": "text", "text": "hello"},
    });
    let sent = world.host.post("/v1/messages", body).await.expect(200);
    let own = sent["data"]["message_id"].as_str().unwrap().to_owned();
    let heard = world
        .channel
        .control
        .say(USER, "user:grace", "user:grace", "hi")
        .await
        .unwrap();
    let target = |message: &str| Target {
        conversation: "user:grace".to_owned(),
        message: message.to_owned(),
    };
    let group = || "group:lab".to_owned();
    let text = Text {
        body: "hi there".to_owned(),
        ..Text::default()
    };
    for (by, act) in [
        (
            "user:grace",
            Act::Edit {
                target: target(&heard),
                text,
            },
        ),
        (
            "user:grace",
            Act::React {
                target: target(&own),
                emoji: Some("🎉".to_owned()),
            },
        ),
        (
            "user:grace",
            Act::Receive {
                target: target(&own),
                kind: "delivered".to_owned(),
                and_earlier: false,
            },
        ),
        (
            "user:grace",
            Act::Receive {
                target: target(&own),
                kind: "read".to_owned(),
                and_earlier: true,
            },
        ),
        (
            "user:grace",
            Act::Activity {
                conversation: "user:grace".to_owned(),
                kind: "typing".to_owned(),
                active: true,
            },
        ),
        ("user:grace", Act::Presence { online: true }),
        (
            "user:grace",
            Act::Rename {
                name: "Grace H.".to_owned(),
            },
        ),
        (
            "user:grace",
            Act::Delete {
                conversation: "user:grace".to_owned(),
                messages: vec![heard.clone()],
            },
        ),
        (
            "user:ada",
            Act::ChangeMembers {
                group: group(),
                change: MemberChange::Add,
                members: vec!["user:eve".to_owned()],
            },
        ),
        ("user:joe", Act::Join { group: group() }),
        ("user:joe", Act::Leave { group: group() }),
    ] {
        world.plays(by, act).await;
    }
    let enabled = Ask::SetJoinApproval {
        id: group(),
        enabled: true,
    };
    world.channel.control.ask(USER, enabled).await.unwrap();
    world.plays("user:kim", Act::Join { group: group() }).await;
    world.channel.control.sync_history(USER).await.unwrap();
    let id = "echo".to_owned();
    let removed = Ask::RemoveConversation { conversation: id };
    world.channel.control.ask(USER, removed).await.unwrap();

    let any: fn(&Value) -> bool = |_| true;
    for kind in [
        "message.updated",
        "message.reaction",
        "message.delivered",
        "message.read",
        "message.activity",
        "contact.presence",
        "contact.updated",
        "message.deleted",
        "group.updated",
        "group.join_request",
        "conversation.history",
        "account.history.synced",
        "conversation.deleted",
    ] {
        world.told(kind, any).await;
    }
    let joined = |data: &Value| data["requester"]["id"] == "user:kim";
    world.told("group.join_request", joined).await;
    world.host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_at_the_channel_is_answered_as_such() {
    let mut world = World::start().await;
    let limited = Fault {
        retry_after_ms: Some(1_500),
        ..Fault::new("rate-limited", "slow down")
    };
    let mut fault = async |fault| {
        let armed = world.channel.control.fail_requests(USER, 1, None, fault);
        armed.await.unwrap();
    };
    let pin = |host: &Host| {
        let path = format!("/v1/accounts/{}/conversations/pin", world.account);
        host.request(Method::POST, &path)
            .json(&json!({"conversation_id": "echo"}))
    };
    let ask = |host: &Host| {
        let path = format!("/v1/accounts/{}/contacts", world.account);
        host.request(Method::GET, &path)
    };
    fault(RequestFault::Refuse(limited)).await;
    let answer = world.host.send(ask(&world.host)).await;
    assert_eq!(answer.headers["retry-after"], "2", "{:#}", answer.body);
    answer.expect(429);
    for (armed, asked, acted) in [
        (RequestFault::NoAnswer {}, 504, 504),
        (RequestFault::Drop {}, 503, 504),
        (RequestFault::Late(50), 200, 200),
    ] {
        fault(armed.clone()).await;
        let answer = world.host.send(ask(&world.host)).await;
        assert_eq!(answer.status, asked, "{armed:?}: {:#}", answer.body);
        // The link may have been lost with it.
        crate::support::eventually("questions are answered again", async || {
            let answer = world.host.send(ask(&world.host)).await;
            answer.status.is_success().then_some(())
        })
        .await;
        fault(armed.clone()).await;
        let answer = world.host.send(pin(&world.host)).await;
        assert_eq!(answer.status, acted, "{armed:?}: {:#}", answer.body);
        crate::support::eventually("questions are answered again", async || {
            let answer = world.host.send(ask(&world.host)).await;
            answer.status.is_success().then_some(())
        })
        .await;
    }
    world.host.stop().await;
}
