# What a developer types often. `cargo run --release` and `cargo test` need none of it.

default:
    @just --list

# The host, as a newcomer runs it.
run:
    cargo run --release

# All tests that CI runs.
test:
    cargo test

# Formatting and lints as CI holds them.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p anyport-sdk -p simulator-provider -p simulator-webhook-provider -p irc-provider -p evil-provider --target wasm32-wasip2 --target-dir target/guests -- -D warnings

# The description of the API as reviews see it.
openapi:
    cargo test --no-run
    target/debug/anyport openapi > target/openapi.json
    mv target/openapi.json docs/openapi.json

# Every operation of a real host, called by schemathesis. Wants Python.
prove-openapi:
    cargo test --no-run
    .ci/openapi/run target/debug/anyport

# One provider as a component: just provider irc
provider name:
    cargo build -p {{name}}-provider --target wasm32-wasip2 --profile provider --target-dir target/guests

# Benchmarks: turns, memory of idle accounts, durable sends. Wants a quiet machine.
bench:
    cargo bench -p anyport-bench
    cargo build --release -p anyport-bench
    target/release/anyport-bench idle
    target/release/anyport-bench send

# 200 x kill -9 under traffic, on each database.
prove-crash:
    ANYPORT_PROVE=1 cargo test --test it -- --nocapture crash

# 100 x kill -9 under traffic that comes by webhook and leaves over HTTP.
prove-webhook:
    ANYPORT_PROVE=1 cargo test --test it -- --nocapture webhook_channel

# PostgreSQL stopped for 30 s, killed, cut off at its COMMITs.
prove-postgres:
    ANYPORT_PROVE=1 CI=true cargo test --test it -- --nocapture postgres::

# The database held for 30 s, the disk full.
prove-storage:
    ANYPORT_PROVE=1 cargo test --test it -- --nocapture held full

# Two hosts on one PostgreSQL: the working one frozen, restarted, killed and stopped, ten times each.
prove-takeover:
    ANYPORT_PROVE=1 CI=true cargo test --test it -- --nocapture two_hosts

# A file of 200 MB up and down, out to the channel and back; the memory of host and guests watched.
prove-media:
    ANYPORT_PROVE=1 cargo test --test it -- --nocapture large_media::a_large

# IRC against ngircd and InspIRCd, long.
prove-irc:
    ANYPORT_PROVE=1 CI=true cargo test --test it -- --nocapture irc

# Turns that fail before their commit, and versions replaced under traffic.
prove-conformance:
    ANYPORT_PROVE=1 cargo test --test it -- --nocapture conformance
