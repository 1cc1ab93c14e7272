//! A component that is refused leaves the old one running, and says why.

use super::replace::{drop_in, new_version, registrations, runs};
use super::servers::{Ngircd, ngircd};
use super::{World, text};
use crate::support::{eventually, guests};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CHANNEL: &str = "#steady";

/// Every occurrence replaced by bytes of the same length.
fn patched(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let mut found = false;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            found = true;
        }
    }
    assert!(found, "{from:?} is not in the component");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_is_refused() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let refuse_start = Arc::new(AtomicBool::new(false));
    let refuses = refuse_start.clone();
    let mut world = World::start_with(move |config| {
        if refuses.load(Ordering::Relaxed) {
            let operator = json!({"refuse_start": true});
            config.provider.insert("irc".into(), operator);
        }
    })
    .await;
    let mut peer = server.peer("ada");
    peer.join(CHANNEL);
    let account = world
        .account(server.port, "anyport", json!({"channels": [CHANNEL]}))
        .await;
    account.sign_in().await;
    account.joined(CHANNEL).await;
    let id = account.id.clone();
    let good = world.component().await;
    let digest = text(&world.provider().await["digest"]).to_owned();

    // By upload: the answer says why, and so does the list.
    let half = good[..good.len() / 2].to_vec();
    let text_file = b"this is no component".to_vec();
    let newer = patched(&good, "contract = \"0.1.0\"", "contract = \"9.1.0\"");
    let broken = patched(&good, "class = \"best-effort\"", "class = \"best-effort ");
    let no_grant = patched(&good, "\"connections\", ", "               ");
    for (what, component, says) in [
        ("cut off", half, ""),
        ("no component", text_file, ""),
        ("a newer contract", newer, "9.1.0"),
        ("a broken manifest", broken, "manifest"),
        (
            "an import that its manifest does not name",
            no_grant,
            "connections",
        ),
    ] {
        let answer = world.upload(component).await;
        let error = answer.expect(400)["error"].clone();
        assert_eq!(error["code"], "invalid_component", "{what}: {error:#}");
        assert!(text(&error["message"]).contains(says), "{what}: {error:#}");
        let listed = world.host.get("/v1/providers").await.expect(200);
        let reason = text(&error["message"])
            .strip_prefix("body: ")
            .unwrap()
            .to_owned();
        let shown = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|provider| provider["last_refusal"]["reason"] == reason.as_str());
        assert!(shown, "{what}: {listed:#}");
        assert_eq!(world.provider().await["digest"], digest.as_str(), "{what}");
    }

    // By the directory.
    drop_in(&world, "irc.wasm", &good[..good.len() - 1000]);
    let refusal = eventually("the refusal of the file", async || {
        let refusal = world.provider().await["last_refusal"].clone();
        (refusal["source"] == "irc.wasm").then_some(refusal)
    })
    .await;
    assert_ne!(text(&refusal["reason"]), "");

    // The old one goes on, on the same connection.
    account.sent(CHANNEL, "still here").await;
    peer.wait_for(":still here");
    peer.send(&format!("PRIVMSG {CHANNEL} :so am I"));
    account.received("so am I").await;
    assert_eq!(account.show().await["provider_digest"], digest.as_str());
    assert_eq!(registrations(&server, "anyport"), 1);

    // A good one clears it. An account that is not signed in goes along.
    let idle = world.account(server.port, "ben", json!({})).await;
    world.upload(new_version(&good, 1)).await.expect(201);
    let digest = runs(&world, &account, &digest).await;
    assert_eq!(world.provider().await["last_refusal"], Value::Null);

    assert_eq!(registrations(&server, "anyport"), 1);
    assert_eq!(idle.show().await["provider_digest"], digest.as_str());
    idle.sign_in().await;
    world.host.delete(&idle.path("")).await.expect(204);

    // One that passes the check and refuses to start. The configuration that it refuses comes
    // from the operator, after a restart.
    std::fs::remove_file(world.host.data().join("providers/irc.wasm")).unwrap();
    refuse_start.store(true, Ordering::Relaxed);
    world.host = world.host.restart().await;
    let account = super::Account { world: &world, id };
    account.is("running").await;
    assert_eq!(account.show().await["provider_digest"], digest.as_str());
    assert_eq!(registrations(&server, "anyport"), 2, "{}", server.log());
    let stubborn = patched(guests::evil(), "id = \"evil\"", "id = \"irc\" ");
    world.upload_approved(stubborn).await.expect(201);
    let provider = eventually("the refusal of the account", async || {
        let provider = world.provider().await;
        (provider["last_refusal"] != Value::Null).then_some(provider)
    })
    .await;
    let reason = text(&provider["last_refusal"]["reason"]);
    assert!(reason.contains("1 of 1 accounts"), "{reason}");
    assert!(
        reason.contains("refused to start, as configured"),
        "{reason}"
    );
    assert_eq!(
        provider["other_versions"],
        json!([{"digest": digest, "accounts": 1}])
    );
    account.sent(CHANNEL, "and on").await;
    peer.wait_for(":and on");
    peer.send(&format!("PRIVMSG {CHANNEL} :and on, too"));
    account.received("and on, too").await;
    assert_eq!(registrations(&server, "anyport"), 2);
    assert_eq!(account.show().await["runtime_error"], "");
    assert_eq!(account.show().await["provider_digest"], digest.as_str());
    world.host.stop().await;
}
