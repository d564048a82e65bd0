//! Starting the successor with the sockets in place: the one thing here that has to happen between fork and exec. It is
//! done by `command-fds`, because our own code has no unsafe block.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use kmid_core::said::Said;
use kmid_core::say;
use rustix::process::{Pid, Signal, kill_process};

use super::{Parts, program};
use crate::{inherited, private};

/// A process that was killed is gone after this, unless the system itself hangs.
const GONE: Duration = Duration::from_secs(5);

/// A started successor; killed, and gone, when it is dropped before [`Started::let_go`].
#[derive(Debug)]
pub(super) struct Started {
    /// The process that was started here.
    child: Option<Child>,
    /// The one that it has started in its turn ([`stand_alone`]).
    alone: Option<Pid>,
    /// Our end of the conversation: the other one closes when the successor is gone.
    conversation: UnixStream,
}

impl Started {
    pub(super) fn pid(&self) -> u32 {
        let alone = self.alone.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
        alone.or(self.child.as_ref().map(Child::id)).unwrap_or(0)
    }

    /// This process is the successor. If it is not the child, that has done its part: returned, it is to be ended.
    #[must_use]
    pub(super) fn stands_alone(&mut self, pid: u32) -> Option<Child> {
        if self.child.as_ref().is_some_and(|child| child.id() == pid) {
            return None;
        }
        self.alone = i32::try_from(pid).ok().and_then(Pid::from_raw);
        self.child.take()
    }

    /// It stands on its own.
    pub(super) fn let_go(&mut self) {
        (self.child, self.alone) = (None, None);
    }

    /// How it ended by itself. Blocks.
    pub(super) fn ended(&mut self) -> Said {
        // Its end of the conversation is closed; a process that does that and goes on is of no use.
        if let Some(pid) = self.alone.take() {
            let _ = kill_process(pid, Signal::KILL);
            return say!(restart_ended_silently);
        }
        match self.end_child() {
            None => say!(restart_gone),
            Some(Ok(status)) => say!(restart_ended_with, status = status.to_string()),
            Some(Err(error)) => Said::of_io(&error),
        }
    }

    fn end_child(&mut self) -> Option<io::Result<ExitStatus>> {
        let mut child = self.child.take()?;
        let _ = child.kill();
        Some(child.wait())
    }
}

impl Started {
    /// Ends it; returns when it is gone. Blocks.
    pub(super) fn end(&mut self) {
        self.end_child();
        let Some(pid) = self.alone.take() else { return };
        let _ = kill_process(pid, Signal::KILL);
        // Nothing may be written here before it is gone.
        let _ = self.conversation.set_nonblocking(false);
        let _ = self.conversation.set_read_timeout(Some(GONE));
        let _ = io::copy(&mut self.conversation, &mut io::sink());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first of the successor's two steps: starts the same program again with the sockets and the conversation as they
/// are, says so, and is to end. The second process is then no child of the running kmid but of whoever adopts orphans:
/// under systemd the manager itself, which does not wait for a main process that is another one's child but kills it at
/// once when it stops the service (v252, `main_pid_alien`, seen 2026-11).
///
/// # Errors
/// When it cannot be started.
pub(super) fn stand_alone(flag: &str) -> io::Result<u32> {
    let program = program(&std::env::current_exe()?);
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg(flag);
    // Its end is another one's business.
    command.spawn().map(|child| child.id())
}

/// Starts the program with the sockets from descriptor 3 on, named as `crate::inherited` reads them, and with
/// `conversation` as its standard input.
pub(super) fn start(parts: &mut Parts, ours: UnixStream, conversation: UnixStream) -> io::Result<Started> {
    let mut command = Command::new(&parts.program);
    command.args(["--take-over"]).args(&parts.args);
    command.stdin(OwnedFd::from(conversation));
    if parts.detached {
        command.arg("--detached").stdout(Stdio::null()).stderr(printed(parts));
    }
    let (names, sockets): (Vec<&str>, Vec<OwnedFd>) =
        std::mem::take(&mut parts.listeners).into_iter().unzip();
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    // The number of the process is not known before it runs; the watchdog's is another one's.
    command.env_remove("LISTEN_PID").env_remove("WATCHDOG_PID");
    let mappings = sockets
        .into_iter()
        .zip(inherited::FIRST..)
        .map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd })
        .collect();
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    command.spawn().map(|child| Started { child: Some(child), alone: None, conversation: ours })
}

/// A panic's text is worth keeping.
fn printed(parts: &Parts) -> Stdio {
    let path = parts.state_dir.join("logs").join("proxy.out");
    let file: io::Result<File> = private::file_options().append(true).create(true).open(path);
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}
