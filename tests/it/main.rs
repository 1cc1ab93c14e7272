//! All tests that need more than one module of the host. One binary, a module per story.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod architecture;
mod authorization;
mod conformance;
mod crash;
mod doctor;
mod evil;
mod full;
mod held;
mod irc;
mod operations;
mod postgres;
mod runtime;
mod stop;
mod support;
mod traces;
mod two_hosts;
