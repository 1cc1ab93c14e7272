//! Anyport, the host: loads channel providers as WebAssembly components, gives REST clients
//! one send API and one durable, signed stream of events.
//!
//! `ARCHITECTURE.md` has the map. Directions of dependencies are held by a test
//! (`tests/it/architecture.rs`).

pub mod api;
pub mod app;
pub mod delivery;
pub mod domain;
pub mod media;
pub mod network;
pub mod runtime;
pub mod storage;
pub mod supervisor;
pub mod telemetry;
