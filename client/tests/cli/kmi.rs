//! Runs `kmi` in a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// Held while a program is written and while one is started: a child forked in between would hold the file open for
/// writing, and then it cannot be run (ETXTBSY).
fn programs() -> MutexGuard<'static, ()> {
    static PROGRAMS: Mutex<()> = Mutex::new(());
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program.
pub(crate) fn start(command: &mut Command) -> Child {
    let _alone = programs();
    command.spawn().unwrap()
}

/// Starts a program and waits for its end.
pub(crate) fn output(command: &mut Command) -> Output {
    output_into(command, Stdio::piped())
}

/// The same with a stdout of the test's own.
pub(crate) fn output_into(command: &mut Command, stdout: impl Into<Stdio>) -> Output {
    start(command.stdout(stdout).stderr(Stdio::piped())).wait_with_output().unwrap()
}

/// A home with a state directory.
pub(crate) struct Home {
    folder: TempDir,
}

/// How a run ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".kmi")).unwrap();
        private(&folder.path().join(".kmi"));
        Self { folder }
    }

    /// One whose path has so many columns.
    pub(crate) fn of_length(columns: usize) -> Self {
        let room = columns - std::env::temp_dir().join("home-").display().to_string().len();
        let folder = tempfile::Builder::new().prefix("home-").rand_bytes(room).tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".kmi")).unwrap();
        private(&folder.path().join(".kmi"));
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join(".kmi")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.state().join("kmid.sock")
    }

    /// A program in `bin`, which is the only folder on PATH besides the system's.
    pub(crate) fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;

        let bin = self.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let path = bin.join(name);
        let _alone = programs();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// A copy of `kmi` in `bin`, to find there what lies beside it.
    pub(crate) fn copy(&self) -> PathBuf {
        let path = self.path().join("bin").join("kmi");
        let _alone = programs();
        std::fs::create_dir_all(self.path().join("bin")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_kmi"), &path).unwrap();
        path
    }

    /// The same without the bytes, where the file system allows that.
    pub(crate) fn link(&self) -> PathBuf {
        let path = self.path().join("bin").join("kmi");
        std::fs::create_dir_all(self.path().join("bin")).unwrap();
        match std::fs::hard_link(env!("CARGO_BIN_EXE_kmi"), &path) {
            Ok(()) => path,
            // A copy onto a link would empty the original.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => path,
            Err(_) => self.copy(),
        }
    }

    /// A file for this person only.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// `kmi` with nothing of the surroundings of the test.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_kmi")), args)
    }

    /// The same for a copy of the program.
    pub(crate) fn command_of<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path().join("bin").display()))
            .env("KMI_TIMEZONE", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line.
    pub(crate) fn kmi(&self, line: &str) -> Run {
        Run::of(output(&mut self.command(line.split_whitespace())))
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Stdout as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// Fails with all there is to see unless the code is this one.
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
}
