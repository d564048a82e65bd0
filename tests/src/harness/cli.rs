//! Running `kmi` and `kmid` to their end.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use super::binaries::binaries;
use super::home::Home;
use super::wait::{DEADLINE, DEADLINE_OF_CLIENTS, within_at_most};

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit status; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as one JSON value.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }
}

/// Runs `kmi` in a HOME; it never starts a daemon unless the HOME says so.
pub async fn kmi(home: &Home, args: &[&str]) -> Ran {
    run(home, &binaries().kmi, args, "").await
}

/// Runs `kmid` in a HOME, for calls that end by themselves.
pub async fn kmid(home: &Home, args: &[&str]) -> Ran {
    run(home, &binaries().kmid, args, "").await
}

/// Runs a program in a HOME with something to read.
///
/// # Panics
/// When it cannot be started or does not end.
pub async fn run(home: &Home, program: &Path, args: &[&str], input: &str) -> Ran {
    run_within(DEADLINE, home, program, args, input).await
}

/// Runs a program that is not ours, such as a client, in a HOME; it finds nothing to read.
///
/// # Panics
/// When it cannot be started or does not end.
pub async fn run_client(home: &Home, program: &Path, args: &[&str]) -> Ran {
    run_within(DEADLINE_OF_CLIENTS, home, program, args, "").await
}

async fn run_within(deadline: Duration, home: &Home, program: &Path, args: &[&str], input: &str) -> Ran {
    let mut command = home.command(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    // A program that does not read its input may be gone already.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let guard = EndByDrop(pid);
    let what = format!("the end of {} {args:?}", program.display());
    let output: Output = within_at_most(deadline, what, ended).await.unwrap().unwrap();
    std::mem::forget(guard);
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Ends a program whose test failed while waiting for it.
struct EndByDrop(u32);

impl Drop for EndByDrop {
    fn drop(&mut self) {
        super::process::signal(self.0, rustix::process::Signal::KILL);
    }
}
