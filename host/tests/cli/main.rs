//! The commands as a person and as a script use them: the binary itself against a host that is
//! the same binary. Here and not in `tests/it`, since cargo builds the binary for this package's
//! tests only.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authors;
mod keys;
mod listen;
mod newcomer;
mod shell;
mod signin;
mod support;
