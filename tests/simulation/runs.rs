//! Every scenario with every setup, over several seeds.

use kmi_tests::simulation::brain::Setup;
use kmi_tests::simulation::metrics::Metrics;
use kmi_tests::simulation::report::Line;
use kmi_tests::simulation::scenario::{self, Draw, Scenario};
use kmi_tests::simulation::{Units, bound, driver};

use super::promises::Promises;

/// Seeds of the scenarios that compare; on the first of them every step is looked at.
const SEEDS: [u64; 2] = [1, 2];
/// Seeds of the scenario where everything goes wrong; on all of them every step is looked at.
const CHAOS: [u64; 3] = [1, 2, 3];

/// `KMI_SIM_SEED`, where it is set.
fn one_seed() -> Option<u64> {
    let seed = std::env::var("KMI_SIM_SEED").ok()?;
    Some(seed.parse().expect("KMI_SIM_SEED is a whole number"))
}

/// Says how to run a failed run again.
struct Replay(u64, &'static str, Setup);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, scenario, setup) = self;
            eprintln!("\"{scenario}\" with \"{}\" failed; again with KMI_SIM_SEED={seed}", setup.name());
        }
    }
}

fn run(scenario: &Scenario, setup: Setup, bound: Units, watched: bool) -> Metrics {
    let _replay = Replay(scenario.seed, scenario.name, setup);
    let metrics = if watched {
        let (metrics, promises) = driver::run(scenario, setup, Promises::default());
        assert!(promises.steps > metrics.asked, "nobody looked");
        metrics
    } else {
        driver::run(scenario, setup, ()).0
    };
    let faulty = scenario.requests.len() as u64 - metrics.asked;
    assert_eq!(metrics.served + metrics.lost, metrics.asked, "every request ends once");
    assert_eq!(metrics.faulty, faulty, "every faulty request is answered once");
    assert!(metrics.healthy_blocked.is_empty(), "healthy keys blocked: {:?}", metrics.healthy_blocked);
    assert!(metrics.work <= bound, "{} served of at most {bound}", metrics.work);
    assert!(metrics.cached <= metrics.cachable && metrics.work <= metrics.paid);
    assert!(metrics.expired <= metrics.ended);
    metrics
}

/// What holds for every setup on every seed; then all setups, to be compared.
fn check(draw: Draw, seeds: &[u64], watched: usize) -> Vec<Line> {
    let seeds = one_seed().map_or(seeds.to_vec(), |seed| vec![seed]);
    let scenarios: Vec<Scenario> = seeds.into_iter().map(draw).collect();
    let bounds: Vec<Units> = scenarios.iter().map(bound::most_work).collect();
    let least_expired: Vec<Units> = scenarios.iter().map(bound::least_expired).collect();
    let line = |&setup: &Setup| {
        let runs = scenarios.iter().zip(&bounds).enumerate();
        let runs = runs.map(|(number, (scenario, &bound))| run(scenario, setup, bound, number < watched));
        Line { setup, runs: runs.collect(), bounds: bounds.clone(), least_expired: least_expired.clone() }
    };
    Setup::ALL.iter().map(line).collect()
}

/// What the policies are for, over the seeds of the test together: see ARCHITECTURE.md, "The simulation". `of_bound`
/// is what `drain` has to serve of the bound.
fn check_aims(draw: Draw, of_bound: f64) {
    let lines = check(draw, &SEEDS, 1);
    let of = |setup: Setup| lines.iter().find(|line| line.setup == setup).unwrap();
    if one_seed().is_some() {
        return;
    }
    for line in lines.iter().filter(|line| line.setup.affinity) {
        assert!(line.hits() >= 0.95, "{}: {} of the possible hits", line.setup.name(), line.hits());
    }
    let (plain, drain) = (of(Setup::PLAIN), of(Setup::DRAIN));
    assert!(drain.of_bound() >= of_bound, "drain served {} of the bound", drain.of_bound());
    let (wasted, by_plain) = (drain.wasted(), plain.wasted());
    assert!(wasted <= 0.7 * by_plain, "drain wasted {wasted}, round robin without affinity {by_plain}");
    let (expired, by_plain) = (drain.expired_needlessly(), plain.expired_needlessly());
    assert!(expired <= 0.7 * by_plain, "drain let {expired} expire, round robin without affinity {by_plain}");
}

#[test]
fn one_heavy_user() {
    check_aims(scenario::heavy_user, 0.95);
}

#[test]
fn many_short_sessions() {
    check_aims(scenario::many_short, 0.95);
}

#[test]
fn few_long_sessions() {
    check_aims(scenario::long_cached, 0.95);
}

#[test]
fn near_the_limits() {
    check_aims(scenario::near_limits, 0.92);
}

#[test]
fn outages_and_concurrency_refusals() {
    check_aims(scenario::outages, 0.95);
}

#[test]
fn every_refusal_and_a_clock_that_jumps() {
    check(scenario::chaos, &CHAOS, CHAOS.len());
}

#[test]
fn a_seed_says_it_all() {
    let scenario = scenario::chaos(11);
    for &setup in Setup::ALL {
        let once = format!("{:?}", driver::run(&scenario, setup, ()).0);
        assert_eq!(format!("{:?}", driver::run(&scenario::chaos(11), setup, ()).0), once);
    }
    assert_ne!(scenario.requests[0].at, scenario::chaos(12).requests[0].at);
}
