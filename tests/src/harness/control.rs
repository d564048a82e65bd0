//! A JSON-RPC client that knows only what the specification of the control socket says: lines of JSON. It is not the
//! project's own client library, so that the two cannot be wrong together.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::wait::within;

/// A connection to the control socket.
#[derive(Debug)]
pub struct Control {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    next_id: u64,
    notifications: VecDeque<Value>,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// `error.code`
    pub code: i64,
    /// `error.message`
    pub message: String,
    /// `error.data`
    pub data: Value,
}

impl RpcError {
    /// `error.data.kind`
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data["kind"].as_str().unwrap_or_default()
    }
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(socket).await?.into_split();
        Ok(Self { read: BufReader::new(read), write, next_id: 1, notifications: VecDeque::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await
    }

    /// The next line; `None` when the other side has closed.
    ///
    /// # Panics
    /// When the line is not JSON.
    pub async fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match within("a line on the control socket", self.read.read_line(&mut line)).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))),
        }
    }

    /// Calls a method.
    ///
    /// # Errors
    /// The error answer.
    ///
    /// # Panics
    /// When the other side closes or breaks the protocol.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send_raw(format!("{request}\n").as_bytes()).await.unwrap();
        loop {
            let Some(mut message) = self.line().await else { panic!("closed before the answer to {method}") };
            assert_eq!(message["jsonrpc"], "2.0", "{message}");
            if message["method"].is_string() {
                self.notifications.push_back(message);
                continue;
            }
            assert_eq!(message["id"], id, "{message}");
            return match message.get_mut("error") {
                None => Ok(message["result"].take()),
                Some(error) => Err(RpcError {
                    code: error["code"].as_i64().unwrap(),
                    message: error["message"].as_str().unwrap().to_owned(),
                    data: error["data"].take(),
                }),
            };
        }
    }

    /// The next notification: its method and parameters.
    ///
    /// # Panics
    /// When the other side closes first.
    pub async fn notification(&mut self) -> (String, Value) {
        let mut message = match self.notifications.pop_front() {
            Some(message) => message,
            None => self.line().await.unwrap_or_else(|| panic!("closed before a notification")),
        };
        (message["method"].as_str().unwrap_or_default().to_owned(), message["params"].take())
    }

    /// The item of the next `stream.item`.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn item(&mut self) -> Value {
        let (method, mut params) = self.notification().await;
        assert_eq!(method, "stream.item", "{params}");
        params["item"].take()
    }
}
