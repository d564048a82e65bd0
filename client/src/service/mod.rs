//! kmid as a service of this person: what a manager has to be given, what it is asked, and how it answers.
//!
//! One file a manager, all of them pure: files as texts, calls as steps, answers parsed. [`Manager`] is the one place
//! that chooses by platform. The files as shipped (`systemd/`, `launchd/`; `kmid.xml` here) are the templates.

pub(crate) mod launchd;
pub(crate) mod marker;
pub(crate) mod plan;
pub(crate) mod step;
pub(crate) mod systemd;
pub(crate) mod task_scheduler;
pub(crate) mod written;

use std::path::{Path, PathBuf};

use serde::Serialize;

use plan::Plan;
use step::Step;
use written::Written;

/// With this status kmid ends when its settings cannot be used.
const BAD_SETTINGS: i32 = 64;

/// Who starts and watches services here.
#[derive(Debug)]
pub(crate) enum Manager {
    /// The user's own systemd.
    Systemd(systemd::Systemd),
    /// macOS.
    Launchd(launchd::Launchd),
    /// Windows.
    TaskScheduler(task_scheduler::TaskScheduler),
}

/// A file of the service with what belongs into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServiceFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its text, with the marker line.
    pub(crate) content: String,
}

/// What the service does, in the manager's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Activity {
    /// It runs.
    Running,
    /// It is on its way up.
    Starting,
    /// It is on its way down.
    Stopping,
    /// It does not run, and starts at the first request.
    Waiting,
    /// It ended badly, and the manager waits before it tries again.
    Restarting,
    /// It does not run.
    Stopped,
    /// It ended badly, and the manager gave up.
    Failed,
    /// The manager does not say.
    Unknown,
}

impl Activity {
    /// The word in JSON and for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What the manager says of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    /// `systemd`, `launchd` or `task-scheduler`
    pub(crate) manager: &'static str,
    /// The file that makes it a service; `None` when it is not installed.
    pub(crate) file: Option<PathBuf>,
    /// Whether it starts with the session.
    pub(crate) enabled: bool,
    /// What it does.
    pub(crate) activity: Activity,
    /// Its process.
    pub(crate) pid: Option<u32>,
    /// How often it was restarted after a failure.
    pub(crate) restarts: Option<u32>,
    /// How it ended last, in the manager's words.
    pub(crate) result: Option<String>,
    /// The status that its process ended with last, if that was no good one.
    pub(crate) exit_status: Option<i32>,
    /// The line that kmid told it.
    pub(crate) status: Option<String>,
    /// Whether the manager listens for it, so that a request starts it.
    pub(crate) listens: bool,
}

impl State {
    /// Whether it does not run because its settings cannot be used. Another start would not make that better.
    pub(crate) fn settings_unusable(&self) -> bool {
        self.activity == Activity::Failed && self.exit_status == Some(BAD_SETTINGS)
    }

    /// Whether a request would start it.
    pub(crate) fn would_start(&self) -> bool {
        self.listens && matches!(self.activity, Activity::Waiting | Activity::Restarting | Activity::Failed)
    }

    fn unknown(manager: &'static str, file: Option<PathBuf>) -> Self {
        Self {
            manager,
            file,
            enabled: false,
            activity: Activity::Unknown,
            pid: None,
            restarts: None,
            result: None,
            exit_status: None,
            status: None,
            listens: false,
        }
    }
}

/// A text inside an element.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The text of an element again.
fn unxml(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Why no manager can be spoken to. Each has words of its own (`service-unreachable-NAME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Linux without systemd: a container, or another init.
    NoSystemd,
    /// WSL whose systemd is off.
    Wsl,
    /// systemd runs, but not for this user: no session.
    NoSession,
    /// Its program is missing.
    NoProgram,
}

impl Unreachable {
    /// The end of the message's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoSystemd => "no-systemd",
            Self::Wsl => "wsl",
            Self::NoSession => "no-session",
            Self::NoProgram => "no-program",
        }
    }
}

/// The manager of the service that answers at `socket`, if one is installed and its manager can be spoken to.
pub(crate) fn installed(socket: &Path) -> Option<Manager> {
    Manager::here().filter(|manager| manager.serves(socket) && manager.reachable().is_ok())
}

/// Whether a connection to `socket` would start kmid, because a manager listens for it.
pub(crate) fn would_start(socket: &Path) -> bool {
    // Only systemd listens for services.
    Manager::here().is_some_and(|manager| {
        matches!(manager, Manager::Systemd(_)) && manager.serves(socket) && manager.state().would_start()
    })
}

/// Which of the settings that wait for a restart wait for an install in truth, because the manager of the service that
/// answers at `socket` listens on the proxy's address itself.
pub(crate) fn waiting_for_install(socket: &Path, needs_restart: &[String]) -> Option<&'static str> {
    let listen = kmid_config::env::PROXY_LISTEN.name;
    let asked = || Manager::here().filter(|manager| manager.serves(socket))?.written()?.listens;
    (needs_restart.iter().any(|name| name == listen) && asked().is_some()).then_some(listen)
}

/// What the manager says of the service that answers at `socket`, if one is installed.
pub(crate) fn state_of(socket: &Path) -> Option<State> {
    Manager::here().filter(|manager| manager.serves(socket)).map(|manager| manager.state())
}

impl Manager {
    /// The one of this platform, for a home; `None` when there is no home.
    pub(crate) fn here() -> Option<Self> {
        let home = std::env::home_dir().filter(|home| home.is_absolute())?;
        Some(if cfg!(target_os = "macos") {
            Self::Launchd(launchd::Launchd::new(&home))
        } else if cfg!(windows) {
            Self::TaskScheduler(task_scheduler::TaskScheduler::new(&home))
        } else {
            let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
            Self::Systemd(systemd::Systemd::new(&home, config.filter(|path| path.is_absolute())))
        })
    }

    /// Its name in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Systemd(_) => systemd::NAME,
            Self::Launchd(_) => launchd::NAME,
            Self::TaskScheduler(_) => task_scheduler::NAME,
        }
    }

    /// Whether it can be spoken to.
    pub(crate) fn reachable(&self) -> Result<(), Unreachable> {
        match self {
            Self::Systemd(_) => systemd::reachable(),
            Self::Launchd(_) => step::is_on_path("launchctl").then_some(()).ok_or(Unreachable::NoProgram),
            Self::TaskScheduler(_) => {
                step::is_on_path("schtasks.exe").then_some(()).ok_or(Unreachable::NoProgram)
            }
        }
    }

    /// The files of a service, as they are to be written.
    pub(crate) fn files(&self, plan: &Plan) -> Vec<ServiceFile> {
        let files = match self {
            Self::Systemd(systemd) => systemd.files(plan),
            Self::Launchd(launchd) => vec![launchd.file(plan)],
            Self::TaskScheduler(tasks) => vec![tasks.file(plan)],
        };
        let marked =
            |(path, content): (PathBuf, String)| ServiceFile { content: marker::add(&path, &content), path };
        files.into_iter().map(marked).collect()
    }

    /// Where these files are, whether they exist or not. The first makes it a service.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Systemd(systemd) => systemd.paths(),
            Self::Launchd(launchd) => vec![launchd.path()],
            Self::TaskScheduler(tasks) => vec![tasks.path()],
        }
    }

    /// After the files are written.
    pub(crate) fn enable(&self) -> Vec<Step> {
        match self {
            Self::Systemd(_) => systemd::enable(),
            Self::Launchd(launchd) => launchd.enable(),
            Self::TaskScheduler(tasks) => tasks.enable(),
        }
    }

    /// Before the files are removed.
    pub(crate) fn disable(&self) -> Vec<Step> {
        match self {
            Self::Systemd(_) => systemd::disable(),
            Self::Launchd(launchd) => launchd.disable(),
            Self::TaskScheduler(_) => task_scheduler::disable(),
        }
    }

    /// After the files are removed.
    pub(crate) fn forget(&self) -> Vec<Step> {
        match self {
            Self::Systemd(_) => systemd::forget(),
            Self::Launchd(_) | Self::TaskScheduler(_) => Vec::new(),
        }
    }

    /// Starts it, and what listens for it.
    pub(crate) fn start(&self) -> Vec<Step> {
        match self {
            Self::Systemd(_) => systemd::start(),
            Self::Launchd(launchd) => launchd.start(),
            Self::TaskScheduler(_) => task_scheduler::start(),
        }
    }

    /// Stops it, and what listens for it.
    pub(crate) fn stop(&self) -> Vec<Step> {
        match self {
            Self::Systemd(_) => systemd::stop(),
            Self::Launchd(launchd) => launchd.stop(),
            Self::TaskScheduler(_) => task_scheduler::stop(),
        }
    }

    /// Ends the process and starts another; what listens for it stays where the manager knows such a thing.
    pub(crate) fn restart(&self) -> Vec<Step> {
        match self {
            Self::Systemd(_) => systemd::restart(),
            Self::Launchd(launchd) => launchd.restart(),
            Self::TaskScheduler(_) => [task_scheduler::stop(), task_scheduler::start()].concat(),
        }
    }

    /// Shows what the manager wrote down of the service.
    pub(crate) fn logs(&self, lines: usize, follow: bool, state_dir: &Path) -> Option<Step> {
        match self {
            Self::Systemd(_) => Some(systemd::logs(lines, follow)),
            Self::Launchd(_) => Some(launchd::logs(lines, follow, state_dir)),
            Self::TaskScheduler(_) => None,
        }
    }

    /// Whether a stop by the manager lets requests finish, and returns when the process has ended. Elsewhere kmid is
    /// asked to end first.
    pub(crate) fn stops_gently(&self) -> bool {
        matches!(self, Self::Systemd(_))
    }

    /// Whether a kmid that took over from the one it started is the service from then on. launchd and the Task
    /// Scheduler only know the process that they started.
    pub(crate) fn follows_a_successor(&self) -> bool {
        matches!(self, Self::Systemd(_))
    }

    /// Whether it ends when this user logs out. Where a systemd does not say that the user lingers, it does.
    pub(crate) fn ends_at_log_out(&self) -> bool {
        matches!(self, Self::Systemd(_)) && !systemd::lingers()
    }

    /// What the manager says.
    pub(crate) fn state(&self) -> State {
        let file = self.file();
        match self {
            Self::Systemd(_) => systemd::state(file),
            Self::Launchd(launchd) => launchd.state(file),
            Self::TaskScheduler(_) => task_scheduler::state(file),
        }
    }

    /// The file that makes it a service, if it is there.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let own = self.paths().into_iter().next().filter(|path| path.is_file());
        own.or_else(|| self.shared_file())
    }

    /// The one of a package or an administrator, for all users of this machine.
    pub(crate) fn shared_file(&self) -> Option<PathBuf> {
        let Self::Systemd(_) = self else { return None };
        let places = systemd::SYSTEM_FOLDERS.map(|folder| Path::new(folder).join(systemd::SERVICE));
        places.into_iter().find(|path| path.is_file())
    }

    /// What the installed service was written with; `None` where there is none, or its manager tells nothing of it.
    pub(crate) fn written(&self) -> Option<Written> {
        let text = std::fs::read_to_string(self.file()?).ok()?;
        match self {
            Self::Systemd(systemd) => Some(systemd.written(&text)),
            Self::Launchd(_) => Some(launchd::written(&text)),
            Self::TaskScheduler(_) => None,
        }
    }

    /// Whether the installed service is the one that answers at `socket`; another state directory's is not our affair.
    pub(crate) fn serves(&self, socket: &Path) -> bool {
        let Some(file) = self.file() else { return false };
        let own = match self {
            Self::Systemd(systemd) => systemd.socket(&file),
            Self::Launchd(_) | Self::TaskScheduler(_) => marker::socket_of(&file),
        };
        // One that was put there by hand is the default one.
        own.is_none_or(|own| own == socket)
    }
}
