//! What the simulator reads out of a request: endpoint, key, and the few fields of the body that matter.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kmid_core::key::{Fingerprint, Secret};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest request body.
pub(super) const MOST_BODY: usize = 64 << 20;
/// Memory for all request bodies at once, in KiB: more wait their turn.
pub(super) const MOST_BODIES_KIB: usize = 256 << 10;
/// Bodies above this are parsed away from the runtime's own threads.
const LARGE_BODY: usize = 1 << 20;
/// What is set aside for a body before its bytes come.
const FIRST_ALLOCATION: usize = 1 << 20;

/// Endpoints of the API [kimi-upstream.md, 2026-11].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Messages,
    Plain(Plain),
}

/// Endpoints that no model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Models,
    Usages,
    Me,
    Search,
    Fetch,
    Files,
}

/// The shape of answers and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    OpenAi,
    Anthropic,
}

const ENDPOINTS: [(&str, Endpoint); 8] = [
    ("/models", Endpoint::Plain(Plain::Models)),
    ("/usages", Endpoint::Plain(Plain::Usages)),
    ("/me", Endpoint::Plain(Plain::Me)),
    ("/chat/completions", Endpoint::Chat),
    ("/messages", Endpoint::Messages),
    ("/search", Endpoint::Plain(Plain::Search)),
    ("/fetch", Endpoint::Plain(Plain::Fetch)),
    ("/files", Endpoint::Plain(Plain::Files)),
];

impl Endpoint {
    /// The endpoint that a path below any base path names.
    pub(super) fn of(path: &str) -> Option<Self> {
        ENDPOINTS.iter().find(|(end, _)| path.ends_with(end)).map(|(_, endpoint)| *endpoint)
    }

    /// Methods it answers, as an `Allow` header lists them.
    pub(super) fn allowed(self) -> &'static str {
        match self {
            Self::Plain(Plain::Models | Plain::Usages | Plain::Me) => "GET, HEAD",
            Self::Plain(Plain::Files) => "GET, HEAD, POST",
            Self::Chat | Self::Messages | Self::Plain(Plain::Search | Plain::Fetch) => "POST",
        }
    }

    pub(super) fn allows(self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method.as_str())
    }
}

impl Wire {
    /// The wire that a path belongs to.
    pub(super) fn of(path: &str) -> Self {
        if path.contains("/messages") { Self::Anthropic } else { Self::OpenAi }
    }
}

/// Who asks: the key in either of its headers, of which only the fingerprint is kept.
pub(super) fn key_of(headers: &HeaderMap) -> Option<Fingerprint> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    });
    let plain = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let key = bearer.or(plain)?.trim();
    (!key.is_empty()).then(|| Fingerprint::of(&Secret::new(key)))
}

/// The fields of a chat request that change the answer. Everything else is skipped unread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Outline {
    model: Option<String>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    prompt_cache_key: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

/// The model that is named when the request names none.
const USUAL_MODEL: &str = "kimi-for-coding";
/// Longer model names are cut in the answer.
const LONGEST_MODEL: usize = 100;

impl Outline {
    /// The model to name in the answer.
    pub(super) fn model(&self) -> String {
        match self.model.as_deref() {
            None | Some("") => USUAL_MODEL.to_owned(),
            Some(model) => model.chars().take(LONGEST_MODEL).collect(),
        }
    }

    /// Whether an event stream was asked for.
    pub(super) fn stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether an OpenAI stream ends with a usage chunk.
    pub(super) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// The session, as a hash.
    pub(super) fn session(&self) -> Option<u64> {
        let user = self.metadata.as_ref().and_then(|metadata| metadata.user_id.as_deref());
        let id = self.prompt_cache_key.as_deref().or(user).filter(|id| !id.is_empty())?;
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadBody {
    TooLarge,
    Broken,
    NotJson,
}

/// Reads a chat body; its length in bytes comes along.
pub(super) async fn outline(body: Incoming, room: &Arc<Semaphore>) -> Result<(Outline, usize), BadBody> {
    let (bytes, permit) = collect(body, room).await?;
    let length = bytes.len();
    let outline = if length > LARGE_BODY {
        tokio::task::spawn_blocking(move || (parse(&bytes), permit)).await.map_err(|_| BadBody::Broken)?.0
    } else {
        parse(&bytes)
    };
    outline.map(|outline| (outline, length)).ok_or(BadBody::NotJson)
}

fn parse(bytes: &[u8]) -> Option<Outline> {
    // A derived struct would also take a JSON array, field by field.
    let starts = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if starts != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

async fn collect(
    mut body: Incoming,
    room: &Arc<Semaphore>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), BadBody> {
    let promised = http_body::Body::size_hint(&body).exact();
    let most = promised.map_or(MOST_BODY, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if most > MOST_BODY {
        drain(body).await?;
        return Err(BadBody::TooLarge);
    }
    // The whole room a body may need is taken at once: two half-read bodies must not wait for each other.
    let kib = u32::try_from(most.div_ceil(1024)).unwrap_or(u32::MAX);
    let permit = Arc::clone(room).acquire_many_owned(kib).await.map_err(|_| BadBody::Broken)?;
    let mut bytes = Vec::with_capacity(promised.map_or(0, |_| most.min(FIRST_ALLOCATION)));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BadBody::Broken)?.into_data() else { continue };
        if bytes.len() + data.len() > MOST_BODY {
            drain(body).await?;
            return Err(BadBody::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, permit))
}

/// Reads a body to its end without keeping it; its length.
pub(super) async fn drain(mut body: Incoming) -> Result<u64, BadBody> {
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| BadBody::Broken)?.into_data() {
            length += data.len() as u64;
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_found_below_any_base_path() {
        for (path, endpoint) in [
            ("/coding/v1/models", Some(Endpoint::Plain(Plain::Models))),
            ("/v1/chat/completions", Some(Endpoint::Chat)),
            ("/messages", Some(Endpoint::Messages)),
            ("/coding/v1/supermodels", None),
            ("/coding/v1/chat", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::of(path), endpoint, "{path}");
        }
    }

    #[test]
    fn a_key_is_the_same_in_either_header() {
        let mut bearer = HeaderMap::new();
        bearer.insert(AUTHORIZATION, "bearer abc".parse().unwrap());
        let mut plain = HeaderMap::new();
        plain.insert("x-api-key", "abc".parse().unwrap());
        assert_eq!(key_of(&bearer), key_of(&plain));
        assert!(key_of(&bearer).is_some());
        plain.insert("x-api-key", " ".parse().unwrap());
        assert_eq!(key_of(&plain), None);
    }

    #[test]
    fn only_the_outline_is_read() {
        let body = br#"{"model":"k3","messages":[{"role":"user","content":"x"}],"stream":true,
            "stream_options":{"include_usage":true},"metadata":{"user_id":"session_1","more":[1]},"tools":[{}]}"#;
        let outline = parse(body).unwrap();
        assert_eq!(outline.model(), "k3");
        assert!(outline.stream() && outline.include_usage() && outline.session().is_some());
        assert_eq!(parse(b"{}").unwrap().model(), USUAL_MODEL);
        for bad in [&b"[]"[..], b"", b"{", b"null", b"{} x"] {
            assert_eq!(parse(bad), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
        }
    }
}
