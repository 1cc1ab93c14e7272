//! What is refused before any account runs on it, and what the refusal says.

use super::stage::{engine, evil};
use crate::support::guests;

#[track_caller]
fn refused(bytes: &[u8], phrases: &[&str]) {
    let refusal = match engine().check(bytes) {
        Ok(provider) => panic!("{} was accepted", provider.manifest.id),
        Err(refusal) => refusal.to_string(),
    };
    for phrase in phrases {
        assert!(refusal.contains(phrase), "no {phrase:?} in: {refusal}");
    }
    assert!(!refusal.contains('\n'), "one line: {refusal}");
}

/// A component with this manifest and this body.
fn component(manifest: &str, body: &str) -> Vec<u8> {
    let text =
        format!("(component (core module (@custom \"anyport:manifest\" {manifest:?})) {body})");
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A manifest that is right but for what is replaced in it.
fn manifest(what: &str, with: &str) -> String {
    let right = r#"id = "x"
title = "X"
version = "0.1.0"
contract = "0.1.0"
class = "best-effort"
resume = "snapshot"
imports = []
"#;
    assert!(right.contains(what), "{what}");
    right.replace(what, with)
}

#[test]
fn accepts_what_is_right() {
    let provider = evil();
    assert_eq!(provider.manifest.id, "evil");
    assert_eq!(provider.descriptor.title, "Evil");
    assert!(provider.can_send() && provider.can_sign_in() && provider.has_feature("send.text"));
    assert_eq!(provider.digest.len(), 64);
    let other = engine().check(guests::simulator_no_dedupe()).unwrap();
    assert!(!other.manifest.dedupes_sends);
}

#[test]
fn no_component() {
    refused(b"", &["no WebAssembly"]);
    refused(b"#!/bin/sh\necho hello\n", &["no WebAssembly"]);
    refused(
        &guests::assembled("core-module.wat"),
        &[
            "core WebAssembly module",
            "a provider is a component",
            "wasm32-wasip2",
        ],
    );
    let whole = guests::evil();
    refused(&whole[..whole.len() / 2], &["cannot be read"]);
}

#[test]
fn no_manifest() {
    refused(
        &guests::assembled("no-manifest.wat"),
        &["carries no manifest", "`anyport:manifest` is missing"],
    );
}

#[test]
fn two_manifests() {
    let section = format!(
        "(core module (@custom \"anyport:manifest\" {:?}))",
        manifest("", "")
    );
    let bytes = wat::parse_str(format!("(component {section} {section})")).unwrap();
    refused(&bytes, &["more than one manifest"]);
}

#[test]
fn a_wrong_manifest() {
    for (what, with, phrases) in [
        (
            "id = \"x\"",
            "id = \"Not So\"",
            &["id `Not So` is wrong"][..],
        ),
        ("id = \"x\"", "", &["missing field `id`"]),
        (
            "id = \"x\"",
            "id = \"x\"\ncolour = \"red\"",
            &["unknown field `colour`"],
        ),
        (
            "version = \"0.1.0\"",
            "version = \"new\"",
            &["version `new` is wrong"],
        ),
        ("best-effort", "hopeful", &["unknown variant `hopeful`"]),
        (
            "imports = []",
            "imports = [\"crypto\"]",
            &["anyport:provider/crypto", "does not offer"],
        ),
        (
            "imports = []",
            "imports = []\n[[egress]]\nhost = \"a.example\"\nport = 1\ntransports = [\"udp\"]",
            &["egress to a.example: transports is one or more of"],
        ),
        (
            "imports = []",
            "imports = []\n[[egress]]\nhost = \"a.example\"\nport = 1\ntransports = [\"tcp\"]\npaths = [\"/\"]",
            &["methods and paths are only for http and https"],
        ),
        (
            "imports = []",
            "imports = []\n[[secrets.placements]]\nsecret = \"a\"\nplace = \"query\"\nname = \"a\"\nhosts = [\"b\"]",
            &["secrets.placements of `a`: it is not in secrets.names"],
        ),
        (
            "imports = []",
            "imports = []\n[[ingress]]\nroute = \"a\"\nverify = { kind = \"token\", header = \"b\", secret = \"c\" }",
            &["ingress `a` uses the secret `c`, which is not in secrets.names"],
        ),
        (
            "imports = []",
            "imports = []\n[[ingress]]\nroute = \"a\"\nverify = { kind = \"hmac-sha256\", header = \"b\" }",
            &["ingress `a`: verify.secret: is required"],
        ),
        (
            "imports = []",
            "imports = []\n[secrets]\nnames = [\"a\"]\nreveal = [\"b\"]",
            &["secrets.reveal names `b`, which is not in secrets.names"],
        ),
    ] {
        refused(&component(&manifest(what, with), ""), phrases);
    }
}

#[test]
fn a_newer_contract() {
    refused(&guests::assembled("newer-contract.wat"), &["0.2.0", "0.1"]);
    // Also where only an import is newer.
    let import = r#"(import "anyport:provider/kv@0.2.0" (instance
        (export "get" (func (param "key" string) (result (option (list u8)))))))"#;
    let bytes = component(&manifest("imports = []", "imports = [\"kv\"]"), import);
    refused(
        &bytes,
        &["speaks anyport:provider/kv@0.2.0", "this host speaks 0.1"],
    );
}

#[test]
fn an_import_that_is_not_offered() {
    refused(
        &guests::assembled("http-import.wat"),
        &["imports anyport:provider/http@0.1.0", "was not granted"],
    );
    let import = r#"(import "anyport:provider/crypto@0.1.0" (instance))"#;
    refused(
        &component(&manifest("", ""), import),
        &["imports anyport:provider/crypto@0.1.0", "does not offer"],
    );
    let import = r#"(import "wasi:http/types@0.2.0" (instance (export "f" (func))))"#;
    refused(
        &component(&manifest("", ""), import),
        &["wasi:http/types@0.2.0"],
    );
}

#[test]
fn an_import_that_the_manifest_does_not_ask_for() {
    let import = r#"(import "anyport:provider/kv@0.1.0" (instance
        (export "remove" (func (param "key" string)))))"#;
    refused(
        &component(&manifest("", ""), import),
        &["imports anyport:provider/kv@0.1.0", "add `kv` to `imports`"],
    );
}

#[test]
fn an_import_of_another_shape() {
    let import = r#"(import "anyport:provider/kv@0.1.0" (instance
        (export "remove" (func (param "key" u32)))))"#;
    refused(
        &component(&manifest("imports = []", "imports = [\"kv\"]"), import),
        &["anyport:provider/kv@0.1.0", "remove"],
    );
}

#[test]
fn nothing_exported() {
    refused(
        &guests::assembled("no-exports.wat"),
        &["does not export anyport:provider/lifecycle@0.1.0"],
    );
}

#[test]
fn an_export_of_another_shape() {
    refused(
        guests::evil_wrong_shape(),
        &[
            "anyport:provider/messaging@0.1.0",
            "another shape",
            "expected `record` found `string`",
        ],
    );
}

#[test]
fn a_describe_that_does_something() {
    refused(
        guests::evil_describe_impure(),
        &[
            "`describe` failed",
            "`describe` called `kv.put`: it must be pure",
        ],
    );
}
