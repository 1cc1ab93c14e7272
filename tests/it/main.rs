//! All tests that need more than one module of the host. One binary, a module per story.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod architecture;
mod authorization;
mod avatars;
mod backup;
mod conformance;
mod contract;
mod crash;
mod doctor;
mod evil;
mod full;
mod held;
mod irc;
mod large_media;
mod markers;
mod media;
mod native_api;
mod operations;
mod postgres;
mod retention;
mod rotation;
mod runtime;
mod simulator;
mod stop;
mod support;
mod traces;
mod two_hosts;
mod web;
mod webhook_channel;
