//! The methods by name, each tied to its parameters and its result.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::methods::{clients, daemon, decisions, keys, logs, metrics, quota, requests, rotation, usage};
use crate::notify::{CancelParams, Cancelled, Subscribed};

/// Parameters or a result without anything in it: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Empty {}

/// A method with its types; [`crate::client::Client::ask`] takes one.
pub trait Typed {
    /// Which one it is.
    const METHOD: Method;
    /// What it takes.
    type Params: Serialize + DeserializeOwned;
    /// What it gives.
    type Result: Serialize + DeserializeOwned;
}

macro_rules! methods {
    ($($(#[$doc:meta])+ $name:ident = $text:literal: $params:ty => $result:ty;)+) => {
        /// Every method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])+ $name,)+
        }

        impl Method {
            /// All methods, by noun.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The method with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)+
                    _ => None,
                }
            }
        }

        /// The methods as types.
        pub mod typed {
            use super::*;

            $(
                $(#[$doc])+
                #[derive(Debug, Clone, Copy)]
                pub struct $name;

                impl Typed for $name {
                    const METHOD: Method = Method::$name;
                    type Params = $params;
                    type Result = $result;
                }
            )+
        }
    };
}

methods! {
    /// Exchanges versions and capabilities; optional.
    DaemonHello = "daemon.hello": daemon::HelloParams => daemon::Hello;
    /// How the daemon, its proxy and its keys stand.
    DaemonStatus = "daemon.status": Empty => daemon::Status;
    /// Reads settings and keys anew.
    DaemonReload = "daemon.reload": Empty => daemon::Reloaded;
    /// Tries the way to every host that keys are sent to, without a key.
    DaemonCheckUpstreams = "daemon.check_upstreams": Empty => daemon::UpstreamChecks;
    /// Starts a new kmid and hands everything over to it; answers when that one serves, or has failed.
    DaemonRestart = "daemon.restart": Empty => daemon::Restarted;
    /// Answers, then drains and ends.
    DaemonStop = "daemon.stop": daemon::StopParams => Empty;
    /// Every key.
    KeysList = "keys.list": keys::ListParams => keys::KeyList;
    /// Clears blocks and cooldowns.
    KeysUnblock = "keys.unblock": keys::LabelParams => keys::Unblocked;
    /// Asks the upstream about blocked keys.
    KeysRecheck = "keys.recheck": keys::LabelParams => keys::Rechecked;
    /// Points a Kimi client's config file at the proxy.
    ClientsConnect = "clients.connect": clients::ConnectParams => clients::ClientChange;
    /// Undoes that.
    ClientsDisconnect = "clients.disconnect": clients::DisconnectParams => clients::Disconnected;
    /// Switches to the best or the named key.
    RotationRotate = "rotation.rotate": rotation::RotateParams => rotation::Rotated;
    /// Which key the next new session would get, and the order of the rest.
    RotationPlan = "rotation.plan": Empty => decisions::Decision;
    /// Turns automatic rotation on or off.
    RotationAuto = "rotation.auto": rotation::AutoParams => rotation::Auto;
    /// Reads quotas now.
    QuotaRefresh = "quota.refresh": keys::LabelParams => quota::Refreshed;
    /// One finished request, from the traces.
    RequestsGet = "requests.get": requests::GetParams => requests::TraceEntry;
    /// Streams trace entries.
    RequestsTail = "requests.tail": requests::TailParams => Subscribed;
    /// What was used, by key, day, hour or model.
    UsageGet = "usage.get": usage::GetParams => usage::Usage;
    /// Figures about the daemon.
    MetricsGet = "metrics.get": Empty => metrics::Metrics;
    /// Streams log lines.
    LogsTail = "logs.tail": logs::TailParams => Subscribed;
    /// Ends a stream.
    StreamCancel = "stream.cancel": CancelParams => Cancelled;
}

impl Method {
    /// Whether it changes something that lasts: the pool, a setting in force, a file, the daemon's life. Each of these
    /// leaves an `audit_event` in the daemon's log.
    #[must_use]
    pub const fn changes(self) -> bool {
        match self {
            Self::DaemonReload
            | Self::DaemonRestart
            | Self::DaemonStop
            | Self::KeysUnblock
            | Self::KeysRecheck
            | Self::ClientsConnect
            | Self::ClientsDisconnect
            | Self::RotationRotate
            | Self::RotationAuto
            // A new reading counts for every choice, and can end a key's cooldown. `keys.list` with `refresh` does the
            // same and is written down in the same way.
            | Self::QuotaRefresh => true,
            Self::DaemonHello
            | Self::DaemonStatus
            | Self::DaemonCheckUpstreams
            | Self::KeysList
            | Self::RotationPlan
            | Self::RequestsGet
            | Self::RequestsTail
            | Self::UsageGet
            | Self::MetricsGet
            | Self::LogsTail
            | Self::StreamCancel => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), Some(*method));
        }
        assert_eq!(Method::from_name("Daemon.Status"), None);
    }
}
