//! What every store does, whatever the database.

use super::world::*;
use crate::domain::account::{AccountPatch, AuthStatus, Profile};
use crate::domain::chat::Avatar;
use crate::domain::endpoint::{Attempt, DetourState, EndpointState};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::id::{ApiKeyId, AttemptId};
use crate::domain::key::{Permission, Permissions, PreviousHash, Rate};
use crate::domain::send::{SendChange, SendState, SentMessage};
use crate::domain::usage::{DailyUsage, Usage};
use crate::domain::{EventId, PartitionId, SendId, Timestamp, WorkspaceId};
use crate::storage::lease::HandOver;
use crate::storage::{
    AccountUpdate, ApiKey, Conflict, DeliveryProgress, DurableTimer, KeyKind, KvWrite,
    ProviderVersion, SecretWrite, StorageError, TimerWrite, Write, Written,
};
use serde_json::json;

pub async fn turns_follow_one_another(world: World) {
    let account = world.account().await;
    let turn = |number: u64, kind: &str| {
        let mut commit = world.turn(&account, number);
        commit.events.push(event(kind));
        Write::from(commit)
    };
    // Several turns of one account in one group, in order.
    let written = world.commit(vec![turn(1, "a"), turn(2, "b")]).await;
    assert_eq!(offsets(&written[0]), [Some(1)]);
    assert_eq!(offsets(&written[1]), [Some(2)]);
    // Neither one that was there nor one that skips; the one that fits still commits.
    let written = world
        .commit(vec![
            turn(2, "again"),
            turn(4, "skips"),
            turn(3, "c"),
            turn(3, "twice"),
        ])
        .await;
    assert_eq!(
        written
            .iter()
            .map(|written| *written == Written::Fenced)
            .collect::<Vec<_>>(),
        [true, true, false, true]
    );
    assert_eq!(world.kinds(&account).await, ["a", "b", "c"]);
    let stored = world
        .store
        .account(&world.workspace, &account.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.turn_seq, 3);
}

pub async fn a_stale_owner_is_fenced(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let mut stale = world.turn(&account, 1);
    stale.events.push(event("stale"));
    stale.kv.push(put("k", "stale"));
    let stale_send = world.record(&account);
    // Another owner, as far as epochs are concerned.
    world.store.release().await.unwrap();
    let leases = world.store.acquire().await.unwrap();
    assert_eq!(world.store.renew().await.unwrap(), leases);
    assert!(
        world.store.acquire().await.unwrap().is_empty(),
        "taken twice"
    );
    for (old, new) in world.leases.iter().zip(&leases) {
        assert_eq!(new.partition, old.partition);
        assert!(new.epoch > old.epoch);
    }
    let world = World { leases, ..world };
    let mut fresh = world.turn(&other, 1);
    fresh.events.push(event("fresh"));
    let written = world
        .commit(vec![
            stale.clone().into(),
            fresh.into(),
            stale_send.clone().into(),
        ])
        .await;
    assert_eq!(written[0], Written::Fenced);
    assert_eq!(offsets(&written[1]).len(), 1);
    assert_eq!(written[2], Written::Fenced);
    assert_eq!(world.kinds(&account).await, Vec::<String>::new());
    assert_eq!(world.kinds(&other).await, ["fresh"]);
    assert_eq!(world.store.kv_get(&account.id, "k").await.unwrap(), None);
    let send = world.store.send(&world.workspace, &stale_send.id).await;
    assert_eq!(send.unwrap(), None);
    // The wrong partition is as good as none.
    let mut astray = world.turn(&account, 1);
    astray.partition = PartitionId((account.partition.0 + 1) % PartitionId::COUNT);
    astray.epoch = world.epoch(astray.partition);
    assert_eq!(world.commit_one(astray).await, Written::Fenced);
}

pub async fn everything_of_a_turn_is_kept(world: World) {
    let account = world.account().await;
    let record = world.record(&account);
    world.commit_one(record.clone()).await;
    let mut commit = world.turn(&account, 1);
    commit.events = vec![event("a"), event("b")];
    commit.kv = vec![put("k", "v"), put("gone", "x")];
    commit.kv.push(KvWrite {
        key: "gone".to_owned(),
        value: None,
    });
    commit.kv_bytes = Some(2);
    commit.secrets = vec![SecretWrite {
        name: "token".to_owned(),
        value: Some(b"hunter2".to_vec().into()),
    }];
    commit.timers = vec![
        TimerWrite {
            label: "later".to_owned(),
            timer: Some(DurableTimer {
                at: Timestamp(9),
                context: b"context".to_vec(),
            }),
        },
        TimerWrite {
            label: "never".to_owned(),
            timer: None,
        },
    ];
    commit.sends = vec![SendChange {
        id: record.id,
        state: SendState::Dispatched,
        at: Timestamp(10),
        sent: None,
        failure: None,
    }];
    commit.patch = AccountPatch {
        auth_status: Some(AuthStatus::Authorized),
        last_error: Some(Some("was away".to_owned())),
        provider_account_ref: Some(Some("+49 1".to_owned())),
        profile: Some(Profile {
            phone: Some("+49 1".to_owned()),
            avatar: Some(Avatar {
                blob: None,
                reference: Some("the channel's".to_owned()),
                mime: None,
            }),
            ..Profile::default()
        }),
        wanted: Some(false),
        provider_digest: Some("cd".repeat(32)),
    };
    let events = commit.events.clone();
    let patch = commit.patch.clone();
    let before = Timestamp::now();
    let written = world.commit_one(commit).await;
    assert_eq!(offsets(&written), [Some(1), Some(2)]);
    assert_eq!(applied(&written), [true]);

    let store = &world.store;
    let logged = world.events(&account).await;
    for (index, (logged, event)) in logged.iter().zip(&events).enumerate() {
        assert_eq!(logged.offset, index as u64 + 1);
        assert_eq!(logged.id, event.id);
        assert_eq!(logged.kind, event.kind);
        assert_eq!(logged.conversation, event.conversation);
        assert_eq!(logged.occurred_at, event.occurred_at);
        assert!(logged.recorded_at >= before);
        assert_eq!(logged.body, event.body);
    }
    let second = store.event(account.partition, 2).await.unwrap().unwrap();
    assert_eq!(second, logged[1]);
    assert_eq!(store.event(account.partition, 3).await.unwrap(), None);
    let named = store.event_by_id(&world.workspace, &second.id).await;
    assert_eq!(named.unwrap(), Some((account.partition, second)));
    let heads = store.heads().await.unwrap();
    assert_eq!(heads.len(), 64);
    assert_eq!(heads[usize::from(account.partition.0)], 2);

    assert_eq!(store.kv_get(&account.id, "k").await.unwrap().unwrap(), b"v");
    assert_eq!(store.kv_get(&account.id, "gone").await.unwrap(), None);
    assert_eq!(
        store.secrets(&account.id).await.unwrap(),
        [("token".to_owned(), b"hunter2".to_vec().into())]
    );
    let timers = store.timers(&account.id).await.unwrap();
    assert_eq!(timers.len(), 1);
    assert_eq!(timers[0].0, "later");
    assert_eq!(timers[0].1.at, Timestamp(9));
    assert_eq!(timers[0].1.context, b"context");
    let stored = store.account(&world.workspace, &account.id).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.auth_status, AuthStatus::Authorized);
    assert_eq!(Some(stored.last_error), patch.last_error);
    assert_eq!(
        Some(stored.provider_account_ref),
        patch.provider_account_ref
    );
    assert_eq!(Some(stored.profile), patch.profile);
    assert!(!stored.wanted);
    assert_eq!(stored.provider_digest, patch.provider_digest);
    assert_eq!((stored.turn_seq, stored.kv_bytes), (1, 2));

    // The next turn takes a timer away and clears the error; the rest stays.
    let mut commit = world.turn(&account, 2);
    commit.timers = vec![TimerWrite {
        label: "later".to_owned(),
        timer: None,
    }];
    commit.secrets = vec![SecretWrite {
        name: "token".to_owned(),
        value: None,
    }];
    commit.patch.last_error = Some(None);
    world.commit_one(commit).await;
    assert!(store.timers(&account.id).await.unwrap().is_empty());
    assert!(store.secrets(&account.id).await.unwrap().is_empty());
    let stored = store.account(&world.workspace, &account.id).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.last_error, None);
    assert_eq!(stored.kv_bytes, 2);
    assert_eq!(stored.auth_status, AuthStatus::Authorized);
}

pub async fn repeated_keys_are_dropped(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let mut first = world.turn(&account, 1);
    first.events = vec![
        keyed("a", "one"),
        keyed("a again", "one"),
        event("unkeyed"),
        event("unkeyed"),
    ];
    let mut second = world.turn(&account, 2);
    second.events = vec![keyed("a in the same group", "one"), keyed("b", "two")];
    let mut elsewhere = world.turn(&other, 1);
    elsewhere.events = vec![keyed("a of another account", "one")];
    let written = world
        .commit(vec![first.into(), second.into(), elsewhere.into()])
        .await;
    let dropped =
        |written: &Written| -> Vec<bool> { offsets(written).iter().map(Option::is_none).collect() };
    assert_eq!(dropped(&written[0]), [false, true, false, false]);
    assert_eq!(dropped(&written[1]), [true, false]);
    assert_eq!(dropped(&written[2]), [false]);
    let mut third = world.turn(&account, 3);
    third.events = vec![keyed("a", "one"), keyed("b", "two"), keyed("c", "three")];
    let written = world.commit_one(third).await;
    assert_eq!(dropped(&written), [true, true, false]);
    assert_eq!(
        world.kinds(&account).await,
        ["a", "unkeyed", "unkeyed", "b", "c"]
    );
}

pub async fn a_fenced_turn_leaves_no_dedupe_key(world: World) {
    let account = world.account().await;
    let mut fenced = world.turn(&account, 7);
    fenced.events = vec![keyed("a", "one")];
    assert_eq!(world.commit_one(fenced).await, Written::Fenced);
    let mut first = world.turn(&account, 1);
    first.events = vec![keyed("a", "one")];
    let written = world.commit_one(first).await;
    assert!(offsets(&written)[0].is_some());
}

/// The group was committed, its answer was lost, and it comes again.
pub async fn a_lost_answer_doubles_and_loses_nothing(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let known = world.record(&account);
    world.commit_one(known.clone()).await;
    let mut earlier = world.turn(&account, 1);
    earlier.events = vec![keyed("earlier", "known")];
    world.commit_one(earlier).await;

    let endpoint = endpoint_in(&world.workspace);
    world.store.create_endpoint(&endpoint).await.unwrap();
    let mut host_kv = world.turn(&account, None);
    host_kv.kv = vec![put("k", "of the host")];
    let mut second = world.turn(&account, 2);
    second.events = vec![event("a"), keyed("repeat", "known"), keyed("b", "new")];
    second.kv = vec![put("k", "of turn 2")];
    second.sends = vec![
        SendChange {
            id: known.id,
            state: SendState::Dispatched,
            at: Timestamp(3),
            sent: None,
            failure: None,
        },
        SendChange {
            id: SendId::generate(),
            state: SendState::Dispatched,
            at: Timestamp(3),
            sent: None,
            failure: None,
        },
    ];
    let mut third = world.turn(&account, 3);
    third.events = vec![event("c")];
    let mut twice = world.turn(&account, 3);
    twice.events = vec![event("of a turn that came too late")];
    let mut host_events = world.turn(&other, None);
    host_events.events = vec![event("status")];
    let mut record = world.record(&other);
    record.idempotency = Some(idempotency("key", 1));
    let mut repeat = world.record(&other);
    repeat.idempotency = Some(idempotency("key", 1));
    let mut reuse = world.record(&other);
    reuse.idempotency = Some(idempotency("key", 2));
    let delivery = DeliveryProgress {
        cursors: vec![(endpoint.id.clone(), account.partition, 1)],
        attempts: vec![attempt(&endpoint, &EventId::generate(), 1)],
        ..DeliveryProgress::default()
    };
    let group: Vec<Write> = vec![
        host_kv.into(),
        second.into(),
        third.into(),
        twice.into(),
        host_events.into(),
        record.clone().into(),
        repeat.into(),
        reuse.into(),
        delivery.into(),
    ];
    let written = world.store.commit(0, &group, false).await.unwrap();
    assert_eq!(applied(&written[1]), [true, false]);
    assert_eq!(written[3], Written::Fenced);
    let heads = world.store.heads().await.unwrap();

    // As it was, and without the sends, which the writer answers itself.
    let again = world.store.commit(0, &group, true).await.unwrap();
    assert_eq!(again, written);
    let without: Vec<Write> = group
        .iter()
        .filter(|write| !matches!(write, Write::RecordSend(_)))
        .cloned()
        .collect();
    let again = world.store.commit(0, &without, true).await.unwrap();
    assert_eq!(again[..5], written[..5]);

    assert_eq!(world.store.heads().await.unwrap(), heads);
    assert_eq!(world.kinds(&account).await, ["earlier", "a", "b", "c"]);
    assert_eq!(world.kinds(&other).await, ["status"]);
    let value = world.store.kv_get(&account.id, "k").await.unwrap();
    assert_eq!(value.unwrap(), b"of turn 2");
    let attempts = world.store.attempts(&endpoint.id, None, 10).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert!(matches!(written[6], Written::Repeated(ref send) if send.id == record.id));
    assert_eq!(written[7], Written::KeyReused);

    // The turn after it goes on.
    let mut next = world.turn(&account, 4);
    next.events = vec![event("d")];
    world.commit_one(next).await;
    assert_eq!(world.kinds(&account).await, ["earlier", "a", "b", "c", "d"]);
}

pub async fn sends_move_forward_only(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let record = world.record(&account);
    assert_eq!(world.commit_one(record.clone()).await, Written::Recorded);
    let change = |state: SendState, at: u64| SendChange {
        id: record.id,
        state,
        at: Timestamp(at),
        sent: (state == SendState::Sent).then(|| SentMessage {
            messages: vec!["channel-1".to_owned(), "channel-2".to_owned()],
            conversation: Some("chat 1".to_owned()),
            sent_at: Timestamp(at),
            reply_context: None,
        }),
        failure: matches!(state, SendState::Failed | SendState::Unknown)
            .then(|| Failure::new(FailureCode::Unavailable, "no answer")),
    };
    // Not of another account's turn.
    let mut foreign = world.turn(&other, 1);
    foreign.sends = vec![change(SendState::Sent, 1)];
    assert_eq!(applied(&world.commit_one(foreign).await), [false]);

    let mut first = world.turn(&account, 1);
    first.sends = vec![
        change(SendState::Recorded, 1),
        change(SendState::Dispatched, 2),
        change(SendState::Dispatched, 3),
        change(SendState::Unknown, 4),
    ];
    let written = world.commit_one(first).await;
    assert_eq!(applied(&written), [false, true, false, true]);
    let stored = world.store.send(&world.workspace, &record.id).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.state, SendState::Unknown);
    assert_eq!(stored.dispatched_at, Some(Timestamp(2)));
    assert_eq!(stored.settled_at, Some(Timestamp(4)));
    assert_eq!(stored.failure.unwrap().message, "no answer");
    assert_eq!(stored.outgoing, record.outgoing);

    // A late answer corrects it; then it is settled.
    let mut second = world.turn(&account, 2);
    second.sends = vec![change(SendState::Sent, 5)];
    let mut third = world.turn(&account, 3);
    third.sends = vec![change(SendState::Failed, 6)];
    let written = world.commit(vec![second.into(), third.into()]).await;
    assert_eq!(applied(&written[0]), [true]);
    assert_eq!(applied(&written[1]), [false]);
    let stored = world.store.send(&world.workspace, &record.id).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.state, SendState::Sent);
    assert_eq!(stored.failure, None);
    assert_eq!(stored.sent.clone().unwrap().messages.len(), 2);

    for message in ["channel-1", "channel-2"] {
        let found = world
            .store
            .send_by_message(&world.workspace, &account.id, message)
            .await;
        assert_eq!(found.unwrap().as_ref(), Some(&stored));
    }
    let found = world
        .store
        .send_by_message(&world.workspace, &other.id, "channel-1")
        .await;
    assert_eq!(found.unwrap(), None);
    let nobody = WorkspaceId::from_text("ws_nobody");
    assert_eq!(world.store.send(&nobody, &record.id).await.unwrap(), None);
}

pub async fn idempotency_keys_name_one_send(world: World) {
    let account = world.account().await;
    let mut first = world.record(&account);
    first.idempotency = Some(idempotency("key", 1));
    let with_key = |fingerprint: u8| {
        let mut record = world.record(&account);
        record.idempotency = Some(idempotency("key", fingerprint));
        record
    };
    // In one group and in the next.
    let written = world
        .commit(vec![
            first.clone().into(),
            with_key(1).into(),
            with_key(2).into(),
        ])
        .await;
    for written in [
        &written[1..],
        &world
            .commit(vec![with_key(1).into(), with_key(2).into()])
            .await[..],
    ] {
        assert!(matches!(&written[0], Written::Repeated(send) if send.id == first.id));
        assert_eq!(written[1], Written::KeyReused);
    }
    assert_eq!(written[0], Written::Recorded);
    let (send, fingerprint) = world
        .store
        .idempotent(&world.workspace, "key")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((send.id, fingerprint), (first.id, [1; 32]));
    let none = world.store.idempotent(&world.workspace, "other").await;
    assert_eq!(none.unwrap(), None);

    // What expired is replaced.
    let mut old = world.record(&account);
    old.at = Timestamp(1_000);
    old.idempotency = Some(idempotency("old", 1));
    old.idempotency.as_mut().unwrap().expires_at = Timestamp(2_000);
    assert_eq!(world.commit_one(old.clone()).await, Written::Recorded);
    let none = world.store.idempotent(&world.workspace, "old").await;
    assert_eq!(none.unwrap(), None);
    let mut new = world.record(&account);
    new.idempotency = Some(idempotency("old", 2));
    assert_eq!(world.commit_one(new.clone()).await, Written::Recorded);
    let (send, _) = world
        .store
        .idempotent(&world.workspace, "old")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(send.id, new.id);
    let kept = world.store.send(&world.workspace, &old.id).await.unwrap();
    assert!(kept.is_some());
}

pub async fn withdrawn_sends_free_their_keys(world: World) {
    let account = world.account().await;
    let mut recorded = world.record(&account);
    recorded.idempotency = Some(idempotency("recorded", 1));
    let mut dispatched = world.record(&account);
    dispatched.idempotency = Some(idempotency("dispatched", 1));
    world
        .commit(vec![recorded.clone().into(), dispatched.clone().into()])
        .await;
    let mut turn = world.turn(&account, 1);
    turn.sends = vec![SendChange {
        id: dispatched.id,
        state: SendState::Dispatched,
        at: Timestamp(2),
        sent: None,
        failure: None,
    }];
    world.commit_one(turn).await;
    let ids = [recorded.id, dispatched.id, SendId::generate()];
    world.store.withdraw_sends(0, &ids).await.unwrap();
    let unsettled = world.store.unsettled_sends(&account.id).await.unwrap();
    assert_eq!(unsettled.len(), 1);
    assert_eq!(unsettled[0].id, dispatched.id);
    let mut again = world.record(&account);
    again.idempotency = Some(idempotency("recorded", 1));
    assert_eq!(world.commit_one(again).await, Written::Recorded);
    let mut again = world.record(&account);
    again.idempotency = Some(idempotency("dispatched", 1));
    assert!(matches!(
        world.commit_one(again).await,
        Written::Repeated(_)
    ));
}

pub async fn sends_are_listed_in_pages(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let mut ids = Vec::new();
    for index in 0..5 {
        let record = world.record(if index == 2 { &other } else { &account });
        ids.push(record.id);
        world.commit_one(record).await;
    }
    let mut turn = world.turn(&account, 1);
    turn.sends = vec![SendChange {
        id: ids[0],
        state: SendState::Failed,
        at: Timestamp(2),
        sent: None,
        failure: None,
    }];
    world.commit_one(turn).await;
    ids.reverse();
    let list = async |account, state, limit| {
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = world
                .store
                .sends(&world.workspace, account, state, cursor.as_deref(), limit)
                .await
                .unwrap();
            assert!(page.items.len() <= limit as usize);
            found.extend(page.items.into_iter().map(|send| send.id));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    };
    for limit in 1..7 {
        assert_eq!(list(None, None, limit).await, ids);
        assert_eq!(list(Some(&other.id), None, limit).await, [ids[2]]);
        assert_eq!(
            list(Some(&account.id), Some(SendState::Recorded), limit).await,
            [ids[0], ids[1], ids[3]]
        );
        assert_eq!(list(None, Some(SendState::Failed), limit).await, [ids[4]]);
    }
    let unsettled = world.store.unsettled_sends(&account.id).await.unwrap();
    let unsettled: Vec<_> = unsettled.into_iter().map(|send| send.id).collect();
    assert_eq!(unsettled, [ids[3], ids[1], ids[0]]);
    for cursor in ["", "nonsense", "djE6c2VuZHM6eA"] {
        let page = world
            .store
            .sends(&world.workspace, None, None, Some(cursor), 1)
            .await;
        assert!(matches!(
            page,
            Err(StorageError::Conflict(Conflict::NotFound))
        ));
    }
}

pub async fn kv_is_scanned_in_byte_order(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let mut names = vec![
        "a",
        "a/",
        "a/1",
        "a/10",
        "a/2",
        "a/B",
        "a/a",
        "a/ä",
        "a/é",
        "a/\u{ffff}",
        "a/\u{10ffff}",
        "a/\u{10ffff}z",
        "a0",
        "b",
        "Z",
        "ä",
        "中",
        "😀",
        "a/\0x",
    ];
    for account in [&account, &other] {
        let mut commit = world.turn(account, 1);
        commit.kv = names.iter().map(|name| put(name, name)).collect();
        world.commit_one(commit).await;
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let cases: Vec<(&str, Option<&str>, u32)> = vec![
        ("", None, 100),
        ("a/", None, 100),
        ("a/", Some("a/10"), 3),
        ("a/", Some("a/15"), 100),
        ("a/", Some("Z"), 2),
        ("a/", Some("b"), 100),
        ("a/\u{10ffff}", None, 100),
        ("😀", None, 100),
        ("\u{10ffff}", None, 100),
        ("", Some("中"), 100),
        ("", Some(""), 2),
        ("a/", None, 0),
    ];
    for (prefix, after, limit) in cases {
        let expected: Vec<(String, Vec<u8>)> = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .filter(|name| after.is_none_or(|after| name.as_bytes() > after.as_bytes()))
            .take(limit as usize)
            .map(|name| ((*name).to_owned(), name.as_bytes().to_vec()))
            .collect();
        let found = world
            .store
            .kv_scan(&account.id, prefix, after, limit)
            .await
            .unwrap();
        assert_eq!(found, expected, "{prefix:?} after {after:?}");
    }
}

pub async fn accounts_are_created_and_changed(world: World) {
    let mut account = account_in(&world.workspace);
    account.provider_account_ref = Some("+49 1".to_owned());
    account.last_error = Some("no session".to_owned());
    let secret = SecretWrite {
        name: "token".to_owned(),
        value: Some(b"1".to_vec().into()),
    };
    world
        .store
        .create_account(&account, std::slice::from_ref(&secret))
        .await
        .unwrap();
    let read = world.store.account(&world.workspace, &account.id).await;
    assert_eq!(read.unwrap().as_ref(), Some(&account));
    let nobody = WorkspaceId::from_text("ws_nobody");
    assert_eq!(
        world.store.account(&nobody, &account.id).await.unwrap(),
        None
    );
    assert!(world.store.accounts(&nobody).await.unwrap().is_empty());
    assert_eq!(
        world.store.accounts(&world.workspace).await.unwrap(),
        [account.clone()]
    );
    assert_eq!(world.store.all_accounts().await.unwrap().len(), 1);
    assert_eq!(world.store.secrets(&account.id).await.unwrap().len(), 1);

    let mut double = account_in(&world.workspace);
    double.provider_account_ref = Some("+49 1".to_owned());
    let refused = world.store.create_account(&double, &[]).await;
    assert!(matches!(
        refused,
        Err(StorageError::Conflict(Conflict::DuplicateIdentity))
    ));
    double.provider = "another".to_owned();
    world.store.create_account(&double, &[]).await.unwrap();

    let mut workspace = workspace_named("ws_test", Some(2));
    world.store.put_workspace(&workspace).await.unwrap();
    let third = account_in(&world.workspace);
    let refused = world.store.create_account(&third, &[]).await;
    assert!(matches!(
        refused,
        Err(StorageError::Conflict(Conflict::Quota))
    ));
    workspace.account_quota = Some(3);
    world.store.put_workspace(&workspace).await.unwrap();
    world.store.create_account(&third, &[]).await.unwrap();

    let update = AccountUpdate {
        name: Some("Renamed".to_owned()),
        config: Some(json!({"server": "other.example.org"})),
        proxy: Some(None),
        provider_account_ref: Some(None),
        metadata: Some(json!({})),
        status: Some("paused".to_owned()),
        auth_mode: Some("qrcode".to_owned()),
    };
    let removal = SecretWrite {
        value: None,
        ..secret
    };
    let changed = world
        .store
        .update_account(&account.id, &update, &[removal])
        .await
        .unwrap();
    assert_eq!(Some(&changed.name), update.name.as_ref());
    assert_eq!(Some(&changed.config), update.config.as_ref());
    assert_eq!(Some(&changed.metadata), update.metadata.as_ref());
    assert_eq!(changed.proxy, None);
    assert_eq!(changed.provider_account_ref, None);
    assert_eq!(changed.last_error, account.last_error);
    assert!(world.store.secrets(&account.id).await.unwrap().is_empty());
    let nothing = world
        .store
        .update_account(&account.id, &AccountUpdate::default(), &[])
        .await
        .unwrap();
    assert_eq!(nothing, changed);
    let unknown = account_in(&world.workspace).id;
    let refused = world
        .store
        .update_account(&unknown, &AccountUpdate::default(), &[])
        .await;
    assert!(matches!(
        refused,
        Err(StorageError::Conflict(Conflict::NotFound))
    ));
}

pub async fn a_deleted_account_is_gone(world: World) {
    let account = world.account().await;
    let other = world.account().await;
    let recorded = world.record(&account);
    let dispatched = world.record(&account);
    let mut turn = world.turn(&account, 1);
    turn.events = vec![keyed("a", "one")];
    turn.kv = vec![put("k", "v")];
    turn.sends = vec![SendChange {
        id: dispatched.id,
        state: SendState::Dispatched,
        at: Timestamp(2),
        sent: None,
        failure: None,
    }];
    let mut beside = world.turn(&other, 1);
    beside.events = vec![event("beside")];
    world
        .commit(vec![
            recorded.clone().into(),
            dispatched.clone().into(),
            turn.into(),
            beside.into(),
        ])
        .await;
    world.store.delete_account(&account.id).await.unwrap();
    world.store.delete_account(&account.id).await.unwrap();
    let unknown = account_in(&world.workspace).id;
    assert!(matches!(
        world.store.delete_account(&unknown).await,
        Err(StorageError::Conflict(Conflict::NotFound))
    ));

    let store = &world.store;
    let read = store.account(&world.workspace, &account.id).await;
    assert_eq!(read.unwrap(), None);
    assert_eq!(
        store.all_accounts().await.unwrap(),
        [{
            let mut other = other.clone();
            other.turn_seq = 1;
            other
        }]
    );
    assert!(world.events(&account).await.is_empty());
    assert_eq!(world.kinds(&other).await, ["beside"]);
    assert_eq!(store.kv_get(&account.id, "k").await.unwrap(), None);
    assert!(
        store
            .kv_scan(&account.id, "", None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.secrets(&account.id).await.unwrap().is_empty());
    assert!(store.timers(&account.id).await.unwrap().is_empty());
    assert!(store.unsettled_sends(&account.id).await.unwrap().is_empty());
    let read = store.send(&world.workspace, &recorded.id).await;
    assert_eq!(read.unwrap(), None);
    let page = store.sends(&world.workspace, None, None, None, 9).await;
    assert!(page.unwrap().items.is_empty());

    let mut late = world.turn(&account, 2);
    late.events = vec![event("late")];
    let mut beside = world.turn(&other, 2);
    beside.events = vec![event("goes on")];
    let written = world
        .commit(vec![
            late.into(),
            world.record(&account).into(),
            beside.into(),
        ])
        .await;
    assert_eq!(written[..2], [Written::Gone, Written::Gone]);
    assert_eq!(world.kinds(&other).await, ["beside", "goes on"]);
}

pub async fn workspaces_see_their_own(world: World) {
    let store = &world.store;
    let there = workspace_named("ws_there", None);
    store.put_workspace(&there).await.unwrap();
    assert_eq!(
        store.workspace(&there.id).await.unwrap(),
        Some(there.clone())
    );
    assert_eq!(store.workspaces().await.unwrap().len(), 2);
    let nobody = WorkspaceId::from_text("ws_nobody");
    assert_eq!(store.workspace(&nobody).await.unwrap(), None);
    let here = world.account().await;
    let mut away = account_in(&there.id);
    away.partition = here.partition;
    store.create_account(&away, &[]).await.unwrap();
    for number in 1..=3 {
        for account in [&here, &away] {
            let mut turn = world.turn(account, number);
            turn.events = vec![event(&format!("{} {number}", account.workspace))];
            world.commit_one(turn).await;
        }
    }
    assert_eq!(
        world.kinds(&away).await,
        ["ws_there 1", "ws_there 2", "ws_there 3"]
    );
    let after = store
        .read_events(&there.id, here.partition, 2, 1)
        .await
        .unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].kind, "ws_there 2");
    // A turn in the name of another workspace finds no account.
    let mut astray = world.turn(&here, 4);
    astray.workspace = there.id.clone();
    assert_eq!(world.commit_one(astray).await, Written::Gone);
    // Big bodies end a read early, but never before the first event.
    let mut turn = world.turn(&here, 4);
    turn.events = vec![event("big"), event("big"), event("big")];
    for event in &mut turn.events {
        event.body = vec![b'x'; 700_000];
        event.conversation = None;
    }
    world.commit_one(turn).await;
    let read = store
        .read_events(&here.workspace, here.partition, 6, 100)
        .await
        .unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].conversation, None);
}

pub async fn keys_and_providers_are_kept(world: World) {
    let store = &world.store;
    let mut key = ApiKey {
        id: ApiKeyId::generate(),
        kind: KeyKind::Workspace,
        workspace: Some(world.workspace.clone()),
        name: "first".to_owned(),
        prefix: "ap_12".to_owned(),
        hash: [3; 32],
        active: true,
        permissions: Permissions::all(),
        account: None,
        created_at: Timestamp(5),
        last_used_at: None,
        expires_at: None,
        previous: None,
        rate: None,
    };
    let operator = ApiKey {
        id: ApiKeyId::generate(),
        kind: KeyKind::Operator,
        workspace: None,
        hash: [4; 32],
        ..key.clone()
    };
    for key in [&key, &operator] {
        store.put_api_key(key).await.unwrap();
        let found = store.api_key_by_hash(&key.hash).await.unwrap();
        assert_eq!(found.as_ref(), Some(key));
    }
    assert_eq!(store.api_key_by_hash(&[5; 32]).await.unwrap(), None);
    key.active = false;
    store.put_api_key(&key).await.unwrap();
    let all = store.api_keys().await.unwrap();
    assert_eq!(all, [key.clone(), operator.clone()]);
    assert_eq!(store.api_key(&key.id).await.unwrap(), Some(key.clone()));

    // Everything else of a key, and the hash before its rotation.
    key.permissions = Permissions::of([Permission::Read, Permission::Send]).unwrap();
    key.account = Some(account_in(&world.workspace).id);
    key.expires_at = Some(Timestamp(9));
    key.previous = Some(PreviousHash {
        hash: key.hash,
        until: Timestamp(7),
    });
    key.hash = [6; 32];
    key.rate = Some(Rate {
        per_second: 3,
        burst: 4,
    });
    store.put_api_key(&key).await.unwrap();
    for hash in [[3; 32], [6; 32]] {
        let found = store.api_key_by_hash(&hash).await.unwrap();
        assert_eq!(found.as_ref(), Some(&key));
    }
    // A last use moves forward only, and a change of the key does not take it back.
    let nobody = ApiKeyId::generate();
    for (used, expected) in [(20, 20), (10, 20), (30, 30)] {
        let uses = [
            (key.id.clone(), Timestamp(used)),
            (nobody.clone(), Timestamp(used)),
        ];
        store.touch_api_keys(&uses).await.unwrap();
        store.put_api_key(&key).await.unwrap();
        let found = store.api_key(&key.id).await.unwrap().unwrap();
        assert_eq!(found.last_used_at, Some(Timestamp(expected)));
    }
    store.touch_api_keys(&[]).await.unwrap();
    assert_eq!(store.api_keys().await.unwrap().len(), 2);

    let version = ProviderVersion {
        digest: "aa".repeat(32),
        provider: "simulator".to_owned(),
        version: "0.1.0".to_owned(),
        installed_at: Timestamp(1),
    };
    let newer = ProviderVersion {
        digest: "bb".repeat(32),
        version: "0.2.0".to_owned(),
        installed_at: Timestamp(2),
        ..version.clone()
    };
    let refused = store
        .set_current_provider("simulator", &version.digest)
        .await;
    assert!(matches!(
        refused,
        Err(StorageError::Conflict(Conflict::NotFound))
    ));
    let bytes = vec![7; 300_000];
    store.put_provider(&version, &bytes).await.unwrap();
    store.put_provider(&version, &bytes).await.unwrap();
    store.put_provider(&newer, b"newer").await.unwrap();
    for digest in [&version.digest, &newer.digest] {
        store
            .set_current_provider("simulator", digest)
            .await
            .unwrap();
    }
    assert_eq!(
        store.current_providers().await.unwrap(),
        [("simulator".to_owned(), newer.digest.clone())]
    );
    let read = store.provider_bytes(&version.digest).await.unwrap();
    assert_eq!(read.unwrap(), bytes);
    assert_eq!(store.provider_bytes("cc").await.unwrap(), None);
    assert_eq!(store.provider_versions().await.unwrap(), [version, newer]);
}

pub fn attempt(
    endpoint: &crate::domain::endpoint::Endpoint,
    event: &EventId,
    number: u32,
) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        endpoint: endpoint.id.clone(),
        event: event.clone(),
        at: Timestamp(8),
        number,
        status: (number > 1).then_some(503),
        latency_ms: 12,
        error: (number == 1).then(|| "connection refused".to_owned()),
        response: b"try later".to_vec(),
    }
}

pub async fn endpoints_keep_their_place(world: World) {
    let store = &world.store;
    let account = world.account().await;
    let mut turn = world.turn(&account, 1);
    turn.events = vec![event("before"), event("before")];
    world.commit_one(turn).await;
    let mut endpoint = endpoint_in(&world.workspace);
    store.create_endpoint(&endpoint).await.unwrap();
    let read = store.endpoint(&world.workspace, &endpoint.id).await;
    assert_eq!(read.unwrap().as_ref(), Some(&endpoint));
    let cursors = store.cursors(&endpoint.id).await.unwrap();
    assert_eq!(cursors, store.heads().await.unwrap());
    assert_eq!(cursors[usize::from(account.partition.0)], 2);

    endpoint.state = EndpointState::Failing;
    endpoint.state_reason = Some("503".to_owned());
    endpoint.secret = None;
    endpoint.old_secret = None;
    store.put_endpoint(&endpoint).await.unwrap();
    assert_eq!(
        store.endpoints(&world.workspace).await.unwrap(),
        [endpoint.clone()]
    );
    assert_eq!(store.all_endpoints().await.unwrap().len(), 1);

    // Cursors go forward only, also within a group; what concerns nobody is left out.
    let progress = |offset: u64| DeliveryProgress {
        cursors: vec![
            (endpoint.id.clone(), PartitionId(3), offset),
            (
                endpoint_in(&world.workspace).id,
                PartitionId(3),
                offset + 100,
            ),
        ],
        ..DeliveryProgress::default()
    };
    world
        .commit(vec![
            progress(5).into(),
            progress(9).into(),
            progress(7).into(),
        ])
        .await;
    assert_eq!(store.cursors(&endpoint.id).await.unwrap()[3], 9);
    world.commit_one(progress(8)).await;
    assert_eq!(store.cursors(&endpoint.id).await.unwrap()[3], 9);

    let waiting = detour(&endpoint, 3, 4, DetourState::Waiting);
    let blocked = detour(&endpoint, 3, 5, DetourState::Blocked);
    let parked = detour(&endpoint, 2, 6, DetourState::Parked);
    let nobodys = detour(&endpoint_in(&world.workspace), 2, 6, DetourState::Waiting);
    let event_id = EventId::generate();
    let first = attempt(&endpoint, &event_id, 1);
    let second = attempt(&endpoint, &event_id, 2);
    let other = attempt(&endpoint, &EventId::generate(), 1);
    let nobodys_attempt = attempt(&endpoint_in(&world.workspace), &event_id, 1);
    let written = world
        .commit_one(DeliveryProgress {
            detours: vec![blocked.clone(), waiting.clone(), parked.clone(), nobodys],
            attempts: vec![
                first.clone(),
                other.clone(),
                second.clone(),
                nobodys_attempt,
            ],
            ..DeliveryProgress::default()
        })
        .await;
    assert_eq!(written, Written::Delivery);
    assert_eq!(
        store.detours(&endpoint.id).await.unwrap(),
        [waiting.clone(), blocked.clone()]
    );
    assert_eq!(
        store.parked(&endpoint.id).await.unwrap(),
        std::slice::from_ref(&parked)
    );
    assert_eq!(
        store.attempts(&endpoint.id, None, 10).await.unwrap(),
        [second.clone(), other, first.clone()]
    );
    assert_eq!(
        store
            .attempts(&endpoint.id, Some(&event_id), 10)
            .await
            .unwrap(),
        [second.clone(), first]
    );
    assert_eq!(
        store.attempts(&endpoint.id, None, 1).await.unwrap(),
        [second]
    );

    // One is delivered, one moves up, the parked one is sent again.
    let mut moved = blocked.clone();
    moved.state = DetourState::Waiting;
    moved.attempts = 4;
    moved.last_error = None;
    world
        .commit(vec![
            DeliveryProgress {
                done: vec![(endpoint.id.clone(), waiting.partition, waiting.offset)],
                detours: vec![moved.clone()],
                ..DeliveryProgress::default()
            }
            .into(),
            DeliveryProgress {
                detours: vec![parked.clone()],
                ..DeliveryProgress::default()
            }
            .into(),
            DeliveryProgress {
                done: vec![(endpoint.id.clone(), parked.partition, parked.offset)],
                ..DeliveryProgress::default()
            }
            .into(),
        ])
        .await;
    assert_eq!(store.detours(&endpoint.id).await.unwrap(), [moved]);
    assert!(store.parked(&endpoint.id).await.unwrap().is_empty());

    store.delete_endpoint(&endpoint.id).await.unwrap();
    assert!(store.all_endpoints().await.unwrap().is_empty());
    assert!(store.detours(&endpoint.id).await.unwrap().is_empty());
    assert!(
        store
            .attempts(&endpoint.id, None, 1)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.cursors(&endpoint.id).await.is_err());
    assert!(store.put_endpoint(&endpoint).await.is_err());
    world.commit_one(progress(12)).await;
    let late = DeliveryProgress {
        detours: vec![blocked],
        attempts: vec![attempt(&endpoint, &event_id, 3)],
        ..DeliveryProgress::default()
    };
    assert_eq!(world.commit_one(late).await, Written::Delivery);
}

/// Odd sizes around the chunks of many-row statements.
pub async fn groups_of_any_size_commit(world: World) {
    let mut accounts = Vec::new();
    for _ in 0..20 {
        accounts.push(world.account().await);
    }
    let mut expected = vec![0_usize; accounts.len()];
    for (round, size) in [1_usize, 2, 3, 127, 128, 129, 300].into_iter().enumerate() {
        let mut group: Vec<Write> = Vec::new();
        for index in 0..size {
            let account = &accounts[index % accounts.len()];
            let turn = expected[index % accounts.len()] as u64 + 1;
            expected[index % accounts.len()] += 1;
            let mut commit = world.turn(account, turn);
            commit.events = vec![keyed("a", &format!("{round}/{index}"))];
            commit.kv = vec![put(&format!("{round}/{index}"), "v")];
            group.push(commit.into());
            group.push(world.record(account).into());
        }
        let written = world.commit(group).await;
        assert!(
            written
                .iter()
                .all(|written| matches!(written, Written::Account { .. } | Written::Recorded))
        );
    }
    for (account, expected) in accounts.iter().zip(expected) {
        assert_eq!(world.events(account).await.len(), expected);
        let kv = world.store.kv_scan(&account.id, "", None, 1000).await;
        assert_eq!(kv.unwrap().len(), expected);
        let unsettled = world.store.unsettled_sends(&account.id).await.unwrap();
        assert_eq!(unsettled.len(), expected);
    }
    assert!(world.commit(Vec::new()).await.is_empty());
}

pub async fn settings_and_usage_are_kept(world: World) {
    let store = &world.store;
    assert_eq!(store.settings().await.unwrap(), []);
    for (name, value) in [("b", "1"), ("a", "secret"), ("b", "2")] {
        store
            .put_setting(name, Some(value.as_bytes()))
            .await
            .unwrap();
    }
    let expected = [
        ("a".to_owned(), b"secret".to_vec()),
        ("b".to_owned(), b"2".to_vec()),
    ];
    assert_eq!(store.settings().await.unwrap(), expected);
    store.put_setting("a", None).await.unwrap();
    store.put_setting("never", None).await.unwrap();
    assert_eq!(store.settings().await.unwrap(), expected[1..]);

    let row = |account: &str, day, turns| DailyUsage {
        workspace: world.workspace.clone(),
        account: crate::domain::AccountId::from_text(account),
        day,
        usage: Usage {
            turns,
            cpu_us: 1,
            events: 2,
            sends: 3,
            bytes_in: 4,
            bytes_out: 5,
        },
    };
    let first = [row("acc_1", 1, 1), row("acc_1", 2, 2), row("acc_2", 2, 3)];
    store.add_usage(&first).await.unwrap();
    store.add_usage(&[row("acc_1", 2, 40)]).await.unwrap();
    store.add_usage(&[]).await.unwrap();
    let mut sum = row("acc_1", 2, 2);
    sum.usage.add(&row("acc_1", 2, 40).usage);
    let all = store.usage(None, 0, 9).await.unwrap();
    assert_eq!(all, [row("acc_1", 1, 1), sum.clone(), row("acc_2", 2, 3)]);
    let some = store.usage(Some(&world.workspace), 2, 2).await.unwrap();
    assert_eq!(some, [sum, row("acc_2", 2, 3)]);
    let nobody = WorkspaceId::generate();
    assert_eq!(store.usage(Some(&nobody), 0, 9).await.unwrap(), []);
}

pub async fn workspaces_are_deleted(world: World) {
    let store = &world.store;
    let account = world.account().await;
    let refused = store.delete_workspace(&world.workspace).await;
    assert!(matches!(
        refused,
        Err(StorageError::Conflict(Conflict::HasAccounts))
    ));
    let key = ApiKey {
        id: ApiKeyId::generate(),
        kind: KeyKind::Workspace,
        workspace: Some(world.workspace.clone()),
        name: String::new(),
        prefix: String::new(),
        hash: [1; 32],
        active: true,
        permissions: Permissions::all(),
        account: None,
        created_at: Timestamp(0),
        last_used_at: None,
        expires_at: None,
        previous: None,
        rate: None,
    };
    store.put_api_key(&key).await.unwrap();
    store.delete_account(&account.id).await.unwrap();
    store.delete_workspace(&world.workspace).await.unwrap();
    assert_eq!(store.workspace(&world.workspace).await.unwrap(), None);
    assert_eq!(store.api_keys().await.unwrap(), []);
    let late = store
        .create_account(&account_in(&world.workspace), &[])
        .await;
    assert!(matches!(
        late,
        Err(StorageError::Conflict(Conflict::NotFound))
    ));
    let again = store.delete_workspace(&world.workspace).await;
    assert!(matches!(
        again,
        Err(StorageError::Conflict(Conflict::NotFound))
    ));
}

/// Deliveries move an endpoint's cursors only under the epochs of their partitions.
pub async fn a_stale_delivery_is_fenced(world: World) {
    let endpoint = endpoint_in(&world.workspace);
    let store = &world.store;
    store.create_endpoint(&endpoint).await.unwrap();
    let (ours, lost) = (PartitionId(3), PartitionId(4));
    let progress = |epochs: Vec<(PartitionId, u64)>, offset| DeliveryProgress {
        cursors: epochs
            .iter()
            .map(|(partition, _)| (endpoint.id.clone(), *partition, offset))
            .collect(),
        epochs,
        ..DeliveryProgress::default()
    };
    let cursors = async || {
        let all = store.cursors(&endpoint.id).await.unwrap();
        (all[3], all[4])
    };
    let before = vec![(ours, world.epoch(ours)), (lost, world.epoch(lost))];
    assert_eq!(
        world.commit_one(progress(before.clone(), 5)).await,
        Written::Delivery
    );
    assert_eq!(cursors().await, (5, 5));
    store.release().await.unwrap();
    let leases = store.acquire().await.unwrap();
    let now = leases[3].epoch;
    let mixed = vec![(ours, now), (lost, world.epoch(lost))];
    let written = world
        .commit(vec![
            progress(before, 6).into(),
            progress(mixed, 7).into(),
            progress(vec![(ours, now)], 8).into(),
        ])
        .await;
    assert_eq!(
        written,
        [Written::Fenced, Written::Fenced, Written::Delivery]
    );
    assert_eq!(cursors().await, (8, 5));
}

/// A host that does not own the account records a send for the one that does.
pub async fn sends_are_handed_over(world: World) {
    let account = world.account().await;
    let store = &world.store;
    let own = world.record(&account);
    let mut handed = world.record(&account);
    handed.epoch = None;
    handed.idempotency = Some(idempotency("key", 1));
    let mut again = world.record(&account);
    again.epoch = None;
    again.idempotency = Some(idempotency("key", 1));
    let mut astray = world.record(&account);
    astray.epoch = None;
    astray.partition = PartitionId((account.partition.0 + 1) % PartitionId::COUNT);
    let written = world
        .commit(vec![
            own.into(),
            handed.clone().into(),
            again.into(),
            astray.into(),
        ])
        .await;
    assert_eq!(written[..2], [Written::Recorded, Written::Recorded]);
    assert!(matches!(&written[2], Written::Repeated(send) if send.id == handed.id));
    assert_eq!(written[3], Written::Fenced);
    let waiting = HandOver {
        send: handed.id,
        workspace: account.workspace.clone(),
        account: account.id.clone(),
        partition: account.partition,
    };
    assert_eq!(store.hand_overs().await.unwrap(), [waiting]);
    assert_eq!(store.unsettled_sends(&account.id).await.unwrap().len(), 2);
    store.end_hand_overs(&[handed.id]).await.unwrap();
    assert!(store.hand_overs().await.unwrap().is_empty());
    // One that was refused after all is not handed over either.
    let mut refused = world.record(&account);
    refused.epoch = None;
    world.commit_one(refused.clone()).await;
    store.withdraw_sends(0, &[refused.id]).await.unwrap();
    assert!(store.hand_overs().await.unwrap().is_empty());
    assert_eq!(
        store.send(&world.workspace, &refused.id).await.unwrap(),
        None
    );
}

/// What an account's provider may have seen of the time stays with the account.
pub async fn an_accounts_clock_is_kept(world: World) {
    let account = world.account().await;
    let clock = async || {
        let found = world.store.account(&world.workspace, &account.id).await;
        found.unwrap().unwrap().clock_at
    };
    let mut turn = world.turn(&account, 1);
    turn.at = Timestamp(5_000);
    let mut own = world.turn(&account, None);
    own.at = Timestamp(4_000);
    own.kv = vec![put("k", "v")];
    own.kv_bytes = Some(2);
    world.commit(vec![turn.into(), own.clone().into()]).await;
    assert_eq!(clock().await, Timestamp(5_000));
    world.commit_one(own).await;
    assert_eq!(clock().await, Timestamp(5_000));
}
