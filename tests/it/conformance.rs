//! What the contract promises about inputs that come again, held against the simulator channel's
//! providers: turns that fail before their commit, and versions that are replaced, lose, double and
//! reorder nothing.

use crate::support::arrivals::Arrivals;
use crate::support::host::Host;
use crate::support::process::Client;
use crate::support::traffic::{Account, Channel, Senders, Story, provider_configuration, traffic};
use crate::support::{eventually, proves, show_log};
use anyport::app::BUNDLED;
use anyport::domain::AccountId;
use anyport::supervisor::FaultInjection;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// Every so-manieth turn, whatever it is for, fails when it has done all its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_turn_had_comes_again() {
    show_log();
    let sends = if proves() { 1_000 } else { 60 };
    for every in [11, 31] {
        let turns = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let armed = Arc::new(AtomicBool::new(false));
        let (counted, failing, when) = (turns.clone(), failed.clone(), armed.clone());
        let injection = FaultInjection(Arc::new(move |_: &AccountId| {
            if !when.load(Ordering::Relaxed) {
                return false;
            }
            let fails = counted.fetch_add(1, Ordering::Relaxed) % every == every - 1;
            failing.fetch_add(u64::from(fails), Ordering::Relaxed);
            fails
        }));
        let world = World::start(Some(injection)).await;
        armed.store(true, Ordering::Relaxed);
        let logins = world.accounts.len() as u64;
        world.senders.until_answered(sends).await;
        let (mut channel, numbers) = world.ends().await;
        // The provider goes on with its connection after a fault.
        assert_eq!(channel.logins().await, logins, "a connection was dropped");
        println!(
            "{} of {} turns failed: {numbers}",
            failed.load(Ordering::Relaxed),
            turns.load(Ordering::Relaxed)
        );
    }
}

/// A sign-in lives in the memory of one instance. When that is lost, the client learns it at once
/// and can begin again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_lost_its_provider_says_so() {
    show_log();
    let once = Arc::new(AtomicBool::new(false));
    let fails = once.clone();
    let injection = FaultInjection(Arc::new(move |_: &AccountId| {
        fails.swap(false, Ordering::Relaxed)
    }));
    let host = Host::start_with(move |config| {
        config.fault_injection = Some(injection.clone());
    })
    .await;
    let client = Client::new(&host.base, &host.key);
    let account = json!({
        "provider": "simulator",
        "auth_mode": "code",
        "provider_data": {"user": "ada"},
    });
    let made = client.post("/v1/accounts", account).await.expect(201);
    let auth = format!("/v1/accounts/{}/auth", made["data"]["id"].as_str().unwrap());
    let start = async || {
        client
            .post(&format!("{auth}/start"), json!({}))
            .await
            .expect(200)
    };
    let code = json!({"code": "123456"});

    // The call that begins it comes again by itself.
    once.store(true, Ordering::Relaxed);
    assert_eq!(start().await["data"]["status"], "awaiting_code");
    assert!(!once.load(Ordering::Relaxed));
    // The answer comes again to an instance that never asked.
    once.store(true, Ordering::Relaxed);
    let refused = client
        .post(&format!("{auth}/code"), code.clone())
        .await
        .expect(409);
    assert_eq!(refused["error"]["code"], "conflict", "{refused:#}");
    eventually("the sign-in has failed", async || {
        let state = client.get(&auth).await.expect(200);
        (state["data"]["status"] == "failed").then_some(())
    })
    .await;

    assert_eq!(start().await["data"]["status"], "awaiting_code");
    let state = client.post(&format!("{auth}/code"), code).await.expect(200);
    assert_eq!(state["data"]["status"], "authorized", "{state:#}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_under_traffic() {
    show_log();
    let swaps = 10;
    let world = World::start(None).await;
    let id = AccountId::from_text(&world.accounts[0].id);
    let (_, component) = BUNDLED
        .iter()
        .find(|(provider, _)| *provider == "simulator")
        .unwrap();
    for swap in 0..swaps {
        let answered = world.senders.answered();
        world.senders.until_answered(answered + 3).await;
        world
            .operator
            .install(&another_version(component, swap))
            .await;
        eventually("the account runs the new version", async || {
            let live = world.host.running.supervisor.live(&id).unwrap();
            // The first instance and one for each version.
            (live.instances == u64::from(swap) + 2).then_some(())
        })
        .await;
    }
    let listed = world.client.get("/v1/providers").await.expect(200);
    for provider in listed["data"].as_array().unwrap() {
        assert!(provider["last_refusal"].is_null(), "{provider:#}");
    }
    let logins = world.accounts.len() as u64;
    let (mut channel, numbers) = world.ends().await;
    assert_eq!(channel.logins().await, logins, "a connection was dropped");
    println!("{swaps} versions: {numbers}");
}

/// The same component under another digest: with a custom section more.
fn another_version(component: &[u8], number: u8) -> Vec<u8> {
    const NAME: &[u8] = b"again";
    let mut bytes = component.to_vec();
    bytes.push(0);
    bytes.push(NAME.len() as u8 + 2);
    bytes.push(NAME.len() as u8);
    bytes.extend(NAME);
    bytes.push(number);
    bytes
}

/// A host in this process with four accounts and traffic both ways.
struct World {
    channel: Channel,
    sink: Arrivals,
    host: Host,
    client: Client,
    operator: Client,
    accounts: Arc<[Account]>,
    senders: Senders,
}

impl World {
    async fn start(faults: Option<FaultInjection>) -> Self {
        let mut channel = Channel::start().await;
        let sink = Arrivals::start().await;
        let providers = provider_configuration(channel.address());
        let host = Host::start_with(move |config| {
            config.simulator.enabled = Some(false);
            config.provider.clone_from(&providers);
            config.fault_injection.clone_from(&faults);
        })
        .await;
        let client = Client::new(&host.base, &host.key);
        let operator = Client::new(&host.base, &host.operator_key);
        let accounts = channel.accounts(&client, &operator, &sink).await;
        channel
            .control
            .start_traffic(None, traffic())
            .await
            .unwrap();
        let base = watch::Sender::new(host.base.clone());
        let senders = Senders::start(&accounts, &host.key, &base, 4);
        Self {
            channel,
            sink,
            host,
            client,
            operator,
            accounts: accounts.into(),
            senders,
        }
    }

    /// No more traffic, and everything held against everything.
    async fn ends(mut self) -> (Channel, String) {
        let sends = self.senders.stop().await;
        self.channel.control.stop_traffic(None).await.unwrap();
        let story = Story {
            accounts: self.accounts,
            sends,
            client: self.client,
        };
        let numbers = story.holds(&mut self.channel, &self.sink).await;
        self.host.stop().await;
        (self.channel, numbers)
    }
}
