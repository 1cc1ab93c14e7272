//! Out: `http.submit` and `http.cancel`.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_leave_and_their_answers_come() {
    let peer = Peer::start().await;
    let (_home, host, client, _operator) = ready(CONFIG).await;
    let account = Account::new(&client, peer.port, "1").await;

    let whole = json!({
        "method": "POST",
        "url": peer.url("/a?b=c"),
        "headers": [["X-One", "1"], ["content-type", "text/plain"]],
        "body": "hello",
        "context": "kept",
    });
    account.submit("whole", whole).await;
    let answer = account.answer("whole").await;
    assert_eq!(answer["status"], 200, "{answer:#}");
    assert_eq!(answer["context"], "kept");
    assert_eq!(answer["body"], "\"a\"");
    let asked = &peer.asked_for("/a?b=c")[0];
    assert_eq!(asked.header("x-one"), Some("1"));
    assert_eq!(asked.body, "hello");
    assert!(asked.header("user-agent").unwrap().starts_with("anyport/"));

    account.submit("moved", get(&peer, "/moved")).await;
    assert_eq!(account.answer("moved").await["status"], 302);
    account.submit("busy", get(&peer, "/busy")).await;
    let busy = account.answer("busy").await;
    assert_eq!(busy["status"], 429);
    assert!(
        busy["headers"]
            .to_string()
            .contains(r#"["retry-after","7"]"#),
        "{busy:#}"
    );
    assert!(
        peer.asked_for("/elsewhere").is_empty(),
        "a redirect was followed"
    );

    for (label, request, code, phrase) in [
        ("cut", get(&peer, "/cut"), "Unavailable", "broke off"),
        (
            "huge",
            json!({"url": peer.url("/huge"), "max_bytes": 10_000}),
            "QuotaExceeded",
            "longer than 10000 bytes",
        ),
        (
            "elsewhere",
            json!({"url": "http://127.0.0.2:1/"}),
            "Denied",
            "not granted by the manifest",
        ),
        (
            "crooked",
            json!({"url": "http://"}),
            "Invalid",
            "the URL is not valid",
        ),
        (
            "blob",
            json!({"url": peer.url("/"), "blob": "blob_1"}),
            "Invalid",
            "names a blob that the account has not",
        ),
        (
            "refused",
            json!({"url": peer.url("/"), "headers": [["host", "evil.example"]]}),
            "Invalid",
            "is the host's to set",
        ),
    ] {
        account.submit(label, request).await;
        let answer = account.answer(label).await;
        assert_eq!(answer["error"], code, "{label}: {answer:#}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(phrase), "{label}: {message}");
    }

    // Replaced: cancelled. Cancelled: no answer, and the label is free.
    peer.hold(true);
    account.submit("label", get(&peer, "/hold/1")).await;
    eventually("it is asked", async || {
        peer.asked_for("/hold/1").first().cloned()
    })
    .await;
    account.submit("label", get(&peer, "/hold/2")).await;
    account.submit("cancelled", get(&peer, "/hold/3")).await;
    eventually("it is asked", async || {
        peer.asked_for("/hold/3").first().cloned()
    })
    .await;
    account.run("!http-cancel cancelled").await;
    peer.hold(false);
    let answer = account.answer("label").await;
    assert_eq!(answer["body"], "\"2\"");
    account.submit("cancelled", get(&peer, "/after")).await;
    let answer = account.answer("cancelled").await;
    assert_eq!(answer["body"], "\"after\"");

    // An answer that kills comes again, to the next instance; twice, and it is left out.
    let killing = |context: &str| json!({"url": peer.url("/k"), "context": context});
    account.submit("once", killing("!trap-once")).await;
    assert_eq!(account.answer("once").await["status"], 200);
    account.submit("always", killing("!trap-always")).await;
    eventually("it is left out", async || {
        let path = format!("/v1/events?account_id={}&limit=1000", account.id);
        let events = client.get(&path).await.expect(200);
        let items = events["data"]["items"].as_array().unwrap().clone();
        items.into_iter().find(|event| {
            event["type"] == "account.input.skipped" && event["data"]["subject"] == "http always"
        })
    })
    .await;
    account.submit("always", get(&peer, "/fine")).await;
    assert_eq!(account.answer("always").await["status"], 200);
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_placed_and_is_nowhere_in_the_guest() {
    let peer = Peer::start().await;
    let (home, host, client, _operator) = ready(CONFIG).await;
    let account = Account::new(&client, peer.port, "1").await;
    let placed = |place: &str, name: &str| json!([["token", place, name, "", ""]]);
    let submit = async |label: &str, mut request: Value, secrets: Value| {
        request["secrets"] = secrets;
        account.submit(label, request).await;
        account.answer(label).await
    };
    let bearer = json!([["token", "header", "authorization", "Bearer ", ""]]);
    let answer = submit("header", get(&peer, "/header"), bearer.clone()).await;
    assert_eq!(answer["status"], 200, "{answer:#}");
    let seen = peer.asked_for("/header")[0].clone();
    assert_eq!(
        seen.header("authorization").unwrap(),
        format!("Bearer {TOKEN}")
    );

    submit(
        "query",
        get(&peer, "/query?a=1"),
        placed("query", "access_token"),
    )
    .await;
    assert_eq!(
        peer.asked_for(&format!("/query?a=1&access_token={TOKEN}"))
            .len(),
        1
    );
    let bot = json!([["token", "path-segment", "0", "bot", ""]]);
    submit("path", get(&peer, "/x/send"), bot).await;
    assert_eq!(peer.asked_for(&format!("/bot{TOKEN}/send")).len(), 1);
    let form = json!({"method": "POST", "url": peer.url("/form")});
    submit("form", form, placed("form-field", "token")).await;
    assert_eq!(peer.asked_for("/form")[0].body, format!("token={TOKEN}"));
    let parts = json!({"method": "POST", "url": peer.url("/parts"), "parts": [["a", "b"]]});
    submit("parts", parts, placed("form-field", "token")).await;
    let body = &peer.asked_for("/parts")[0].body;
    assert!(
        body.contains(&format!("name=\"token\"\r\n\r\n{TOKEN}\r\n")),
        "{body}"
    );
    let in_json = json!({"method": "POST", "url": peer.url("/json"),
                         "body": r#"{"auth":{"token":null},"n":1.0}"#});
    submit("json", in_json, placed("json-pointer", "/auth/token")).await;
    let expected = format!(r#"{{"auth":{{"token":"{TOKEN}"}},"n":1.0}}"#);
    assert_eq!(peer.asked_for("/json")[0].body, expected);

    // Where the manifest does not grant it, nothing leaves.
    let before = peer.asked().len();
    for (label, place) in [
        ("no-header", placed("header", "x-other")),
        ("no-segment", placed("path-segment", "1")),
        ("no-tls", placed("header", "x-encrypted")),
    ] {
        let answer = submit(label, get(&peer, "/denied"), place).await;
        assert_eq!(answer["error"], "Denied", "{answer:#}");
    }
    assert_eq!(peer.asked().len(), before);

    // What signs without being seen.
    account.run("!sign hmac sha1 token text").await;
    account.run("!sign digest md5 token text").await;
    account.run("!sign sign rs256 token text").await;
    let signed = account.told("signature").await;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes());
    let mac: String = ring::hmac::sign(&key, b"text")
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(signed[0]["hex"], mac.as_str(), "{signed:#?}");
    assert_eq!(signed[1]["hex"].as_str().unwrap().len(), 32);
    assert_eq!(signed[2]["error"], "Invalid");

    // All of the guest's memory: what it may see is found, the token is not.
    let complement =
        |text: &str| -> String { text.bytes().map(|byte| format!("{:02x}", !byte)).collect() };
    account.run("!secret-keep").await;
    account
        .run(&format!("!scan {}", complement("pa55word")))
        .await;
    account.run(&format!("!scan {}", complement(TOKEN))).await;
    account
        .run(&format!("!scan {}", complement(APP_SECRET)))
        .await;
    let scans = account.told("scan").await;
    assert!(scans[0]["of"].as_u64().unwrap() > 1 << 17, "{scans:#?}");
    assert!(
        scans[0]["found"].as_u64().unwrap() > 0,
        "the search finds what is there: {scans:#?}"
    );
    assert_eq!(scans[1]["found"], 0, "{scans:#?}");
    assert_eq!(scans[2]["found"], 0, "{scans:#?}");
    let log = home.log();
    assert!(!log.contains(TOKEN) && !log.contains(APP_SECRET));
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_comes_back_after_a_crash() {
    let peer = Peer::start().await;
    let (home, host, client, _operator) = ready(CONFIG).await;
    let account = Account::new(&client, peer.port, "1").await;
    peer.hold(true);
    let hold = |path: &str, repeatable: bool| json!({"url": peer.url(path), "repeatable": repeatable, "context": "of before"});
    account.submit("again", hold("/hold/again", true)).await;
    account.submit("lost", hold("/hold/lost", false)).await;
    for path in ["/hold/again", "/hold/lost"] {
        eventually("it is asked", async || {
            peer.asked_for(path).first().cloned()
        })
        .await;
    }
    host.kill().await;
    peer.hold(false);
    let host = home.start().await;
    let account = Account {
        client: Client::new(&host.base, &client.key),
        ..account
    };
    let again = account.answer("again").await;
    assert_eq!(again["status"], 200, "{again:#}");
    assert_eq!(again["context"], "of before");
    assert_eq!(peer.asked_for("/hold/again").len(), 2);
    let lost = account.answer("lost").await;
    assert_eq!(lost["error"], "Unavailable", "{lost:#}");
    assert!(
        lost["message"]
            .as_str()
            .unwrap()
            .contains("may have acted on it")
    );
    assert_eq!(lost["context"], "of before");
    assert_eq!(peer.asked_for("/hold/lost").len(), 1);
    // Both are over: another start asks nobody.
    host.terminate().await;
    let host = home.start().await;
    let account = Account {
        client: Client::new(&host.base, &client.key),
        ..account
    };
    account.submit("last", get(&peer, "/last")).await;
    assert_eq!(account.answer("last").await["status"], 200);
    assert_eq!(peer.asked_for("/hold/again").len(), 2);
    assert_eq!(account.told("answer").await.len(), 3);
    host.kill().await;
}
