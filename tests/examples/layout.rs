//! Makes `daemon/layout.txt`: the names of what kmid runs while it starts, stands and serves, for `daemon/build.rs`.
//! Needs valgrind.
//!
//!     cargo run --release -p kmi-tests --example layout

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it prints, and a failed step ends it")]

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::Upstream;
use serde_json::json;

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../daemon/layout.txt");
const HEAD: &str = "\
# Names of the functions that kmid runs while it starts, stands and serves, as the linker knows them, without what differs
# from compiler to compiler. Made by `cargo run --release -p kmi-tests --example layout`; see build.rs.
";
/// One function each of so many types under one name that all of them would come along for the few that are run.
const FOR_EVERY_TYPE: [&str; 2] = [
    "_ZN86_$LT$core..marker..PhantomData$LT$T$GT$$u20$as$u20$serde_core..de..DeserializeSeed",
    "_ZN42_$LT$$RF$T$u20$as$u20$core..fmt..Debug",
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        println!("a debug build has other functions: run it with --release");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let standing = runtime.block_on(names_run(false));
    let serving = &runtime.block_on(names_run(true)) - &standing;
    assert!(standing.len() > 1000, "only {} functions of kmid were seen", standing.len());
    let lines = |names: &BTreeSet<String>| names.iter().map(|name| format!("{name}\n")).collect::<String>();
    let list = [HEAD, "\n# starts, stands, ends\n", &lines(&standing), "\n# serves\n", &lines(&serving)];
    fs::write(LIST, list.concat()).unwrap();
    println!("{} and {} names", standing.len(), serving.len());
    ExitCode::SUCCESS
}

/// What is run in the life of a daemon: it starts with three keys, is asked how it is, and `serves` or does not.
async fn names_run(serves: bool) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let counted = folder.path().join("counted");
    let out: &'static str = format!("--callgrind-out-file={}", counted.display()).leak();
    let valgrind: &'static [&'static str] = vec!["valgrind", "--tool=callgrind", "--demangle=no", out].leak();
    let upstream = Upstream::start().await;
    let keys = ["alpha", "beta", "gamma"];
    let setup = Setup::live(&upstream).keys(&keys).may_switch().in_background().under(valgrind);
    let daemon = setup.start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    assert_eq!(daemon.kmi(&["status", "--json"]).await.code, 0);
    if serves {
        serve(&daemon).await;
    }
    daemon.stopped().await;
    functions(&fs::read_to_string(&counted).unwrap()).filter_map(pattern).collect()
}

async fn serve(daemon: &Daemon) {
    assert_eq!(daemon.kmi(&["rotate", "auto"]).await.code, 0);
    let talk = json!({"model": "kimi-for-coding", "prompt_cache_key": "session-1", "max_completion_tokens": 9,
            "messages": [{"role": "user", "content": "Say \"yes\""}]});
    for _ in 0..10 {
        let talk = Request::post("/chat/completions", &talk);
        for request in [Request::chat(), talk, Request::chat_stream(), Request::message_stream()] {
            assert_eq!(daemon.send(request).await.status, 200);
        }
        daemon.rpc("quota.refresh", json!({})).await.unwrap();
        assert_eq!(daemon.kmi(&["health", "--all"]).await.code, 0);
    }
}

/// The functions in what callgrind wrote. A name stands in full where it comes first.
fn functions(counted: &str) -> impl Iterator<Item = &str> {
    counted
        .lines()
        .filter(|line| line.starts_with("fn=") || line.starts_with("cfn="))
        .filter_map(|line| line.split_once(' '))
        .map(|(_, name)| name)
}

/// The name as a pattern: without the hash and the crates' numbers, which are another compiler's otherwise. What is
/// not Rust is the system's, or lies together anyway.
fn pattern(name: &str) -> Option<String> {
    // A function that calls itself is counted apart.
    let name = name.split('\'').next().unwrap_or(name);
    if FOR_EVERY_TYPE.iter().any(|general| name.starts_with(general)) {
        return None;
    }
    if name.starts_with("_ZN") {
        let hash = name.rfind("17h")?;
        return Some(format!("{}*", &name[..hash + 3]));
    }
    // In the newer form a crate is `Cs`, its number, `_` and its name.
    let mut rest = name.strip_prefix("_R")?.split(".llvm.").next()?;
    let mut pattern = "_R".to_owned();
    while let Some(at) = rest.find("Cs") {
        let number = rest[at + 2..].find('_')?;
        pattern.push_str(&rest[..at]);
        pattern.push_str("Cs*");
        rest = &rest[at + 2 + number..];
    }
    Some(format!("{pattern}{rest}*"))
}
