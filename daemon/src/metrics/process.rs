//! Figures of the process itself, under the names that Prometheus' own libraries use
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>, 2026-11.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What the system says of this process; where it does not say, a figure is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
}

impl ProcessFigures {
    /// Asks the system (Linux).
    pub async fn read() -> Self {
        if !cfg!(target_os = "linux") {
            return Self::default();
        }
        // Files of /proc are no disk, but each is a system call of some length.
        tokio::task::spawn_blocking(|| {
            let status = std::fs::read_to_string("/proc/self/status").ok();
            let fds = std::fs::read_dir("/proc/self/fd").ok();
            Self {
                resident_bytes: status.as_deref().and_then(resident_bytes),
                // The look itself holds one open.
                open_fds: fds.map(|fds| (fds.count() as u64).saturating_sub(1)),
            }
        })
        .await
        .unwrap_or_default()
    }

    pub(super) fn register(self, registry: &mut Registry) {
        let gauge = |value: u64| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            gauge.set(value);
            gauge
        };
        if let Some(bytes) = self.resident_bytes {
            let name = "process_resident_memory";
            registry.register_with_unit(name, "Resident memory size", Unit::Bytes, gauge(bytes));
        }
        if let Some(fds) = self.open_fds {
            registry.register("process_open_fds", "Number of open file descriptors", gauge(fds));
        }
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\nVmRSS:\t   10240 kB\n"), Some(10_485_760));
        assert_eq!(resident_bytes("VmRSS:\t many\n"), None);
    }
}
