//! A real `systemd --user` for one HOME, by `tests/tools/systemd-user.sh`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::binaries::binaries;
use super::cli::{self, Ran};
use super::downstream::{Answer, Connection};
use super::home::Home;
use super::process;
use super::request::Request;
use super::require::or_skip;
use super::wait::eventually;

/// What the tool needs to be there.
const NEEDED: [&str; 4] = ["/lib/systemd/systemd", "/bin/systemctl", "/usr/bin/unshare", "/usr/bin/nsenter"];

/// Ports that the kernel gives to nobody by itself (ip_local_port_range is 32768 and up).
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A running manager; it ends with everything that it started when the value goes.
#[derive(Debug)]
pub struct UserManager {
    /// Its HOME, with the key `alpha` and the port of [`UserManager::proxy`] in the settings file.
    pub home: Home,
    child: Child,
    inside: u32,
    proxy: SocketAddr,
    _alone: MutexGuard<'static, ()>,
}

/// One at a time: they are heavy, and tests wait for their restarts.
static ALONE: Mutex<()> = Mutex::const_new(());

impl UserManager {
    /// Starts one in a new HOME, once there is no other. `None` where that cannot be done, which fails where everything is
    /// required.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Option<Self> {
        let missing = NEEDED.iter().find(|path| !Path::new(path).exists());
        let why = match missing {
            Some(path) => Some(format!("{path} is missing")),
            None if !rustix::process::geteuid().is_root() => Some("root is needed".to_owned()),
            None => None,
        };
        if let Some(why) = why {
            let _ = or_skip(false, &format!("{why}, so nothing ran under systemd --user"));
            return None;
        }
        let alone = ALONE.lock().await;
        let proxy = free_address();
        let mut home = Home::new();
        home.unset("KMI_PROXY_LISTEN");
        home.set("XDG_RUNTIME_DIR", format!("/run/user/{}", rustix::process::geteuid().as_raw()));
        home.set("SYSTEMD_PAGER", "");
        home.write(".kmi/.env", format!("KMI_PROXY_LISTEN={proxy}\nKMI_PAYMENT_BLOCK_SECONDS=1\n"));
        home.write_key("alpha", "sk-kimi-alpha-0123456789");
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/systemd-user.sh");
        let mut command = home.command(Path::new(tool));
        // The manager lives as long as its standard input is open.
        command.arg(home.path()).args(["sh", "-c", "touch $HOME/manager-is-up; exec cat"]);
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        let up = home.path().join("manager-is-up");
        eventually("systemd --user to be up", || async { up.exists().then_some(()) }).await;
        // The tool runs unshare, and that the first process of the new namespaces.
        let unshare = process::children(child.id());
        let inside = unshare.iter().flat_map(|pid| process::children(*pid)).next().unwrap();
        Some(Self { home, child, inside, proxy, _alone: alone })
    }

    /// Where the proxy is to listen.
    #[must_use]
    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// Where units of the person's own are.
    #[must_use]
    pub fn units(&self) -> PathBuf {
        self.home.path().join(".config/systemd/user")
    }

    /// Runs a program where the manager can be reached.
    pub async fn run(&self, program: &Path, args: &[&str]) -> Ran {
        let inside = self.inside.to_string();
        let program = program.to_str().unwrap();
        let work = self.home.work_dir();
        let wd = format!("--wd={}", work.display());
        let enter = ["--target", &inside, "--mount", "--pid", &wd, "--", program];
        cli::run(&self.home, Path::new("/usr/bin/nsenter"), &[&enter, args].concat(), "").await
    }

    /// `kmi`, to its end.
    pub async fn kmi(&self, args: &[&str]) -> Ran {
        self.run(&binaries().kmi, args).await
    }

    /// `kmi` that has to do what it is told.
    ///
    /// # Panics
    /// When it does not.
    pub async fn kmi_does(&self, args: &[&str]) -> Ran {
        let ran = self.kmi(args).await;
        assert_eq!(ran.code, 0, "kmi {args:?}: {ran:?}\n{}", self.log());
        ran
    }

    /// `systemctl --user`, which has to succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn systemctl(&self, args: &[&str]) -> Ran {
        let ran = self.run(Path::new("/bin/systemctl"), &[&["--user"], args].concat()).await;
        assert_eq!(ran.code, 0, "systemctl {args:?}: {ran:?}\n{}", self.log());
        ran
    }

    /// A property of a unit.
    pub async fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--value", "--property", name, unit]).await.out.trim().to_owned()
    }

    /// The service's main process as it is called inside; 0 when there is none.
    ///
    /// # Panics
    /// When systemd says no number.
    pub async fn pid(&self) -> u32 {
        self.property("kmid.service", "MainPID").await.parse().unwrap()
    }

    /// The processes of a unit as they are called inside, sorted.
    ///
    /// # Panics
    /// When what the kernel lists are no numbers.
    pub async fn processes(&self, unit: &str) -> Vec<u32> {
        let group = self.property(unit, "ControlGroup").await;
        if group.is_empty() {
            return Vec::new();
        }
        // systemd's own tree where there are several.
        let script = format!(
            "for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do \
             [ -e $tree/cgroup.procs ] && exec cat $tree/{group}/cgroup.procs; done"
        );
        let ran = self.run(Path::new("/bin/sh"), &["-c", &script]).await;
        let mut pids: Vec<u32> = ran.out.lines().map(|line| line.parse().unwrap()).collect();
        pids.sort_unstable();
        pids
    }

    /// Sends a signal to the service's process, by its name: `KILL`.
    pub async fn signal(&self, pid: u32, signal: &str) {
        let ran = self.run(Path::new("/bin/kill"), &["-s", signal, &pid.to_string()]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// One request on a connection of its own.
    pub async fn request(&self, request: Request) -> Answer {
        Connection::open(self.proxy).await.exchange(request).await
    }

    /// What `kmi status` says of a daemon that runs.
    pub async fn status(&self) -> Value {
        self.kmi_does(&["--json", "status"]).await.json()
    }

    /// What the manager and its services printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("systemd-user.log")).unwrap_or_default()
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        process::signal(self.inside, Signal::KILL);
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
