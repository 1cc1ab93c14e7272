//! An empty turn as the host runs it: a frame that leads to nothing, through the account's
//! mailbox, a worker's thread and the guest. CPU time of the whole process.

use anyport_bench::clock;
use anyport_bench::world::World;
use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Duration;

fn mailbox(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(World::start()).expect("a world");
    let mut group = criterion.benchmark_group("mailbox (CPU of the process)");
    for burst in [1_000, 1] {
        group.bench_function(format!("empty turn, {burst} at once"), |bencher| {
            bencher.iter_custom(|turns| {
                runtime.block_on(async {
                    let begun = clock::process();
                    let mut left = turns;
                    while left > 0 {
                        let now = left.min(burst);
                        world.empty_turns(now as u32).await;
                        left -= now;
                    }
                    clock::process() - begun
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1))
        .sample_size(20);
    targets = mailbox
}
criterion_main!(benches);
