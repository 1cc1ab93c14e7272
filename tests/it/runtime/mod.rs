//! The runtime against a guest that misbehaves on command, without supervisor, storage or
//! network. No test asserts on time: what counts is which fault a turn ended with.

mod cache;
mod check;
mod closed;
mod faults;
mod limits;
mod output;
mod secrets;
mod stage;
mod suspend;
