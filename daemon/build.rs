//! Lays the program out: what a daemon runs while it stands and serves lies together.
//!
//! The system maps a program's code in pieces of 64 KiB around whatever is run. What kmid runs was scattered over all of
//! its 9 MB, so nearly all of them were in memory (ARCHITECTURE.md has the figures). `layout.txt` has the names;
//! `cargo run --release -p kmi-tests --example layout` makes it anew. A name that is not there any more is passed over, and
//! one that is missing only costs its piece of memory.

use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

/// One pattern of a name a line.
const LIST: &str = "layout.txt";
/// `0` keeps the usual layout: for linkers that take no script.
const SWITCH: &str = "KMI_BUILD_LAYOUT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LIST}");
    println!("cargo::rerun-if-env-changed={SWITCH}");
    if !is_wanted() || !has_the_usual_linker() {
        return Ok(());
    }
    let script = Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("layout.ld");
    fs::write(&script, script_of(&fs::read_to_string(LIST)?))?;
    println!("cargo::rustc-link-arg-bin=kmid=-T");
    println!("cargo::rustc-link-arg-bin=kmid={}", script.display());
    Ok(())
}

fn is(name: &str, value: &str) -> bool {
    env::var(name).is_ok_and(|found| found == value)
}

fn is_wanted() -> bool {
    is("PROFILE", "release") && !is(SWITCH, "0")
}

/// The lld that comes with Rust. GNU ld takes such a script, too, but others do not, and who runs under the name of `ld`
/// is not to be seen from here: whoever has or chose another linker keeps the usual layout.
fn has_the_usual_linker() -> bool {
    let is_target = is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let chooses = |flag: &str| ["link", "Clink", "Zlink"].iter().any(|start| flag.starts_with(start));
    let is_chosen = env::var_os("RUSTC_LINKER").is_some()
        // `mold -run` puts itself in every linker's place.
        || env::var_os("MOLD_PATH").is_some()
        || flags.split('\x1f').any(|flag| chooses(flag.trim_start_matches('-')));
    is_target && !is_chosen && rust_brings_lld().unwrap_or(false)
}

/// Where Rust brings its own, it is the one that is run [blog.rust-lang.org, 1.90, 2025-09]. Distributions leave it out.
fn rust_brings_lld() -> Option<bool> {
    let sysroot = Command::new(env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    let lld = "lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld";
    Some(Path::new(sysroot.trim()).join(lld).exists())
}

/// A linker script that adds one section before the usual ones. What is seldom run has a section name of its own
/// (`.text.unlikely`), from which it is taken where it is run all the same.
fn script_of(list: &str) -> String {
    let names = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sections: String = names.map(|name| format!("*(.text.{name} .text.unlikely.{name})\n")).collect();
    format!("SECTIONS\n{{\n.text.running :\n{{\n{sections}}}\n}}\nINSERT BEFORE .text;\n")
}
