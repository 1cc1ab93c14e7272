//! WASI, closed: the clock and randomness are the turn's, standard output and error go to the
//! account's log, and there is nothing else. Waiting is refused, since a turn never waits.

use super::guest::GuestState;
use super::limits::breach;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng, TryRng};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

/// What a guest may print in one turn; the rest is dropped.
const OUTPUT_BYTES: usize = 8 * 1024;

/// What WASI's `get-random-bytes` gives in one call.
const RANDOM_BYTES: u64 = 64 * 1024;

/// Milliseconds since the Unix epoch, frozen for a turn.
#[derive(Clone, Default)]
pub struct TurnClock(Arc<AtomicU64>);

impl TurnClock {
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl HostWallClock for TurnClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl HostMonotonicClock for TurnClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed).saturating_mul(1_000_000)
    }
}

/// 32 fresh bytes of the operating system for each turn that asks, expanded by ChaCha20.
#[derive(Clone, Default)]
pub struct TurnRandom(Arc<Mutex<Option<ChaCha20Rng>>>);

impl TurnRandom {
    /// A turn begins: with this seed, or with a new one, drawn if it is needed at all.
    pub fn begin(&self, seed: Option<[u8; 32]>) {
        if let Ok(mut generator) = self.0.lock() {
            *generator = seed.map(ChaCha20Rng::from_seed);
        }
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        let Ok(mut generator) = self.0.lock() else {
            return;
        };
        generator
            .get_or_insert_with(|| {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).expect("the operating system gives randomness");
                ChaCha20Rng::from_seed(seed)
            })
            .fill_bytes(bytes);
    }
}

impl TryRng for TurnRandom {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

/// What the guest printed in the turn that runs.
#[derive(Clone, Default)]
pub struct GuestOutput(Arc<Mutex<Vec<u8>>>);

impl GuestOutput {
    /// Takes what was printed, as text.
    pub fn take(&self) -> Option<String> {
        let bytes = std::mem::take(&mut *self.0.lock().ok()?);
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut kept = self.0.lock().map_err(|_| StreamError::Closed)?;
        let room = OUTPUT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(4096)
    }
}

pub fn context(clock: &TurnClock, random: &TurnRandom, output: &GuestOutput) -> WasiCtx {
    WasiCtxBuilder::new()
        .wall_clock(clock.clone())
        .monotonic_clock(clock.clone())
        .secure_random(random.clone())
        .insecure_random(random.clone())
        .insecure_random_seed(0)
        .max_random_size(RANDOM_BYTES)
        .stdout(output.clone())
        .stderr(output.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

pub fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    for name in ["subscribe-duration", "subscribe-instant"] {
        clock.func_wrap(
            name,
            move |_, (_when,): (u64,)| -> wasmtime::Result<(Resource<DynPollable>,)> {
                breach("it tried to sleep: a turn never waits, set a timer instead")
            },
        )?;
    }
    linker.allow_shadowing(false);
    Ok(())
}
