//! Keys, workspaces and what only operators may, by commands.

use super::support::{Host, Ran, run};
use tempfile::TempDir;

async fn with_key(host: &Host, file: &str, arguments: &[&str]) -> Ran {
    let mut command = host.anyport(arguments);
    command.args(["--key-file", file]);
    run(command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_narrowed_rotated_and_revoked() {
    let host = Host::start().await;
    let home = TempDir::new().unwrap();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();

    let (read, again) = (file("read.key"), file("again.key"));
    let made = host
        .run(&[
            "keys", "create", "desk", "--scope", "read", "--out", &read, "--json",
        ])
        .await
        .expect(0);
    let text = std::fs::read_to_string(&read).unwrap();
    assert!(!made.out.contains(text.trim()), "{}", made.out);
    let id = made.json()["data"]["key"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&read).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    host.run(&["keys", "create", "desk", "--out", &read])
        .await
        .expect(2);

    with_key(&host, &read, &["accounts", "list"])
        .await
        .expect(0);
    let narrow = with_key(&host, &read, &["accounts", "create", "simulator"]).await;
    let narrow = narrow.expect(3);
    assert!(!narrow.err.contains(text.trim()), "{}", narrow.err);

    host.run(&["keys", "rotate", &id, "--overlap", "3600", "--out", &again])
        .await
        .expect(0);
    for key in [&read, &again] {
        with_key(&host, key, &["accounts", "list"]).await.expect(0);
    }
    let listed = host.run(&["keys", "list"]).await.expect(0).out;
    assert!(listed.contains("desk") && listed.contains(&id), "{listed}");
    let off = host.run(&["keys", "revoke", &id, "--json"]).await.expect(0);
    assert_eq!(off.json()["data"]["status"], "inactive");
    with_key(&host, &again, &["accounts", "list"])
        .await
        .expect(3);
    host.run(&["keys", "activate", &id]).await.expect(0);

    let shown = host.run(&["keys", "create", "shown"]).await.expect(0).out;
    assert!(shown.contains("shown this once: dk_live_"), "{shown}");
    host.run(&["keys", "list", "--operators"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do() {
    let host = Host::start().await;
    let home = TempDir::new().unwrap();
    let made = host
        .run(&[
            "workspaces",
            "create",
            "Shop",
            "--account-quota",
            "2",
            "--json",
        ])
        .await
        .expect(0)
        .json();
    let id = made["data"]["id"].as_str().unwrap();
    let file = home.path().join("shop.key").to_str().unwrap().to_owned();
    host.run(&["keys", "create", "shop", "--workspace", id, "--out", &file])
        .await
        .expect(0);
    let mut command = host.anyport(&["workspaces", "show", "--json"]);
    command.args(["--key-file", &file]);
    let own = run(command, "").await.expect(0).json();
    assert_eq!(
        (
            own["data"]["name"].as_str(),
            own["data"]["account_quota"].as_u64()
        ),
        (Some("Shop"), Some(2))
    );
    assert!(
        host.run(&["workspaces", "list"])
            .await
            .expect(0)
            .out
            .contains("Shop")
    );
    host.run(&["workspaces", "update", id, "--account-quota", "none"])
        .await
        .expect(0);
    let refused = with_key(&host, &file, &["workspaces", "list"])
        .await
        .expect(3);
    assert!(refused.err.contains("operator"), "{}", refused.err);
    host.run(&["workspaces", "delete", id, "--yes"])
        .await
        .expect(0);

    host.account("ada").await;
    let state = host.run(&["admin", "state"]).await.expect(0).out;
    assert!(
        state.contains("1 running") && state.contains("database"),
        "{state}"
    );
    host.run(&["admin", "state", "--json"])
        .await
        .expect(0)
        .json();
    host.run(&["admin", "usage"]).await.expect(0);
    host.run(&["admin", "network"]).await.expect(0);
    let policy = r#"{"egress": {"deny": [{"host": "*.example.net"}]}}"#;
    let set = host
        .run_with(&["admin", "network", "--file", "-", "--json"], policy)
        .await;
    assert_eq!(
        set.expect(0).json()["data"]["egress"]["deny"][0]["host"],
        "*.example.net"
    );

    let versions = host
        .run(&["providers", "show", "simulator", "--json"])
        .await
        .expect(0)
        .json();
    let digest = versions["data"]["versions"][0]["digest"].as_str().unwrap();
    host.run(&["providers", "current", "simulator", &digest[..12]])
        .await
        .expect(0);
    host.run(&["providers", "current", "simulator", "none"])
        .await
        .expect(2);
    host.run(&["providers", "config", "simulator"])
        .await
        .expect(0);
    let shown = host
        .run(&["providers", "show", "simulator"])
        .await
        .expect(0)
        .out;
    assert!(
        shown.contains("current") && shown.contains("Granted"),
        "{shown}"
    );
}
