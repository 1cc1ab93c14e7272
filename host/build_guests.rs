//! Builds WebAssembly components of this workspace from a build script, in a target directory
//! of their own, and adds the wasm32-wasip2 target where it is missing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "provider";

/// The workspace's root, seen from a package `levels` below it.
pub fn workspace(levels: usize) -> PathBuf {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    package
        .ancestors()
        .nth(levels)
        .expect("the package stands in the workspace")
        .to_owned()
}

/// Builds a package with some of its features and returns the path of the component.
/// `name` keeps builds with other features apart; what they share is built once.
pub fn build(workspace: &Path, package: &str, features: &[&str], name: &str) -> PathBuf {
    add_target(workspace);
    let target = target_directory().join("guests");
    std::fs::create_dir_all(&target).expect("the target directory can be written");
    // Two builds of one package leave their component under one name: one at a time, until it is
    // copied away.
    let lock = std::fs::File::create(target.join("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    let file = format!("{}.wasm", package.replace('-', "_"));
    let output = target.join(TARGET).join(PROFILE);
    // Cargo names it without regard to features and would take another variant for fresh.
    let (variant, last) = (
        features.join(","),
        target.join(format!("{package}.variant")),
    );
    if std::fs::read_to_string(&last).ok().as_deref() != Some(&variant) {
        let _ = std::fs::remove_file(output.join("deps").join(&file));
    }
    let _ = std::fs::remove_file(&last);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--package",
            package,
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ])
        .arg("--target-dir")
        .arg(&target);
    if !features.is_empty() {
        cargo.args(["--features", &variant]);
    }
    // What the outer build was called with is not for the guests.
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let outer = [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "RUSTC",
            "RUSTDOC",
            "CLIPPY_ARGS",
        ];
        if outer.contains(&text)
            || text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_PROFILE_")
        {
            cargo.env_remove(text);
        }
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(
        status.success(),
        "`{package}` did not build for {TARGET}; its errors stand above"
    );
    std::fs::write(&last, &variant).expect("the target directory can be written");
    let built = std::fs::read(output.join(&file)).expect("cargo left the component where it says");
    let components = target.join("components");
    std::fs::create_dir_all(&components).expect("the target directory can be written");
    let component = components.join(format!("{name}.wasm"));
    // Only a changed one gets a new time, so that what includes it is not built in vain.
    if std::fs::read(&component).ok().as_deref() != Some(&built) {
        std::fs::write(&component, built).expect("the target directory can be written");
    }
    component
}

/// Where this build puts its output, so that all builds of one checkout share the guests'.
fn target_directory() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // <target>/[<triple>/]<profile>/build/<package>/out
    let build = out.ancestors().find(|path| path.ends_with("build"));
    match build.and_then(Path::parent).and_then(Path::parent) {
        Some(target) => target.to_owned(),
        None => out,
    }
}

fn add_target(workspace: &Path) {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let there = Command::new(rustc)
        .current_dir(workspace)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .is_some_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists());
    if there {
        return;
    }
    let added = Command::new("rustup")
        .current_dir(workspace)
        .args(["target", "add", TARGET])
        .status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the {TARGET} target is missing and `rustup target add {TARGET}` failed"
    );
}

/// The build script runs again when one of these changes.
pub fn watch(workspace: &Path, paths: &[&str]) {
    for path in paths {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
}
