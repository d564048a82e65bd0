//! Says when something in the key directories changed, or a settings file.
//!
//! A thread of its own waits for the system's events, lets a burst pass, and wakes whoever awaits
//! [`Watcher::changed`]. After each change it sets all its watches up anew, before it reports: whatever was
//! replaced, renamed or created in between is watched from then on and seen by the load that follows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::file;

/// Editors write a file in several steps: this long must nothing happen ...
const QUIET: Duration = Duration::from_millis(100);
/// ... but a change is reported after this long in any case; people are promised 2 s.
const LONGEST_BURST: Duration = Duration::from_millis(700);
/// Where events can be trusted, a look at names, times and sizes only catches what was missed.
const SLOW_POLL: Duration = Duration::from_secs(30);
/// Where there are no events, the look is all there is.
const QUICK_POLL: Duration = Duration::from_secs(1);

/// Watches key directories or single files, whether they exist yet or not. Dropping it ends its thread.
#[derive(Debug)]
pub struct Watcher {
    changed: Arc<Notify>,
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch these: of a directory also one level of folders below it, of anything else the file itself.
    ///
    /// When it returns, the watches are set: load after that, and no change is missed.
    ///
    /// # Errors
    /// When the thread cannot start. Missing events are no error: then it looks once a second.
    pub fn new(dirs: Vec<PathBuf>) -> io::Result<Self> {
        Self::start(dirs, true)
    }

    fn start(dirs: Vec<PathBuf>, events: bool) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let (changed, stop) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let mut watch = Watch {
            dirs,
            events,
            wake: wake.clone(),
            armed: None,
            seen: Vec::new(),
            changed: Arc::clone(&changed),
            stop: Arc::clone(&stop),
        };
        watch.arm();
        let thread = std::thread::Builder::new().name("key-watch".into()).spawn(move || watch.run(&woken))?;
        Ok(Self { changed, stop, wake, thread: Some(thread) })
    }

    /// Returns when something changed since the last return. Safe to cancel: a change is not lost.
    pub async fn changed(&mut self) {
        self.changed.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A full channel wakes the thread just as well.
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watch {
    dirs: Vec<PathBuf>,
    events: bool,
    wake: SyncSender<()>,
    /// The system's watcher, when every watch could be set.
    armed: Option<RecommendedWatcher>,
    seen: Vec<Stamp>,
    changed: Arc<Notify>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn run(mut self, woken: &Receiver<()>) {
        loop {
            let poll = if self.armed.is_some() { SLOW_POLL } else { QUICK_POLL };
            let event = match woken.recv_timeout(poll) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if event {
                self.let_burst_pass(woken);
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            // An event counts even when times and sizes are as before: clocks of file systems are coarse.
            if event || stamps(&self.dirs) != self.seen {
                self.arm();
                self.changed.notify_one();
            }
        }
    }

    fn let_burst_pass(&self, woken: &Receiver<()>) {
        let start = Instant::now();
        while start.elapsed() < LONGEST_BURST && !self.stop.load(Ordering::Acquire) {
            if woken.recv_timeout(QUIET).is_err() {
                return;
            }
        }
    }

    /// Sets every watch anew. A directory that comes or goes meanwhile is noticed and the watches set once more.
    fn arm(&mut self) {
        const TRIES: usize = 3;
        self.armed = None;
        for _ in 0..TRIES {
            let targets = targets(&self.dirs);
            self.armed = self.watcher(&targets).ok();
            if self.armed.is_none() || targets == self::targets(&self.dirs) {
                break;
            }
        }
        if self.dirs.iter().any(|dir| is_remote(dir)) {
            self.armed = None;
        }
        self.seen = stamps(&self.dirs);
    }

    fn watcher(&self, targets: &[PathBuf]) -> notify::Result<RecommendedWatcher> {
        if !self.events {
            return Err(notify::Error::generic("events are switched off"));
        }
        let (wake, concerns) = (self.wake.clone(), Concerns::of(&self.dirs));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost.
            if event.is_ok_and(|event| !concerns.match_event(&event)) {
                return;
            }
            // When the channel is full, the thread is about to wake anyway.
            let _ = wake.try_send(());
        })?;
        for target in targets {
            watcher.watch(target, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }
}

/// What has to be watched: each directory and its folders, and the nearest existing directory above, in which it
/// may appear, vanish or be replaced.
fn targets(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut targets = Vec::new();
    for dir in dirs {
        targets.extend(dir.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned));
        if dir.is_dir() {
            targets.push(dir.clone());
            if let Ok(listing) = file::list(dir) {
                targets.extend(listing.folders.iter().map(|folder| dir.join(folder)));
            }
        }
    }
    targets.sort();
    targets.dedup();
    targets
}

/// The directories under each name that an event may give them.
struct Concerns(Vec<PathBuf>);

impl Concerns {
    fn of(dirs: &[PathBuf]) -> Self {
        // FSEvents reports real paths, the others the watched ones.
        let real = dirs.iter().filter_map(|dir| {
            let above = dir.ancestors().find(|above| above.exists())?;
            Some(above.canonicalize().ok()?.join(dir.strip_prefix(above).ok()?))
        });
        Self(dirs.iter().cloned().chain(real).collect())
    }

    fn match_event(&self, event: &notify::Event) -> bool {
        let mere_reading = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        };
        !mere_reading
            && (event.paths.is_empty() || event.paths.iter().any(|path| self.match_path(path, event.kind)))
    }

    fn match_path(&self, path: &Path, kind: EventKind) -> bool {
        // What others write beside or above the keys does not matter; what comes and goes there does.
        let comes_or_goes = !matches!(
            kind,
            EventKind::Access(_)
                | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_) | ModifyKind::Any)
        );
        self.0.iter().any(|dir| {
            if dir == path {
                true
            } else if path.starts_with(dir) {
                path.file_name().is_some_and(file::is_key_file) || comes_or_goes
            } else {
                dir.starts_with(path) && comes_or_goes
            }
        })
    }
}

/// What a look at a key file tells.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    modified: Option<SystemTime>,
    length: u64,
}

fn stamps(dirs: &[PathBuf]) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for dir in dirs {
        // A directory that exists, though empty, differs from none.
        let Ok(listing) = file::list(dir) else {
            stamps.extend(stamp(dir.clone()));
            continue;
        };
        stamps.push(Stamp { path: dir.clone(), modified: None, length: 0 });
        for path in listing.files {
            let path = dir.join(path);
            let missing = Stamp { path: path.clone(), modified: None, length: 0 };
            stamps.push(stamp(path).unwrap_or(missing));
        }
    }
    stamps
}

fn stamp(path: PathBuf) -> Option<Stamp> {
    let found = fs::metadata(&path).ok()?;
    Some(Stamp { path, modified: found.modified().ok(), length: found.len() })
}

/// File systems on which another machine or the host of a virtual one writes without an event here.
#[cfg(target_os = "linux")]
fn is_remote(dir: &Path) -> bool {
    // statfs(2), linux/magic.h: NFS, SMB, CIFS, SMB2, FUSE (also virtiofs), 9p (WSL), Ceph
    const REMOTE: [u32; 7] =
        [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400];
    let existing = dir.ancestors().find(|above| above.is_dir()).unwrap_or(dir);
    // The magic numbers have 32 bits, the field that holds them has a sign or more bits on some machines.
    rustix::fs::statfs(existing).is_ok_and(|found| REMOTE.contains(&((found.f_type & 0xffff_ffff) as u32)))
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_dir: &Path) -> bool {
    false
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
