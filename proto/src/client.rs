//! A blocking client over any stream.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::codec::{Decoder, EncodeError, encode};
use crate::envelope::{Id, Outcome, Request, Response};
use crate::error::RpcError;
use crate::method::{Method, Typed};
use crate::notify::{CancelParams, Cancelled, Notification, Subscribed};

const READ_SIZE: usize = 16 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection broke, or a timeout that the stream was given passed.
    #[error("the connection to kmid failed")]
    Io(#[from] io::Error),
    /// The other side does not speak the protocol, or another version of it.
    #[error("the answer is not what the protocol says: {0}")]
    Protocol(String),
    /// kmid refused or failed.
    #[error(transparent)]
    Rpc(RpcError),
    /// kmid closed the connection.
    #[error("kmid closed the connection")]
    Closed,
}

impl From<EncodeError> for ClientError {
    fn from(error: EncodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// One connection; one call or stream at a time.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    decoder: Decoder,
    /// Read from the stream, not yet taken by the decoder.
    unread: Vec<u8>,
    last_id: u64,
}

/// What a stream brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A trace entry or log line.
    Item(Value),
    /// So many items were missed here because this side read too slowly.
    Dropped(u64),
    /// Nothing more comes, and why: one of the reasons in [`crate::notify`].
    End(String),
}

/// What a line from the daemon can be.
enum Received {
    Answer(Response),
    Notification(Notification),
    /// A notification of a newer version.
    Unknown,
}

impl<S: Read + Write> Client<S> {
    /// A client over a connected stream.
    pub fn new(stream: S) -> Self {
        Self { stream, decoder: Decoder::new(), unread: Vec::new(), last_id: 0 }
    }

    /// The stream under it, for example to set a timeout.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// When the daemon refuses, the connection breaks, or the answer is not what was expected.
    pub fn call<P: Serialize + ?Sized, R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<R, ClientError> {
        let id = self.send(method, params)?;
        loop {
            // Items of a stream that was dropped without being cancelled may still be under way.
            if let Received::Answer(response) = self.receive()?
                && let Some(result) = result_of(response, &id)
            {
                return read(method, result?);
            }
        }
    }

    /// The same with the types that belong to the method.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn ask<M: Typed>(&mut self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.call(M::METHOD.name(), params)
    }

    /// Calls a method that opens a stream.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn stream<P: Serialize + ?Sized>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<Stream<'_, S>, ClientError> {
        let Subscribed { subscription } = self.call(method, params)?;
        Ok(Stream { client: self, subscription, ended: false })
    }

    fn send<P: Serialize + ?Sized>(&mut self, method: &str, params: &P) -> Result<Id, ClientError> {
        let params = serde_json::to_value(params).map_err(EncodeError::from)?;
        self.last_id += 1;
        let line = encode(&Request::call(self.last_id, method, params))?;
        match self.stream.write_all(&line).and_then(|()| self.stream.flush()) {
            // A daemon that turns the connection away says why before it closes, and that can still be read.
            Err(error) if is_closed(&error) => match self.receive() {
                Ok(Received::Answer(Response { id: Id::Null, outcome: Outcome::Error(error), .. })) => {
                    Err(ClientError::Rpc(error))
                }
                _ => Err(ClientError::Closed),
            },
            Err(error) => Err(error.into()),
            Ok(()) => Ok(Id::from(self.last_id)),
        }
    }

    fn receive(&mut self) -> Result<Received, ClientError> {
        let line = self.read_line()?;
        let value: Value = serde_json::from_slice(&line)
            .map_err(|error| ClientError::Protocol(format!("a line is not JSON: {error}")))?;
        let Some(method) = value.get("method").and_then(Value::as_str) else {
            return serde_json::from_value(value)
                .map(Received::Answer)
                .map_err(|error| ClientError::Protocol(format!("a line is no answer: {error}")));
        };
        let notification = value.get("params").and_then(|params| Notification::read(method, params.clone()));
        Ok(notification.map_or(Received::Unknown, Received::Notification))
    }

    fn read_line(&mut self) -> Result<Vec<u8>, ClientError> {
        loop {
            let mut rest = self.unread.as_slice();
            let line = self.decoder.next_line(&mut rest);
            let taken = self.unread.len() - rest.len();
            self.unread.drain(..taken);
            match line {
                Some(Ok(line)) if line.is_empty() => continue,
                Some(line) => return line.map_err(|error| ClientError::Protocol(error.to_string())),
                None => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), ClientError> {
        self.unread.resize(READ_SIZE, 0);
        let read = loop {
            match self.stream.read(&mut self.unread) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.unread.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(ClientError::Closed),
            Ok(_) => Ok(()),
            Err(error) if is_closed(&error) => Err(ClientError::Closed),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

/// The result when the answer is for this id, or an error for the connection as a whole, which carries no id.
fn result_of(response: Response, id: &Id) -> Option<Result<Value, ClientError>> {
    match response.outcome {
        Outcome::Result(result) if response.id == *id => Some(Ok(result)),
        Outcome::Error(error) if response.id == *id || response.id == Id::Null => {
            Some(Err(ClientError::Rpc(error)))
        }
        _ => None,
    }
}

fn read<R: DeserializeOwned>(method: &str, result: Value) -> Result<R, ClientError> {
    serde_json::from_value(result)
        .map_err(|error| ClientError::Protocol(format!("the result of {method} does not fit: {error}")))
}

/// A stream that is open on a client. Iterating waits for the next event; after [`Event::End`] or an error there is
/// none. Dropping it leaves the stream open until the connection closes; [`Stream::cancel`] ends it.
#[derive(Debug)]
pub struct Stream<'a, S> {
    client: &'a mut Client<S>,
    subscription: u64,
    ended: bool,
}

impl<S: Read + Write> Stream<'_, S> {
    /// The stream under it, as [`Client::get_ref`].
    pub fn get_ref(&self) -> &S {
        self.client.get_ref()
    }

    /// Ends the stream; what is still under way is thrown away.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn cancel(self) -> Result<(), ClientError> {
        if !self.ended {
            let params = CancelParams { subscription: self.subscription };
            let _: Cancelled = self.client.call(Method::StreamCancel.name(), &params)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Event, ClientError> {
        loop {
            match self.client.receive()? {
                Received::Notification(notification) if notification.subscription() == self.subscription => {
                    return Ok(match notification {
                        Notification::Item(item) => Event::Item(item.item),
                        Notification::Dropped(dropped) => Event::Dropped(dropped.count),
                        Notification::End(end) => Event::End(end.reason),
                    });
                }
                Received::Answer(Response { id: Id::Null, outcome: Outcome::Error(error), .. }) => {
                    return Err(ClientError::Rpc(error));
                }
                _ => {}
            }
        }
    }
}

impl<S: Read + Write> Iterator for Stream<'_, S> {
    type Item = Result<Event, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = self.receive();
        // A timeout of the stream is no end: the caller may look up and wait on.
        self.ended = match &event {
            Ok(event) => matches!(event, Event::End(_)),
            Err(ClientError::Io(error)) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
            Err(_) => true,
        };
        Some(event)
    }
}

#[cfg(test)]
mod tests {

    use std::io::Cursor;

    use serde_json::json;

    use super::*;
    use crate::method::{Empty, typed};

    /// Replays what a daemon would say and keeps what it was told.
    struct Script {
        says: Cursor<Vec<u8>>,
        heard: Vec<u8>,
        gone: bool,
    }

    fn script(lines: &[Value]) -> Client<Script> {
        let says = lines.iter().map(|line| format!("{line}\r\n\n")).collect::<String>().into_bytes();
        Client::new(Script { says: Cursor::new(says), heard: Vec::new(), gone: false })
    }

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let few = buf.len().min(5);
            self.says.read(&mut buf[..few])
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            if self.gone {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.heard.extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn answer(id: u64, result: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    }

    fn notice(method: &str, params: Value) -> Value {
        json!({"jsonrpc": "2.0", "method": method, "params": params})
    }

    #[test]
    fn a_call_finds_its_own_answer() {
        let mut client = script(&[
            notice("stream.item", json!({"subscription": 9, "seq": 0, "item": 1})),
            notice("of.tomorrow", json!([])),
            answer(77, json!("someone else's")),
            answer(1, json!({"cleared": ["alpha"]})),
        ]);
        let params = crate::methods::keys::LabelParams::default();
        let result = client.ask::<typed::KeysUnblock>(&params).unwrap();
        assert_eq!(result.cleared, ["alpha"]);
        let heard: Value = serde_json::from_slice(&client.stream.heard).unwrap();
        assert_eq!(heard, json!({"jsonrpc": "2.0", "method": "keys.unblock", "params": {}, "id": 1}));
        assert!(matches!(client.call::<_, Empty>("m", &Empty {}), Err(ClientError::Closed)));
    }

    #[test]
    fn errors_of_each_kind() {
        let refusal = |id: Value| {
            json!({"jsonrpc": "2.0", "id": id,
                "error": {"code": -32010, "message": "no", "data": {"kind": "policy"}}})
        };
        for line in [refusal(json!(1)), refusal(Value::Null)] {
            let error = script(&[line]).call::<_, Empty>("m", &Empty {}).unwrap_err();
            assert!(matches!(error, ClientError::Rpc(error) if error.is(crate::error::Kind::Policy)));
        }
        let error = script(&[answer(1, json!([]))]).ask::<typed::DaemonStatus>(&Empty {}).unwrap_err();
        assert!(matches!(&error, ClientError::Protocol(why) if why.contains("daemon.status")), "{error}");
        let error = script(&[json!("HTTP/1.1 400")]).call::<_, Empty>("m", &Empty {}).unwrap_err();
        assert!(matches!(error, ClientError::Protocol(_)));
    }

    #[test]
    fn a_connection_that_is_turned_away_says_why() {
        let mut client = script(&[json!({"jsonrpc": "2.0", "id": null,
            "error": {"code": -32002, "message": "full", "data": {"kind": "too_many_connections"}}})]);
        client.stream.gone = true;
        let error = client.call::<_, Empty>("m", &Empty {}).unwrap_err();
        assert!(matches!(error, ClientError::Rpc(error) if error.code == -32002));
    }

    #[test]
    fn a_stream_brings_its_items_until_its_end() {
        let mut client = script(&[
            answer(1, json!({"subscription": 3})),
            notice("stream.item", json!({"subscription": 3, "seq": 0, "item": "a"})),
            notice("stream.item", json!({"subscription": 4, "seq": 0, "item": "not ours"})),
            notice("stream.dropped", json!({"subscription": 3, "count": 2})),
            notice("stream.end", json!({"subscription": 3, "reason": "complete"})),
            answer(2, json!({})),
        ]);
        let stream = client.stream("logs.tail", &json!({"source": "app"})).unwrap();
        let events: Vec<_> = stream.map(Result::unwrap).collect();
        assert_eq!(events, [Event::Item("a".into()), Event::Dropped(2), Event::End("complete".into())]);
        assert_eq!(client.call::<_, Empty>("m", &Empty {}).unwrap(), Empty {});
    }

    #[test]
    fn a_cancelled_stream_leaves_the_connection_usable() {
        let mut client = script(&[
            answer(1, json!({"subscription": 3})),
            notice("stream.item", json!({"subscription": 3, "seq": 0, "item": "a"})),
            notice("stream.end", json!({"subscription": 3, "reason": "cancelled"})),
            answer(2, json!({"cancelled": true})),
            answer(3, json!({})),
        ]);
        client.stream("requests.tail", &Empty {}).unwrap().cancel().unwrap();
        client.call::<_, Empty>("m", &Empty {}).unwrap();
    }
}
