//! The composition root: builds everything, binds, serves, reloads, drains.

pub mod demo;
mod keys;
#[cfg(test)]
mod loops_tests;
mod place;
mod reload;
mod restart;
mod service;
mod stop;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use kmid_config::load::{Launch, Loaded};
use kmid_config::outside::Outside;
use kmid_config::resolve::RawValues;
use kmid_config::settings::{RateLimit, Settings};
use kmid_core::pool::Rules;
use kmid_core::rate::Limit;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::keys::KeyRoom;
use self::restart::{PREDECESSOR, Restart, copies, under_way};
use self::service::{Pulses, Report};
pub use self::stop::{Closing, OwnLoad};
use crate::client_config::{ClientFiles, Homes};
use crate::command::Command;
use crate::control;
use crate::handover::{Files, Handle, Predecessor, RestartError, Succeeded, ToPredecessor};
use crate::inherited::{Held, Inherited};
use crate::instance::Instance;
use crate::keys::Watcher;
use crate::line_log::RecordLog;
use crate::local_time::Zone;
use crate::logging::Logging;
use crate::metrics::{self, Metrics};
use crate::proxy::Proxy;
use crate::proxy::listener::{self, BindError, Ending};
use crate::proxy::renewal;
use crate::proxy::server_tls::Certificate;
use crate::refresh::Refresher;
use crate::signal::{LAST_CALL, Signal, Signals};
use crate::starter::Starter;
use crate::state::trace::TraceRecord;
use crate::state::{Origin, State, store};
use crate::supervisor::{Ended, Supervisor};
use crate::upstream::Upstream;
use crate::upstream::connect::Connector;
use crate::upstream::simulator::{Script, Simulator};
use crate::{clock, command, service_manager};

/// Commands that wait at most.
const COMMANDS: usize = 16;
/// Commands carried out at the same time.
const COMMANDS_AT_ONCE: usize = 4;

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The proxy's listener.
    #[error(transparent)]
    Proxy(#[from] BindError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::listener::BindError),
    /// The state file.
    #[error(transparent)]
    State(#[from] store::LoadError),
    /// A thread, the key directory's watcher or the signals.
    #[error("a part of kmid could not start; are there too many processes or open files?")]
    Start(#[from] std::io::Error),
    /// What the demo shows could not be written.
    #[error("standard output: {0}")]
    Output(std::io::ErrorKind),
    /// A task ended by itself.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// What the composition root is given.
#[derive(Debug)]
pub struct Start {
    /// The settings with their sources.
    pub loaded: Loaded<Settings>,
    /// How they were found, for a reload.
    pub launch: Launch,
    /// Environment and folders at start.
    pub outside: Outside,
    /// The running log.
    pub logging: Logging,
    /// What was found while preparing the state directory.
    pub issues: Vec<command::Issue>,
    /// What the simulator does; only used in dry-run.
    pub script: Script,
    /// The lock, to be handed to a successor; `None` where there is none.
    pub instance: Option<Arc<Instance>>,
    /// The file that this program was started from.
    pub program: PathBuf,
    /// It runs in the background.
    pub detached: bool,
    /// The process that was this daemon before, and finishes its requests.
    pub predecessor: Option<Predecessor>,
    /// Sockets that listen already; what is missing is bound.
    pub inherited: Inherited,
}

/// The parts of a running daemon.
#[derive(Debug)]
pub struct App {
    settings: Arc<ArcSwap<Settings>>,
    /// What the settings were read from at start.
    raw: RawValues,
    settings_file: Watcher,
    needs_restart: Arc<ArcSwap<Vec<&'static str>>>,
    launch: Launch,
    outside: Outside,
    logging: Logging,
    state: Arc<State>,
    trace: RecordLog<TraceRecord>,
    keys: Arc<KeyRoom>,
    refresher: Arc<Refresher>,
    supervisor: Supervisor,
    upstream_tasks: TaskTracker,
    ending: Ending,
    cancel: CancellationToken,
    commands: mpsc::Receiver<Command>,
    signals: Signals,
    proxy_url: String,
    report: Report,
    /// What a successor takes over ends with this.
    retire: CancellationToken,
    /// The right to the state directory; nobody else's business in the demo.
    instance: Option<Arc<Instance>>,
    /// Copies of the listening sockets, for a successor; the control socket's is apart, because it may change.
    listeners: Vec<(&'static str, Handle)>,
    control_share: Arc<control::listener::Share>,
    program: PathBuf,
    detached: bool,
    starter: Starter,
    /// Listening sockets that are a manager's.
    held: Held,
    /// Processes that still finish requests from before this one.
    behind: Arc<AtomicU32>,
    to_predecessor: ToPredecessor,
    /// Requests that this process sends to itself.
    own_load: Option<OwnLoad>,
}

impl App {
    /// Builds and starts everything; when it returns, proxy and control socket answer.
    ///
    /// # Errors
    /// Says which part could not start, and what to do.
    pub async fn start(start: Start) -> Result<Self, AppError> {
        let Start { loaded, launch, outside, logging, issues: mut start_issues, script, inherited, .. } =
            start;
        let Start { instance, program, detached, mut predecessor, .. } = start;
        let signals = Signals::install()?;
        let starter = Starter::find(predecessor.is_some());
        let held = predecessor.as_ref().map_or_else(|| Held::of(&inherited), Predecessor::held);
        let settings_file = reload::watch_settings(&loaded).await?;
        let needs_restart: Arc<ArcSwap<Vec<&'static str>>> = Arc::default();
        let settings = loaded.settings;
        let state_dir = settings.state_dir.clone();
        let certificate = load_certificate(&settings).await?;
        let bound =
            listener::Bound::bind(&settings.proxy_listen, certificate.as_ref(), inherited.proxy).await?;
        let metrics_bound = match &settings.metrics_listen {
            Some(listen) => {
                Some(metrics::listener::Bound::bind(listen, certificate.as_ref(), inherited.metrics).await?)
            }
            None => None,
        };
        let owned = predecessor.as_ref().is_some_and(Predecessor::owns_socket);
        let control = match inherited.control {
            Some(listener) => control::listener::adopt(listener, &settings.socket, owned)?,
            None => control::listener::bind(&settings.socket)?,
        };
        let control_share = control.share();
        let listeners = copies(&bound, metrics_bound.as_ref())?;
        let proxy_addr = bound.addr();

        let state_file = state_dir.join("state.json");
        let remembered = store::load(&state_file, clock::now())?;
        start_issues.extend(remembered.issues);
        let trace = RecordLog::open(state_dir.join("trace").join("trace.jsonl"), settings.trace_files)?;
        let other_mode = remembered.snapshot.dry_run.is_some_and(|was| was != settings.dry_run);
        let snapshot = remembered.snapshot.for_mode(settings.dry_run);
        let state = State::start(rules(&settings), snapshot, &state_file, trace.clone())?;
        state.set_issues(Origin::Start, start_issues);
        state.set_issues(Origin::Settings, loaded.warnings.iter().map(reload::issue).collect());

        let cancel = CancellationToken::new();
        let upstream_tasks = TaskTracker::new();
        let upstream = Upstream::new(
            connector(&settings, script),
            settings.upstream_http,
            upstream_tasks.clone(),
            cancel.clone(),
        );
        let scheme = if settings.proxy_tls.is_some() { "https" } else { "http" };
        let proxy_url = format!("{scheme}://{proxy_addr}{}", settings.proxy_base_path);
        let dry_run = settings.dry_run;
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let keys = KeyRoom::open(Arc::clone(&state), Arc::clone(&settings), loaded.auths_candidates).await?;
        let behind = Arc::new(AtomicU32::new(predecessor.as_ref().map_or(0, Predecessor::behind)));
        if let Some(predecessor) = &mut predecessor {
            predecessor.adopt(&state, other_mode);
        }
        let refresher = Refresher::new(Arc::clone(&state), Arc::clone(&settings), Arc::clone(&upstream));
        let zone: Zone = logging.zone().clone();
        let proxy = Proxy::new(Arc::clone(&state), Arc::clone(&settings), Arc::clone(&upstream), zone);
        let metrics = Metrics::new(
            Arc::clone(&state),
            [
                ("trace.jsonl", trace.lines()),
                ("kmi.log", logging.app().clone()),
                ("proxy.out", logging.daemon().clone()),
            ],
        );
        let (send_commands, commands) = mpsc::channel(COMMANDS);
        let context = control::Context {
            state: Arc::clone(&state),
            settings: Arc::clone(&settings),
            needs_restart: Arc::clone(&needs_restart),
            commands: send_commands.clone(),
            trace: trace.lines(),
            metrics: Arc::clone(&metrics),
            app_log: logging.app().clone(),
            daemon_log: logging.daemon().clone(),
            started_at: clock::now(),
            proxy_addr,
            certificate: certificate.clone(),
            client_files: Arc::new(ClientFiles::new(homes(&outside))),
            environment: outside.shown(),
        };

        let ending = Ending::default();
        let retire = cancel.child_token();
        let mut supervisor = Supervisor::default();
        let pulses = Pulses::default();
        supervisor.spawn("door", proxy.report(cancel.clone()));
        supervisor.spawn("proxy", listener::serve(bound, proxy, ending.clone(), pulses.proxy.clone()));
        if let Some(certificate) = certificate {
            supervisor.spawn("certificate", renewal::follow(certificate, Arc::clone(&state), cancel.clone()));
        }
        supervisor.spawn(
            "control",
            control::listener::serve(control, context, retire.clone(), pulses.control.clone()),
        );
        if let Some(bound) = metrics_bound {
            tracing::info!(url = %format!("http://{}/metrics", bound.addr()), "metrics_ready");
            supervisor.spawn(
                "metrics",
                metrics::listener::serve(bound, metrics, Arc::clone(&settings), retire.clone()),
            );
        }
        supervisor.spawn("refresh", Arc::clone(&refresher).run(retire.clone(), pulses.refresh.clone()));
        supervisor.spawn("upstream", upstream.reap());
        supervisor.spawn("queue", Arc::clone(&state).serve_by_time(cancel.clone()));
        supervisor.spawn("keys", Arc::clone(&keys).watch(launch.clone(), outside.clone(), retire.clone()));
        let report = Report::new(&state, proxy_addr, dry_run);
        supervisor
            .spawn("service", service::tell(report.clone(), pulses, ending.drain.clone(), retire.clone()));
        if let Some(instance) = &instance {
            let keep_place =
                place::keep(Arc::clone(instance), Arc::clone(&state), send_commands, retire.clone());
            supervisor.spawn("place", keep_place);
        }
        let to_predecessor = ToPredecessor::default();
        if let Some(predecessor) = predecessor {
            let (state, behind) = (Arc::clone(&state), Arc::clone(&behind));
            let files =
                Files { trace: trace.lines(), app: logging.app().clone(), daemon: logging.daemon().clone() };
            let word = to_predecessor.clone();
            supervisor.spawn(PREDECESSOR, async move {
                predecessor.listen(state, files, word).await;
                behind.store(0, Ordering::Relaxed);
            });
        }
        tracing::info!(url = %proxy_url, pid = std::process::id(), "kmid_ready");
        service_manager::ready(report.line()).await;
        Ok(Self {
            settings,
            raw: loaded.raw,
            settings_file,
            needs_restart,
            launch,
            outside,
            logging,
            state,
            trace,
            keys,
            refresher,
            supervisor,
            upstream_tasks,
            ending,
            cancel,
            commands,
            signals,
            proxy_url,
            report,
            retire,
            instance,
            listeners,
            control_share,
            program,
            detached,
            starter,
            held,
            behind,
            to_predecessor,
            own_load: None,
        })
    }

    /// For a load of this process on its own proxy: the daemon ends it, and waits for its end, before it drains.
    pub fn with_own_load(&mut self) -> OwnLoad {
        self.own_load.insert(OwnLoad::default()).clone()
    }

    /// What to point a client at.
    #[must_use]
    pub fn proxy_url(&self) -> &str {
        &self.proxy_url
    }

    /// The door to the pool.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Serves until a signal, a command or `stop` ends it, then drains; or until a successor serves, and then finishes
    /// its requests. Returns what is still open.
    ///
    /// # Errors
    /// When a task ended by itself.
    pub async fn run(mut self, stop: CancellationToken) -> (Closing, Result<(), AppError>) {
        let mut restart: Option<Restart> = None;
        let mut answers = JoinSet::new();
        let places = Arc::new(Semaphore::new(COMMANDS_AT_ONCE));
        let result = loop {
            tokio::select! {
                ended = self.supervisor.watch() => if ended.0 != PREDECESSOR { break Err(ended.into()) },
                () = stop.cancelled() => break Ok(End::Stop { longest: None }),
                signal = self.signals.next() => match signal {
                    Signal::Stop => break Ok(End::Stop { longest: None }),
                    Signal::LastCall => break Ok(End::Stop { longest: Some(LAST_CALL) }),
                    Signal::Reload => { self.reload_told().await; }
                },
                Some(command) = self.commands.recv() => match command {
                    Command::Stop { force } => break Ok(End::Stop { longest: force.then_some(Duration::ZERO) }),
                    Command::Restart { reply } if restart.is_some() => {
                        let _ = reply.send(Err(RestartError::UnderWay));
                    }
                    Command::Restart { reply } => restart = self.begin_restart(reply).await,
                    Command::Reload { reply } => { let _ = reply.send(self.reload_told().await); }
                    other => { answers.spawn(carry_out(other, Arc::clone(&self.refresher), Arc::clone(&places))); }
                },
                () = self.settings_file.changed() => { self.reload_told().await; }
                result = under_way(&mut restart) =>
                    if let Some(successor) = self.restart_ended(&mut restart, result).await {
                    break Ok(End::Succeeded(successor));
                },
                Some(_) = answers.join_next() => {}
            }
        };
        // A successor that does not serve yet will not: it is killed, and what it was to write is written here.
        let result = match self.abandon_restart(restart).await {
            None => result,
            // It came just too late for that.
            Some(successor) => {
                if result.is_ok() {
                    successor.stop();
                }
                Ok(End::Succeeded(successor))
            }
        };
        let (relay, result) = match result {
            Ok(End::Stop { longest }) => {
                self.drain(longest).await;
                (None, Ok(()))
            }
            Ok(End::Succeeded(successor)) => {
                self.finish(&successor).await;
                (Some(successor.relay), Ok(()))
            }
            Err(error) => (None, Err(error)),
        };
        answers.shutdown().await;
        (self.end(relay).await, result)
    }
}

/// Why serving ends.
enum End {
    /// Requests may go on for so long, and never longer than the settings say.
    Stop {
        longest: Option<Duration>,
    },
    Succeeded(Succeeded),
}

/// The proxy's certificate, where it speaks TLS itself.
async fn load_certificate(settings: &Settings) -> Result<Option<Arc<Certificate>>, AppError> {
    let Some(files) = settings.proxy_tls.clone() else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || Certificate::load(&files));
    let certificate = read.await.map_err(std::io::Error::other)?.map_err(BindError::from)?;
    Ok(Some(certificate))
}

async fn carry_out(command: Command, refresher: Arc<Refresher>, places: Arc<Semaphore>) {
    let Ok(_place) = places.acquire().await else { return };
    // A caller that no longer waits for its answer is no error.
    match command {
        Command::RefreshQuota { label, reply } => {
            let _ = reply.send(refresher.refresh(label).await);
        }
        Command::CheckUpstreams { reply } => {
            let _ = reply.send(refresher.check_upstreams().await);
        }
        Command::Recheck { label, reply } => {
            let _ = reply.send(refresher.recheck(label).await);
        }
        Command::Reload { .. } | Command::Restart { .. } | Command::Stop { .. } => {}
    }
}

fn connector(settings: &Settings, script: Script) -> Connector {
    if settings.dry_run {
        Connector::Simulated(Simulator::new(script))
    } else {
        Connector::tls(
            settings.https_proxy.as_ref().map(|proxy| proxy.expose()),
            settings.no_proxy.as_deref(),
        )
    }
}

fn homes(outside: &Outside) -> Homes {
    let dir = |name: &str| outside.vars.get(name).filter(|value| !value.is_empty()).map(Into::into);
    Homes {
        home: outside.home.clone(),
        kimi_share_dir: dir("KIMI_SHARE_DIR"),
        kimi_code_home: dir("KIMI_CODE_HOME"),
    }
}

/// The settings that the pool decides by.
fn rules(settings: &Settings) -> Rules {
    let limit = |limit: RateLimit| Limit { per_second: limit.per_second, per_minute: limit.per_minute };
    Rules {
        allowed: settings.auto_rotate_allowed,
        rotate_on_tie: settings.rotate_on_tie,
        include_warn: settings.rotate_include_warn,
        session_affinity: settings.session_affinity,
        policy: settings.rotate_policy,
        longest_backoff: settings.rotation_cooldown,
        payment_block: settings.payment_block,
        require_reading: settings.require_usage_before_request,
        fail_open: settings.fail_open_on_empty_cache,
        // A reading that was missed twice is not good any more.
        reading_max_age: settings.usage_cache.map(|every| every * 3),
        // The next one is overdue.
        stale_after: settings.usage_cache.map_or(Rules::default().stale_after, |every| every * 2),
        limit: limit(settings.proxy_limit),
        limit_per_key: limit(settings.proxy_limit_per_key),
    }
}
