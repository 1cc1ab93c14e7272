//! simulator-provider
