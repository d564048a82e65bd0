//! TCP connections whose other end may be gone without a word: the system looks, and ends them.

use std::time::Duration;

use tokio::net::TcpStream;

/// Whether a silent peer is still there is asked this often.
#[cfg(target_os = "linux")]
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// Lets the system end a connection whose other end is gone, or takes nothing of what is sent, after `idle`.
#[cfg(unix)]
pub(crate) fn watch_over(tcp: &TcpStream, idle: Duration) {
    use rustix::net::sockopt;
    // Without these a connection lives longer than it must, and nothing else.
    let _ = sockopt::set_socket_keepalive(tcp, true);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(tcp, PROBE_EVERY);
        let _ = sockopt::set_tcp_keepintvl(tcp, PROBE_EVERY);
        // Data that is not acknowledged, and data that a closed window keeps here (tcp(7), 2026-11).
        let _ = sockopt::set_tcp_user_timeout(tcp, u32::try_from(idle.as_millis()).unwrap_or(u32::MAX));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = idle;
}

#[cfg(not(unix))]
pub(crate) fn watch_over(_tcp: &TcpStream, _idle: Duration) {}
