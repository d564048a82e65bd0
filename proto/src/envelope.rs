//! The envelopes of JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>): requests, notifications, answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::error::{Kind, RpcError};

/// Most calls in one batch.
pub const MAX_BATCH: usize = 64;

/// The constant `"2.0"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("2.0")
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "2.0" => Ok(Self),
            other => Err(serde::de::Error::custom(format!("jsonrpc is {other:?}, expected \"2.0\""))),
        }
    }
}

/// What ties an answer to its request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// Of an answer to something whose id could not be read. Allowed, but unwise, in a request.
    Null,
    /// A number.
    Number(Number),
    /// A text.
    String(String),
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

/// A call. Without an id it is a notification and gets no answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// Always `"2.0"`.
    pub jsonrpc: Version,
    /// The method's name.
    pub method: String,
    /// An object or an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// Missing in a notification; `null` is not missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
}

impl Request {
    /// A call that wants an answer.
    #[must_use]
    pub fn call(id: impl Into<Id>, method: &str, params: Value) -> Self {
        Self { id: Some(id.into()), ..Self::notification(method, params) }
    }

    /// A call that gets no answer. `null` parameters are left out.
    #[must_use]
    pub fn notification(method: &str, params: Value) -> Self {
        let params = Some(params).filter(|params| !params.is_null());
        Self { jsonrpc: Version, method: method.to_owned(), params, id: None }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Always `"2.0"`.
    pub jsonrpc: Version,
    /// Of the request; null when that could not be read.
    pub id: Id,
    /// `result` or `error`.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It worked.
    Result(Value),
    /// It did not.
    Error(RpcError),
}

impl Response {
    /// The answer to a request.
    #[must_use]
    pub fn new(id: Id, outcome: Result<Value, RpcError>) -> Self {
        let outcome = match outcome {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(error),
        };
        Self { jsonrpc: Version, id, outcome }
    }
}

/// A call as it came in: a request, or the answer that its brokenness deserves.
pub type Call = Result<Request, Box<Response>>;

/// A line as the daemon reads it.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// One call.
    Single(Call),
    /// Several calls at once, never none; their answers go out together, as an array.
    Batch(Vec<UnreadCall>),
}

/// A call of a batch as it came in. As text it takes as much memory as it has letters; read, it can take thirty times as
/// much (`[[],[],...]`), so it is read when its turn comes.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadCall(Box<str>);

impl UnreadCall {
    /// The call.
    ///
    /// # Errors
    /// The answer to a call that is none.
    pub fn read(&self) -> Call {
        read_call(&self.0)
    }
}

impl Incoming {
    /// Reads a line. What is broken as a whole becomes a single broken call.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        let not_json = |error: &serde_json::Error| {
            Self::Single(broken(Kind::Parse, Id::Null, &format!("not JSON: {error}")))
        };
        if line.trim_ascii_start().first() != Some(&b'[') {
            return match serde_json::from_slice::<&RawValue>(line) {
                Ok(call) => Self::Single(read_call(call.get())),
                Err(error) => not_json(&error),
            };
        }
        match serde_json::from_slice::<Vec<&RawValue>>(line) {
            Ok(calls) if calls.is_empty() => {
                Self::Single(broken(Kind::InvalidRequest, Id::Null, "an empty batch asks for nothing"))
            }
            Ok(calls) if calls.len() > MAX_BATCH => {
                let why = format!("a batch of {} calls; at most {MAX_BATCH} go together", calls.len());
                Self::Single(broken(Kind::InvalidRequest, Id::Null, &why))
            }
            Ok(calls) => Self::Batch(calls.iter().map(|call| UnreadCall(call.get().into())).collect()),
            Err(error) => not_json(&error),
        }
    }
}

fn broken(kind: Kind, id: Id, why: &str) -> Call {
    Err(Box::new(Response::new(id, Err(RpcError::new(kind, why)))))
}

/// Reads a text that is JSON, as far as its brackets and commas go.
fn read_call(text: &str) -> Call {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        return broken(Kind::InvalidRequest, Id::Null, "a call is a JSON object");
    };
    let id = match fields.get("id") {
        None => None,
        Some(id) => match read_id(id.get()) {
            Some(id) => Some(id),
            None => {
                let why = "an id is a text, null, or a number that comes back as it was sent: a whole one of 64 bits";
                return broken(Kind::InvalidRequest, Id::Null, why);
            }
        },
    };
    read_fields(&fields, id.clone()).or_else(|why| broken(Kind::InvalidRequest, id.unwrap_or(Id::Null), &why))
}

/// An id that its answer can repeat letter by letter: larger numbers would lose their last digits.
fn read_id(text: &str) -> Option<Id> {
    match serde_json::from_str(text).ok()? {
        Id::Number(number) if number.to_string() != text => None,
        id => Some(id),
    }
}

fn read_fields(fields: &BTreeMap<String, &RawValue>, id: Option<Id>) -> Result<Request, String> {
    let text = |name| fields.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    if text("jsonrpc").as_deref() != Some("2.0") {
        return Err("\"jsonrpc\" must be \"2.0\"".to_owned());
    }
    let Some(method) = text("method") else {
        return Err("\"method\" must be a text".to_owned());
    };
    let params = fields.get("params").map(|value| serde_json::from_str(value.get())).transpose();
    match params.map_err(|error| format!("\"params\" cannot be read: {error}"))? {
        None | Some(Value::Null) => Ok(Request { jsonrpc: Version, method, params: None, id }),
        Some(params @ (Value::Object(_) | Value::Array(_))) => {
            Ok(Request { jsonrpc: Version, method, params: Some(params), id })
        }
        Some(_) => Err("\"params\" must be an object or an array".to_owned()),
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn single(text: &str) -> Call {
        match Incoming::parse(text.as_bytes()) {
            Incoming::Single(call) => call,
            Incoming::Batch(_) => panic!("a batch"),
        }
    }

    fn failure(call: Call) -> (Id, i64) {
        let response = call.unwrap_err();
        let Outcome::Error(error) = response.outcome else { panic!("a result") };
        (response.id, error.code)
    }

    #[test]
    fn ids_of_every_kind() {
        for (text, id) in [
            ("7", Some(Id::from(7))),
            ("-1.5", Some(Id::Number(Number::from_f64(-1.5).unwrap()))),
            ("\"x\"", Some(Id::String("x".into()))),
            ("null", Some(Id::Null)),
        ] {
            let call = single(&format!(r#"{{"jsonrpc":"2.0","method":"m","id":{text}}}"#)).unwrap();
            assert_eq!(call.id, id);
            assert_eq!(serde_json::to_value(call.id.unwrap()).unwrap().to_string(), text);
        }
        assert_eq!(single(r#"{"jsonrpc":"2.0","method":"m"}"#).unwrap().id, None);
    }

    #[test]
    fn broken_calls_get_the_codes_of_the_specification() {
        for (text, id, code) in [
            ("", Id::Null, -32700),
            (r#"{"jsonrpc":"2.0","#, Id::Null, -32700),
            ("\u{feff}{}", Id::Null, -32700),
            ("[]", Id::Null, -32600),
            ("1", Id::Null, -32600),
            (r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#, Id::Null, -32600),
            (r#"{"jsonrpc":"2.0","method":1,"id":4}"#, Id::from(4), -32600),
            (r#"{"jsonrpc":"2.0","method":"m","params":"bar","id":4}"#, Id::from(4), -32600),
            (r#"{"jsonrpc":"1.0","method":"m","id":"a"}"#, Id::String("a".into()), -32600),
            (r#"{"method":"m","id":"a"}"#, Id::String("a".into()), -32600),
            (r#"{"jsonrpc":"2.0","method":"m","id":[1]}"#, Id::Null, -32600),
            (r#"{"jsonrpc":"2.0","method":"m","id":true}"#, Id::Null, -32600),
            (r#"{"jsonrpc":"2.0","method":"m","params":["\ud800"],"id":4}"#, Id::from(4), -32600),
        ] {
            assert_eq!(failure(single(text)), (id, code), "{text}");
        }
    }

    #[test]
    fn an_id_that_would_not_come_back_as_it_was_sent_is_refused() {
        let call = |id: &str| single(&format!(r#"{{"jsonrpc":"2.0","method":"m","id":{id}}}"#));
        for id in ["123456789012345678901234567890", "18446744073709551616", "0.1000", "1e3", "-0"] {
            assert_eq!(failure(call(id)), (Id::Null, -32600), "{id}");
        }
        for id in ["18446744073709551615", "-9223372036854775808", r#""123456789012345678901234567890""#] {
            let request = call(id).unwrap();
            assert_eq!(serde_json::to_string(&request.id).unwrap(), id);
        }
    }

    #[test]
    fn params_that_are_too_deep_break_their_own_call_only() {
        let deep = format!(
            r#"{{"jsonrpc":"2.0","method":"m","id":4,"params":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert_eq!(failure(single(&deep)), (Id::from(4), -32600));
        let line = format!(r#"[{deep},{{"jsonrpc":"2.0","method":"m","id":5}}]"#);
        let Incoming::Batch(calls) = Incoming::parse(line.as_bytes()) else { panic!("not a batch") };
        assert_eq!(failure(calls[0].read()), (Id::from(4), -32600));
        assert_eq!(calls[1].read().unwrap().id, Some(Id::from(5)));
    }

    #[test]
    fn a_batch_that_waits_is_as_large_as_it_was_sent() {
        let params = format!("[{}[]]", "[],".repeat(10_000));
        let call = format!(r#"{{"jsonrpc":"2.0","method":"m","id":1,"params":{params}}}"#);
        let Incoming::Batch(calls) = Incoming::parse(format!("[{call},{call}]").as_bytes()) else {
            panic!("not a batch")
        };
        assert_eq!(calls, [UnreadCall(call.as_str().into()), UnreadCall(call.into())]);
        assert_eq!(calls[0].read().unwrap().params.unwrap().as_array().unwrap().len(), 10_001);
    }

    #[test]
    fn batches() {
        let Incoming::Batch(calls) = Incoming::parse(br#"[1, {"jsonrpc":"2.0","method":"m"}]"#) else {
            panic!("not a batch")
        };
        assert_eq!(failure(calls[0].read()), (Id::Null, -32600));
        assert_eq!(calls[1].read().unwrap().method, "m");
        let many = serde_json::to_vec(&vec![1; MAX_BATCH + 1]).unwrap();
        let Incoming::Single(call) = Incoming::parse(&many) else { panic!("taken") };
        assert_eq!(failure(call), (Id::Null, -32600));
    }

    #[test]
    fn answers_read_back() {
        for (outcome, json) in [
            (Ok(Value::Null), json!({"jsonrpc":"2.0","id":1,"result":null})),
            (Ok(json!({"a":1})), json!({"jsonrpc":"2.0","id":1,"result":{"a":1}})),
            (
                Err(RpcError::new(Kind::Internal, "m")),
                json!({"jsonrpc":"2.0","id":1,
                    "error":{"code":-32603,"message":"m","data":{"kind":"internal_error"}}}),
            ),
        ] {
            let response = Response::new(Id::from(1), outcome);
            assert_eq!(serde_json::to_value(&response).unwrap(), json);
            assert_eq!(serde_json::from_value::<Response>(json).unwrap(), response);
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Incoming::parse(&line);
        }

        #[test]
        fn calls_read_back(id in any::<u64>(), method in ".*", param in ".*") {
            let request = Request::call(id, &method, json!({ "p": param }));
            let line = serde_json::to_vec(&request).unwrap();
            prop_assert_eq!(Incoming::parse(&line), Incoming::Single(Ok(request)));
        }
    }
}
