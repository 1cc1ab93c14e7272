//! All tests that need more than one module of the host. One binary, a module per story.

mod architecture;
mod irc;
mod runtime;
mod support;
