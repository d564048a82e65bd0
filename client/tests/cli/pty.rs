//! A pseudo-terminal of a fixed width, whose output is kept as it came, colours included.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::kmi::{Run, start};

/// A terminal's two sides, ours and a program's.
fn terminal(columns: u16) -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (File::from(ours), theirs)
}

/// All that is shown until nobody has the other side open any more.
fn shown(mut ours: File) -> String {
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    // Linux answers EIO when nobody has the other side open any more, others an end of file.
    while let Ok(count @ 1..) = ours.read(&mut piece) {
        shown.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(shown).unwrap().replace("\r\n", "\n")
}

/// Runs a program whose standard output is a terminal of so many columns; its standard error is none.
pub(crate) fn run(command: &mut Command, columns: u16) -> Run {
    let (ours, theirs) = terminal(columns);
    let mut child = start(command.stdout(theirs).stderr(Stdio::piped()));
    // The command holds the terminal open as well, and then its end would never be read.
    command.stdout(Stdio::null());
    let errors = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || std::io::read_to_string(errors).unwrap());
    let out = shown(ours);
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Run { code, out, err: errors.join().unwrap() }
}

/// Runs a program whose standard error is a terminal, and returns what stands there; its standard output is not read.
pub(crate) fn errors(command: &mut Command, columns: u16) -> String {
    let (ours, theirs) = terminal(columns);
    let mut child = start(command.stdout(Stdio::null()).stderr(theirs));
    command.stderr(Stdio::null());
    let err = shown(ours);
    child.wait().unwrap();
    err
}
