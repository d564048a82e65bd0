//! What kmid itself may lack for a connection: descriptors, local ports, memory. No upstream is to blame for that.

use std::error::Error;
use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

/// Whether an error says that there is no room for another connection, in this process or on this machine.
pub(super) fn is_ours(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| says_so(error) || (is_about_ports(error) && is_full()))
}

/// Whether there is no room for another socket at this moment. Look-ups that fail for that do not say so, and an
/// address of a family that this machine does not speak gives the same error as a lack of local ports does.
pub(super) fn is_full() -> bool {
    let socket = TcpSocket::new_v4().and_then(|socket| socket.bind((Ipv4Addr::UNSPECIFIED, 0).into()));
    socket.is_err_and(|error| says_so(&error) || is_about_ports(&error))
}

fn is_about_ports(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

fn says_so(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || error.raw_os_error().is_some_and(is_code)
}

/// Too many open files, in this process or in all, and no buffers: these have no kind of their own.
#[cfg(unix)]
fn is_code(code: i32) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS].contains(&Errno::from_raw_os_error(code))
}

/// WSAEMFILE and WSAENOBUFS (winsock2.h, 2026-11).
#[cfg(windows)]
fn is_code(code: i32) -> bool {
    [10_024, 10_055].contains(&code)
}

#[cfg(not(any(unix, windows)))]
fn is_code(_code: i32) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_this_machine_lacks_is_told_from_what_an_upstream_does() {
        let of = |code: Errno| is_ours(&io::Error::from_raw_os_error(code.raw_os_error()));
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(of(code), "{code}");
        }
        // The last one: of an address that this machine cannot reach, while it has ports.
        for code in [Errno::CONNREFUSED, Errno::NETUNREACH, Errno::TIMEDOUT, Errno::ADDRNOTAVAIL] {
            assert!(!of(code), "{code}");
        }
    }
}
