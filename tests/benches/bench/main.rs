//! The benchmark: a Kimi API over TLS in a process of its own, `kmid` with three keys, rotation, limits and trace on,
//! and, where it is installed, nginx doing the same work in the same run. Loopback only, bounded in count and time.
//!
//!     cargo bench -p kmi-tests                    # all of it, under eight minutes
//!     cargo bench -p kmi-tests -- --quick         # under one
//!     cargo bench -p kmi-tests -- --rounds 9 --only sse
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step ends the benchmark, there is no one to report to")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints")]
#![allow(clippy::disallowed_methods, reason = "the rule about the time is the daemon's")]

mod bare;
mod load;
mod memory;
mod nginx;
mod options;
mod report;
mod scenario;
mod target;
mod upstream;

use std::time::Instant;

use options::Options;
use report::Report;
use scenario::{Scenario, rounds};
use target::Targets;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == upstream::SUBCOMMAND) {
        upstream::serve();
        return;
    }
    if let [first, port, ca_pem] = &arguments[..]
        && first == bare::SUBCOMMAND
    {
        bare::serve(port, ca_pem);
        return;
    }
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return;
        }
    };
    target::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&options));
}

async fn run(options: &Options) {
    let started = Instant::now();
    let upstream = upstream::Process::start();
    let mut report = Report::default();
    report.machine(options);
    let targets = Targets::start(&upstream, options).await;
    for scenario in Scenario::all(options) {
        eprintln!("{} ...", scenario.name);
        rounds(&scenario, &targets, options, &mut report).await;
    }
    targets.memory(&mut report);
    if targets.kmid.is_some() && options.wants("memory") {
        eprintln!("memory and start ...");
        memory::measure(&upstream, options, &mut report).await;
    }
    drop(targets);
    report.print(started.elapsed());
}
