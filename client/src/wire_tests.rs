#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

use kmi_proto::client::{Client, ClientError};
use kmi_proto::method::Empty;

use super::*;

/// Long enough for a loaded machine; who waits so long has not been answered at all.
const DEADLINE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

/// A place for a socket, and what keeps it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    (home, path)
}

/// What becomes of a call to a peer that does `serve` with its end.
fn call(serve: impl FnOnce(UnixStream) + Send + 'static) -> ClientError {
    let (_home, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    let (done, result) = channel();
    thread::spawn(move || {
        let wire = Wire::open(&path, SHORT).unwrap().unwrap();
        let _ = done.send(Client::new(wire).call::<_, Empty>("m", &Empty {}).unwrap_err());
    });
    result.recv_timeout(DEADLINE).expect("the call has an end")
}

/// Goes on for as long as somebody is there to hear it.
fn repeat(mut stream: UnixStream, words: &[u8]) {
    while stream.write_all(words).is_ok() {}
}

#[test]
fn a_call_ends_in_time_whatever_the_peer_goes_on_saying() {
    let talkers: [&[u8]; 3] = [
        b"\n\r\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"stream.item\",\"params\":{\"subscription\":1,\"seq\":0,\"item\":1}}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}\n",
    ];
    for words in talkers {
        let error = call(move |stream| repeat(stream, words));
        assert!(
            matches!(&error, ClientError::Io(error) if error.kind() == io::ErrorKind::TimedOut),
            "{error}"
        );
    }
}

#[test]
fn a_call_ends_in_time_when_nothing_comes() {
    let error = call(|mut stream| {
        // To the end of the other side.
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let timeout =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    assert!(matches!(&error, ClientError::Io(error) if timeout(error)), "{error}");
}

#[test]
fn each_question_has_the_whole_span() {
    let (_home, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let mut wire = Wire::open(&path, DEADLINE).unwrap().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut ask = |wire: &mut Wire| {
        wire.write_all(b"?").unwrap();
        let until = wire.until.get();
        wire.write_all(b"?").unwrap();
        assert_eq!(wire.until.get(), until, "one question, one span");
        peer.write_all(b"!").unwrap();
        wire.read_exact(&mut [0]).unwrap();
        assert_eq!(wire.until.get(), until, "and its answer's");
        until.unwrap()
    };
    let first = ask(&mut wire);
    assert!(ask(&mut wire) > first);
}

#[test]
fn nobody_listens() {
    let (_home, path) = place();
    assert!(Wire::open(&path, SHORT).unwrap().is_none());
    drop(UnixListener::bind(&path).unwrap());
    assert!(Wire::open(&path, SHORT).unwrap().is_none());
}

/// A daemon that was stopped accepts nobody; the system holds a few connections for it.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_nobody_takes_is_given_up() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

    let (_home, path) = place();
    let _listener = UnixListener::bind(&path).unwrap();
    let address = SocketAddrUnix::new(&path).unwrap();
    let mut waiting = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        if connect(&socket, &address).is_err() {
            break;
        }
        waiting.push(socket);
    }
    assert!(!waiting.is_empty());
    let (done, result) = channel();
    thread::spawn(move || done.send(Wire::open(&path, SHORT)));
    let error = result.recv_timeout(DEADLINE).expect("it has an end").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn only_our_own_user_and_root_are_talked_to() {
    let talks = |peer, own| os::may_listen(peer, own);
    assert!(talks(1000, 1000) && talks(0, 1000) && talks(0, 0));
    assert!(!talks(1001, 1000) && !talks(1000, 0));
}
