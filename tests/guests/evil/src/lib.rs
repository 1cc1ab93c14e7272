//! A provider that misbehaves on command, for hostile tests of the host.
//!
//! It opens the line-framed connection `main`, counts the lines in kv, emits each line as
//! a message with its number as key, and writes what it is asked to send as a line. A
//! line or a text that begins with `!` is a command first; see `commands`. Asked for a
//! conversation whose id begins with `!`, it answers badly; see `asked`. Configuration
//! makes starting and suspending misbehave as well.
//!
//! This file is the part that behaves. It keeps `main` across faults and must never need
//! memory of an earlier instance.

#[cfg(all(feature = "ambient", not(feature = "wrong-shape")))]
mod ambient;
#[cfg(not(feature = "wrong-shape"))]
mod asked;
#[cfg(not(feature = "wrong-shape"))]
mod commands;
#[cfg(not(feature = "wrong-shape"))]
mod guest;
#[cfg(not(feature = "wrong-shape"))]
mod web;
mod media;
#[cfg(feature = "wrong-shape")]
mod wrong_shape;

anyport_sdk::manifest!("../provider.toml");
