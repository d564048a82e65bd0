//! A temporary HOME: nothing of the person who runs the tests is read or written.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::programs;

/// A HOME with a state directory, a key directory, and an environment.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    env: Vec<(String, OsString)>,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kmi").tempdir().unwrap();
        let home = Self { dir, env: Vec::new() };
        fs::create_dir(home.work_dir()).unwrap();
        let mut home = home.env("KMI_PROXY_LISTEN", "127.0.0.1:0").env("KMI_TIMEZONE", "UTC");
        home.env.push(("HOME".into(), home.path().into()));
        home.env.push(("PATH".into(), std::env::var_os("PATH").unwrap_or_default()));
        home
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where programs are started: an empty folder in it.
    #[must_use]
    pub fn work_dir(&self) -> PathBuf {
        self.path().join("work")
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path().join(".kmi")
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state_dir().join("kmid.sock")
    }

    /// The key directory.
    #[must_use]
    pub fn auths_dir(&self) -> PathBuf {
        self.state_dir().join("_auths")
    }

    /// Sets a variable for everything started in here.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.set(name, value);
        self
    }

    /// The same, later on.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.into()));
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        self.env.retain(|(n, _)| n != name);
    }

    /// Writes a file, with its folders, at a path relative to the HOME.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A program below the home, `path` as in [`Home::write`]. Returns where it is.
    pub fn program(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        programs::write(&path, content);
        path
    }

    /// Writes a key file `NAME.env`.
    pub fn write_key(&self, name: &str, key: &str) -> PathBuf {
        self.write(format!(".kmi/_auths/{name}.env"), format!("KMI_API_KEY={key}\n"))
    }

    /// A command with this HOME's environment and no other.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.env.iter().map(|(n, v)| (n, v))).current_dir(self.work_dir());
        command
    }
}
