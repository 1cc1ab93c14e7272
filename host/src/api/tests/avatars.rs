//! Pictures: their addresses in answers, and those that requests name.

use super::Host;
use super::commands::answer_to;
use crate::domain::account::{Account, Profile};
use crate::domain::chat::Avatar;
use crate::domain::command::{Answer, Command};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::{Blob, BlobError, BlobId, BlobMeta, BlobOwner};
use crate::domain::{AccountId, Timestamp};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

pub fn picture(account: &Account, size: u64) -> Blob {
    Blob {
        id: BlobId::from_text("med_picture"),
        owner: BlobOwner {
            workspace: account.workspace.clone(),
            account: Some(account.id.clone()),
        },
        size,
        meta: BlobMeta {
            mime: Some("image/png".into()),
            sniffed: Some("image/png".into()),
            ..BlobMeta::default()
        },
        created_at: Timestamp(0),
        keep_until: Timestamp::now(),
    }
}

fn avatar(blob: Option<&str>, reference: Option<&str>) -> Option<Avatar> {
    Some(Avatar {
        blob: blob.map(str::to_owned),
        reference: reference.map(str::to_owned),
        mime: Some("image/png".into()),
    })
}

fn url(account: &AccountId, kind: &str, name: &str) -> String {
    let token = hex::encode(format!("{account} {kind} {name}"));
    format!("https://anyport.test/media/{token}")
}

/// The answer to the command, with this picture wherever it has one.
fn with_picture(command: &Command, avatar: Option<&Avatar>) -> Answer {
    let mut answer = answer_to(command);
    let avatar = || avatar.cloned();
    match &mut answer {
        Answer::Conversation(it) => it.avatar = avatar(),
        Answer::Conversations(page) => page.items[0].avatar = avatar(),
        Answer::Members(page) => page.items[0].contact.avatar = avatar(),
        Answer::Contact(Some(it)) => it.avatar = avatar(),
        Answer::Contacts(page) => page.items[0].avatar = avatar(),
        Answer::Profile(it) => it.avatar = avatar(),
        other => panic!("{other:?} has no picture"),
    }
    answer
}

async fn told(host: &Host, path: &str, command: Command, avatar: Option<&Avatar>) -> Value {
    host.control.script().answer = Some(with_picture(&command, avatar));
    let answered = host.get(path).await;
    assert_eq!(answered.status, 200, "{path}");
    let data = answered.data();
    let one = data.pointer("/items/0").unwrap_or(data);
    one["avatar_url"].clone()
}

fn all_features(host: &Host) {
    host.control.script().features = [
        "conversations.list",
        "conversations.get",
        "conversations.members",
        "contacts.list",
        "contacts.get",
        "contacts.resolve",
        "groups.list",
        "groups.get",
        "profile.get",
    ]
    .map(|name| (name.to_owned(), None))
    .into();
}

#[tokio::test]
async fn one_picture_has_one_address_wherever_it_is_seen() {
    let host = Host::new();
    let account = AccountId::from_text(host.account().await);
    all_features(&host);
    host.control.script().can_fetch_media = true;
    let page = || crate::domain::chat::PageOf {
        cursor: None,
        limit: 1,
    };
    let picture = avatar(None, Some("photo 7"));
    let wanted = url(&account, "reference", "photo 7");
    let all = format!("/v1/accounts/{account}");
    for (path, command) in [
        ("conversations", Command::ListConversations(page())),
        (
            "conversations/info?conversation_id=c1",
            Command::GetConversation("c1".into()),
        ),
        (
            "conversations/members?conversation_id=c1",
            Command::ListMembers {
                conversation: "c1".into(),
                page: page(),
            },
        ),
        ("contacts", Command::ListContacts(page())),
        (
            "contacts/info?contact_id=p1",
            Command::GetContact("p1".into()),
        ),
        (
            "contacts/resolve?address=dana",
            Command::ResolveContact("dana".into()),
        ),
        ("groups", Command::ListGroups(page())),
        ("groups/info?group_id=g1", Command::GetGroup("g1".into())),
        ("profile", Command::GetProfile),
    ] {
        let path = format!("{all}/{path}");
        let is_profile = matches!(command, Command::GetProfile);
        let found = told(&host, &path, command.clone(), picture.as_ref()).await;
        assert_eq!(found, wanted, "{path}");
        let found = told(&host, &path, command.clone(), None).await;
        let none = if is_profile { json!(null) } else { json!("") };
        assert_eq!(found, none, "{path}");
    }
    // One row, whoever asked how often.
    {
        let rows = host.media.shared.lock().unwrap();
        let row = rows.values().next().unwrap();
        assert_eq!((rows.len(), &row.account), (1, &account));
        let source = &row.attachment.source;
        assert_eq!(source.reference.as_deref(), Some("photo 7"));
        assert_eq!(source.mime.as_deref(), Some("image/png"));
    }

    // With bytes and reference the reference names it; the bytes alone do as well.
    let path = format!("{all}/contacts");
    let list = || Command::ListContacts(page());
    let both = avatar(Some("med_1"), Some("photo 8"));
    let found = told(&host, &path, list(), both.as_ref()).await;
    assert_eq!(found, url(&account, "reference", "photo 8"));
    let bytes = avatar(Some("med_1"), None);
    let found = told(&host, &path, list(), bytes.as_ref()).await;
    assert_eq!(found, url(&account, "blob", "med_1"));
    let nothing = avatar(None, None);
    assert_eq!(told(&host, &path, list(), nothing.as_ref()).await, "");

    // Nobody gets what a reference names where the provider does not.
    host.control.script().can_fetch_media = false;
    assert_eq!(told(&host, &path, list(), picture.as_ref()).await, "");
    let found = told(&host, &path, list(), both.as_ref()).await;
    assert_eq!(found, url(&account, "blob", "med_1"));

    // The database does not take it: the read is answered all the same.
    host.media.down.store(true, Ordering::Relaxed);
    assert_eq!(told(&host, &path, list(), bytes.as_ref()).await, "");
}

#[tokio::test]
async fn accounts_show_their_own_picture() {
    let host = Host::new();
    let account = host.account().await;
    host.control.script().can_fetch_media = true;
    {
        let mut state = host.store.state();
        let mut all = state.accounts.iter_mut();
        let found = all.find(|one| one.id.as_str() == account).unwrap();
        found.profile = Profile {
            display_name: Some("Harbor Desk".into()),
            avatar: avatar(None, Some("me")),
            ..Profile::default()
        };
    }
    let wanted = json!({
        "display_name": "Harbor Desk",
        "avatar_url": url(&AccountId::from_text(account.clone()), "reference", "me"),
    });
    let one = host.get(&format!("/v1/accounts/{account}")).await;
    assert_eq!(one.data()["provider_profile"], wanted);
    let all = host.get("/v1/accounts").await;
    assert_eq!(all.data()[0]["provider_profile"], wanted);
}

#[tokio::test]
async fn a_picture_is_had_before_the_provider_is_asked() {
    let host = Host::new();
    let account = host.account().await;
    let at = "https://pictures.example/crew.png";
    let group = format!("/v1/accounts/{account}/groups/update-info");
    let profile = format!("/v1/accounts/{account}/profile");
    let calls = [
        ("POST", &group, json!({"group_id": "g1", "avatar_url": at})),
        ("PATCH", &profile, json!({"avatar_url": at})),
    ];
    for (method, path, body) in &calls {
        let answered = host.call(method, path, Some(body.clone())).await;
        assert_eq!(answered.status, 501, "{path}");
    }
    assert!(host.control.script().pictures.is_empty());

    let features = [("groups.info", None), ("profile.update", None)];
    let features = features.map(|(name, limits)| (name.to_owned(), limits));
    host.control.script().features = features.into();
    for (method, path, body) in &calls {
        let answered = host.call(method, path, Some(body.clone())).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.body);
    }
    {
        let mut script = host.control.script();
        let picture = (at.to_owned(), 16 * 1024 * 1024);
        assert_eq!(script.pictures, [picture.clone(), picture]);
        let given = Some("med_picture".to_owned());
        let group = Command::UpdateGroup {
            group: "g1".into(),
            name: None,
            description: None,
            avatar: given.clone(),
        };
        let profile = Command::UpdateProfile {
            display_name: None,
            bio: None,
            avatar: given,
        };
        assert_eq!(script.commands, [group, profile]);
        script.commands.clear();
    }

    // The provider's own limits.
    let limits = json!({"max-bytes": 5000, "mime-types": ["image/jpeg"]});
    host.control.script().features[0].1 = Some(limits);
    let (method, path, body) = &calls[0];
    let answered = host.call(method, path, Some(body.clone())).await;
    assert_eq!((answered.status, answered.code()), (400, "invalid_request"));
    assert_eq!(answered.body["error"]["limit"]["name"], "mime-types");
    assert_eq!(host.control.script().pictures.pop().unwrap().1, 5000);
    host.control.script().features[0].1 = None;

    // What is wrong with the address, and what may go better another time.
    let denied = Failure::new(FailureCode::Denied, "the address cannot be reached");
    let none = Failure::new(FailureCode::Invalid, "the address answered 404");
    let large = BlobError::TooLarge(5).into();
    let later = Failure::new(FailureCode::Unavailable, "the address did not answer");
    for (failure, status, code) in [
        (denied, 400, "invalid_request"),
        (none, 400, "invalid_request"),
        (large, 400, "invalid_request"),
        (later, 503, "provider_unavailable"),
    ] {
        let message = format!("avatar_url: {}", failure.message);
        host.control.script().picture = Some(Err(failure));
        let answered = host.call(method, path, Some(body.clone())).await;
        assert_eq!((answered.status, answered.code()), (status, code));
        assert_eq!(answered.message(), message);
        assert_eq!(answered.body["error"]["field"], "avatar_url");
        let waits = answered.headers.contains_key("retry-after");
        assert_eq!(waits, status == 503, "{message}");
    }
    for wrong in [
        "file:///etc/passwd",
        "crew.png",
        "https://me:secret@x.example/",
    ] {
        let body = json!({"group_id": "g1", "avatar_url": wrong});
        let answered = host.call("POST", &group, Some(body)).await;
        assert_eq!(answered.status, 400, "{wrong}");
        assert_eq!(answered.body["error"]["field"], "avatar_url", "{wrong}");
    }
    assert!(host.control.script().commands.is_empty());
}
