//! Memory of the host: alone, and with accounts that are signed in over plain TCP and idle.

use crate::Kind;
use crate::client::Client;
use anyhow::Context;
use anyport_bench::process::{Memory, Part};
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 1_000)]
    accounts: usize,
    /// Seconds of rest before memory is looked at.
    #[arg(long, default_value_t = 3)]
    rest: u64,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let rest = Duration::from_secs(args.rest);
    let simulator = Part::start(&["simulator"])?;
    let data = tempfile::tempdir()?;
    let directory = data.path().to_str().context("a path that is text")?;
    let arguments = [
        "host",
        "--kind",
        Kind::Component.name(),
        "--data",
        directory,
    ];
    let host = Part::start(&arguments)?;
    tokio::time::sleep(rest).await;
    let alone = host.memory()?;
    println!("| accounts | RSS MiB | PSS MiB | page tables KiB | maps | CPU s so far |");
    println!("|---|---|---|---|---|---|");
    row(0, &host, alone)?;

    let mut client = Client::connect(host.text("address")?, host.text("key")?).await?;
    let mut signed_in = 0;
    let mut first = None;
    for step in [args.accounts / 10, args.accounts] {
        for number in signed_in..step {
            let user = format!("idle-{number}");
            client.sign_in(simulator.text("address")?, &user).await?;
        }
        signed_in = step;
        tokio::time::sleep(rest).await;
        let memory = host.memory()?;
        row(step, &host, memory)?;
        first.get_or_insert((step, memory));
    }
    let before = host.cpu()?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = host.cpu()? - before;
    let full = host.memory()?;
    println!();
    println!(
        "{:.1} KiB an account (PSS and page tables, {} against 0)",
        per_account(full, alone, args.accounts),
        args.accounts
    );
    if let Some((step, memory)) = first {
        println!(
            "{:.1} KiB an account ({} against {step})",
            per_account(full, memory, args.accounts - step),
            args.accounts
        );
    }
    println!(
        "{:.1} ms CPU a second while all are idle",
        idle.as_secs_f64() * 100.0
    );
    Ok(())
}

fn per_account(with: Memory, without: Memory, accounts: usize) -> f64 {
    let kib = |memory: Memory| (memory.pss_kib + memory.page_tables_kib) as f64;
    (kib(with) - kib(without)) / accounts as f64
}

fn row(accounts: usize, host: &Part, memory: Memory) -> anyhow::Result<()> {
    println!(
        "| {accounts} | {:.1} | {:.1} | {} | {} | {:.2} |",
        memory.rss_kib as f64 / 1024.0,
        memory.pss_kib as f64 / 1024.0,
        memory.page_tables_kib,
        memory.maps,
        host.cpu()?.as_secs_f64()
    );
    Ok(())
}
