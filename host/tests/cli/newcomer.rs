//! From nothing to messages out and in, by commands only; every answer for programs is JSON, and
//! every exit code is the documented one.

use super::support::{Host, binary, parse, run};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn accounts_messages_events_endpoints() {
    let host = Host::start().await;

    let none = host.run(&["accounts", "list"]).await.expect(0);
    assert_eq!(none.out, "");
    assert!(none.err.contains("accounts create"), "{}", none.err);
    assert_eq!(
        host.run(&["accounts", "list", "--json"])
            .await
            .expect(0)
            .json()["data"],
        parse("[]")
    );

    let id = host.account("ada").await;
    let list = host.run(&["accounts", "list"]).await.expect(0).out;
    assert!(
        !list.contains('\u{1b}'),
        "colours without a terminal: {list}"
    );
    for word in ["ada", &id, "simulator", "authorized", "running"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    let coloured = host
        .run(&["accounts", "list", "--color", "always"])
        .await
        .expect(0)
        .out;
    assert!(
        coloured.contains("\u{1b}[32mauthorized\u{1b}[0m"),
        "{coloured}"
    );

    // By name as well as by id.
    host.run(&["accounts", "show", "ada"]).await.expect(0);
    let status = host.run(&["accounts", "status", &id]).await.expect(0).out;
    assert!(status.contains("running"), "{status}");
    let other = host
        .run(&[
            "accounts",
            "update",
            "ada",
            "--metadata",
            "team=desk",
            "--json",
        ])
        .await
        .expect(0);
    assert_eq!(other.json()["data"]["metadata"]["team"], "desk");
    for action in ["stop", "start", "restart"] {
        host.run(&["accounts", action, "ada", "--json"])
            .await
            .expect(0)
            .json();
    }

    let sent = host
        .run(&["send", "ada", "echo", "hello", "--json", "--wait", "60"])
        .await
        .expect(0)
        .json();
    assert_eq!(sent["data"]["state"], "sent");
    let message = sent["data"]["id"].as_str().unwrap();
    let piped = host
        .run_with(&["send", "ada", "echo"], "two\nlines\n")
        .await
        .expect(0)
        .out;
    assert!(piped.starts_with("sent  "), "{piped}");
    let at_once = [
        "send",
        "ada",
        "echo",
        "x",
        "--wait",
        "0",
        "--idempotency-key",
        "a \"b\"",
        "--json",
    ];
    let recorded = host.run(&at_once).await.expect(0).json();
    let again = host.run(&at_once).await.expect(0).json();
    assert_eq!(recorded["data"]["id"], again["data"]["id"]);
    let shown = host
        .run(&["messages", "show", message, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(shown["data"]["state"], "sent");
    let listed = host
        .run(&["messages", "list", "--state", "sent", "--account", "ada"])
        .await
        .expect(0)
        .out;
    assert!(listed.contains(message), "{listed}");

    let page = host
        .run(&[
            "events",
            "list",
            "--type",
            "message.received",
            "--wait",
            "60",
            "--json",
        ])
        .await
        .expect(0)
        .json();
    assert_eq!(page["data"]["items"][0]["data"]["message"]["text"], "hello");
    let lines = host.run(&["events", "list"]).await.expect(0);
    assert!(
        lines.out.contains("hello") && lines.err.contains("--after"),
        "{lines:?}"
    );

    let made = host
        .run(&[
            "endpoints",
            "create",
            "http://127.0.0.1:9/hook",
            "--event",
            "message.received",
            "--json",
        ])
        .await
        .expect(0)
        .json();
    assert!(
        made["signing_secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_")
    );
    assert_eq!(made["data"]["signing_enabled"], true);
    let endpoint = made["data"]["id"].as_str().unwrap();
    let rotated = host
        .run(&["endpoints", "rotate-secret", endpoint])
        .await
        .expect(0)
        .out;
    assert!(rotated.contains("shown this once: whsec_"), "{rotated}");
    host.run(&[
        "endpoints",
        "update",
        endpoint,
        "--max-attempts",
        "3",
        "--json",
    ])
    .await
    .expect(0)
    .json();
    let off = host
        .run(&["endpoints", "deactivate", endpoint, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(off["data"]["state"], "inactive");
    host.run(&["endpoints", "activate", endpoint])
        .await
        .expect(0);
    assert!(
        host.run(&["endpoints", "list"])
            .await
            .expect(0)
            .out
            .contains(endpoint)
    );
    let refused = host.run(&["endpoints", "delete", endpoint]).await.expect(2);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    let gone = host
        .run(&["endpoints", "delete", endpoint, "--yes", "--json"])
        .await
        .expect(0)
        .json();
    assert!(
        gone["data"].is_null() && gone["request_id"].is_string(),
        "{gone}"
    );

    let providers = host.run(&["providers", "list"]).await.expect(0).out;
    assert!(providers.contains("simulator"), "{providers}");
    let workspace = host
        .run(&["workspaces", "show", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(workspace["data"]["status"], "active");

    host.run(&["accounts", "signout", "ada"]).await.expect(0);
    host.run(&["accounts", "delete", "ada", "--yes"])
        .await
        .expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_has_its_code_and_words() {
    let host = Host::start().await;
    let id = host.account("bob").await;

    let missing = host.run(&["accounts", "show", "acc_none"]).await.expect(3);
    assert!(
        missing.err.contains("not_found (404)") && missing.err.contains("req_"),
        "{}",
        missing.err
    );
    let missing = host
        .run(&["accounts", "show", "acc_none", "--json"])
        .await
        .expect(3);
    assert_eq!(
        (missing.out.as_str(), &missing.error()["code"]),
        ("", &parse("\"not_found\""))
    );
    let field = host
        .run(&[
            "accounts",
            "create",
            "simulator",
            "--set",
            "port:=true",
            "--json",
        ])
        .await
        .expect(3);
    assert!(
        field.error()["message"].as_str().unwrap().contains("port"),
        "{}",
        field.err
    );
    host.run(&["accounts", "show", "nobody"]).await.expect(2);
    host.run(&["accounts", "dance"]).await.expect(2);
    host.run(&["accounts", "update", &id]).await.expect(2);

    let again = host.run(&["signin", &id]).await.expect(3);
    assert!(again.err.contains("accounts signout"), "{}", again.err);

    // The simulator's server refuses to send to whom it does not know… as failed.
    let long = "x".repeat(70_000);
    let failed = host.run_with(&["send", &id, "echo", "--json"], &long).await;
    assert!([3, 5].contains(&failed.code), "{failed:?}");

    // A wrong key: said where it came from, and never what it is.
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "dk_live_marker_of_a_wrong_key\n").unwrap();
    let wrong = host
        .run(&["accounts", "list", "--key-file", file.to_str().unwrap()])
        .await
        .expect(3);
    assert!(
        wrong.err.contains("invalid_api_key") && wrong.err.contains(file.to_str().unwrap()),
        "{}",
        wrong.err
    );
    assert!(!wrong.err.contains("marker"), "{}", wrong.err);
    let mut command = host.anyport(&["providers", "install", "/dev/null"]);
    command.env("ANYPORT_KEY", host.key());
    let narrow = run(command, "").await.expect(3);
    assert!(narrow.err.contains("operator"), "{}", narrow.err);

    // Nobody there; and somebody who is no Anyport.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let nobody = host
        .run(&["accounts", "list", "--url", &url])
        .await
        .expect(4);
    assert!(
        nobody.err.contains("cannot be reached") && nobody.err.contains("ANYPORT_URL"),
        "{}",
        nobody.err
    );
    let nobody = host
        .run(&["accounts", "list", "--url", &url, "--json"])
        .await
        .expect(4);
    assert_eq!(nobody.error()["code"], "unreachable");
    host.run(&["accounts", "list", "--url", "not an address"])
        .await
        .expect(2);

    // A trial's keys go to no other address.
    let mut command = host.anyport(&["accounts", "list", "--url"]);
    command.arg(format!(
        "http://localhost:{}",
        host.address.rsplit(':').next().unwrap()
    ));
    let without = run(command, "").await.expect(3);
    assert!(without.err.contains("missing_api_key"), "{}", without.err);
}

#[tokio::test]
async fn profiles_name_host_and_key() {
    let host = Host::start().await;
    let home = TempDir::new().unwrap();
    let directory = home.path().join("anyport");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("desk.key"), host.key()).unwrap();
    let profile = format!(
        "[profile.desk]\nurl = \"http://{}\"\nkey_file = \"desk.key\"\n",
        host.address
    );
    std::fs::write(directory.join("cli.toml"), profile).unwrap();
    let mut command = binary();
    command
        .args(["accounts", "list", "--json", "--profile", "desk"])
        .env("XDG_CONFIG_HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    run(command, "").await.expect(0).json();
}
