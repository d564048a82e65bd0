//! What a release build is made from: its commit and a date. Nothing is asked of the clock, so that the same sources give
//! the same programs; a development build asks nothing at all, so that a commit compiles nothing anew.

use std::env;
use std::path::Path;
use std::process::Command;

#[path = "src/build/date.rs"]
mod date;

/// For who builds from sources without git.
const COMMIT: &str = "KMI_BUILD_COMMIT";
/// Seconds since the Unix epoch, as reproducible-builds.org defines it.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={COMMIT}");
    println!("cargo::rerun-if-env-changed={EPOCH}");
    let given = env::var(COMMIT).ok().filter(|text| !text.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let long = if !is_release && given.is_none() {
        format!("{version} (development build)")
    } else {
        let has_git = is_our_git();
        if has_git {
            watch_git();
        }
        let from_git = |args: &[&str]| has_git.then(|| git(args)).flatten();
        let commit = given.or_else(|| from_git(&["rev-parse", "--short=9", "HEAD"]));
        let epoch = env::var(EPOCH).ok().or_else(|| from_git(&["log", "-1", "--format=%ct"]));
        let date = epoch.and_then(|text| text.trim().parse().ok()).and_then(date::of_epoch);
        let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        format!("{version} (commit {}, {})", known(commit), known(date))
    };
    println!("cargo::rustc-env=KMI_BUILD={long}");
}

/// Whether git knows this very file: the archive of a crate may lie unpacked in somebody else's repository.
fn is_our_git() -> bool {
    git(&["ls-files", "--error-unmatch", "build.rs"]).is_some()
}

/// A commit or another branch is another build. A file that does not exist would make every build a new one.
fn watch_git() {
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(ran.stdout).ok()?.trim().to_owned();
    (ran.status.success() && !text.is_empty()).then_some(text)
}
