//! What runs in a process of its own: says in one line of JSON that it is up, and ends when its
//! standard input does.

use crate::Kind;
use anyport::app;
use anyport::app::config::Config;
use std::io::Read;
use std::path::PathBuf;
use tokio::net::TcpListener;

pub fn host(kind: Kind, data: PathBuf) -> anyhow::Result<()> {
    if kind == Kind::Native {
        anyport_bench::native::use_native();
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut config = Config {
            data,
            ..Config::default()
        };
        config.network.allow.push("127.0.0.0/8".parse()?);
        let running = app::start(config, TcpListener::bind("127.0.0.1:0").await?).await?;
        // A second start knows none: nothing but memory is looked at then.
        let key = running.keys.workspace.clone();
        say(serde_json::json!({"address": running.address.to_string(), "key": key}));
        wait().await;
        anyhow::Ok(())
    })
}

pub fn simulator() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let settings = anyport_simulator::Settings::default();
        let simulator = anyport_simulator::Simulator::start(listener, settings)?;
        say(serde_json::json!({"address": simulator.address().to_string()}));
        wait().await;
        anyhow::Ok(())
    })
}

fn say(what: serde_json::Value) {
    println!("{what}");
}

/// Until the load program is gone.
async fn wait() {
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = end.await;
}
