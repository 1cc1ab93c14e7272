//! Sealing what is confidential: operator key → data key → AEAD.
