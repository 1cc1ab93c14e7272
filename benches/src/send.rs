//! Durable sends: `POST /v1/messages`, answered when the simulator's server has answered and that
//! is committed. Contenders take turns in one run.

use crate::Kind;
use crate::client::Client;
use anyhow::{Context, bail};
use anyport_bench::process::Part;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[derive(clap::Args)]
pub struct Args {
    /// Of each contender at each concurrency.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Clients that send at once, each for an account of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    concurrency: Vec<usize>,
}

struct Contender {
    kind: Kind,
    host: Part,
    accounts: Vec<String>,
    _data: tempfile::TempDir,
}

/// What one round came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    per_second: f64,
    /// Of the host's process.
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let most = args.concurrency.iter().copied().max().unwrap_or(1);
    let simulator = Part::start(&["simulator"])?;
    let mut contenders = Vec::new();
    for kind in [Kind::Component, Kind::Native] {
        contenders.push(Contender::start(kind, simulator.text("address")?, most).await?);
    }
    println!(
        "| at once | contender | sends/s | CPU µs a send | p50 ms | p99 ms | CPU ratio | rate ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for concurrency in args.concurrency {
        let mut rounds: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
        let time = Duration::from_secs_f64(args.seconds);
        for contender in &contenders {
            contender.round(concurrency, time / 4).await?;
        }
        for number in 0..args.rounds {
            // Who begins changes, so that a machine that grows busy is nobody's advantage.
            for at in [number % 2, (number + 1) % 2] {
                let round = contenders[at].round(concurrency, time).await?;
                eprintln!("{concurrency} {}: {round:?}", contenders[at].kind.name());
                rounds[at].push(round);
            }
        }
        let ratio = |value: fn(&Round) -> f64| {
            let pairs = rounds[0].iter().zip(&rounds[1]);
            median(pairs.map(|(one, other)| value(one) / value(other)))
        };
        let ratios = format!(
            "{:.2} | {:.2}",
            ratio(|round| round.cpu_us),
            ratio(|round| round.per_second)
        );
        for (contender, rounds) in contenders.iter().zip(&rounds) {
            let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
            println!(
                "| {concurrency} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {} |",
                contender.kind.name(),
                of(|round| round.per_second),
                of(|round| round.cpu_us),
                of(|round| round.p50_ms),
                of(|round| round.p99_ms),
                match contender.kind {
                    Kind::Component => &ratios,
                    Kind::Native => "1 | 1",
                }
            );
        }
    }
    Ok(())
}

impl Contender {
    async fn start(kind: Kind, simulator: &str, accounts: usize) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let directory = data.path().to_str().context("a path that is text")?;
        let host = Part::start(&["host", "--kind", kind.name(), "--data", directory])?;
        let mut client = Client::connect(host.text("address")?, host.text("key")?).await?;
        let mut ids = Vec::new();
        for number in 0..accounts {
            let user = format!("{}-{number}", kind.name());
            ids.push(client.sign_in(simulator, &user).await?);
        }
        Ok(Self {
            kind,
            host,
            accounts: ids,
            _data: data,
        })
    }

    async fn round(&self, concurrency: usize, time: Duration) -> anyhow::Result<Round> {
        let mut clients = Vec::new();
        for account in self.accounts.iter().take(concurrency) {
            let client = Client::connect(self.host.text("address")?, self.host.text("key")?);
            clients.push((client.await?, account.clone()));
        }
        let (begun, cpu) = (Instant::now(), self.host.cpu()?);
        let mut sending = JoinSet::new();
        for (mut client, account) in clients {
            sending.spawn(async move {
                let body = serde_json::json!({
                    "account_id": account,
                    "to": {"id": "bob", "type": "user"},
                    "message": {"type": "text", "text": "x".repeat(100)},
                })
                .to_string();
                let mut took = Vec::new();
                while begun.elapsed() < time {
                    let asked = Instant::now();
                    let answer = client.post("/v1/messages", &body).await?;
                    took.push(asked.elapsed());
                    if !answer.windows(6).any(|text| text == b"\"sent\"") {
                        bail!("not sent: {}", String::from_utf8_lossy(answer));
                    }
                }
                Ok(took)
            });
        }
        let mut took = Vec::new();
        while let Some(done) = sending.join_next().await {
            took.extend(done??);
        }
        let (elapsed, cpu) = (begun.elapsed(), self.host.cpu()? - cpu);
        took.sort_unstable();
        let at = |share: f64| {
            let index = ((took.len() - 1) as f64 * share) as usize;
            took[index].as_secs_f64() * 1_000.0
        };
        Ok(Round {
            per_second: took.len() as f64 / elapsed.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1_000_000.0 / took.len() as f64,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
