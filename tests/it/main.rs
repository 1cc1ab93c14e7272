//! All tests that need more than one module of the host. One binary, a module per story.

mod crash;
mod full;
mod held;
mod support;
