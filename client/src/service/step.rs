//! A call of a manager's program: shown, or run.

use std::io;
use std::process::{Command, Output, Stdio};

use serde::{Serialize, Serializer};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Found on PATH.
    pub(crate) program: &'static str,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Whether its failure is none, as for removing what may not be there.
    pub(crate) may_fail: bool,
}

impl Step {
    /// A call that has to succeed.
    pub(crate) fn new<S: AsRef<str>>(program: &'static str, args: impl IntoIterator<Item = S>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Self { program, args, may_fail: false }
    }

    /// The same, and it is no error when it fails.
    pub(crate) fn or_not(mut self) -> Self {
        self.may_fail = true;
        self
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
}

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
