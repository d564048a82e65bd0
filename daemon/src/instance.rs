//! The state directory: one daemon at a time, and nobody else's.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kmid_core::said::Said;
use kmid_core::{say, show_as_said};

use crate::command::Issue;
use crate::private;
use crate::state::usage;

/// The lock's file name.
const LOCK: &str = "kmid.lock";
/// Directories inside the state directory.
const FOLDERS: [&str; 4] = ["logs", "trace", usage::FOLDER, usage::DRY_RUN_FOLDER];
/// Most files whose rights are looked at, in each directory.
const MOST_FILES: usize = 10_000;
/// How often the lock is tried anew when its file was taken away between opening and locking.
const TRIES: u32 = 10;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another daemon holds the lock.
    Held {
        /// Its process id, where it can be read.
        pid: Option<u32>,
        /// What it holds.
        state_dir: PathBuf,
    },
    /// A link, which someone else may turn.
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file or something else.
    NotADirectory {
        /// What was found.
        path: PathBuf,
    },
    /// It belongs to another user.
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// The system refuses.
    Io {
        /// What was tried.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl InstanceError {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        let shown = |path: &Path| path.display().to_string();
        match self {
            Self::Held { pid: Some(pid), state_dir } => {
                say!(state_dir_held_by, pid = *pid, path = shown(state_dir))
            }
            Self::Held { pid: None, state_dir } => say!(state_dir_held, path = shown(state_dir)),
            Self::Link { path } => say!(state_dir_is_link, path = shown(path)),
            Self::NotADirectory { path } => say!(state_dir_is_none, path = shown(path)),
            Self::Foreign { path } => say!(state_dir_is_foreign, path = shown(path)),
            Self::Io { path, .. } => say!(state_dir_unusable, path = shown(path)),
        }
    }
}

show_as_said!(InstanceError);

/// What was done to rights, and what was found too open. It is told when the log is open.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Tightened.
    pub hardened: Vec<PathBuf>,
    /// Open to others and left so, or not to be tightened.
    pub issues: Vec<Issue>,
}

impl Prepared {
    /// Writes it into the log.
    pub fn log(&self) {
        for path in &self.hardened {
            tracing::warn!(path = %path.display(), "permissions_hardened");
        }
        for issue in &self.issues {
            tracing::warn!(path = %issue.subject, reason = %issue.message, "insecure_permissions");
        }
    }
}

/// Makes the state directory with its folders, or checks those that are there: a directory, no link, our own. With
/// `enforce` (KMI_ENFORCE_FILE_PERMS) what is open to others is tightened, else it is an issue.
///
/// # Errors
/// When it cannot be made or must not be used.
pub fn prepare(state_dir: &Path, enforce: bool) -> Result<Prepared, InstanceError> {
    let mut prepared = Prepared::default();
    for dir in [state_dir.to_owned()].into_iter().chain(FOLDERS.map(|folder| state_dir.join(folder))) {
        let metadata = make_dir(&dir)?;
        prepared.check(&dir, &metadata, enforce);
        let entries = fs::read_dir(&dir).map_err(|source| InstanceError::Io { path: dir.clone(), source })?;
        for entry in entries.take(MOST_FILES).flatten() {
            // `DirEntry::metadata` does not follow links: what they point to is not ours to change.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                prepared.check(&entry.path(), &metadata, enforce);
            }
        }
    }
    Ok(prepared)
}

impl Prepared {
    fn check(&mut self, path: &Path, metadata: &Metadata, enforce: bool) {
        if !private::open_to_others(path, metadata) {
            return;
        }
        let message = if enforce {
            match private::harden(path, metadata) {
                Ok(()) => {
                    self.hardened.push(path.to_owned());
                    return;
                }
                Err(error) => say!(rights_stay_open, why = &error),
            }
        } else {
            let advice = private::advice(path, metadata.is_dir());
            say!(rights_are_open, run = advice.to_string())
        };
        self.issues.push(Issue {
            kind: "permissions",
            error: false,
            subject: path.display().to_string(),
            message,
        });
    }
}

fn make_dir(path: &Path) -> Result<Metadata, InstanceError> {
    let failed = |source| InstanceError::Io { path: path.to_owned(), source };
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private::create_dir_all(path).map_err(failed)?;
            // Looked at again: someone may have been quicker.
            fs::symlink_metadata(path).map_err(failed)?
        }
        found => found.map_err(failed)?,
    };
    let path = path.to_owned();
    if metadata.is_symlink() {
        Err(InstanceError::Link { path })
    } else if !metadata.is_dir() {
        Err(InstanceError::NotADirectory { path })
    } else if !private::is_ours(&path, &metadata) {
        Err(InstanceError::Foreign { path })
    } else {
        Ok(metadata)
    }
}

/// The right to a state directory, held until it is released, dropped or the process ends in whatever way. Two
/// processes hold it together while one hands it to the other, so that it is never free in between.
#[derive(Debug)]
pub struct Instance {
    state_dir: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Instance {
    /// Takes the lock and writes this process's id into it. The file stays when the daemon ends: only the lock
    /// counts, and removing the file would let two daemons hold two locks of one name.
    ///
    /// # Errors
    /// When another daemon holds it.
    pub fn acquire(state_dir: &Path) -> Result<Self, InstanceError> {
        let lock = Mutex::new(Some(Self::locked(state_dir)?));
        Ok(Self { state_dir: state_dir.to_owned(), lock })
    }

    /// Looks whether the directory and the lock in it are still there. If somebody removed them, both are made anew, so
    /// that no second daemon can have them; then it is `true`. A lock that was released is a successor's to look after.
    /// This blocks.
    ///
    /// # Errors
    /// When another daemon was quicker, or the directory cannot be made.
    pub fn keep(&self) -> Result<bool, InstanceError> {
        let mut lock = self.lock();
        let Some(held) = &*lock else { return Ok(false) };
        if is_at(held, &self.state_dir.join(LOCK)) {
            return Ok(false);
        }
        prepare(&self.state_dir, false)?;
        *lock = Some(Self::locked(&self.state_dir)?);
        Ok(true)
    }

    fn locked(state_dir: &Path) -> Result<File, InstanceError> {
        let path = state_dir.join(LOCK);
        let failed = |source| InstanceError::Io { path: path.clone(), source };
        for _ in 0..TRIES {
            let mut file = private::file_options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(InstanceError::Held {
                        pid: read_pid(&mut file),
                        state_dir: state_dir.to_owned(),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            if is_at(&file, &path) {
                write_pid(&mut file).map_err(failed)?;
                return Ok(file);
            }
        }
        Err(failed(io::Error::other("its lock file is taken away again and again")))
    }

    /// Takes the lock that another process holds and shares ([`Instance::share`]), and writes this process's id.
    ///
    /// # Errors
    /// When it is not this directory's lock.
    pub fn take_over(mut lock: File, state_dir: &Path) -> Result<Self, InstanceError> {
        let path = state_dir.join(LOCK);
        if !is_at(&lock, &path) {
            let source = io::Error::other("the lock that was handed over is another one's");
            return Err(InstanceError::Io { path, source });
        }
        write_pid(&mut lock).map_err(|source| InstanceError::Io { path, source })?;
        Ok(Self { state_dir: state_dir.to_owned(), lock: Mutex::new(Some(lock)) })
    }

    /// The lock itself once more, to be given to another process: it is held until both have let go.
    ///
    /// # Errors
    /// As the system says.
    pub fn share(&self) -> io::Result<File> {
        match &*self.lock() {
            Some(lock) => lock.try_clone(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Writes this process's id again, when the other one is gone.
    pub fn renew(&self) {
        if let Some(lock) = &mut *self.lock()
            && let Err(error) = write_pid(lock)
        {
            tracing::warn!(%error, "lock_not_named");
        }
    }

    /// Lets go of it.
    pub fn release(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<File>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file that was locked still has the name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => private::identity_of(file, &held) == private::identity_at(path, &named),
        _ => false,
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// On Windows a locked file cannot be read by others: the holder stays unnamed there.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
