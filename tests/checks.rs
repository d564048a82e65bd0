//! `.ci/run` on a machine that lacks Rust.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use kmi_tests::harness::programs;

/// What it says on standard error, and what it asked `apt-get` for, where the system offers rustup as `candidate`.
fn run_without_rust(candidate: &str) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in ["bash", "dirname", "env", "grep", "rm", "sed"] {
        let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        symlink(real.unwrap(), bin.join(program)).unwrap();
    }
    let asked = home.path().join("asked");
    for (name, does) in [
        ("apt-get", format!("echo \"$*\" >>'{}'", asked.display())),
        ("apt-cache", format!("printf 'rustup:\\n  Installed: (none)\\n  Candidate: {candidate}\\n'")),
        ("id", "echo 0".to_owned()),
        // It reads what it is given to the end, as a compiler does: else whoever writes may end with an error.
        ("cc", "while read -r line; do :; done".to_owned()),
    ] {
        let path = bin.join(name);
        programs::write(&path, format!("#!/bin/sh\n{does}\n"));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run");
    let mut command = Command::new(bin.join("bash"));
    command.arg(script).env_clear().env("PATH", &bin).env("HOME", home.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said, std::fs::read_to_string(asked).unwrap_or_default())
}

#[test]
fn a_system_without_rustup_is_told_what_to_install() {
    let (code, said, asked) = run_without_rust("(none)");
    assert_eq!((code, asked.as_str()), (Some(1), "update\n"), "{said}");
    let wanted =
        format!("install Rust {} or newer as https://rustup.rs says", env!("CARGO_PKG_RUST_VERSION"));
    assert!(said.contains(&wanted), "{said}");

    let (_, said, asked) = run_without_rust("1.27.1-3");
    assert!(
        asked.ends_with("install -y --no-install-recommends rustup ca-certificates\n"),
        "{asked}\n{said}"
    );
}
