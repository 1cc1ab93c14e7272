//! What the benchmarks share. Measures the host from outside or through its public parts; must
//! never be used by it.

pub mod clock;
pub mod native;
pub mod process;
pub mod world;
