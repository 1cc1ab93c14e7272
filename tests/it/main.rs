//! All tests that need more than one module of the host. One binary, a module per story.

mod architecture;
mod conformance;
mod crash;
mod evil;
mod full;
mod held;
mod irc;
mod runtime;
mod support;
