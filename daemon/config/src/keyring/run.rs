//! Running the keyring's tool to its end.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::{Zeroize as _, Zeroizing};

use super::KeyringError;

/// A keyring that is locked asks a person; one that hangs is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// More than any key.
const MOST_BYTES: u64 = 4096;

/// Runs the tool with something to read. What it says is wiped on drop.
pub(super) fn run(
    mut command: Command,
    program: &'static str,
    input: &str,
    is_missing: impl Fn(Option<i32>, &str) -> bool,
) -> Result<Zeroizing<String>, KeyringError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyringError::NoTool(program),
        _ => KeyringError::Unreachable(error.to_string()),
    })?;
    // It may end without reading; then it says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let code = ended(&mut child)?;
    let said = read(child.stderr.take());
    let mut out = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize));
    // Cut off, it is no key, and that shows later.
    let _ = child.stdout.take().map(|stdout| stdout.take(MOST_BYTES).read_to_end(&mut out));
    if is_missing(code, &said) {
        return Err(KeyringError::Missing);
    }
    if code != Some(0) {
        return Err(KeyringError::Unreachable(said));
    }
    String::from_utf8(std::mem::take(&mut *out)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        KeyringError::NoKey
    })
}

/// Waits for its end, not for ever. What it says fits into a pipe.
fn ended(child: &mut Child) -> Result<Option<i32>, KeyringError> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) if begun.elapsed() < PATIENCE => thread::sleep(LOOK_EVERY),
            Ok(None) => {
                // It may end just now.
                let _ = child.kill();
                let _ = child.wait();
                return Err(KeyringError::Silent);
            }
            Err(error) => return Err(KeyringError::Unreachable(error.to_string())),
        }
    }
}

/// The first line of what a tool complains about; never a key, which it would print on its standard output.
fn read(from: Option<impl io::Read>) -> String {
    const LONGEST: usize = 200;
    let mut bytes = Vec::new();
    let _ = from.map(|from| from.take(MOST_BYTES).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}
