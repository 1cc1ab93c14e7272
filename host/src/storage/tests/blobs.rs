//! Blobs, what refers to them and the addresses of attachments, on both databases.

use super::world::*;
use crate::domain::account::Account;
use crate::domain::media::{AttachmentSource, Blob, BlobId, BlobMeta, BlobOwner, NewAttachment};
use crate::domain::send::{Content, Medium, MediumKind, MediumSource, SendChange, SendState};
use crate::domain::{AccountId, SendId, Timestamp};
use crate::storage::blobs::{BlobRows, BlobWrite, Making, Removal, SharedAttachment};
use crate::storage::chunks::ContentKey;
use crate::storage::sql::SqlStore;
use crate::storage::{AccountCommit, StorageError, Store as _, Written};
use std::sync::Arc;

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    let (store, _directory) = super::super::sqlite::store().await;
                    super::$name(store).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    let Some((store, _database)) = super::super::postgres::store().await else {
                        return;
                    };
                    super::$name(store).await;
                }
            )*
        }
    };
}

on_both! {
    a_blob_grows_with_its_turns,
    what_is_referred_to_stays,
    what_an_account_had_goes_with_it,
    only_whole_blobs_are_seen,
    pictures_keep_their_addresses,
}

const LATER: Timestamp = Timestamp(u64::MAX / 4);

fn new_blob(world: &World, account: Option<&AccountId>) -> Blob {
    Blob {
        id: BlobId::generate(),
        owner: BlobOwner {
            workspace: world.workspace.clone(),
            account: account.cloned(),
        },
        size: 0,
        meta: BlobMeta {
            mime: Some("image/png".to_owned()),
            filename: Some("menu.png".to_owned()),
            ..BlobMeta::default()
        },
        created_at: Timestamp(1),
        keep_until: Timestamp(2),
    }
}

/// A whole one.
async fn made(store: &SqlStore, world: &World, account: Option<&AccountId>) -> Blob {
    let (blob, key) = (new_blob(world, account), ContentKey::generate());
    store.begin_blob(&blob, &key).await.unwrap();
    assert!(store.seal_blob(&blob, &key).await.unwrap());
    blob
}

async fn only_whole_blobs_are_seen(store: Arc<SqlStore>) {
    let world = World::new(store.clone()).await;
    let (mut blob, key) = (new_blob(&world, None), ContentKey::generate());
    store.begin_blob(&blob, &key).await.unwrap();
    assert!(store.blob(None, &blob.id).await.unwrap().is_none());
    assert!(!store.keep_blob(&blob.id, LATER).await.unwrap());
    blob.size = 5;
    blob.meta.sha256 = Some("ab".to_owned());
    assert!(store.seal_blob(&blob, &key).await.unwrap());
    let found = store.blob(Some(&world.workspace), &blob.id).await;
    let found = found.unwrap().unwrap();
    assert_eq!((&found.blob, found.staged), (&blob, false));
    let mut sealed = b"text".to_vec();
    key.seal(0, true, &mut sealed);
    assert!(found.key.open(0, true, &mut sealed).is_some());
    let other = crate::domain::WorkspaceId::from_text("ws_other");
    assert!(store.blob(Some(&other), &blob.id).await.unwrap().is_none());

    let given_up = new_blob(&world, None);
    store.begin_blob(&given_up, &key).await.unwrap();
    store.give_up_blob(&given_up.id).await.unwrap();
    assert!(!store.seal_blob(&given_up, &key).await.unwrap());
    let given_up = [given_up.id];
    assert_eq!(store.dying(10).await.unwrap(), given_up);
    store.bury(&given_up).await.unwrap();
    assert!(store.dying(10).await.unwrap().is_empty());

    // One that no process came back to.
    let lost = new_blob(&world, None);
    store.begin_blob(&lost, &key).await.unwrap();
    store.keep_blob(&blob.id, LATER).await.unwrap();
    store.expire(Timestamp(3), LATER, 10).await.unwrap();
    assert_eq!(store.dying(10).await.unwrap(), [lost.id]);

    let nobody = Blob {
        owner: BlobOwner {
            workspace: world.workspace.clone(),
            account: Some(AccountId::generate()),
        },
        ..new_blob(&world, None)
    };
    let refused = store.begin_blob(&nobody, &key).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))));
}

async fn a_blob_grows_with_its_turns(store: Arc<SqlStore>) {
    let world = World::new(store.clone()).await;
    let account = world.account().await;
    let making = Making {
        id: BlobId::generate(),
        label: "download".to_owned(),
        size: 0,
        meta: new_blob(&world, None).meta,
        created_at: Timestamp(7),
    };
    let id = making.id.clone();
    let append = |offset: u64, text: &str| BlobWrite::Append {
        id: id.clone(),
        offset,
        bytes: text.as_bytes().to_vec(),
    };
    let turn = |number: u64, blobs: Vec<BlobWrite>| AccountCommit {
        blobs,
        ..world.turn(&account, number)
    };
    let first = turn(
        1,
        vec![BlobWrite::Create(making.clone()), append(0, "one ")],
    );
    world.commit_one(first).await;
    // A turn that does not count leaves nothing.
    let fenced = turn(7, vec![append(4, "NOT")]);
    assert_eq!(world.commit_one(fenced).await, Written::Fenced);
    world.commit_one(turn(2, vec![append(4, "two")])).await;
    let found = store.making(&account.id).await.unwrap();
    assert_eq!(
        found,
        [Making {
            size: 7,
            ..making.clone()
        }]
    );
    assert!(store.blob(None, &id).await.unwrap().is_none());

    let seal = BlobWrite::Seal {
        id: id.clone(),
        size: 7,
        meta: making.meta.clone(),
        keep_until: LATER,
    };
    world
        .commit_one(turn(3, vec![seal, append(7, "late")]))
        .await;
    assert!(store.making(&account.id).await.unwrap().is_empty());
    let staged = store.staged(10).await.unwrap();
    assert_eq!(staged.len(), 1);
    let stored = &staged[0];
    assert!(stored.staged);
    assert_eq!((stored.blob.size, &stored.blob.meta), (7, &making.meta));
    assert_eq!(stored.blob.owner.account.as_ref(), Some(&account.id));
    for (offset, begin, text) in [(0, 0, "one "), (3, 0, "one "), (4, 4, "two"), (6, 4, "two")] {
        let part = store.part(&stored.blob, offset).await.unwrap();
        assert_eq!(part, Some((begin, text.as_bytes().to_vec())), "{offset}");
    }
    assert!(store.seal_blob(&stored.blob, &stored.key).await.unwrap());
    assert_eq!(store.part(&stored.blob, 0).await.unwrap(), None);
    assert!(store.staged(10).await.unwrap().is_empty());

    let dropped = Making {
        id: BlobId::generate(),
        ..making
    };
    let blobs = vec![
        BlobWrite::Create(dropped.clone()),
        BlobWrite::Discard(dropped.id.clone()),
    ];
    world.commit_one(turn(4, blobs)).await;
    assert_eq!(store.dying(10).await.unwrap(), [dropped.id]);
}

fn settled(id: SendId) -> SendChange {
    SendChange {
        id,
        state: SendState::Failed,
        at: Timestamp(3),
        sent: None,
        failure: None,
    }
}

async fn what_is_referred_to_stays(store: Arc<SqlStore>) {
    let world = World::new(store.clone()).await;
    let account = world.account().await;
    let [sent, fetched, attached, free] = [
        made(&store, &world, None).await,
        made(&store, &world, Some(&account.id)).await,
        made(&store, &world, Some(&account.id)).await,
        made(&store, &world, None).await,
    ];
    let mut record = world.record(&account);
    record.outgoing.content = Content::Media {
        media: vec![Medium {
            kind: MediumKind::Image,
            source: MediumSource::Blob(sent.id.clone()),
            mime: None,
            filename: None,
            size: None,
        }],
        caption: None,
    };
    world.commit_one(record.clone()).await;
    store.use_blob(&fetched.id, &record.id).await.unwrap();
    let source = AttachmentSource {
        reference: Some("the channel's".to_owned()),
        mime: None,
        filename: None,
    };
    let mut turn = world.turn(&account, 1);
    let attachment = |token: u8, blob: Option<&Blob>| NewAttachment {
        token: [token; 32],
        source: source.clone(),
        blob: blob.map(|blob| blob.id.clone()),
    };
    turn.events = vec![event("a"), keyed("b", "twice"), keyed("b", "twice")];
    turn.events[0].attachments = vec![attachment(1, Some(&attached)), attachment(2, None)];
    // A repeat is not in the log, so its address leads nowhere.
    turn.events[2].attachments = vec![attachment(3, None)];
    world.commit_one(turn).await;

    let found = store.attachment(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(found.source, source);
    assert_eq!(
        (&found.account, &found.workspace),
        (&account.id, &world.workspace)
    );
    assert_eq!(found.blob.as_ref(), Some(&attached.id));
    assert_eq!(store.attachment(&[3; 32]).await.unwrap(), None);
    assert_eq!(store.attachment(&[9; 32]).await.unwrap(), None);
    store.attach(&[2; 32], &attached.id).await.unwrap();
    let second = store.attachment(&[2; 32]).await.unwrap().unwrap();
    assert_eq!(second.blob, Some(attached.id.clone()));

    let workspace = &world.workspace;
    for blob in [&sent, &fetched, &attached] {
        let refused = store.remove_blob(workspace, &blob.id).await.unwrap();
        assert_eq!(refused, Removal::InUse);
    }
    let again = Timestamp(50);
    assert_eq!(store.expire(Timestamp(10), again, 10).await.unwrap(), 4);
    assert_eq!(store.dying(10).await.unwrap(), [free.id]);
    // They are looked at again, and not before.
    assert_eq!(store.expire(Timestamp(10), again, 10).await.unwrap(), 0);
    let mut over = world.turn(&account, 2);
    over.sends = vec![settled(record.id)];
    world.commit_one(over).await;
    let removed = store.remove_blob(workspace, &sent.id).await.unwrap();
    assert_eq!(removed, Removal::Begun);
    let missing = store.remove_blob(workspace, &sent.id).await.unwrap();
    assert_eq!(missing, Removal::Missing);
    store.expire(Timestamp(60), LATER, 10).await.unwrap();
    let mut dying = store.dying(10).await.unwrap();
    dying.retain(|id| *id == fetched.id || *id == attached.id);
    assert_eq!(dying, [fetched.id]);
}

async fn deleted(store: &SqlStore, account: &Account) {
    store.delete_account(&account.id).await.unwrap();
    while store.maintain(0).await.unwrap() {}
}

async fn what_an_account_had_goes_with_it(store: Arc<SqlStore>) {
    let world = World::new(store.clone()).await;
    let account = world.account().await;
    let blob = made(&store, &world, Some(&account.id)).await;
    let stays = made(&store, &world, None).await;
    let mut turn = world.turn(&account, 1);
    turn.events = vec![event("a")];
    turn.events[0].attachments = vec![NewAttachment {
        token: [1; 32],
        source: AttachmentSource {
            reference: None,
            mime: None,
            filename: None,
        },
        blob: Some(blob.id.clone()),
    }];
    world.commit_one(turn).await;
    store.delete_account(&account.id).await.unwrap();
    // Its key is gone before anything is tidied up.
    assert!(store.blob(None, &blob.id).await.unwrap().is_none());
    assert_eq!(store.attachment(&[1; 32]).await.unwrap(), None);
    deleted(&store, &account).await;
    assert_eq!(store.dying(10).await.unwrap(), [blob.id]);
    assert!(store.blob(None, &stays.id).await.unwrap().is_some());
}

async fn pictures_keep_their_addresses(store: Arc<SqlStore>) {
    let world = World::new(store.clone()).await;
    let (account, gone) = (world.account().await, world.account().await);
    let (blob, free) = (
        made(&store, &world, Some(&account.id)).await,
        made(&store, &world, Some(&account.id)).await,
    );
    let shared = |account: &Account, token: u8, reference: &str, blob: Option<&Blob>| {
        let source = AttachmentSource {
            reference: Some(reference.to_owned()),
            mime: Some("image/png".to_owned()),
            filename: None,
        };
        SharedAttachment {
            account: account.id.clone(),
            attachment: NewAttachment {
                token: [token; 32],
                source,
                blob: blob.map(|blob| blob.id.clone()),
            },
        }
    };
    let there = async |token: u8| store.attachment(&[token; 32]).await.unwrap();
    let now = Timestamp::now();
    let (day, over) = (crate::storage::DAY_MS, Timestamp(now.0 - 1));

    // A whole page at once, in any order, and what is there stays as it is.
    store.share(&[], now, now.plus_ms(day)).await.unwrap();
    let mut page: Vec<_> = (10..200)
        .rev()
        .map(|token| shared(&account, token, "a page", None))
        .collect();
    page.push(shared(&account, 1, "photo 1", Some(&blob)));
    page.push(shared(&gone, 2, "photo 2", None));
    store.share(&page, now, now.plus_ms(day)).await.unwrap();
    let first = there(1).await.unwrap();
    assert_eq!(first.source.reference.as_deref(), Some("photo 1"));
    assert_eq!(
        (&first.account, &first.workspace, first.blob.as_ref()),
        (&account.id, &world.workspace, Some(&blob.id))
    );
    assert!(there(10).await.is_some() && there(199).await.is_some());
    store.attach(&[10; 32], &free.id).await.unwrap();
    let again = [
        shared(&account, 10, "another", None),
        shared(&account, 1, "another", None),
    ];
    store.share(&again, now, now.plus_ms(day)).await.unwrap();
    store.share(&again, LATER, LATER).await.unwrap();
    assert_eq!(there(1).await.unwrap(), first);
    let had = there(10).await.unwrap();
    assert_eq!(had.source.reference.as_deref(), Some("a page"));
    assert_eq!(had.blob.as_ref(), Some(&free.id));

    // As long as its address a picture stays, and its address as long as it is asked for.
    let removed = store.remove_blob(&world.workspace, &blob.id).await.unwrap();
    assert_eq!(removed, Removal::InUse);
    let short = [
        shared(&account, 3, "old", None),
        shared(&account, 4, "old", None),
        shared(&account, 5, "old", None),
    ];
    store.share(&short, over, over).await.unwrap();
    // What is kept long enough is not written, and the end never comes nearer.
    let asked = &short[..1];
    store.share(asked, over, now.plus_ms(day)).await.unwrap();
    let asked = &short[1..2];
    store.share(asked, now, now.plus_ms(day)).await.unwrap();
    store.share(asked, LATER, over).await.unwrap();
    let events = world.turn(&account, 1);
    world.commit_one(events).await;
    while store.maintain(0).await.unwrap() {}
    assert!(there(3).await.is_none() && there(5).await.is_none());
    assert!(there(4).await.is_some() && there(1).await.is_some());

    // With its account an address is gone at once, and cannot be made again.
    store.delete_account(&gone.id).await.unwrap();
    assert!(there(2).await.is_none());
    let late = [
        shared(&gone, 2, "late", None),
        shared(&gone, 6, "late", None),
        shared(&account, 7, "in time", None),
    ];
    store.share(&late, LATER, LATER).await.unwrap();
    assert!(there(2).await.is_none() && there(6).await.is_none());
    assert!(there(7).await.is_some());
    deleted(&store, &account).await;
    assert!(there(1).await.is_none() && there(7).await.is_none());
    assert_eq!(
        store.remove_blob(&world.workspace, &blob.id).await.unwrap(),
        Removal::Missing
    );
}
