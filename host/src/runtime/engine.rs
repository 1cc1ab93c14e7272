//! The engine: one per process. Owns wasmtime's configuration, the clock that interrupts guests,
//! and the cache of compiled components. Never knows which account runs.

use super::guest::{GuestState, TABLE_ELEMENTS};
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
            .table_elements(TABLE_ELEMENTS)
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
        match self.load(&path) {
            Ok(Some(component)) => {
                tracing::debug!(digest, "a component comes compiled from the cache");
                return Ok(component);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled component in the cache is not usable; compiling anew");
            }
        }
        let component = Component::from_binary(&self.wasm, bytes)?;
        if let Err(error) = keep(&path, &component) {
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

    /// Reads a compiled component that this host has written; none: there is none.
    // A compiled component is machine code: wasmtime cannot check it, so it asks for the promise
    // that it is our own output. The cache is a directory of the host's own (mode 0700), and the
    // checksum tells what a crash or the disk has damaged.
    #[expect(unsafe_code)]
    fn load(&self, path: &std::path::Path) -> anyhow::Result<Option<Component>> {
        let file = match std::fs::read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some((checksum, compiled)) = file.split_first_chunk::<CHECKSUM_BYTES>() else {
            anyhow::bail!("it is cut off");
        };
        if Sha256::digest(compiled)[..] != checksum[..] {
            anyhow::bail!("its checksum is wrong");
        }
        Ok(Some(unsafe {
            Component::deserialize(&self.wasm, compiled)
        }?))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// SHA-256 of what follows it in the file.
const CHECKSUM_BYTES: usize = 32;

/// Writes a compiled component so that there is never half of one under its name.
fn keep(path: &std::path::Path, component: &Component) -> anyhow::Result<()> {
    use std::io::Write;
    let compiled = component.serialize()?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&Sha256::digest(&compiled))?;
    file.write_all(&compiled)?;
    std::fs::rename(&temporary, path)?;
    Ok(())
}

/// SHA-256 of a component, as it is named everywhere.
pub fn digest_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
