//! What kmid costs when little happens, and at its worst: memory, idle CPU, start, `kmi status`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, process};
use kmi_tests::http1::Wire;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::load::{Load, tcp};
use super::options::Options;
use super::report::{Report, median};
use super::scenario::body_shape;
use super::target::{Target, setup, start_kmid};
use super::upstream;

const BODIES: usize = 64;

/// Measures with a fresh daemon each what another load would have left traces in.
pub(crate) async fn measure(upstream: &upstream::Process, options: &Options, report: &mut Report) {
    start(upstream, options, report).await;
    let (target, daemon) = start_kmid("kmid", setup(upstream)).await;
    idle(&daemon, options, report).await;
    client(&daemon, options, report);
    connections(&target, &daemon, options, report).await;
    drop(daemon);
    let (target, daemon) = start_kmid("kmid", setup(upstream)).await;
    bodies(&target, &daemon, report).await;
}

async fn start(upstream: &upstream::Process, options: &Options, report: &mut Report) {
    let mut times = Vec::new();
    for _ in 0..options.count(10) {
        let setup = setup(upstream);
        let started = Instant::now();
        let daemon = setup.start().await;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        drop(daemon);
    }
    report.limit("kmid ready, ms", median(&times), 100.0);
}

async fn idle(daemon: &Daemon, options: &Options, report: &mut Report) {
    report.limit("idle RSS, MB", process::rss(daemon.pid()) as f64 / 1e6, 10.0);
    // The last that the start does.
    eventually("the state to be written", || async {
        daemon.state_path("state.json").exists().then_some(())
    })
    .await;
    // The start goes on behind it: quotas are read, logs are flushed. That it is over shows in the CPU time of a second.
    for _ in 0..10 {
        let cpu = process::cpu(daemon.pid());
        tokio::time::sleep(Duration::from_secs(1)).await;
        if process::cpu(daemon.pid()).saturating_sub(cpu) < Duration::from_millis(1) {
            break;
        }
    }
    let span = Duration::from_secs(if options.quick { 10 } else { 30 });
    let cpu = process::cpu(daemon.pid());
    // What is measured: the time in which nothing happens.
    tokio::time::sleep(span).await;
    let spent = process::cpu(daemon.pid()).saturating_sub(cpu);
    report.limit("idle CPU, us a second", spent.as_secs_f64() * 1e6 / span.as_secs_f64(), 100.0);
}

/// What a person waits for and pays with each look: time, memory, and the program's size on the disk.
fn client(daemon: &Daemon, options: &Options, report: &mut Report) {
    let status = || {
        let mut command = daemon.home.command(&binaries().kmi);
        command.arg("status").stdout(Stdio::null());
        command
    };
    let mut times = Vec::new();
    for _ in 0..options.count(50) {
        let started = Instant::now();
        assert!(status().status().unwrap().success());
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    report.limit("kmi status, ms", median(&times), 10.0);
    let peaks: Vec<f64> = (0..options.count(10)).map(|_| peak(&mut status()) as f64 / 1e6).collect();
    report.limit("kmi status, peak RSS, MB", median(&peaks), 8.0);
    match stripped_size(&binaries().kmi) {
        Some(size) => report.limit("kmi, stripped, MB", size as f64 / 1e6, 6.0),
        None => report.note("strip is not installed: the size of kmi was not measured".into()),
    }
}

/// The largest resident memory of a program, which only grows: it is read until there is nothing more to read.
fn peak(command: &mut Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(process::peak_rss(child.id()));
    }
    peak
}

/// Bytes of the program without its symbols, as packages ship it.
fn stripped_size(program: &Path) -> Option<u64> {
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("kmi");
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(program).status().ok()?;
    assert!(done.success());
    Some(std::fs::metadata(&stripped).unwrap().len())
}

async fn connections(target: &Target, daemon: &Daemon, options: &Options, report: &mut Report) {
    let room = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = options.count(1000).min(usize::try_from(room.saturating_sub(200)).unwrap_or(usize::MAX));
    // One at a time, so that the idle ones are what is left and not the memory of a rush.
    let shape = super::load::Shape { endpoint: "/models", body: Bytes::new(), events: false };
    let warm = Load::open(target, &shape, 1).await;
    let before = process::rss(daemon.pid());
    let mut idle: Vec<Load> = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(Load::open(target, &shape, 1).await);
    }
    let grown = process::rss(daemon.pid()).saturating_sub(before);
    drop((warm, idle));
    report.limit(&format!("RSS an idle connection ({count}), KB"), grown as f64 / 1e3 / count as f64, 20.0);
}

/// All bodies are nearly there before the first is complete, so that all are held at once.
async fn bodies(target: &Target, daemon: &Daemon, report: &mut Report) {
    let request = body_shape(1 << 20).request(target);
    process::reset_peak(daemon.pid());
    let mut streams: Vec<TcpStream> = Vec::new();
    for _ in 0..BODIES {
        let mut stream = tcp(target.address).await.unwrap();
        stream.write_all(&request[..request.len() - 1]).await.unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        stream.write_all(&request[request.len() - 1..]).await.unwrap();
    }
    for stream in streams {
        let mut wire = Wire::new(stream);
        let head = wire.response_head().await.unwrap();
        assert_eq!(head.status, 200);
        let mut framing = head.framing("POST");
        while wire.piece(&mut framing).await.unwrap().is_some() {}
    }
    let name = format!("peak RSS with {BODIES} bodies of 1 MiB at once, MB");
    report.limit(&name, process::peak_rss(daemon.pid()) as f64 / 1e6, 110.0);
}
