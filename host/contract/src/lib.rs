//! The host side of the contract in `wit/`, generated.
//!
//! Owns nothing but generated code: it stands apart from the host because it takes long to
//! build and changes only when the contract does. No logic belongs here.

#![allow(clippy::all, clippy::unwrap_used, missing_docs)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "everything",
    imports: { default: trappable },
    additional_derives: [Clone, PartialEq],
});
