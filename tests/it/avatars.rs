//! Pictures of people and groups over the simulator channel: the address in an answer leads to the
//! channel's bytes, without a key and always the same; a group's picture is one that the host got.

use crate::support::host::Host;
use crate::support::process::Client;
use anyport_simulator::generated;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpListener;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and then a crew in their harbor";
/// What the channel makes up for those who have a picture from the first day.
const SEEDED_BYTES: usize = 4_096;

async fn account(host: &Host) -> String {
    let client = Client::new(&host.base, &host.key);
    client.simulator_account("simulator", "ada").await
}

async fn read(host: &Host, account: &str, rest: &str) -> Value {
    let path = format!("/v1/accounts/{account}/{rest}");
    host.get(&path).await.expect(200)["data"].clone()
}

/// Below the host's base, which is another one after a restart.
fn path_of(host: &Host, url: &Value) -> String {
    let url = url.as_str().unwrap();
    let path = url
        .strip_prefix(&host.base)
        .unwrap_or_else(|| panic!("{url}"));
    assert!(path.starts_with("/media/"), "{url}");
    path.to_owned()
}

async fn download(url: String) -> (StatusCode, Option<String>, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    let kind = answer.headers().get("content-type");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
    (
        answer.status(),
        kind,
        answer.bytes().await.unwrap().to_vec(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_has_one_address_that_leads_to_it() {
    let host = Host::start().await;
    let account = account(&host).await;
    let one = read(&host, &account, "contacts/info?contact_id=user:grace").await;
    let grace = path_of(&host, &one["avatar_url"]);
    let group = read(&host, &account, "groups/info?group_id=group:lab").await;
    let lab = path_of(&host, &group["avatar_url"]);
    assert_ne!(grace, lab);

    // Wherever they are seen, and whoever has no picture has no address.
    for (list, id, name, wanted) in [
        ("contacts", "id", "user:grace", Some(&grace)),
        ("contacts", "id", "user:alan", None),
        ("conversations", "conversation_id", "group:lab", Some(&lab)),
        ("conversations", "conversation_id", "channel:news", None),
        (
            "conversations/members?conversation_id=group:lab",
            "peer_id",
            "user:grace",
            Some(&grace),
        ),
        ("groups", "id", "group:lab", Some(&lab)),
    ] {
        let page = read(&host, &account, list).await;
        let items = page["items"].as_array().unwrap();
        let found = items.iter().find(|item| item[id] == name);
        let found = found.unwrap_or_else(|| panic!("{name} in {list}: {page:#}"));
        match wanted {
            Some(path) => assert_eq!(path_of(&host, &found["avatar_url"]), *path, "{list}"),
            None => assert_eq!(found["avatar_url"], "", "{list}"),
        }
    }

    for path in [&grace, &lab] {
        let (status, kind, bytes) = download(format!("{}{path}", host.base)).await;
        assert_eq!(status, 200, "{path}");
        assert!(bytes == generated(0, SEEDED_BYTES), "{path}");
        assert_eq!(kind.as_deref(), Some("image/png"), "{path}");
    }
    let (status, ..) = download(format!("{}{grace}x", host.base)).await;
    assert_eq!(status, 404);

    // The same after a restart; with the account it is gone.
    let host = host.restart().await;
    let (status, _, bytes) = download(format!("{}{grace}", host.base)).await;
    assert!(status == 200 && bytes == generated(0, SEEDED_BYTES));
    let again = crate::support::eventually("the account answers again", async || {
        let path = format!("/v1/accounts/{account}/contacts/info?contact_id=user:grace");
        let answer = host.get(&path).await;
        (answer.status == 200).then(|| answer.body["data"].clone())
    })
    .await;
    assert_eq!(path_of(&host, &again["avatar_url"]), grace);
    host.delete(&format!("/v1/accounts/{account}"))
        .await
        .expect(204);
    let (status, ..) = download(format!("{}{grace}", host.base)).await;
    assert_eq!(status, 404);
}

/// A server of pictures, and of what is none.
struct Pictures {
    base: String,
    asked: Arc<AtomicU32>,
}

impl Pictures {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let counted = move || count.fetch_add(1, Ordering::SeqCst);
        let router = Router::new()
            // What it is its bytes say.
            .route(
                "/crew",
                get(async move || {
                    counted();
                    ([(CONTENT_TYPE, "text/plain")], PNG)
                }),
            )
            .route(
                "/page.png",
                get(async || ([(CONTENT_TYPE, "image/png")], "<html>a page</html>")),
            )
            .route(
                "/large",
                get(async || {
                    let mut bytes = PNG.to_vec();
                    bytes.resize(17 * 1024 * 1024, 0);
                    bytes
                }),
            )
            .route("/later", get(async || StatusCode::SERVICE_UNAVAILABLE));
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { base, asked }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_gets_a_picture_by_its_address() {
    let host = Host::start().await;
    let account = account(&host).await;
    let pictures = Pictures::start().await;
    let set = async |url: String| {
        let path = format!("/v1/accounts/{account}/groups/update-info");
        let body = json!({"group_id": "group:lab", "avatar_url": url});
        host.post(&path, body).await
    };
    let lab = "groups/info?group_id=group:lab";
    let before = path_of(&host, &read(&host, &account, lab).await["avatar_url"]);
    for (name, status, code) in [
        ("page.png", 400, "invalid_request"),
        ("large", 400, "invalid_request"),
        ("nothing", 400, "invalid_request"),
        ("later", 503, "provider_unavailable"),
    ] {
        let answer = set(format!("{}/{name}", pictures.base)).await;
        let error = &answer.body["error"];
        assert_eq!(answer.status, status, "{name}: {error}");
        assert_eq!(error["code"], code, "{name}");
        assert_eq!(error["field"], "avatar_url", "{name}");
    }
    // The address guard holds; loopback is what a trial allows.
    let answer = set("http://169.254.169.254/latest/meta-data".to_owned()).await;
    assert_eq!(answer.body["error"]["field"], "avatar_url");
    assert_eq!(answer.status, 400);
    let now = path_of(&host, &read(&host, &account, lab).await["avatar_url"]);
    assert_eq!(now, before);

    set(format!("{}/crew", pictures.base)).await.expect(200);
    assert_eq!(pictures.asked.load(Ordering::SeqCst), 1);
    let after = path_of(&host, &read(&host, &account, lab).await["avatar_url"]);
    assert_ne!(after, before);
    let (status, kind, bytes) = download(format!("{}{after}", host.base)).await;
    assert_eq!((status.as_u16(), bytes.as_slice()), (200, PNG));
    assert_eq!(kind.as_deref(), Some("image/png"));

    let path = format!("/v1/accounts/{account}/profile");
    let body = json!({"avatar_url": format!("{}/crew", pictures.base)});
    host.patch(&path, body).await.expect(200);
    let own = read(&host, &account, "profile").await;
    let (status, _, bytes) = download(format!(
        "{}{}",
        host.base,
        path_of(&host, &own["avatar_url"])
    ))
    .await;
    assert_eq!((status.as_u16(), bytes.as_slice()), (200, PNG));
}
