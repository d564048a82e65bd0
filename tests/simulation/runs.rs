//! Every scenario with every setup, over several seeds.

use kmi_tests::simulation::brain::Setup;
use kmi_tests::simulation::metrics::Metrics;
use kmi_tests::simulation::scenario::{self, Draw, Scenario};
use kmi_tests::simulation::{bound, driver};

use super::promises::Promises;

/// Seeds of each scenario, unless `KMI_SIM_SEED` names one.
const SEEDS: [u64; 2] = [1, 2];

fn seeds() -> Vec<u64> {
    match std::env::var("KMI_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("KMI_SIM_SEED is a whole number")],
        Err(_) => SEEDS.to_vec(),
    }
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

fn run(scenario: &Scenario, setup: Setup) -> Metrics {
    let _replay = Replay(scenario.seed, scenario.name, setup);
    let (metrics, watched) = driver::run(scenario, setup, Promises::default());
    assert!(watched.steps > metrics.asked, "nobody looked");
    metrics
}

/// What holds for every setup.
fn check(draw: Draw) {
    for seed in seeds() {
        let scenario = draw(seed);
        let bound = bound::most_work(&scenario);
        for &setup in Setup::ALL {
            let _replay = Replay(seed, scenario.name, setup);
            let metrics = run(&scenario, setup);
            let faulty = scenario.requests.len() as u64 - metrics.asked;
            assert_eq!(metrics.served + metrics.lost, metrics.asked, "every request ends once");
            assert_eq!(metrics.faulty, faulty, "every faulty request is answered once");
            assert!(
                metrics.healthy_blocked.is_empty(),
                "healthy keys blocked: {:?}",
                metrics.healthy_blocked
            );
            assert!(metrics.work <= bound, "{} served of at most {bound}", metrics.work);
            assert!(metrics.cached <= metrics.cachable && metrics.work <= metrics.paid);
            assert!(metrics.expired <= metrics.ended);
        }
    }
}

#[test]
fn one_heavy_user() {
    check(scenario::heavy_user);
}

#[test]
fn many_short_sessions() {
    check(scenario::many_short);
}

#[test]
fn few_long_sessions() {
    check(scenario::long_cached);
}

#[test]
fn near_the_limits() {
    check(scenario::near_limits);
}

#[test]
fn outages_and_concurrency_refusals() {
    check(scenario::outages);
}

#[test]
fn every_refusal_and_a_clock_that_jumps() {
    check(scenario::chaos);
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
