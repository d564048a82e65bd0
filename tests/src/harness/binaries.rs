//! Builds `kmid` and `kmi` once a test run: a package of tests gets no paths of other packages' binaries.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Where the binaries are.
#[derive(Debug)]
pub struct Binaries {
    /// The daemon.
    pub kmid: PathBuf,
    /// The client.
    pub kmi: PathBuf,
}

/// The binaries in the profile that the caller was built in.
///
/// # Panics
/// When they do not build.
pub fn binaries() -> &'static Binaries {
    static BUILT: OnceLock<Binaries> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> Binaries {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        // The same features as in `cargo test --workspace`, so that nothing is built twice.
        "--workspace",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    // What cargo told this process about its own package would look like a change to build scripts that read it
    // (ring's does), and dependencies would be compiled anew in every run.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            cargo.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).stderr(Stdio::inherit());
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "kmid and kmi do not build; see above");
    // Cargo says where it put them, whatever the target directory, the profile or the target triple.
    let messages: Vec<Value> =
        built.stdout.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let find = |name: &str| {
        messages
            .iter()
            .filter(|m| m["target"]["name"] == name)
            .find_map(|m| m["executable"].as_str())
            .map_or_else(|| panic!("cargo built no {name}"), PathBuf::from)
    };
    Binaries { kmid: find("kmid"), kmi: find("kmi") }
}
