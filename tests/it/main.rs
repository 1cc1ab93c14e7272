//! All tests that need more than one module of the host. One binary, a module per story.

mod architecture;
mod runtime;
mod support;
