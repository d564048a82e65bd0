//! Lays the program out: what a daemon runs while it stands and serves lies together.
//!
//! The system maps a program's code in pieces of 64 KiB around whatever is run. What kmid runs was scattered over all of
//! its 9 MB, so nearly all of them were in memory (ARCHITECTURE.md has the figures). `layout.txt` has the names;
//! `cargo run --release -p kmi-tests --example layout` makes it anew. A name that is not there any more is passed over, and
//! one that is missing only costs its piece of memory.

use std::path::Path;
use std::{env, fs, io};

/// One pattern of a name a line.
const LIST: &str = "layout.txt";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed={LIST}");
    if !is_for_this_linker() {
        return Ok(());
    }
    let script = Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("layout.ld");
    fs::write(&script, script_of(&fs::read_to_string(LIST)?))?;
    println!("cargo:rustc-link-arg-bin=kmid=-T");
    println!("cargo:rustc-link-arg-bin=kmid={}", script.display());
    Ok(())
}

/// Release builds with the linker that comes with Rust for this target. GNU ld takes such a script, too, others do not:
/// whoever chose another one keeps the usual layout.
fn is_for_this_linker() -> bool {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && env::var_os("RUSTC_LINKER").is_none()
        && !["linker", "link-arg", "fuse-ld"].iter().any(|word| flags.contains(word))
}

/// A linker script that adds one section before the usual ones. What is seldom run has a section name of its own
/// (`.text.unlikely`), from which it is taken where it is run all the same.
fn script_of(list: &str) -> String {
    let names = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sections: String = names.map(|name| format!("*(.text.{name} .text.unlikely.{name})\n")).collect();
    format!("SECTIONS\n{{\n.text.running :\n{{\n{sections}}}\n}}\nINSERT BEFORE .text;\n")
}
