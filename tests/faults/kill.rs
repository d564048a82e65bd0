//! SIGKILL at a hundred random moments under load: state and traces are readable after each, and at most the last
//! second is lost.
//!
//! The moments follow from a seed, which is printed; `KMI_TEST_SEED=N` takes that one again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use kmi_tests::harness::files::{rotated_lines, tree};
use kmi_tests::harness::wait::stays_quiet;
use kmi_tests::harness::{Connection, Request, Setup};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Daemons side by side, and how often each is killed.
const DAEMONS: u64 = 4;
const KILLS: usize = 25;
/// A kill comes at any moment within this after the start.
const LATEST: Duration = Duration::from_millis(2200);
/// What may be lost.
const LOSS: Duration = Duration::from_secs(1);
/// A connection asks so often at most, so that a hundred rounds fit into a minute.
const PACE: Duration = Duration::from_millis(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stderr, reason = "the seed is what repeats a failure")]
async fn a_hundred_kills_lose_at_most_the_last_second() {
    let seed = std::env::var("KMI_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    eprintln!("KMI_TEST_SEED={seed}");
    let daemons = (0..DAEMONS).map(|n| tokio::spawn(rounds(fastrand::Rng::with_seed(seed + n), seed)));
    let mut requests = 0;
    for daemon in daemons.collect::<Vec<_>>() {
        requests += daemon.await.unwrap_or_else(|error| panic!("KMI_TEST_SEED={seed}: {error}"));
    }
    eprintln!("{requests} requests were answered around {} kills", DAEMONS * KILLS as u64);
    assert!(requests > 1000, "that was no load: {requests} requests");
}

async fn rounds(mut rng: fastrand::Rng, seed: u64) -> u64 {
    let mut setup = Setup::dry_run().keys(&["alpha", "beta"]).may_switch();
    let mut answered = 0;
    for round in 0..KILLS {
        let daemon = setup.start().await;
        daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
        let at = Duration::from_millis(rng.u64(..=u64::try_from(LATEST.as_millis()).unwrap()));
        let stalls = Stalls::watch(daemon.home.path().join("probe"));
        let stop = Arc::new(AtomicBool::new(false));
        let mut loads = JoinSet::new();
        for _ in 0..2 {
            loads.spawn(load(daemon.connect().await, Arc::clone(&stop)));
        }
        stays_quiet("the end of a load before the kill", at, loads.join_next()).await;
        let killed = Instant::now();
        daemon.signal(Signal::KILL);
        stop.store(true, Ordering::Relaxed);
        let home = daemon.killed().await;
        let done: Vec<Done> = loads.join_all().await.into_iter().flatten().collect();
        // A machine that is busy with other things adds what it was seen to need for a wake and a write.
        let allowed = LOSS + stalls.end() * 3;
        let safe: Vec<&Done> = done.iter().filter(|done| done.at + allowed < killed).collect();
        let place = format!("KMI_TEST_SEED={seed}, round {round}, killed after {at:?}");
        let traced = readable_traces(&home.state_dir(), &place);
        let lost = safe.iter().filter(|done| !traced.contains(&done.id)).count();
        assert_eq!(
            lost,
            0,
            "{place}: of {} requests older than {allowed:?} the traces lack {lost}",
            safe.len()
        );
        let counted = readable_state(&home.state_dir(), &place);
        let least = answered + safe.len() as u64;
        assert!(counted >= least, "{place}: the state counts {counted} requests of {least} that are older");
        answered = counted;
        setup = Setup::in_home(home);
    }
    let home = setup.start().await.stopped().await;
    let set_aside: Vec<_> = tree(&home.state_dir())
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("corrupt"))
        .collect();
    assert!(set_aside.is_empty(), "KMI_TEST_SEED={seed}: {set_aside:?}");
    answered
}

struct Done {
    id: String,
    at: Instant,
}

/// Requests on one connection until the daemon is gone.
async fn load(mut connection: Connection, stop: Arc<AtomicBool>) -> Vec<Done> {
    let (mut done, mut pace) = (Vec::new(), interval(PACE));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        connection.send(&Request::get("/models")).await;
        let Ok(head) = connection.any_head().await else { break };
        assert_eq!(head.status, 200);
        let id = head.fields.get("x-kmi-request-id").unwrap_or_default().to_owned();
        if connection.rest(head).await.end != kmi_tests::harness::End::Proper {
            break;
        }
        done.push(Done { id, at: Instant::now() });
    }
    done
}

/// Every line is JSON, but for a last one that the kill cut short. Returns the requests.
fn readable_traces(state_dir: &Path, place: &str) -> HashSet<String> {
    let path = state_dir.join("trace/trace.jsonl");
    let is_whole = fs::read(&path).unwrap_or_default().ends_with(b"\n");
    let mut lines = rotated_lines(&path);
    if !is_whole {
        lines.pop();
    }
    let read = |line: &String| {
        let trace: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{place}: {e} in the trace {line}"));
        trace["request_id"].as_str().unwrap_or_default().to_owned()
    };
    lines.iter().map(read).collect()
}

/// The state is whole. Returns how many requests it counts.
fn readable_state(state_dir: &Path, place: &str) -> u64 {
    let Ok(bytes) = fs::read(state_dir.join("state.json")) else { return 0 };
    let state: Value =
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{place}: {error} in state.json"));
    assert_eq!(state["schema_version"], 2, "{place}");
    let keys = state["keys"].as_object().unwrap().values();
    keys.map(|key| key["requests"].as_u64().unwrap_or_default()).sum()
}

/// How long this machine takes at worst to wake a thread and to bring a small file to the disk.
struct Stalls {
    /// Ends the watch when it is dropped.
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Stalls {
    fn watch(file: PathBuf) -> Self {
        const NAP: Duration = Duration::from_millis(50);
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            loop {
                let begun = Instant::now();
                let is_over = stopped.recv_timeout(NAP) != Err(RecvTimeoutError::Timeout);
                let written = fs::File::create(&file).and_then(|mut file| {
                    std::io::Write::write_all(&mut file, &[b'x'; 2048])?;
                    file.sync_all()
                });
                written.unwrap();
                worst = worst.max(begun.elapsed().saturating_sub(NAP));
                if is_over {
                    return worst;
                }
            }
        });
        Self { stop, thread }
    }

    fn end(self) -> Duration {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}
