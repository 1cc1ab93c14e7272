//! anyport-simulator
