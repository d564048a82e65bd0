//! The way to the daemon: opens the control socket and starts `kmid` when it is wanted and allowed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use kmi_proto::client::{Client, ClientError};
use kmi_proto::error::{Kind, RpcError};
use kmi_proto::hello::{PROTOCOL, Skew, skew};
use kmi_proto::method::typed;
use kmi_proto::methods::daemon::{Hello, HelloParams};

use crate::app::App;
use crate::commands::bad_settings;
use crate::commands::service::start_by;
use crate::exit::{Exit, Failure, Outcome, write_stderr};
use crate::output::style::clean;
use crate::service::{Activity, State};
use crate::wire::{OtherUser, Patience, Wire};
use crate::{service, settings, tr};

/// A connection to the daemon.
pub(crate) type Daemon = Client<Wire>;

/// This program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long an answer may take that needs nothing but the daemon itself.
pub(crate) const QUICK: Duration = Duration::from_secs(10);

/// How long an answer may take for which the daemon asks the upstream, at 8 s a key and four keys at once.
pub(crate) const SLOW: Duration = Duration::from_secs(180);

/// How long a service may take until it serves.
const LONGEST_START: Duration = Duration::from_secs(30);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// kmid's exit code when another kmid has the state directory (EX_TEMPFAIL).
const HELD: i32 = 75;

/// After so many of them the service manager is asked, too.
const LOOKS_A_QUESTION: u128 = 20;

/// Whether the daemon is started when it is not running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Never.
    No,
    /// On demand, if the person allows it; the folder the person is in is not read.
    OnDemand,
    /// Because it was asked for, with the settings of the folder the person is in.
    Asked,
}

/// Opens a connection; `None` when the daemon is not running and was not to be started.
pub(crate) fn find(app: &App, start: Start) -> Outcome<Option<Daemon>> {
    let may_start = match start {
        Start::No => false,
        Start::OnDemand => app.may_start,
        Start::Asked => true,
    };
    // A connection alone would start it where the service manager listens for it.
    if !may_start && service::would_start(&app.settings.socket) {
        return Ok(None);
    }
    let stream = match open(app, QUICK)? {
        Some(stream) => stream,
        None => {
            match start {
                _ if !may_start => return Ok(None),
                _ if launch_service(app)? => {}
                Start::No => return Ok(None),
                Start::OnDemand => {
                    can_start(app, false)?;
                    launch(app, &[vec!["--no-folder".into()], socket_flag(app)].concat())?;
                }
                Start::Asked => {
                    can_start(app, true)?;
                    launch(app, &socket_flag(app))?;
                }
            }
            let Some(stream) = open(app, QUICK)? else {
                return Err(Failure::new(
                    Exit::Failed,
                    tr!(
                        app.messages,
                        "error-started-elsewhere",
                        socket = app.settings.socket.display().to_string()
                    ),
                )
                .next(tr!(app.messages, "next-doctor"))
                .into());
            };
            stream
        }
    };
    let mut daemon = Client::new(stream);
    greet(app, &mut daemon)?;
    Ok(Some(daemon))
}

/// Starts the installed service; whether there is one.
fn launch_service(app: &App) -> Outcome<bool> {
    let Some(manager) = service::installed(&app.settings.socket) else { return Ok(false) };
    app.note(&tr!(app.messages, "service-starting"));
    start_by(app, &manager)?;
    // systemd says when it serves; others have only begun then.
    once_it_serves(app)?;
    Ok(true)
}

/// A connection to a daemon that is on its way up.
///
/// # Errors
/// When it does not answer in time.
pub(crate) fn once_it_serves(app: &App) -> Outcome<Daemon> {
    for look in 1..=LONGEST_START.as_millis() / LOOK_EVERY.as_millis() {
        if let Some(daemon) = find(app, Start::No)? {
            return Ok(daemon);
        }
        // Where the manager does not wait for it, its state tells that it ended.
        if look % LOOKS_A_QUESTION == 0
            && let Some(state) = service::state_of(&app.settings.socket)
            && state.settings_unusable()
        {
            return Err(settings_unusable(app, Exit::Usage).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let what = tr!(app.messages, "service-not-ready", seconds = LONGEST_START.as_secs());
    Err(Failure::new(Exit::Failed, what).next(tr!(app.messages, "service-step-next")).into())
}

/// A connection without a word, for a question that may as well stay without an answer.
pub(crate) fn quietly(app: &App, patience: Duration) -> Option<Daemon> {
    if service::would_start(&app.settings.socket) {
        return None;
    }
    Some(Client::new(open(app, patience).ok()??))
}

/// Opens a connection, or says that the daemon is not running.
pub(crate) fn require(app: &App, start: Start) -> Outcome<Daemon> {
    find(app, start)?.ok_or_else(|| not_running(app).into())
}

/// Nobody greeted back. Where the service manager listens for kmid it was started by that and has ended, and why that
/// was its own words do not tell.
fn unanswered(app: &App, error: ClientError) -> Failure {
    match service::state_of(&app.settings.socket) {
        Some(state) if state.settings_unusable() => settings_unusable(app, Exit::Usage),
        Some(State { activity: Activity::Restarting | Activity::Failed, result: Some(result), .. }) => {
            Failure::new(Exit::Failed, tr!(app.messages, "service-fails", result = result))
                .next(tr!(app.messages, "service-step-next"))
        }
        _ => failure(app, error),
    }
}

/// The service does not start, and will not until the settings are corrected.
pub(crate) fn settings_unusable(app: &App, exit: Exit) -> Failure {
    Failure::new(exit, tr!(app.messages, "service-bad-settings"))
        .next(tr!(app.messages, "service-bad-settings-next"))
}

/// The failure of a command that needs a running daemon.
pub(crate) fn not_running(app: &App) -> Failure {
    let service = service::state_of(&app.settings.socket);
    if service.as_ref().is_some_and(State::settings_unusable) {
        return settings_unusable(app, Exit::NotRunning);
    }
    if service.is_some_and(|state| state.would_start()) {
        return Failure::new(Exit::NotRunning, tr!(app.messages, "service-asleep"))
            .next(tr!(app.messages, "next-start"));
    }
    let socket = app.settings.socket.display().to_string();
    Failure::new(Exit::NotRunning, tr!(app.messages, "error-not-running", socket = socket))
        .next(tr!(app.messages, "next-start"))
}

/// Sets how long the answer to a question may take as a whole.
pub(crate) fn patience(daemon: &Daemon, limit: Duration) {
    daemon.get_ref().wait(Patience::Answer(limit));
}

/// The daemon's hello, as far as it has one.
pub(crate) fn hello(daemon: &mut Daemon) -> Result<Hello, ClientError> {
    daemon.ask::<typed::DaemonHello>(&HelloParams {
        client: "kmi".to_owned(),
        version: VERSION.to_owned(),
        protocol: PROTOCOL,
    })
}

fn greet(app: &App, daemon: &mut Daemon) -> Outcome<()> {
    let hello = match hello(daemon) {
        Ok(hello) => hello,
        // The hello is optional: a peer without it is judged by its answers.
        Err(ClientError::Rpc(error)) if error.is(Kind::MethodNotFound) => return Ok(()),
        Err(error) => return Err(unanswered(app, error).into()),
    };
    let theirs = hello.version.as_str();
    match skew((VERSION, PROTOCOL), (theirs, hello.protocol)) {
        Skew::None => {}
        Skew::OlderDaemon => {
            app.warn(&tr!(app.messages, "skew-older-daemon", ours = VERSION, theirs = theirs));
        }
        Skew::OlderClient => {
            app.warn(&tr!(app.messages, "skew-older-client", ours = VERSION, theirs = theirs));
        }
        Skew::UpgradeDaemon => {
            return Err(Failure::new(
                Exit::Version,
                tr!(app.messages, "skew-upgrade-daemon", ours = VERSION, theirs = theirs),
            )
            .next(tr!(app.messages, "next-upgrade-daemon"))
            .into());
        }
        Skew::UpgradeClient => {
            return Err(Failure::new(
                Exit::Version,
                tr!(app.messages, "skew-upgrade-client", ours = VERSION, theirs = theirs),
            )
            .next(tr!(app.messages, "next-upgrade-client"))
            .into());
        }
    }
    Ok(())
}

/// What a failed call means, in words.
pub(crate) fn failure(app: &App, error: ClientError) -> Failure {
    let messages = &app.messages;
    match error {
        ClientError::Rpc(error) => refused(app, &error),
        ClientError::Closed => {
            Failure::new(Exit::Failed, tr!(messages, "error-closed")).next(tr!(messages, "next-logs"))
        }
        ClientError::Io(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            Failure::new(Exit::Failed, tr!(messages, "error-no-answer")).next(tr!(messages, "next-logs"))
        }
        ClientError::Io(error) => {
            Failure::new(Exit::Failed, tr!(messages, "error-connection", why = messages.io(&error)))
                .next(tr!(messages, "next-logs"))
        }
        ClientError::Protocol(why) => {
            Failure::new(Exit::Version, tr!(messages, "error-protocol", why = clean(&why).into_owned()))
                .next(tr!(messages, "next-restart"))
        }
    }
}

/// Kinds of which the daemon's sentence says all that ours would.
const SAID_WHOLE: [Kind; 9] = [
    Kind::Disabled,
    Kind::NoKeys,
    Kind::NoneServes,
    Kind::NotSaved,
    Kind::Policy,
    Kind::RestartFailed,
    Kind::Stopping,
    Kind::UnknownLabel,
    Kind::UnknownRequest,
];

/// The daemon's own words; behind ours where we know the kind, and they do not say the same.
fn refused(app: &App, error: &RpcError) -> Failure {
    let messages = &app.messages;
    let said = match &error.said {
        Some(said) => messages.said(said),
        // A list of what is wrong comes on lines of its own.
        None => {
            let words: Vec<&str> = error.message.split_whitespace().collect();
            clean(&words.join(" ")).into_owned()
        }
    };
    // Sentences of a person's language; an older daemon has none.
    let is_whole = error.said.is_some() && SAID_WHOLE.iter().any(|kind| error.is(*kind));
    let mut what = match messages.find(&format!("refused-{}", error.kind.replace('_', "-"))) {
        Some(_) if is_whole => said,
        Some(ours) => tr!(messages, "refused-because", what = ours, said = said),
        None => tr!(messages, "refused-other", said = said),
    };
    if let Some(time) = &error.retry_at {
        what.push(' ');
        what.push_str(&tr!(messages, "refused-retry", moment = app.view().moment(time)));
    }
    // What the daemon does not take as a value was mistyped, and so were settings that no new one can use.
    let bad_settings = error.said.as_ref().is_some_and(|said| said.code == "restart_bad_settings");
    let exit = if error.is(Kind::InvalidParams) || bad_settings { Exit::Usage } else { Exit::Failed };
    let failure = Failure::new(exit, what);
    match messages.find(&format!("refused-{}-next", error.kind.replace('_', "-"))) {
        // What is to be set then stands in the sentence, and is not the same for all that settings forbid.
        Some(_) if is_whole && error.is(Kind::Policy) => failure,
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// Opens a connection, which takes no longer than an answer on it may.
fn open(app: &App, limit: Duration) -> Outcome<Option<Wire>> {
    let socket = || app.settings.socket.display().to_string();
    let fail = |why: String| {
        Failure::new(Exit::Failed, tr!(app.messages, "error-socket", socket = socket(), why = why))
            .next(tr!(app.messages, "next-socket"))
    };
    let address = kmi_proto::endpoint::address(&app.settings.socket)
        .map_err(|error| Failure { exit: Exit::Usage, ..fail(error.to_string()) })?;
    Wire::open(&address, limit).map_err(|error| {
        let stranger = error.get_ref().and_then(|why| why.downcast_ref::<OtherUser>());
        let failure = match stranger {
            Some(OtherUser { uid }) => {
                let what = tr!(app.messages, "error-other-user", socket = socket(), uid = uid.to_string());
                Failure::new(Exit::Failed, what).next(tr!(app.messages, "next-other-user"))
            }
            None if error.kind() == io::ErrorKind::TimedOut => failure(app, error.into()),
            None => fail(app.messages.io(&error)),
        };
        failure.into()
    })
}

/// Says in the person's language what kmid would say in English, and end.
fn can_start(app: &App, in_folder: bool) -> Outcome<()> {
    let errors = settings::obstacles(app.socket_flag.as_deref(), in_folder);
    if errors.is_empty() { Ok(()) } else { Err(bad_settings(app, &errors).into()) }
}

/// Starts the daemon in the background and returns when it is ready to serve.
///
/// # Errors
/// When it cannot be found or does not come up; it says why on stderr itself.
pub(crate) fn launch<S: AsRef<OsStr>>(app: &App, flags: &[S]) -> Outcome<()> {
    let program = kmid(app)?;
    app.note(&tr!(app.messages, "starting", program = program.display().to_string()));
    let mut command = Command::new(&program);
    command.arg("--detach").args(flags).stdin(Stdio::null()).stdout(Stdio::null());
    // In a file and not in a pipe, whose other end the daemon may inherit on Windows: it would never close.
    let said = tempfile::tempfile().ok();
    if let Some(said) = said.as_ref().and_then(|file| file.try_clone().ok()) {
        command.stderr(said);
    }
    let status = command.status().map_err(|error| cannot_run(app, &program, &error))?;
    // That another one was quicker matters to nobody, as long as it serves.
    if status.code() == Some(HELD) && somebody_serves(app)? {
        return Ok(());
    }
    let has_told = said.is_some_and(repeat);
    if status.success() {
        return Ok(());
    }
    // 64 (EX_USAGE) is kmid's code for settings that cannot be used.
    let exit = if status.code() == Some(64) { Exit::Usage } else { Exit::Failed };
    let next = if has_told {
        tr!(app.messages, "next-start-said")
    } else {
        tr!(app.messages, "next-start-log", path = proxy_out(app).display().to_string())
    };
    Err(Failure::new(exit, tr!(app.messages, "error-start", status = ended(app, status))).next(next).into())
}

/// Whether another kmid, which was quicker and is on its way up, serves at the socket in time.
fn somebody_serves(app: &App) -> Outcome<bool> {
    for _ in 0..QUICK.as_millis() / LOOK_EVERY.as_millis() {
        if open(app, QUICK)?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(false)
}

/// Hands on to stderr what a program wrote there; whether that was anything.
fn repeat(mut said: File) -> bool {
    let mut words = Vec::new();
    if said.rewind().and_then(|()| said.read_to_end(&mut words)).is_err() {
        return false;
    }
    write_stderr(&String::from_utf8_lossy(&words));
    !words.trim_ascii().is_empty()
}

/// How a process ended.
pub(crate) fn ended(app: &App, status: ExitStatus) -> String {
    match status.code() {
        Some(code) => tr!(app.messages, "ended-code", code = code.to_string()),
        // A signal, in the system's words.
        None => status.to_string(),
    }
}

/// `--socket`, handed on.
pub(crate) fn socket_flag(app: &App) -> Vec<OsString> {
    app.socket_flag.iter().flat_map(|path| ["--socket".into(), path.clone().into_os_string()]).collect()
}

/// The failure to run a program.
pub(crate) fn cannot_run(app: &App, program: &Path, error: &io::Error) -> Failure {
    let program = program.display().to_string();
    Failure::new(
        Exit::Failed,
        tr!(app.messages, "error-run", program = program, why = app.messages.io(error)),
    )
}

/// The log for people.
pub(crate) fn proxy_out(app: &App) -> PathBuf {
    app.settings.state_dir.join("logs").join("proxy.out")
}

/// The daemon's program: beside this one, else on PATH.
pub(crate) fn kmid(app: &App) -> Outcome<PathBuf> {
    let name = format!("kmid{}", std::env::consts::EXE_SUFFIX);
    // The link's own folder counts before that of what it points at: packages link both programs side by side.
    let beside = std::env::current_exe().ok().into_iter().flat_map(|path| {
        let real = path.canonicalize().ok();
        [Some(path), real].into_iter().flatten().filter_map(|path| Some(path.parent()?.join(&name)))
    });
    beside.chain(on_path(&name)).find(|path| is_program(path)).ok_or_else(|| {
        Failure::new(Exit::Failed, tr!(app.messages, "error-no-kmid"))
            .next(tr!(app.messages, "next-install"))
            .into()
    })
}

/// Every place where a program of this name could stand on PATH.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty or relative entry would run what lies in the folder the person happens to be in.
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .collect()
}

/// Whether a file can be run.
pub(crate) fn is_program(path: &Path) -> bool {
    #[cfg(unix)]
    {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    }
    #[cfg(not(unix))]
    {
        path.is_file()
    }
}
