//! What an installed service was written with, and whether that still fits the settings that it reads.

use std::net::{IpAddr, SocketAddr};

use kmid_config::issue::BadSettings;
use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;
use kmid_config::settings::{ListenAddr, Settings};

use super::plan::{self, Memory};

/// What the files of a service say, as far as it depends on settings, and what its manager made of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    /// Variables that it gets.
    pub(crate) environment: Vec<(String, String)>,
    /// The proxy's address, where the manager listens on it.
    pub(crate) listens: Option<String>,
    /// Bytes of memory that it may take.
    pub(crate) memory: Option<u64>,
    /// How long a stop may take, where kmid cannot ask for more.
    pub(crate) stop_seconds: Option<u64>,
}

/// Something in the files that the settings have left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The manager listens elsewhere: kmid would not start.
    Listen {
        /// Where.
        listens: String,
        /// KMI_PROXY_LISTEN
        wanted: String,
    },
    /// Too little memory for KMI_PROXY_REPLAY_TOTAL_MB.
    Memory {
        /// MiB that it may take.
        written: u64,
        /// MiB that it may need.
        wanted: u64,
    },
    /// Too little time for KMI_PROXY_DRAIN_SECONDS.
    Stop {
        /// Seconds that a stop may take.
        written: u64,
        /// Seconds that it may need.
        wanted: u64,
    },
}

impl Written {
    /// The settings as the service reads them itself: by its own arguments and variables, not by those of this shell.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn settings(&self) -> Result<Settings, BadSettings> {
        let launch = Launch::from_args(self.args.iter().map(String::as_str));
        Ok(load::load(&launch, &plan::bare(&Outside::capture(), &self.environment))?.settings)
    }

    /// What does not fit these settings any more.
    pub(crate) fn misfits(&self, settings: &Settings) -> Vec<Misfit> {
        let listen = self.listens.clone().filter(|listens| !is_at(listens, &settings.proxy_listen));
        let listen =
            listen.map(|listens| Misfit::Listen { listens, wanted: settings.proxy_listen.to_string() });
        let wanted = Memory::of(settings.proxy_replay_total).max;
        let memory = self.memory.map(|bytes| bytes / MIB).filter(|written| *written < wanted);
        let needed = plan::stop_seconds(settings.proxy_drain);
        let stop = self.stop_seconds.filter(|written| *written < needed);
        let memory = memory.map(|written| Misfit::Memory { written, wanted });
        let stop = stop.map(|written| Misfit::Stop { written, wanted: needed });
        [listen, memory, stop].into_iter().flatten().collect()
    }

    /// Whether the service gets a variable of this name.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.environment.iter().any(|(known, value)| known == name && !value.is_empty())
    }
}

const MIB: u64 = 1 << 20;

/// As kmid judges the sockets that it is started with.
fn is_at(listens: &str, wanted: &ListenAddr) -> bool {
    let Ok(listens) = listens.parse::<SocketAddr>() else { return false };
    let host = wanted.host.trim_matches(['[', ']']);
    let same_host = match host.parse::<IpAddr>() {
        Ok(ip) => ip == listens.ip(),
        Err(_) => host.eq_ignore_ascii_case("localhost") && listens.ip().is_loopback(),
    };
    same_host && (wanted.port == 0 || wanted.port == listens.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> ListenAddr {
        ListenAddr { host: host.to_owned(), port }
    }

    #[test]
    fn an_address_is_judged_as_kmid_judges_it() {
        for (listens, wanted, same) in [
            ("127.0.0.1:54123", at("127.0.0.1", 54123), true),
            ("127.0.0.1:54123", at("localhost", 54123), true),
            ("[::1]:54123", at("localhost", 54123), true),
            ("[::1]:54123", at("[::1]", 54123), true),
            ("127.0.0.1:54123", at("127.0.0.1", 54124), false),
            ("127.0.0.1:54123", at("0.0.0.0", 54123), false),
            ("127.0.0.1:54123", at("kmid.example", 54123), false),
            ("/run/kmid.sock", at("127.0.0.1", 54123), false),
        ] {
            assert_eq!(is_at(listens, &wanted), same, "{listens} {wanted}");
        }
    }

    #[test]
    fn what_the_settings_have_left_behind() {
        let state = tempfile::tempdir().unwrap();
        let file = |text: &str| std::fs::write(state.path().join(".env"), text).unwrap();
        let args = ["kmid", "--no-folder", "--state-dir", state.path().to_str().unwrap()];
        let written = Written {
            args: args.map(str::to_owned).to_vec(),
            listens: Some("127.0.0.1:54123".into()),
            memory: Some(1024 * MIB),
            stop_seconds: Some(40),
            ..Written::default()
        };
        file("");
        let settings = written.settings().unwrap();
        assert_eq!((&*settings.state_dir, written.misfits(&settings)), (state.path(), Vec::new()));

        file("KMI_PROXY_LISTEN=127.0.0.1:1234\nKMI_PROXY_REPLAY_TOTAL_MB=300\nKMI_PROXY_DRAIN_SECONDS=31\n");
        let wanted = [
            Misfit::Listen { listens: "127.0.0.1:54123".into(), wanted: "127.0.0.1:1234".into() },
            Misfit::Memory { written: 1024, wanted: 1112 },
            Misfit::Stop { written: 40, wanted: 41 },
        ];
        assert_eq!(written.misfits(&written.settings().unwrap()), wanted);

        // Less is no fault, and what a drop-in sets counts.
        file("KMI_PROXY_REPLAY_TOTAL_MB=64\nKMI_PROXY_DRAIN_SECONDS=1\n");
        let environment = vec![("KMI_PROXY_LISTEN".to_owned(), "127.0.0.1:1234".to_owned())];
        let moved = Written { environment, ..written.clone() };
        assert_eq!(written.misfits(&written.settings().unwrap()), []);
        assert_eq!(moved.misfits(&moved.settings().unwrap()), wanted[..1]);
        file("KMI_PROXY_DRAIN_SECONDS=soon\n");
        assert!(written.settings().is_err());
    }
}
