//! Requests whose bodies come out of the media store, and answers that go into it.

use super::http::{Asking, ask_for, get, grant, read_request};
use super::*;
use crate::domain::account::Account;
use crate::domain::error::FailureCode;
use crate::domain::media::{Blob, BlobOwner};
use crate::domain::{AccountId, WorkspaceId};
use crate::media::{Media, Place, Settings};
use crate::runtime::port::http::{
    Bytes, HttpBody, HttpPart, HttpRequest, OutgoingRequest, PartBody, ResponseBody,
};
use crate::runtime::port::{Blobs as _, NewBlob};
use crate::storage::sqlite::SqliteSettings;
use crate::storage::tests::world::account_in;
use crate::storage::{Store as _, Workspace};
use futures::TryStreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ACCOUNT: &str = "acc_1";
const OTHER: &str = "acc_2";
/// More than one chunk of the store.
const LENGTH: usize = 300_000;

struct World {
    network: Arc<Network>,
    listener: TcpListener,
    port: u16,
    media: Media,
    workspace: WorkspaceId,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteSettings::in_directory(directory.path()).open().await;
        let store = Arc::new(store.unwrap());
        let workspace = Workspace {
            id: WorkspaceId::generate(),
            name: "Test".to_owned(),
            status: "active".to_owned(),
            metadata: serde_json::json!({}),
            account_quota: None,
        };
        store.put_workspace(&workspace).await.unwrap();
        for id in [ACCOUNT, OTHER] {
            let account = Account {
                id: AccountId::from_text(id),
                ..account_in(&workspace.id)
            };
            store.create_account(&account, &[]).await.unwrap();
        }
        let place = Place::Local(directory.path().join("media"));
        let (listener, port) = listener().await;
        Self {
            network: network(),
            listener,
            port,
            media: Media::open(store, place, Settings::default()).unwrap(),
            workspace: workspace.id,
            directory,
        }
    }

    async fn blob(&self, bytes: &[u8], account: Option<&str>) -> Blob {
        let new = NewBlob {
            owner: BlobOwner {
                workspace: self.workspace.clone(),
                account: account.map(AccountId::from_text),
            },
            mime: Some("video/mp4".to_owned()),
            filename: Some("a.mp4".to_owned()),
            max_bytes: None,
        };
        let bytes = ::bytes::Bytes::copy_from_slice(bytes);
        let stream = futures::stream::iter([Ok(bytes)]);
        self.media.make(new, Box::pin(stream)).await.unwrap()
    }

    fn request(&self, body: HttpBody) -> HttpRequest {
        HttpRequest {
            method: "POST".into(),
            body,
            ..get(format!("http://127.0.0.1:{}/media", self.port))
        }
    }

    fn ask(&self, request: HttpRequest) -> Asking {
        let outgoing = OutgoingRequest {
            account: AccountId::from_text(ACCOUNT),
            workspace: self.workspace.clone(),
            blobs: Arc::new(self.media.clone()),
            request: Arc::new(request),
            secrets: Vec::new(),
            grant: Arc::new(grant("127.0.0.1", self.port)),
            proxy: None,
        };
        ask_for(&self.network, outgoing, true)
    }

    async fn accept(&self) -> TcpStream {
        accept(&self.listener).await
    }

    async fn content(&self, id: &str) -> (Blob, Vec<u8>) {
        let id = crate::domain::media::BlobId::from_text(id);
        let blob = self.media.stat(&self.workspace, &id).await.unwrap();
        let read = self.media.read(&blob, 0..blob.size).await.unwrap();
        let pieces: Vec<::bytes::Bytes> = read.try_collect().await.unwrap();
        (blob, pieces.concat())
    }

    /// Files of the store.
    fn files(&self) -> Vec<std::path::PathBuf> {
        let folders = std::fs::read_dir(self.directory.path().join("media")).unwrap();
        folders
            .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .collect()
    }
}

fn text(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

async fn ok(server: &mut TcpStream) {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    server.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_blob_leaves_as_a_body_and_as_a_part() {
    let world = World::new().await;
    let bytes = text(LENGTH);
    let blob = world.blob(&bytes, Some(ACCOUNT)).await;
    let whole = HttpBody::Blob(blob.id.to_string());
    let mut asking = world.ask(world.request(whole));
    let mut server = world.accept().await;
    let seen = read_request(&mut server).await;
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    for line in [
        format!("content-length: {LENGTH}"),
        "content-type: video/mp4".into(),
    ] {
        assert!(head.contains(&line), "{line} in {head}");
    }
    assert!(body.as_bytes() == bytes);
    ok(&mut server).await;
    assert_eq!(asking.body().await, "ok");

    // Of the whole workspace, beside bytes of the request.
    let shared = world.blob(b"shared", None).await;
    let part = |name: &str, body| HttpPart {
        name: name.into(),
        filename: None,
        mime: None,
        body,
    };
    let parts = HttpBody::Multipart(vec![
        part("caption", PartBody::Bytes(Bytes(b"hello".to_vec()))),
        part("file", PartBody::Blob(shared.id.to_string())),
    ]);
    let mut asking = world.ask(world.request(parts));
    let mut server = world.accept().await;
    let seen = read_request(&mut server).await;
    assert!(seen.contains("name=\"caption\"\r\n\r\nhello\r\n"), "{seen}");
    let file = "name=\"file\"; filename=\"a.mp4\"\r\ncontent-type: video/mp4\r\n\r\nshared\r\n";
    assert!(seen.contains(file), "{seen}");
    ok(&mut server).await;
    assert_eq!(asking.body().await, "ok");
}

#[tokio::test]
async fn what_the_account_has_not_never_leaves() {
    let world = World::new().await;
    let foreign = world.blob(b"private", Some(OTHER)).await;
    for id in [foreign.id.as_str(), "med_none"] {
        let body = HttpBody::Blob(id.to_owned());
        let failure = world.ask(world.request(body)).failure().await;
        assert_eq!(failure.code, FailureCode::Invalid, "{failure}");
    }
    let dialed = tokio::time::timeout(std::time::Duration::from_millis(50), world.accept()).await;
    assert!(dialed.is_err(), "nobody was dialed");
}

#[tokio::test]
async fn a_body_that_the_store_cannot_give_is_told_apart_from_a_lost_connection() {
    let world = World::new().await;
    let blob = world.blob(&text(LENGTH), Some(ACCOUNT)).await;
    for file in world.files() {
        std::fs::remove_file(file).unwrap();
    }
    let body = HttpBody::Blob(blob.id.to_string());
    let request = HttpRequest {
        repeatable: true,
        ..world.request(body)
    };
    let mut asking = world.ask(request);
    let _server = world.accept().await;
    let failure = asking.failure().await;
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert!(failure.message.starts_with("the media store"), "{failure}");

    let blob = world.blob(&text(40 << 20), Some(ACCOUNT)).await;
    let mut asking = world.ask(world.request(HttpBody::Blob(blob.id.to_string())));
    let mut server = world.accept().await;
    soon(server.read_exact(&mut [0; 1000])).await.unwrap();
    drop(server);
    let failure = asking.failure().await;
    assert!(
        failure.message.contains("it may have acted on the request"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_answer_goes_into_the_store() {
    let world = World::new().await;
    let bytes = text(LENGTH);
    let mut request = world.request(HttpBody::Empty);
    request.to_blob = true;
    let mut asking = world.ask(request.clone());
    let mut server = world.accept().await;
    read_request(&mut server).await;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/x-long; charset=utf-8\r\n\
         content-disposition: attachment; filename=\"../long.txt\"\r\ncontent-length: {LENGTH}\r\n\r\n"
    );
    server.write_all(head.as_bytes()).await.unwrap();
    server.write_all(&bytes).await.unwrap();
    let response = asking.outcome().await.unwrap();
    let ResponseBody::Blob(id) = response.body else {
        panic!("no blob: {response:?}");
    };
    let (blob, content) = world.content(&id).await;
    assert!(content == bytes);
    assert_eq!(blob.meta.mime.as_deref(), Some("text/x-long"));
    assert_eq!(blob.meta.filename.as_deref(), Some("long.txt"));
    assert_eq!(blob.owner.account, Some(AccountId::from_text(ACCOUNT)));

    // What is no success is for the guest to read.
    let mut asking = world.ask(request.clone());
    read_request(&mut server).await;
    let refusal = "HTTP/1.1 404 Gone\r\ncontent-length: 4\r\n\r\ngone";
    server.write_all(refusal.as_bytes()).await.unwrap();
    assert_eq!(asking.body().await, "gone");
    assert_eq!(world.files().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_cut_leaves_nothing() {
    let world = World::new().await;
    let mut request = world.request(HttpBody::Empty);
    request.to_blob = true;
    request.max_bytes = Some(200_000);
    for (head, phrase) in [
        ("content-length: 200001", "is longer than 200000 bytes"),
        ("connection: close", "is longer than 200000 bytes"),
        ("content-length: 200000", "broke off"),
    ] {
        let mut asking = world.ask(request.clone());
        let mut server = world.accept().await;
        read_request(&mut server).await;
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        if phrase == "broke off" {
            server.write_all(&text(150_000)).await.unwrap();
        } else {
            // The host may hang up in the middle of it.
            server.write_all(&text(LENGTH)).await.ok();
        }
        drop(server);
        let failure = asking.failure().await;
        assert!(failure.message.contains(phrase), "{phrase}: {failure}");
    }
    assert_eq!(world.files(), Vec::<std::path::PathBuf>::new());
}
