//! A running `kmid`.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use super::binaries::binaries;
use super::cli::{self, Ran};
use super::control::{Control, RpcError};
use super::downstream::{Answer, Connection};
use super::home::Home;
use super::request::Request;
use super::wait::{eventually, within};
use super::{process, programs};
use crate::upstream::Upstream;

/// What a daemon is to be started with.
#[derive(Debug)]
pub struct Setup {
    home: Home,
    args: Vec<&'static str>,
    program: Option<PathBuf>,
    open_files: Option<u32>,
    umask: &'static str,
    under: &'static [&'static str],
    at_terminal: bool,
}

impl Setup {
    /// A live daemon whose keys go to `upstream`.
    #[must_use]
    pub fn live(upstream: &Upstream) -> Self {
        Self::live_at(&upstream.base_url(), upstream.ca_pem())
    }

    /// A live daemon whose keys go to a base URL behind a certificate of this authority.
    #[must_use]
    pub fn live_at(base_url: &str, ca_pem: &str) -> Self {
        let home = Home::new().env("KMI_DRY_RUN", "0").env("KMI_UPSTREAM_BASE_URL", base_url);
        let ca = home.write("ca.pem", ca_pem);
        Self::in_home(home.env("SSL_CERT_FILE", ca))
    }

    /// A daemon with the embedded simulator.
    #[must_use]
    pub fn dry_run() -> Self {
        Self::in_home(Home::new())
    }

    /// A daemon in a HOME that something else was done with before.
    #[must_use]
    pub fn in_home(home: Home) -> Self {
        // The loosest umask: whatever is private must be so by kmid's own doing.
        Self {
            home,
            args: Vec::new(),
            program: None,
            open_files: None,
            umask: "0",
            under: &[],
            at_terminal: true,
        }
    }

    /// Adds a key file `LABEL.env`.
    #[must_use]
    pub fn key(self, label: &str, key: &str) -> Self {
        self.home.write_key(label, key);
        self
    }

    /// Adds the keys `sk-kimi-LABEL-0123456789`, in this order in the pool when their labels sort so.
    #[must_use]
    pub fn keys(self, labels: &[&str]) -> Self {
        labels.iter().fold(self, |setup, label| setup.key(label, &key_of(label)))
    }

    /// As it runs in the background: its log goes to files only.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.args.push("--detached");
        self
    }

    /// Runs a copy of the program, which a test may replace as an upgrade does.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn from_copy(mut self) -> Self {
        let copy = self.home.path().join("bin/kmid");
        programs::copy(&binaries().kmid, &copy);
        self.program = Some(copy);
        self
    }

    /// With room for so many open files, as `ulimit -n` sets it.
    #[must_use]
    pub fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Another umask than the loosest.
    #[must_use]
    pub fn umask(mut self, umask: &'static str) -> Self {
        self.umask = umask;
        self
    }

    /// Runs it by another program, which has to become it.
    #[must_use]
    pub fn under(mut self, program: &'static [&'static str]) -> Self {
        self.under = program;
        self
    }

    /// Not at a terminal, as a program starts it that waits for its end.
    #[must_use]
    pub fn without_terminal(mut self) -> Self {
        self.at_terminal = false;
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.home.set(name, value);
        self
    }

    /// Takes a variable away that the harness sets.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.home.unset(name);
        self
    }

    /// Allows switching keys: failover, and rotation once it is turned on.
    #[must_use]
    pub fn may_switch(self) -> Self {
        self.env("KMI_AUTO_ROTATE_ALLOWED", "1")
    }

    /// Writes a file at a path relative to the HOME.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.home.write(path, content);
        self
    }

    /// The HOME, for what should happen before the start.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn start(self) -> Daemon {
        let mut daemon = Daemon::spawn(self);
        daemon.wait_ready().await;
        daemon
    }

    /// Runs it to its end, for starts that must fail.
    pub async fn fails(self) -> (Ran, Home) {
        let kmid = binaries().kmid.display().to_string();
        let command = [self.under, &[kmid.as_str()]].concat();
        let ran = cli::run(&self.home, Path::new(command[0]), &command[1..], "").await;
        (ran, self.home)
    }
}

/// The key that [`Setup::keys`] makes for a label.
#[must_use]
pub fn key_of(label: &str) -> String {
    format!("sk-kimi-{label}-0123456789")
}

/// A running daemon; it is killed and waited for when the value goes.
#[derive(Debug)]
pub struct Daemon {
    /// Its HOME.
    pub home: Home,
    child: Option<Child>,
    /// Daemons that this one took over from; they may still finish requests.
    before: Vec<Child>,
    pid: u32,
    proxy: Option<SocketAddr>,
    /// The other side of its terminal.
    terminal: Option<OwnedFd>,
}

impl Daemon {
    fn spawn(setup: Setup) -> Self {
        let Setup { home, args, program, open_files, umask, under, at_terminal } = setup;
        let output = File::options().create(true).append(true).open(home.path().join("kmid.out")).unwrap();
        let mut command = home.command(Path::new("/bin/sh"));
        let limit = open_files.map_or_else(String::new, |most| format!("ulimit -n {most}; "));
        command.args(["-c", &format!("{limit}umask {umask}; exec \"$@\""), "sh"]);
        command.args(under).arg(program.as_ref().unwrap_or(&binaries().kmid)).args(args);
        let (ours, theirs) = at_terminal.then(terminal).unzip();
        command.stdin(theirs.map_or_else(Stdio::null, Stdio::from));
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        let pid = child.id();
        Self { home, child: Some(child), before: Vec::new(), pid, proxy: None, terminal: ours }
    }

    /// Closes its terminal and says so, as the system does to what runs in it.
    pub fn hang_up(&mut self) {
        self.terminal = None;
        self.signal(Signal::HUP);
    }

    /// Restarts it: the value stands for the new process from here on. Returns the id of the old one, which may still
    /// finish requests.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn restarted(&mut self) -> u32 {
        self.rpc("daemon.restart", json!({})).await.unwrap();
        self.followed().await
    }

    /// After a restart: the value stands for the new process from here on. Returns the id of the old one.
    ///
    /// # Panics
    /// When there is no new one.
    pub async fn followed(&mut self) -> u32 {
        let status = self.rpc("daemon.status", json!({})).await.unwrap();
        let pid = u32::try_from(status["daemon"]["pid"].as_u64().unwrap()).unwrap();
        assert_ne!(pid, self.pid, "the old one still answers");
        self.before.extend(self.child.take());
        std::mem::replace(&mut self.pid, pid)
    }

    /// Waits for the ends of the daemons before this one.
    ///
    /// # Panics
    /// When one did not end well.
    pub async fn those_before_ended(&mut self) {
        for mut child in std::mem::take(&mut self.before) {
            let _guard = KillOnFailure(child.id());
            let status = eventually("the old kmid to end", || {
                let status = child.try_wait().unwrap();
                async move { status }
            })
            .await;
            assert!(status.success(), "{status}\n{}", self.output());
        }
    }

    /// Ready means that the control socket answers and names the proxy's address.
    async fn wait_ready(&mut self) {
        let status = eventually("kmid to be ready", || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("kmid ended with {status} instead of starting:\n{}", self.output());
            }
            let socket = self.home.socket();
            async move { Control::connect(&socket).await.ok()?.call("daemon.status", json!({})).await.ok() }
        })
        .await;
        let proxy = &status["proxy"];
        let host: std::net::IpAddr = proxy["host"].as_str().unwrap().parse().unwrap();
        self.proxy = Some((host, u16::try_from(proxy["port"].as_u64().unwrap()).unwrap()).into());
        assert_eq!(status["daemon"]["pid"], self.pid, "another daemon answers");
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn proxy(&self) -> SocketAddr {
        self.proxy.unwrap()
    }

    /// What it printed.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.home.path().join("kmid.out")).unwrap_or_default()
    }

    /// A new connection to the control socket.
    pub async fn control(&self) -> Control {
        Control::connect(&self.home.socket()).await.unwrap()
    }

    /// One call on a connection of its own.
    ///
    /// # Errors
    /// The error answer.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.control().await.call(method, params).await
    }

    /// The key with a label, as `keys.list` shows it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn key(&self, label: &str) -> Value {
        self.find_key(label).await.unwrap_or_else(|| panic!("no key {label}"))
    }

    /// The same, if there is one.
    pub async fn find_key(&self, label: &str) -> Option<Value> {
        let list = self.rpc("keys.list", json!({})).await.unwrap();
        list["keys"].as_array().unwrap().iter().find(|key| key["label"] == label).cloned()
    }

    /// Waits until a key is in a state.
    pub async fn key_is(&self, label: &str, state: &str) -> Value {
        eventually(format!("{label} to be {state}"), || async {
            self.find_key(label).await.filter(|key| key["state"] == state)
        })
        .await
    }

    /// Waits until every key has its first quota reading, so that background requests do not mix with a test's.
    pub async fn quotas_read(&self) {
        eventually("the first quota readings", || async {
            let list = self.rpc("keys.list", json!({})).await.unwrap();
            let settled = |key: &Value| {
                key["state"] == "disabled"
                    || key["windows"].as_array().is_some_and(|w| !w.is_empty())
                    || !key["refresh_error"].is_null()
            };
            list["keys"].as_array().unwrap().iter().all(settled).then_some(())
        })
        .await;
    }

    /// A new connection to the proxy.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.proxy()).await
    }

    /// One request on a connection of its own, to the end of its answer.
    pub async fn send(&self, request: Request) -> Answer {
        self.connect().await.exchange(request).await
    }

    /// Runs `kmi` beside it.
    pub async fn kmi(&self, args: &[&str]) -> Ran {
        cli::kmi(&self.home, args).await
    }

    /// Finished requests as the trace file has them, once there are `n`.
    pub async fn traces(&self, n: usize) -> Vec<Value> {
        let path = self.home.state_dir().join("trace/trace.jsonl");
        eventually(format!("{n} lines in the trace"), || async {
            let lines = super::files::rotated_lines(&path);
            let entries: Vec<Value> =
                lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            (entries.len() >= n).then_some(entries)
        })
        .await
    }

    /// The log, once it has this.
    pub async fn log_with(&self, text: &str) -> String {
        let path = self.state_path("logs/kmi.log");
        eventually(format!("{text} in the log"), || async {
            fs::read_to_string(&path).ok().filter(|log| log.contains(text))
        })
        .await
    }

    /// A path in the state directory.
    #[must_use]
    pub fn state_path(&self, name: &str) -> PathBuf {
        self.home.state_dir().join(name)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid, signal);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let Some(mut child) = self.child.take() else { panic!("it has ended already") };
        let pid = self.pid;
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        let guard = KillOnFailure(pid);
        let status = within("the end of kmid", waiting).await.unwrap().unwrap();
        std::mem::forget(guard);
        status
    }

    /// `kill -9`, then the HOME for another start.
    pub async fn killed(mut self) -> Home {
        self.signal(Signal::KILL);
        assert_eq!(self.ended().await.signal(), Some(9));
        self.take_home()
    }

    /// SIGTERM, the end with status 0, then the HOME for another start.
    pub async fn stopped(mut self) -> Home {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}\n{}", self.output());
        self.take_home()
    }

    fn take_home(&mut self) -> Home {
        std::mem::take(&mut self.home)
    }
}

/// Both sides of a new terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    (ours, rustix::fs::open(name, flags, Mode::empty()).unwrap())
}

struct KillOnFailure(u32);

impl Drop for KillOnFailure {
    fn drop(&mut self) {
        process::signal(self.0, Signal::KILL);
    }
}

impl Drop for Daemon {
    #[allow(clippy::print_stderr, reason = "the daemon's own words explain a failed test best")]
    fn drop(&mut self) {
        for child in self.child.iter_mut().chain(&mut self.before) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Those that a restart started are nobody's children.
        for pid in process::of_home(self.home.path()) {
            process::signal(pid, Signal::KILL);
        }
        if std::thread::panicking() {
            let output = self.output();
            let from = output.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
            eprintln!("--- kmid {} said:\n{}", self.pid, &output[from..]);
        }
    }
}
