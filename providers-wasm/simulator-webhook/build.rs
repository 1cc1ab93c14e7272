//! A small stack keeps idle instances small.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo:rustc-link-arg=-zstack-size=131072");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
