//! `kmid --detach`: starts the daemon in the background and returns when it is ready to serve.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use crate::private;

/// What the background process writes once it serves; anything else it writes says why it does not.
const READY: &str = "ready";

/// Starts this program again with `args` in the background and waits for it. What it prints goes to
/// `logs/proxy.out`.
///
/// # Errors
/// When it cannot be started.
pub fn start(args: impl Iterator<Item = OsString>, state_dir: &Path) -> io::Result<ExitCode> {
    let mut child = spawn(args, state_dir)?;
    let Some(stdout) = child.stdout.take() else { return Ok(ExitCode::FAILURE) };
    let mut lines = BufReader::new(stdout).lines();
    match lines.next() {
        Some(Ok(line)) if line == READY => Ok(ExitCode::SUCCESS),
        first => {
            let mut stderr = io::stderr().lock();
            for line in first.into_iter().chain(lines).map_while(Result::ok) {
                // Nobody to tell it to is no reason to fail differently.
                let _ = writeln!(stderr, "{line}");
            }
            let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
            Ok(code.filter(|code| *code != 0).map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

fn spawn(args: impl Iterator<Item = OsString>, state_dir: &Path) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--detached").args(args.filter(|arg| arg != "--detach"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(printed_to(state_dir));
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;
        // CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP: a console that nobody sees, and no Ctrl-C of this one. Without
        // any console (DETACHED_PROCESS) the system would not say that it shuts down, and every program that kmid
        // starts would open a window.
        command.creation_flags(0x0800_0000 | 0x0000_0200);
    }
    command.spawn()
}

/// A panic's text is worth keeping; when it cannot be kept the daemon starts all the same.
fn printed_to(state_dir: &Path) -> Stdio {
    let open = || -> io::Result<File> {
        let folder = state_dir.join("logs");
        private::create_dir_all(&folder)?;
        private::file_options().append(true).create(true).open(folder.join("proxy.out"))
    };
    open().map_or_else(|_| Stdio::null(), Stdio::from)
}

/// In the background process: leaves the terminal's session, so that closing it ends nothing.
pub fn leave_session() {
    #[cfg(unix)]
    {
        // Fails only for a process group's leader, which a started process is not.
        let _ = rustix::process::setsid();
    }
}

/// In the background process: tells the one that started it that all is well.
pub fn tell_ready() {
    tell(READY);
}

/// In the background process: tells the one that started it why it does not serve.
pub fn tell(text: &str) {
    let mut stdout = io::stdout().lock();
    // The starter may be gone, and that is no reason to end.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
