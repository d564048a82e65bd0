//! The watchdog is fed by the loops themselves: each answers while it runs, and not while it is held up.

use std::path::Path;

use kmid_config::load;

use super::*;
use crate::pulse::Pulse;

/// What the loops work with.
struct Parts {
    home: tempfile::TempDir,
    settings: Arc<ArcSwap<Settings>>,
    state: Arc<State>,
    trace: RecordLog<TraceRecord>,
    upstream: Arc<Upstream>,
    cancel: CancellationToken,
}

fn settings(home: &Path) -> Settings {
    let mut outside = Outside { home: Some(home.to_owned()), cwd: None, ..Outside::capture() };
    outside.vars.retain(|name, _| !name.starts_with("KMI_"));
    outside.vars.insert("KMI_PROXY_LISTEN".to_owned(), "127.0.0.1:0".into());
    load::load(&Launch::default(), &outside).unwrap().settings
}

impl Parts {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        let file = home.path().join("state.json");
        let trace = RecordLog::open(home.path().join("trace.jsonl"), settings.trace_files).unwrap();
        let state = State::start(rules(&settings), Default::default(), &file, trace.clone()).unwrap();
        let cancel = CancellationToken::new();
        let upstream = Upstream::new(
            connector(&settings, Script::default()),
            settings.upstream_http,
            TaskTracker::new(),
            cancel.clone(),
        );
        Self { home, settings: Arc::new(ArcSwap::from_pointee(settings)), state, trace, upstream, cancel }
    }

    async fn proxy(&self, pulse: Pulse) {
        let (state, settings) = (Arc::clone(&self.state), Arc::clone(&self.settings));
        let zone = Zone::new(settings.load().timezone.clone());
        let listen = settings.load().proxy_listen.clone();
        let bound = listener::Bound::bind(&listen, None, None).await.unwrap();
        let proxy = Proxy::new(state, settings, Arc::clone(&self.upstream), zone);
        listener::serve(bound, proxy, Ending::default(), pulse).await;
    }

    async fn control(&self, pulse: Pulse) {
        let (commands, _received) = mpsc::channel(1);
        let context = control::Context {
            state: Arc::clone(&self.state),
            settings: Arc::clone(&self.settings),
            needs_restart: Arc::default(),
            commands,
            trace: self.trace.lines(),
            metrics: Metrics::new(
                Arc::clone(&self.state),
                ["a", "b", "c"].map(|name| (name, self.trace.lines())),
            ),
            app_log: self.trace.lines(),
            daemon_log: self.trace.lines(),
            started_at: clock::now(),
            proxy_addr: "127.0.0.1:1".parse().unwrap(),
            certificate: None,
            client_files: Arc::default(),
            environment: Default::default(),
        };
        let bound = control::listener::bind(&self.home.path().join("kmid.sock")).unwrap();
        control::listener::serve(bound, context, self.cancel.clone(), pulse).await;
    }

    async fn refresh(&self, pulse: Pulse) {
        let refresher =
            Refresher::new(Arc::clone(&self.state), Arc::clone(&self.settings), Arc::clone(&self.upstream));
        refresher.run(self.cancel.clone(), pulse).await;
    }
}

/// Held up, a loop is not polled: what answers then is something else than the loop.
async fn answers_only_while_it_runs(name: &str, pulse: Pulse, running: impl Future<Output = ()>) {
    let mut running = std::pin::pin!(running);
    for _ in 0..3 {
        tokio::select! {
            biased;
            () = &mut running => panic!("{name} has ended"),
            answered = pulse.asked(Duration::from_secs(30)) => assert!(answered, "{name} is silent"),
        }
    }
    assert!(!pulse.asked(Duration::from_millis(50)).await, "{name} does not answer by itself");
    // It goes on where it was.
    tokio::select! {
        biased;
        () = &mut running => panic!("{name} has ended"),
        answered = pulse.asked(Duration::from_secs(30)) => assert!(answered, "{name} stays silent"),
    }
}

#[tokio::test]
async fn each_loop_answers_for_itself() {
    let parts = Parts::new();
    let pulse = Pulse::default();
    answers_only_while_it_runs("proxy", pulse.clone(), parts.proxy(pulse)).await;
    let pulse = Pulse::default();
    answers_only_while_it_runs("control", pulse.clone(), parts.control(pulse)).await;
    let pulse = Pulse::default();
    answers_only_while_it_runs("refresh", pulse.clone(), parts.refresh(pulse)).await;
}
