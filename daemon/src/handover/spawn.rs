//! Starting the successor with the sockets in place: the one thing here that has to happen between fork and exec. It is
//! done by `command-fds`, because our own code has no unsafe block.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};

use super::Parts;
use crate::{inherited, private};

/// A started successor; killed and waited for when it is dropped before [`Started::let_go`].
#[derive(Debug)]
pub(super) struct Started(Option<Child>);

impl Started {
    pub(super) fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// It stands on its own.
    pub(super) fn let_go(&mut self) {
        self.0 = None;
    }

    /// How it ended by itself.
    pub(super) fn ended(&mut self) -> String {
        let Some(mut child) = self.0.take() else { return "it is gone".to_owned() };
        // Its end of the conversation is closed; a process that does that and goes on is of no use.
        let _ = child.kill();
        child.wait().map_or_else(|error| error.to_string(), |status| format!("it ended with {status}"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            // Nothing may be written here before it is gone.
            let _ = child.wait();
        }
    }
}

/// Starts the program with the sockets from descriptor 3 on, named as `crate::inherited` reads them, and with
/// `conversation` as its standard input.
pub(super) fn start(parts: &mut Parts, conversation: UnixStream) -> io::Result<Started> {
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
    command.spawn().map(|child| Started(Some(child)))
}

/// A panic's text is worth keeping.
fn printed(parts: &Parts) -> Stdio {
    let path = parts.state_dir.join("logs").join("proxy.out");
    let file: io::Result<File> = private::file_options().append(true).create(true).open(path);
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}
