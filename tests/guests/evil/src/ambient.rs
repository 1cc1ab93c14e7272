//! What time and chance look like from inside, by the contract and by the standard library.

use anyport_sdk::events::{Emission, Event};
use anyport_sdk::model::Custom;
use anyport_sdk::{events, turn};
use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Emits it as a custom event.
pub fn moment() {
    let (clock, begun) = (turn::now(), Instant::now());
    let system = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // As much time as a few ticks of a real clock would take to show.
    std::hint::black_box((0..2_000_000_u64).fold(0, |sum, step| std::hint::black_box(sum ^ step)));
    let told = serde_json::json!({
        "now": clock,
        "later": turn::now(),
        "system_ms": system.as_millis() as u64,
        "elapsed_ns": begun.elapsed().as_nanos() as u64,
        "random": turn::random(16),
        "more_random": turn::random(16),
        "map_order": (0..20).map(|n| (n, ())).collect::<HashMap<u32, ()>>().into_keys().collect::<Vec<_>>(),
    });
    let custom = Custom {
        name: "moment".to_owned(),
        value: told.to_string(),
    };
    events::emit(&Emission::new(
        format!("moment-{}", hex(&turn::random(8))),
        turn::now(),
        Event::Custom(custom),
    ));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
