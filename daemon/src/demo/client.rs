//! The demo's load: one small request at a time through the real proxy.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kmid_core::kimi::usage::Tokens;
use kmid_core::time::Time;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::clock;

/// A request that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(30);
/// A demo answer is about 5 KB; what is larger is no answer of the simulator.
const LARGEST: usize = 1 << 20;
/// kmid puts a real key in its place.
const CLIENT_KEY: &str = "the-demo-client-has-no-key";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `/chat/completions`, answered in one piece
    Chat,
    /// `/chat/completions`, answered as events
    ChatStream,
    /// `/messages`, answered as events
    Messages,
}

impl Ask {
    /// The mix: every kind in turn.
    #[must_use]
    pub fn nth(number: u64) -> Self {
        match number % 3 {
            1 => Self::Chat,
            2 => Self::ChatStream,
            _ => Self::Messages,
        }
    }

    /// At most eight characters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::ChatStream => "chat-sse",
            Self::Messages => "messages",
        }
    }

    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::Chat | Self::ChatStream => "/chat/completions",
            Self::Messages => "/messages",
        }
    }

    pub(super) fn body(self, number: u64) -> String {
        let filler = "The prompt has some length so that there are tokens to count. ".repeat(15);
        let messages = json!([{ "role": "user", "content": format!("Demo request {number}. {filler}") }]);
        match self {
            Self::Chat => json!({ "model": "kimi-for-coding", "messages": messages }),
            Self::ChatStream => json!({
                "model": "kimi-for-coding",
                "messages": messages,
                "stream": true,
                "stream_options": { "include_usage": true },
            }),
            Self::Messages => json!({
                "model": "kimi-for-coding",
                "messages": messages,
                "max_tokens": 1024,
                "stream": true,
            }),
        }
        .to_string()
    }
}

/// What came of one request: all of it read off the response.
#[derive(Debug, Clone)]
pub struct Shot {
    /// Counts from 1.
    pub number: u64,
    /// When it was sent.
    pub at: Time,
    /// What was asked.
    pub ask: Ask,
    /// HTTP status, if an answer came.
    pub status: Option<u16>,
    /// `x-kmi-key`: who served.
    pub key: Option<String>,
    /// `x-kmi-request-id`
    pub request_id: Option<String>,
    /// `x-kmi-origin: kmid`: the answer is the proxy's own.
    pub by_kmid: bool,
    /// From sending to the first byte of the answer's body, or its end when it has none.
    pub first_byte: Duration,
    /// From sending to the answer's end.
    pub total: Duration,
    /// As the answer counts them.
    pub tokens: Option<Tokens>,
    /// What went wrong, in the answer's or the transport's words.
    pub error: Option<String>,
}

impl Shot {
    /// Whether the client got what it asked for.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.error.is_none() && self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Sends request `number` to the proxy at `url` and waits for the end of its answer.
pub async fn ask(url: &str, number: u64) -> Shot {
    let ask = Ask::nth(number);
    let sent = Instant::now();
    let mut shot = Shot {
        number,
        at: clock::now(),
        ask,
        status: None,
        key: None,
        request_id: None,
        by_kmid: false,
        first_byte: Duration::ZERO,
        total: Duration::ZERO,
        tokens: None,
        error: None,
    };
    let failed = match timeout(LONGEST, exchange(url, &mut shot, sent)).await {
        Ok(result) => result.err(),
        Err(_) => Some(format!("no complete answer within {} s", LONGEST.as_secs())),
    };
    shot.error = failed.or(shot.error);
    shot.total = sent.elapsed();
    if shot.first_byte.is_zero() {
        shot.first_byte = shot.total;
    }
    shot
}

async fn exchange(url: &str, shot: &mut Shot, sent: Instant) -> Result<(), String> {
    let (address, request) = request(url, shot)?;
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        read(response, shot, sent).await
    });
    // Connection and answer make progress only together; the answer may outlast the connection by what is buffered.
    tokio::select! {
        done = answer.as_mut() => return done,
        _ = connection.as_mut() => {}
    }
    answer.await
}

fn request(url: &str, shot: &Shot) -> Result<(String, Request<Full<Bytes>>), String> {
    let uri: Uri =
        format!("{url}{}", shot.ask.endpoint()).parse().map_err(|_| format!("not a URL: {url}"))?;
    let authority = uri.authority().ok_or_else(|| format!("not a URL with a host: {url}"))?;
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let request = Request::post(uri.path())
        .header(HOST, authority.as_str())
        .header(USER_AGENT, concat!("kmid-demo/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json");
    let request = match shot.ask {
        Ask::Chat | Ask::ChatStream => request.header(AUTHORIZATION, format!("Bearer {CLIENT_KEY}")),
        Ask::Messages => request.header("x-api-key", CLIENT_KEY),
    };
    let body = Full::from(shot.ask.body(shot.number));
    Ok((address, request.body(body).map_err(|error| error.to_string())?))
}

async fn read(response: Response<Incoming>, shot: &mut Shot, sent: Instant) -> Result<(), String> {
    let (head, mut body) = response.into_parts();
    shot.status = Some(head.status.as_u16());
    shot.key = text(&head.headers, "x-kmi-key");
    shot.request_id = text(&head.headers, "x-kmi-request-id");
    shot.by_kmid = text(&head.headers, "x-kmi-origin").as_deref() == Some("kmid");
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.is_empty() {
            shot.first_byte = sent.elapsed();
        }
        if bytes.len() + data.len() > LARGEST {
            return Err("the answer is far too large".to_owned());
        }
        bytes.extend_from_slice(&data);
    }
    let answer = Answer::of(&bytes);
    shot.tokens = answer.tokens;
    if !head.status.is_success() {
        return Err(answer.error.unwrap_or_else(|| head.status.to_string()));
    }
    if shot.ask != Ask::Chat && !answer.terminated {
        return Err("the stream ended without its terminal event".to_owned());
    }
    Ok(())
}

/// A header's value, without anything that a terminal would act on.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().filter(|c| !c.is_control()).take(64).collect())
}

/// What the demo reads out of an answer of either wire, whole or streamed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    tokens: Option<Tokens>,
    error: Option<String>,
    terminated: bool,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Option<String>,
    usage: Option<Usage>,
    message: Option<Message>,
    error: Option<ErrorPart>,
}

#[derive(Deserialize)]
struct Message {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct ErrorPart {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Usage {
    fn tokens(&self) -> Tokens {
        let cached = self.cached_tokens.or(self.cache_read_input_tokens).unwrap_or(0);
        let fresh = self.input_tokens.map(|fresh| fresh.saturating_add(cached));
        Tokens {
            input: self.prompt_tokens.or(fresh).unwrap_or(0),
            cached,
            output: self.completion_tokens.or(self.output_tokens).unwrap_or(0),
        }
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        if let Ok(part) = serde_json::from_slice::<Part>(bytes) {
            answer.take(&part);
            return answer;
        }
        let text = String::from_utf8_lossy(bytes);
        for data in text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim) {
            if data == "[DONE]" {
                answer.terminated = true;
            } else if let Ok(part) = serde_json::from_str::<Part>(data) {
                answer.take(&part);
            }
        }
        answer
    }

    fn take(&mut self, part: &Part) {
        self.terminated |= part.kind.as_deref() == Some("message_stop");
        let nested = part.message.as_ref().and_then(|message| message.usage.as_ref());
        if let Some(usage) = part.usage.as_ref().or(nested) {
            self.tokens = Some(usage.tokens());
        }
        if let Some(message) = part.error.as_ref().and_then(|error| error.message.as_ref()) {
            self.error = Some(message.chars().filter(|c| !c.is_control()).take(300).collect());
        }
    }
}

#[cfg(test)]
mod tests {

    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::upstream::simulator::{Script, Simulator};

    #[tokio::test]
    async fn every_kind_of_request_is_answered_by_the_simulator_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/kmi-rotor/v1", listener.local_addr().unwrap());
        let simulator = Simulator::new(Script::default().at_once());
        let mut tasks = JoinSet::new();
        for number in 1..=3 {
            let (shot, accepted) = tokio::join!(ask(&url, number), async {
                let (stream, _) = listener.accept().await.unwrap();
                tasks.spawn(Arc::clone(&simulator).serve(stream, CancellationToken::new()));
            });
            let () = accepted;
            assert!(shot.answered(), "{shot:?}");
            assert_eq!((shot.number, shot.ask, shot.by_kmid), (number, Ask::nth(number), false));
            let tokens = shot.tokens.unwrap();
            assert!((200..400).contains(&(tokens.input + tokens.output)), "{tokens:?}");
            assert!(shot.first_byte <= shot.total && !shot.total.is_zero());
        }
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_a_failed_shot() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        drop(listener);
        let shot = ask(&url, 1).await;
        assert!(!shot.answered());
        assert!(shot.error.unwrap().starts_with("cannot connect to 127.0.0.1:"));
        assert_eq!(shot.status, None);
    }

    #[test]
    fn answers_of_both_wires() {
        let error =
            Answer::of(br#"{"type":"error","error":{"type":"permission_error","message":"no\u001bkey"}}"#);
        assert_eq!(error.error.as_deref(), Some("nokey"));
        let stream =
            b"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":1,\
            \"cache_read_input_tokens\":2,\"output_tokens\":3}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
        let stream = Answer::of(stream);
        assert_eq!(stream.tokens, Some(Tokens { input: 3, cached: 2, output: 3 }));
        assert!(stream.terminated);
        assert!(Answer::of(b"data: [DONE]\n\n").terminated);
        assert_eq!(Answer::of(b"\xff\xfe"), Answer::default());
    }
}
