//! All tests that need more than one module of the host. One binary, a module per story.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod backup;
mod conformance;
mod crash;
mod evil;
mod full;
mod held;
mod irc;
mod markers;
mod retention;
mod rotation;
mod runtime;
mod support;
