//! `kill -9` at any moment under traffic both ways: what got its 2xx is in the log once, what did not
//! is posted again and dropped where it was there, and every send tells what became of it.

use super::{PROVIDER, Posting, SECRET};
use crate::support::arrivals::Arrivals;
use crate::support::process::{Client, Home};
use crate::support::proves;
use crate::support::random::Random;
use crate::support::traffic::{EVENTS, Senders, Story, traffic};
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_webhooks_come_nothing_is_lost_or_doubled() {
    let kills = if proves() { 100 } else { 4 };
    let seed = std::process::id().into();
    println!("{kills} kills, seed {seed}");
    let mut random = Random(seed);

    let mut posting = Posting::start().await;
    let sink = Arrivals::start().await;
    let home = Home::new(&format!(
        "[network]\nallow = [\"127.0.0.0/8\"]\n\
         [simulator]\nenabled = false\n\
         [runtime]\nguest_threads = 2\nsend_deadline_s = 20\n\
         [provider.{PROVIDER}]\nserver = \"{}\"\nport = {}\nwebhook_secret = \"{SECRET}\"\n",
        posting.http.ip(),
        posting.http.port(),
    ));
    let mut host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    client.endpoint(&sink.url(), &EVENTS).await;
    let accounts = posting.accounts(&client, &operator).await;
    posting.post_to(Some(&host.base)).await;
    let control = &mut posting.channel.control;
    control.start_traffic(None, traffic()).await.unwrap();

    let base = watch::Sender::new(host.base.clone());
    let senders = Senders::start(&accounts, &keys.workspace, &base, 4);
    for kill in 0..kills {
        // Most lives are short; some do what clients wait for, however slow the machine is.
        if random.below(4) == 0 {
            senders.until_answered(senders.answered() + 8).await;
        }
        tokio::time::sleep(Duration::from_millis(100 + random.below(1_500))).await;
        host.kill().await;
        // Its port may be somebody else's now.
        posting.post_to(None).await;
        host = home.start().await;
        base.send_replace(host.base.clone());
        posting.post_to(Some(&host.base)).await;
        if kill % 20 == 19 {
            println!("{} kills", kill + 1);
        }
    }
    let answered = senders.answered();
    senders.until_answered(answered + 20).await;
    let sends = senders.stop().await;
    let control = &mut posting.channel.control;
    control.stop_traffic(None).await.unwrap();

    let story = Story {
        accounts: accounts.into(),
        sends,
        client: Client::new(&host.base, &keys.workspace),
    };
    let numbers = story.holds(&mut posting.channel, &sink).await;
    let deliveries = posting.channel.control.deliveries().await.unwrap();
    let of = |fits: &dyn Fn(Option<u16>) -> bool| {
        deliveries
            .iter()
            .filter(|record| fits(record.status))
            .count()
    };
    // Nothing that the channel signed was ever refused.
    let refused = of(&|status| status.is_some_and(|status| (400..500).contains(&status)));
    assert_eq!(refused, 0, "{deliveries:#?}");
    println!(
        "{kills} kills: {numbers}; {} webhooks posted, {} taken, {} put off, {} without an answer",
        deliveries.len(),
        of(&|status| status.is_some_and(|status| status < 300)),
        of(&|status| status.is_some_and(|status| status >= 500)),
        of(&|status| status.is_none()),
    );
    host.kill().await;
}
