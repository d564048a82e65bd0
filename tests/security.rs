//! Secrets stay secret, files stay private.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::files::{containing, mode, tree};
use kmi_tests::harness::home::Home;
use kmi_tests::harness::require::or_skip;
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Daemon, Request, Setup, cli};
use kmi_tests::upstream::{ANY, Ending, Reply, Upstream};
use serde_json::{Value, json};

const KEY: &str = "sk-kimi-canarycanarycanary-4242";
const CLIENT: &str = "canary-of-the-client-0001";
const PROMPT: &str = "canary-in-the-prompt-0002";
const ANSWER: &str = "canary-in-the-answer-0003";
const TOKEN: &str = "canary-of-the-proxy-token-0004";
const NAMED_TOKEN: &str = "canary-of-the-named-token-0005";
const WRONG_TOKEN: &str = "canary-of-a-wrong-token-0006";
/// The person's own, in a client's config.
const OWN_KEY: &str = "sk-kimi-canary-of-the-config-0007";
const OWN_QUERY: &str = "canary-of-the-address-0008";

/// The answer to a call as text; of a stream all that comes until its end.
async fn said(daemon: &Daemon, method: &str, params: Value) -> String {
    let mut control = daemon.control().await;
    let answer = control.call(method, params).await;
    let is_stream = answer.as_ref().is_ok_and(|result| result["subscription"].is_u64());
    let mut said = format!("{answer:?}\n");
    let mut ended = !is_stream;
    while !ended {
        let (name, params) = control.notification().await;
        said.push_str(&format!("{params}\n"));
        ended = name == "stream.end";
    }
    said
}

/// Everything that goes wrong or right with a key in it.
async fn exercise(upstream: &Upstream, daemon: &Daemon) {
    let request = || {
        Request::post("/chat/completions", &json!({"messages": [{"role": "user", "content": PROMPT}]}))
            .field("Authorization", &format!("Bearer {CLIENT}"))
            .field("x-kmi-proxy-token", TOKEN)
            .field("Cookie", CLIENT)
    };
    let script = [
        Reply::json(200, &json!({"choices": [{"message": {"content": ANSWER}}]})),
        Reply::openai_error(400, "invalid_request_error", PROMPT),
        Reply::openai_error(500, "server_error", &format!("key {KEY} of {CLIENT} failed")),
        Reply::openai_error(401, "invalid_authentication_error", &format!("Invalid Authentication: {KEY}")),
        Reply::none(Ending::CloseBeforeHead),
        Reply::none(Ending::ResetBeforeHead),
        Reply::sse().send(format!("data: {ANSWER}\n\n")).ending(Ending::Reset),
        Reply::status(200).raw_before_head(format!("nonsense {ANSWER}\r\n\r\n")),
    ];
    let mut own = 0;
    for reply in script {
        upstream.next(ANY, "/chat/completions", reply);
        daemon.rpc("keys.unblock", json!({})).await.unwrap();
        let answer = daemon.send(request()).await;
        if answer.by_kmid() {
            own += 1;
            let text = format!("{answer:?}");
            for canary in [KEY, CLIENT, TOKEN, NAMED_TOKEN, WRONG_TOKEN] {
                assert!(!text.contains(canary), "{canary} in an answer of kmid's own: {text}");
            }
        }
    }
    assert!(own > 0, "no answer was kmid's own");
    upstream.next(ANY, "/usages", Reply::openai_error(401, "x", &format!("{KEY} is not good")));
    let _ = daemon.rpc("quota.refresh", json!({})).await;
    daemon.home.write(".kmi/_auths/broken.toml", format!("[providers\napi_key = \"{KEY}\""));
    daemon
        .home
        .write(".kmi/_auths/broken.env", format!("KMI_API_KEY={KEY}\nKMI_UPSTREAM_BASE_URL=http://{KEY}/\n"));
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
}

#[tokio::test]
async fn canaries_are_in_no_file_log_answer_or_error() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream)
        .key("alpha", KEY)
        .may_switch()
        .env("KMI_PROXY_TOKEN", TOKEN)
        .env("KMI_PROXY_TOKENS", &format!("laptop:{NAMED_TOKEN}"))
        .env("KMI_LOG_LEVEL", "trace")
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "1")
        .file(".kimi/config.toml", config(OWN_KEY).replace("/v1\"", &format!("/v1?key={OWN_QUERY}\"")));
    let daemon = setup.start().await;
    exercise(&upstream, &daemon).await;
    for (token, status) in [(NAMED_TOKEN, 200), (WRONG_TOKEN, 401)] {
        upstream.next(ANY, "/models", Reply::json(200, &json!({})));
        daemon.rpc("keys.unblock", json!({})).await.unwrap();
        let answer = daemon.send(Request::get("/models").field("x-api-key", token)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
    }
    let mut shown = daemon.output();
    let id = daemon.traces(1).await[0]["request_id"].clone();
    let client = json!({"client": "kimi-cli"});
    // Before a rotation puts another key and address there.
    let answer = said(&daemon, "clients.connect", json!({"client": "kimi-cli", "dry_run": true})).await;
    assert!(answer.contains("/v1?..."), "{answer}");
    shown.push_str(&answer);
    for (method, params) in [
        ("daemon.status", json!({})),
        ("keys.list", json!({"refresh": true})),
        ("rotation.rotate", json!({"to": KEY})),
        ("rotation.rotate", json!({})),
        ("keys.recheck", json!({"label": KEY})),
        ("usage.get", json!({"by": "client"})),
        ("metrics.get", json!({})),
        ("daemon.reload", json!({})),
        ("daemon.hello", json!({"client": "x", "version": "x", "protocol": 1})),
        ("requests.tail", json!({"follow": false})),
        ("requests.get", json!({"request_id": id})),
        ("logs.tail", json!({"source": "app", "follow": false})),
        ("logs.tail", json!({"source": "daemon", "follow": false})),
        ("clients.connect", client.clone()),
        ("clients.disconnect", client.clone()),
        ("clients.connect", client.clone()),
    ] {
        let answer = said(&daemon, method, params).await;
        shown.push_str(
            &answer
                .replace(&format!("no key is called {KEY}"), "")
                .replace(&format!("\"label\": String(\"{KEY}\")"), ""),
        );
    }
    let id = id.as_str().unwrap();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["health"],
        &["doctor"],
        &["proxy-logs", "--no-follow"],
        &["proxy-logs", "--app", "--no-follow"],
        &["usage", "--by", "client"],
        &["trace", "--no-follow", "--json"],
        &["trace", "--no-follow", "--plain"],
        &["why", id],
        &["plan"],
    ] {
        let ran = daemon.kmi(args).await;
        assert!(!ran.out.is_empty(), "{args:?}: {ran:?}");
        shown.push_str(&ran.out);
        shown.push_str(&ran.err);
    }
    // A label is what a person chose; here the person chose badly on purpose, and only that echo is allowed.
    assert!(shown.contains("laptop"), "whose request it was is no secret: {shown}");
    for canary in [CLIENT, PROMPT, ANSWER, TOKEN, NAMED_TOKEN, WRONG_TOKEN, OWN_KEY, OWN_QUERY] {
        assert!(!shown.contains(canary), "{canary} is shown: {shown}");
    }
    assert!(
        !shown.replace(&format!("label {KEY}"), "").contains("canarycanarycanary"),
        "the key is shown: {shown}"
    );
    let home = daemon.stopped().await;
    fs::remove_dir_all(home.auths_dir()).unwrap();
    // These hold keys by the person's wish, for nobody else to read.
    let config = home.path().join(".kimi/config.toml");
    for (ending, key) in [(".kmi-backup", OWN_KEY), (".before-kmi", KEY), (".kmi-connection", KEY)] {
        let beside = PathBuf::from(format!("{}{ending}", config.display()));
        assert!(fs::read_to_string(&beside).unwrap().contains(key), "{ending}");
        assert_eq!(mode(&beside), 0o600, "{ending}");
        fs::remove_file(beside).unwrap();
    }
    let connected = fs::read_to_string(&config).unwrap();
    assert!(connected.contains(TOKEN) && !connected.contains("canarycanary") && !connected.contains(OWN_KEY));
    fs::remove_file(config).unwrap();
    for canary in
        [KEY, CLIENT, PROMPT, ANSWER, TOKEN, NAMED_TOKEN, WRONG_TOKEN, OWN_KEY, OWN_QUERY, "canarycanary"]
    {
        let found = containing(home.path(), canary);
        assert!(found.is_empty(), "{canary} is in {found:?}");
    }
}

/// Even where every file mode lets somebody in, the system says who asks.
#[tokio::test]
async fn another_user_gets_no_answer_on_the_control_socket() {
    if !or_skip(rustix::process::geteuid().is_root(), "only root can be another user") {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let socket = daemon.home.socket();
    for (path, mode) in [(daemon.home.path(), 0o711), (&daemon.home.state_dir(), 0o711), (&socket, 0o777)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let asked = tokio::task::spawn_blocking(move || {
        // The thread alone becomes that user, and ends as it.
        let stranger = std::thread::spawn(move || {
            let nobody = Some(rustix::process::Uid::from_raw(NOBODY));
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            let mut stream = UnixStream::connect(socket).unwrap();
            // It may be turned away before it has said anything.
            let _ = stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keys.list\"}\n");
            // Whoever would be answered would have all of it then.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        });
        stranger.join().unwrap()
    });
    let answer: Value = serde_json::from_str(&within("a refusal", asked).await.unwrap()).unwrap();
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32005), &Value::Null), "{answer}");
    assert!(answer["error"]["message"].to_string().contains("65534"), "{answer}");
    assert!(daemon.rpc("keys.list", json!({})).await.is_ok());
}

#[tokio::test]
async fn the_key_goes_nowhere_but_upstream() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).key("alpha", KEY).start().await;
    // An upstream that echoes what it got cannot be stopped from that, but kmid adds nothing to it.
    let answer = daemon.send(Request::get("/models")).await;
    assert!(!format!("{answer:?}").contains("canary"));
    // Who may not even look finds nothing: the process is not dumpable.
    let arguments = fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap_or_default();
    let environment = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap_or_default();
    for place in [arguments, environment] {
        assert!(!String::from_utf8_lossy(&place).contains("canary"));
    }
}

/// Under no umask at all, under the tightest that people have, and under one that takes files even from their owner.
#[tokio::test]
async fn files_are_private_from_their_creation_whatever_the_umask() {
    let upstream = Upstream::start().await;
    for umask in ["000", "077", "0277"] {
        let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).umask(umask);
        let daemon = setup.file(".kimi/config.toml", config("sk-kimi-old")).start().await;
        daemon.send(Request::get("/models")).await;
        daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
        daemon.rpc("usage.get", json!({})).await.unwrap();
        daemon.traces(1).await;
        for name in [
            "state.json",
            "kmid.lock",
            "kmid.sock",
            "logs/kmi.log",
            "logs/proxy.out",
            "trace/trace.jsonl",
            "usage",
        ] {
            assert!(daemon.state_path(name).exists(), "{name} is missing under umask {umask}");
        }
        let kept = daemon.home.path().join(".kimi/config.toml.kmi-backup");
        for path in tree(&daemon.home.state_dir()).into_iter().chain([kept]) {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), wanted, "umask {umask}, {}: {:o}", path.display(), mode(&path));
        }
    }
}

/// A client's config with a key in it.
fn config(key: &str) -> String {
    format!(
        "default_model = \"k\"\n[models.k]\nprovider = \"kimi-for-coding\"\n[providers.kimi-for-coding]\n\
         base_url = \"https://api.kimi.com/coding/v1\"\napi_key = \"{key}\"\n"
    )
}

#[tokio::test]
async fn a_new_key_file_is_private_whatever_the_umask() {
    for umask in ["000", "077"] {
        let home = Home::new();
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let kmi = binaries().kmi.display().to_string();
        let args = ["-c", &script, &kmi, "keys", "add", "--label", "alpha", "--no-start"];
        let ran = cli::run(&home, "/bin/sh".as_ref(), &args, &format!("{KEY}\n")).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!((mode(&home.auths_dir()), mode(&home.auths_dir().join("alpha.env"))), (0o700, 0o600));
    }
}

/// What is written into such a directory, somebody else could read or turn elsewhere. Nothing is written.
#[tokio::test]
async fn a_state_directory_that_is_a_link_or_somebody_elses_is_refused() {
    let of_root = rustix::process::geteuid().is_root();
    for foreign in [false, true] {
        if foreign && !or_skip(of_root, "only root can give a directory to another user") {
            continue;
        }
        let home = Home::new();
        let elsewhere = home.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let says = if foreign {
            fs::create_dir(home.state_dir()).unwrap();
            std::os::unix::fs::chown(home.state_dir(), Some(12_345), None).unwrap();
            "belongs to another user"
        } else {
            symlink(&elsewhere, home.state_dir()).unwrap();
            "is a symbolic link"
        };
        for args in [&[][..], &["--detach"]] {
            let ran = cli::kmid(&home, args).await;
            assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
            assert!(ran.err.contains(says) && ran.err.contains("KMI_STATE_DIR"), "{args:?}: {}", ran.err);
            for dir in [&home.state_dir(), &elsewhere] {
                assert_eq!(tree(dir).len(), 1, "{args:?}: files in {}", dir.display());
            }
        }
    }
}

/// A crash leaves no picture of the keys behind, and no program of the same user can look.
#[tokio::test]
async fn core_dumps_are_off() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).key("alpha", KEY).start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

/// Somebody who is nobody else, where the tests are run by root, who may read every process.
fn as_a_user(command: &mut Command) -> &mut Command {
    match rustix::process::geteuid().is_root() {
        true => command.uid(NOBODY).gid(NOBODY),
        false => command,
    }
}

const NOBODY: u32 = 65_534;

/// A process that must not be dumped shows its memory and environment to nobody, its own user's other programs included.
#[tokio::test]
async fn other_programs_of_the_user_cannot_look_into_it() {
    let setup = Setup::dry_run().from_copy().keys(&["alpha"]);
    let home = setup.home();
    if rustix::process::geteuid().is_root() {
        for path in tree(home.path()) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let mut kmid = home.command(&home.path().join("bin/kmid"));
    let mut kmid = Killed(as_a_user(&mut kmid).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(kmid.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("kmid is ready"), "{said}");

    // Of any other program it can be read.
    let sleep = Killed(as_a_user(Command::new("sleep").arg("1000")).spawn().unwrap());
    let read = |process: &Killed| {
        let path = format!("/proc/{}/environ", process.0.id());
        as_a_user(Command::new("cat").arg(path)).output().unwrap()
    };
    eventually("the other program to be there", || async { (!read(&sleep).stdout.is_empty()).then_some(()) })
        .await;
    let refused = read(&kmid);
    assert_eq!(refused.stdout, b"");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("Permission denied"), "{why}");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As far as that can be seen from outside: a key that was read and never sent is nowhere in the memory of the process
/// once its file is gone. What was sent went through buffers of the HTTP and TLS libraries; see ARCHITECTURE.md.
#[tokio::test]
async fn a_key_that_is_gone_is_gone_from_memory() {
    let formats = [
        ("gone.env", format!("KMI_API_KEY={KEY}\nKMI_KEY_DISABLED=1\n")),
        ("gone2.env", format!("KMI_API_KEY='{KEY}'\nKMI_KEY_DISABLED=1\n")),
    ];
    for (name, content) in formats {
        let setup = Setup::dry_run().keys(&["alpha"]).file(format!(".kmi/_auths/{name}").as_str(), content);
        let daemon = setup.start().await;
        let label = name.trim_end_matches(".env");
        assert!(daemon.find_key(label).await.is_some());
        if !or_skip(copies(daemon.pid(), KEY) > Some(0), "the memory of another process cannot be read here")
        {
            return;
        }
        fs::remove_file(daemon.home.auths_dir().join(name)).unwrap();
        eventually("the key to be gone", || async { daemon.find_key(label).await.is_none().then_some(()) })
            .await;
        // Whatever still holds it for a moment lets go of it when its work is done.
        eventually("the key to be gone from memory", || async {
            (copies(daemon.pid(), KEY) == Some(0)).then_some(())
        })
        .await;
    }
}

/// How often a text stands in the memory of a process; `None` where that may not be read.
fn copies(pid: u32, text: &str) -> Option<usize> {
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let writable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|r| r.starts_with("rw")));
    let mut count = 0;
    for line in writable {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        // A range may go while it is read.
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        count += bytes[..read].windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    }
    Some(count)
}

#[tokio::test]
async fn open_permissions_are_tightened_or_named() {
    for (enforce, tightened) in [("1", true), ("0", false)] {
        let setup = Setup::dry_run().keys(&["alpha"]).env("KMI_ENFORCE_FILE_PERMS", enforce);
        let file = setup.home().auths_dir().join("alpha.env");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(setup.home().auths_dir(), Permissions::from_mode(0o755)).unwrap();
        let daemon = setup.start().await;
        let expected = if tightened { (0o600, 0o700) } else { (0o644, 0o755) };
        assert_eq!((mode(&file), mode(&daemon.home.auths_dir())), expected);
        let event = if tightened { "permissions_hardened" } else { "insecure_permissions" };
        daemon.log_with(event).await;
    }
}

#[tokio::test]
async fn prompts_are_kept_only_when_asked_for() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_TRACE_PROMPTS", "1").start().await;
    let body = json!({"messages": [{"role": "user", "content": "fix the parser please"}]});
    daemon.send(Request::post("/chat/completions", &body)).await;
    let trace = &daemon.traces(1).await[0];
    let kept = format!("{}{}", trace["prompt_hint"], trace["prompt_head"]);
    assert!(kept.contains("fix the parser"), "{trace}");
}
