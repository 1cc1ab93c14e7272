//! anyport-tests
