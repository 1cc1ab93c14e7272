//! The engine: one per process. Owns wasmtime's configuration, the clock that interrupts guests,
//! and the cache of compiled components. Never knows which account runs.

use super::guest::GuestState;
use super::limits::Limits;
use super::{imports, wasi};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often guests are looked at while they run.
pub const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Instances alive at once. Each takes 4 of the kernel's `vm.max_map_count` (65,530 by
    /// default).
    pub max_instances: u32,
    /// What a manifest that asks for nothing gets.
    pub limits: Limits,
    /// The most that a manifest can ask for.
    pub ceiling: Limits,
    /// Where compiled components are kept. They run as they are found there, so nobody but the
    /// host may write to it. None: compiled anew in every process.
    pub cache: Option<PathBuf>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            max_instances: 12_000,
            limits,
            ceiling: Limits {
                memory_bytes: 64 << 20,
                cpu_ms: 1_000,
                kv_bytes: 256 << 20,
                ..limits
            },
            cache: None,
        }
    }
}

pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    pub(super) linker: Linker<GuestState>,
    pub(super) settings: EngineSettings,
    stop: Arc<AtomicBool>,
}

impl Engine {
    pub fn new(settings: EngineSettings) -> wasmtime::Result<Arc<Self>> {
        let instances = settings.max_instances.max(8);
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(instances)
            .total_core_instances(instances.saturating_mul(4))
            .total_memories(instances)
            .total_tables(instances.saturating_mul(3))
            .max_memory_size(settings.ceiling.memory_bytes)
            .max_core_instance_size(1 << 20)
            .max_component_instance_size(1 << 20)
            .table_elements(20_000)
            .max_core_instances_per_component(16)
            .max_memories_per_component(2)
            .max_tables_per_component(16);
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .wasm_component_model(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let wasm = wasmtime::Engine::new(&config)?;
        let mut linker = Linker::new(&wasm);
        wasi::add_to_linker(&mut linker)?;
        imports::add_to_linker(&mut linker)?;

        let stop = Arc::new(AtomicBool::new(false));
        let (ticking, stopped) = (wasm.weak(), stop.clone());
        std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    match ticking.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            })
            .map_err(wasmtime::Error::new)?;
        Ok(Arc::new(Self {
            wasm,
            linker,
            settings,
            stop,
        }))
    }

    /// Compiles, or takes the compiled form from the cache.
    pub(super) fn component(&self, bytes: &[u8], digest: &str) -> wasmtime::Result<Component> {
        let Some(cache) = &self.settings.cache else {
            return Component::from_binary(&self.wasm, bytes);
        };
        let path = cache.join(format!("{digest}-{}.cwasm", self.cache_key()));
        if path.exists() {
            match self.load(&path) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a compiled component in the cache is not usable; compiling anew");
                }
            }
        }
        let component = Component::from_binary(&self.wasm, bytes)?;
        if let Err(error) = store_atomically(&path, &component) {
            tracing::warn!(path = %path.display(), %error, "could not keep the compiled component");
        }
        Ok(component)
    }

    /// Names this version of wasmtime with this configuration on this machine's processor.
    fn cache_key(&self) -> String {
        use std::hash::{Hash, Hasher};
        struct Sha(Sha256);
        impl Hasher for Sha {
            fn finish(&self) -> u64 {
                let digest = self.0.clone().finalize();
                u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        let mut hasher = Sha(Sha256::new());
        self.wasm.precompile_compatibility_hash().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Reads a compiled component that this host has written.
    // A compiled component is machine code: wasmtime cannot check it, so it asks for the promise
    // that it is our own output. The cache is a directory of the host's own (mode 0700).
    #[expect(unsafe_code)]
    fn load(&self, path: &std::path::Path) -> wasmtime::Result<Component> {
        unsafe { Component::deserialize_file(&self.wasm, path) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn store_atomically(path: &std::path::Path, component: &Component) -> anyhow::Result<()> {
    let bytes = component.serialize()?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)?;
    Ok(())
}

/// SHA-256 of a component, as it is named everywhere.
pub fn digest_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
