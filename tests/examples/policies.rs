//! Compares the policies on all scenarios of the simulation, against what nobody could do better.
//!
//!     cargo run --release -p kmi-tests --example policies            # seeds 1 to 5
//!     cargo run --release -p kmi-tests --example policies -- 7 8 9   # those
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints")]

use std::process::ExitCode;

use kmi_tests::simulation::report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seeds: Result<Vec<u64>, _> = arguments.iter().map(|argument| argument.parse()).collect();
    match seeds {
        Ok(seeds) if seeds.is_empty() => println!("{}", report::report(&[1, 2, 3, 4, 5])),
        Ok(seeds) => println!("{}", report::report(&seeds)),
        Err(_) => {
            eprintln!("seeds are whole numbers");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
