//! Embeds what `anyport providers new` writes: the template, the SDK, the contract and what
//! authors read, as they are in this tree.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What the SDK takes from the workspace, and so must stand in the vendored one.
const INHERITED: [&str; 5] = ["hmac", "serde", "serde_json", "sha2", "wit-bindgen"];

/// What the project, and the hints of `anyport providers check`, name.
const DOCS: [&str; 3] = ["adding-a-provider.md", "capabilities.md", "manifest.md"];

fn main() {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = package
        .join("../..")
        .canonicalize()
        .expect("the workspace is there");
    let mut files = Vec::new();
    for (folder, below) in [
        ("sdk/template", ""),
        ("sdk/src", "vendor/anyport/sdk/src/"),
        ("wit", "vendor/anyport/wit/"),
    ] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        collect(&root.join(folder), below, &mut files);
    }
    let manifest = root.join("sdk/Cargo.toml");
    println!("cargo::rerun-if-changed={}", manifest.display());
    files.push(("vendor/anyport/sdk/Cargo.toml".to_owned(), manifest));
    for name in DOCS {
        let path = root.join("docs").join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        files.push((format!("vendor/anyport/docs/{name}"), path));
    }
    files.sort();

    let mut text = String::from("pub const FILES: &[(&str, &str)] = &[\n");
    for (name, path) in files {
        writeln!(
            text,
            "    ({name:?}, include_str!({:?})),",
            path.display().to_string()
        )
        .expect("writing to memory");
    }
    text.push_str("];\n");
    writeln!(
        text,
        "pub const DEPENDENCIES: &str = {:?};",
        inherited(&root)
    )
    .expect("writing to memory");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("project.rs"), text).expect("OUT_DIR can be written");
}

fn collect(folder: &Path, below: &str, files: &mut Vec<(String, PathBuf)>) {
    let entries = std::fs::read_dir(folder).expect("the tree is whole");
    for entry in entries {
        let path = entry.expect("the tree is whole").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = format!("{below}{}", name.expect("names are text"));
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.push((name, path));
        }
    }
}

/// Their lines of `[workspace.dependencies]`, as they stand there.
fn inherited(root: &Path) -> String {
    let path = root.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(path).expect("the tree is whole");
    let mut lines = String::new();
    for name in INHERITED {
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        lines += line.expect("the workspace has what the SDK inherits");
        lines += "\n";
    }
    lines
}
