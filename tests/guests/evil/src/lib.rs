//! evil-provider
