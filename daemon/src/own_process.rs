//! What the process does for its secrets before anything else: no picture of its memory on the disk, and a umask that
//! neither opens a file to others nor takes it from its owner.

use std::io;

/// Turns core dumps off and sets the umask. For the very start, while there is one thread.
///
/// No core file: the limit is 0 for good, also for what this process starts. On Linux the process is not dumpable
/// either, because a dump that is piped to a program (systemd-coredump, apport) ignores the limit [core(5), 2026-11]; it
/// also keeps other processes of the same user from reading its memory and environment, and debuggers away
/// [PR_SET_DUMPABLE(2const), 2026-11].
///
/// # Errors
/// When the system refuses; what could be done is done.
#[cfg(unix)]
pub fn protect() -> io::Result<()> {
    use rustix::fs::Mode;

    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    core_dumps_off()
}

#[cfg(unix)]
fn core_dumps_off() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(limited?)
}

/// Nothing to do: Windows writes no dumps of a program's memory unless a person sets that up for it.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn protect() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {

    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit, set_dumpable_behavior};

    use super::*;

    #[test]
    fn no_dump_is_written() {
        let before = dumpable_behavior().unwrap();
        core_dumps_off().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        // The other tests of this process may be watched by a debugger again.
        set_dumpable_behavior(before).unwrap();
    }
}
