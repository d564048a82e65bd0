//! Errors as they stand in answers: the codes of JSON-RPC 2.0 and our own.

use std::fmt;

use kmid_core::said::Said;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What went wrong, as a stable word and a stable code.
///
/// Programs should look at `data.kind`; the code alone tells the five of the specification from ours, which are all
/// in the range that JSON-RPC 2.0 leaves to servers (-32099 to -32000). A code is never given a second meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The line is not JSON.
    Parse,
    /// The JSON is not a request.
    InvalidRequest,
    /// No method has this name.
    MethodNotFound,
    /// The parameters do not fit the method.
    InvalidParams,
    /// The daemon failed; its log says more.
    Internal,
    /// A message is longer than a line may be; the rest of it was skipped.
    LineTooLong,
    /// Too many connections are open.
    TooManyConnections,
    /// Too many requests or streams are open on this connection.
    Busy,
    /// The answer would be longer than a line may be.
    AnswerTooLong,
    /// Another user's process asked.
    Forbidden,
    /// The settings forbid it.
    Policy,
    /// No key has this label.
    UnknownLabel,
    /// The traces hold no request with this id.
    UnknownRequest,
    /// There are no keys.
    NoKeys,
    /// The key is switched off in its file.
    Disabled,
    /// No key can serve; `retry_at` says when the first one may again, where that is known.
    NoneServes,
    /// The change could not be written to disk.
    NotSaved,
    /// A log file could not be read.
    LogUnreadable,
    /// The daemon is about to end.
    Stopping,
    /// The new kmid did not come up; the old one goes on.
    RestartFailed,
    /// The platform cannot do it.
    Unsupported,
    /// It is the affair of whatever started the daemon: a container, the manager of a service. The message says what to
    /// do.
    Managed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Parse,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::Internal,
        Self::LineTooLong,
        Self::TooManyConnections,
        Self::Busy,
        Self::AnswerTooLong,
        Self::Forbidden,
        Self::Policy,
        Self::UnknownLabel,
        Self::UnknownRequest,
        Self::NoKeys,
        Self::Disabled,
        Self::NoneServes,
        Self::NotSaved,
        Self::LogUnreadable,
        Self::Stopping,
        Self::RestartFailed,
        Self::Unsupported,
        Self::Managed,
    ];

    /// The number in `error.code`.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::Internal => -32603,
            Self::LineTooLong => -32001,
            Self::TooManyConnections => -32002,
            Self::Busy => -32003,
            Self::AnswerTooLong => -32004,
            Self::Forbidden => -32005,
            Self::Policy => -32010,
            Self::UnknownLabel => -32011,
            Self::NoKeys => -32012,
            Self::Disabled => -32013,
            Self::NoneServes => -32014,
            Self::NotSaved => -32015,
            Self::UnknownRequest => -32016,
            Self::LogUnreadable => -32020,
            Self::Stopping => -32030,
            Self::RestartFailed => -32031,
            Self::Unsupported => -32032,
            Self::Managed => -32033,
        }
    }

    /// The word in `error.data.kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse_error",
            Self::InvalidRequest => "invalid_request",
            Self::MethodNotFound => "method_not_found",
            Self::InvalidParams => "invalid_params",
            Self::Internal => "internal_error",
            Self::LineTooLong => "line_too_long",
            Self::TooManyConnections => "too_many_connections",
            Self::Busy => "busy",
            Self::AnswerTooLong => "answer_too_long",
            Self::Forbidden => "forbidden",
            Self::Policy => "policy",
            Self::UnknownLabel => "unknown_label",
            Self::UnknownRequest => "unknown_request",
            Self::NoKeys => "no_keys",
            Self::Disabled => "disabled",
            Self::NoneServes => "none_serves",
            Self::NotSaved => "not_saved",
            Self::LogUnreadable => "log_unreadable",
            Self::Stopping => "stopping",
            Self::RestartFailed => "restart_failed",
            Self::Unsupported => "unsupported",
            Self::Managed => "managed",
        }
    }
}

/// The `error` member of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct RpcError {
    /// See [`Kind::code`]; a newer daemon may send others.
    pub code: i64,
    /// What failed, why, and what to do; for people.
    pub message: String,
    /// See [`Kind::name`]; empty when the other side named none.
    pub kind: String,
    /// When the same request may succeed, RFC 3339.
    pub retry_at: Option<String>,
    /// The message with its code.
    pub said: Option<Box<Said>>,
}

impl RpcError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            code: kind.code(),
            message: message.into(),
            kind: kind.name().to_owned(),
            retry_at: None,
            said: None,
        }
    }

    /// An error of this kind in words that have a code.
    #[must_use]
    pub fn said(kind: Kind, said: Said) -> Self {
        Self { said: Some(Box::new(said.clone())), ..Self::new(kind, said.message) }
    }

    /// The same with the time from which on the request may succeed.
    #[must_use]
    pub fn retry_at(mut self, time: Option<String>) -> Self {
        self.retry_at = time;
        self
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind.name()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RpcError {}

/// The JSON form: our two fields live inside `data`, where the specification has room for them.
#[derive(Serialize, Deserialize)]
struct Wire {
    code: i64,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl From<Wire> for RpcError {
    fn from(wire: Wire) -> Self {
        let text = |field| Some(wire.data.as_ref()?.get(field)?.as_str()?.to_owned());
        Self {
            code: wire.code,
            kind: text("kind").unwrap_or_default(),
            retry_at: text("retry_at"),
            said: wire.data.as_ref().and_then(|data| Said::deserialize(data.get("said")?).ok()).map(Box::new),
            message: wire.message,
        }
    }
}

impl From<RpcError> for Wire {
    fn from(error: RpcError) -> Self {
        let mut data = Map::new();
        if !error.kind.is_empty() {
            data.insert("kind".to_owned(), error.kind.into());
        }
        if let Some(time) = error.retry_at {
            data.insert("retry_at".to_owned(), time.into());
        }
        if let Some(said) = error.said.and_then(|said| serde_json::to_value(said).ok()) {
            data.insert("said".to_owned(), said);
        }
        let data = (!data.is_empty()).then_some(Value::Object(data));
        Self { code: error.code, message: error.message, data }
    }
}

#[cfg(test)]
mod tests {

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_names_are_unique() {
        let codes: BTreeSet<_> = Kind::ALL.map(Kind::code).into();
        let names: BTreeSet<_> = Kind::ALL.map(Kind::name).into();
        assert_eq!((codes.len(), names.len()), (Kind::ALL.len(), Kind::ALL.len()));
        // The five of the specification, and the range that it leaves to servers.
        assert!(
            codes.iter().all(
                |c| [-32700, -32600, -32601, -32602, -32603].contains(c) || (-32099..=-32000).contains(c)
            )
        );
    }

    #[test]
    fn kind_and_retry_time_stand_in_data() {
        let error = RpcError::new(Kind::NoneServes, "no key").retry_at(Some("2026-11-01T00:00:00Z".into()));
        let json = serde_json::to_value(&error).unwrap();
        let expected = serde_json::json!({"code": -32014, "message": "no key",
            "data": {"kind": "none_serves", "retry_at": "2026-11-01T00:00:00Z"}});
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<RpcError>(json).unwrap(), error);
    }

    #[test]
    fn data_of_others_may_be_anything() {
        for data in ["null", "3", "[]", r#"{"kind":7}"#] {
            let text = format!(r#"{{"code":-1,"message":"m","data":{data}}}"#);
            let error: RpcError = serde_json::from_str(&text).unwrap();
            assert_eq!((error.kind.as_str(), error.retry_at), ("", None));
        }
    }
}
