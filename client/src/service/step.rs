//! A call of a manager's program: shown, or run.

use std::io;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Found on PATH.
    pub(crate) program: &'static str,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// What its end means.
    pub(crate) counts: Counts,
}

/// What the end of a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// It has to succeed.
    Success,
    /// Its failure is none, as for removing what may not be there.
    Either,
    /// It asks for something that is on its way out, and is repeated until it fails.
    Gone,
}

impl Step {
    /// A call that has to succeed.
    pub(crate) fn new<S: AsRef<str>>(program: &'static str, args: impl IntoIterator<Item = S>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Self { program, args, counts: Counts::Success }
    }

    /// The same, and it is no error when it fails.
    pub(crate) fn or_not(self) -> Self {
        Self { counts: Counts::Either, ..self }
    }

    /// The same, repeated until it fails.
    pub(crate) fn until_gone(self) -> Self {
        Self { counts: Counts::Gone, ..self }
    }

    /// As a command to be run.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.args);
        // cron, su and ssh without a session leave it out, though the user's manager may run.
        #[cfg(target_os = "linux")]
        if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            let folder = format!("/run/user/{}", rustix::process::getuid().as_raw());
            if std::path::Path::new(&folder).is_dir() {
                command.env("XDG_RUNTIME_DIR", folder);
            }
        }
        command
    }

    /// Runs it to its end and returns what it printed.
    pub(crate) fn run(&self) -> io::Result<Output> {
        self.command().stdin(Stdio::null()).output()
    }

    /// Repeats it until it fails; whether it did in this time.
    pub(crate) fn fails_within(&self, longest: Duration) -> bool {
        for _ in 0..longest.as_millis() / LOOK_EVERY.as_millis() {
            match self.run() {
                Ok(output) if output.status.success() => std::thread::sleep(LOOK_EVERY),
                _ => return true,
            }
        }
        false
    }
}

/// How often something is looked for that is on its way out.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.program)?;
        for arg in &self.args {
            if cfg!(windows) && arg.contains(' ') {
                write!(f, " \"{arg}\"")?;
            } else if arg.contains([' ', '\'', '"']) {
                write!(f, " '{}'", arg.replace('\'', r"'\''"))?;
            } else {
                write!(f, " {arg}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a program stands on PATH.
pub(crate) fn is_on_path(name: &str) -> bool {
    crate::connect::on_path(name).iter().any(|path| crate::connect::is_program(path))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_repeated_until_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asked");
        // The third time it is gone.
        let script = format!("echo >> '{0}'; test $(wc -l < '{0}') -lt 3", file.display());
        let step = Step::new("sh", ["-c", &script]).until_gone();
        assert!(step.fails_within(Duration::from_secs(60)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "\n\n\n");
        assert!(!Step::new("true", [""; 0]).until_gone().fails_within(2 * LOOK_EVERY));
        assert!(Step::new("/nonexistent/program", [""; 0]).until_gone().fails_within(2 * LOOK_EVERY));
    }
}
