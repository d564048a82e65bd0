//! One question to `/usages`.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kmid_core::key::Key;
use kmid_core::kimi::error;
use kmid_core::kimi::quota::{self, Quota};
use kmid_core::say;

use super::reach::said;
use crate::clock;
use crate::command::QuotaRefused;
use crate::upstream::{Limits, Upstream};

/// The official clients give up after 8 s, too [kimi-upstream facts, 2026-11].
const LONGEST: Duration = Duration::from_secs(8);
/// An answer is a few kilobytes.
const MOST_BYTES: usize = 1024 * 1024;
/// kmid asks under its own name and forges nobody's.
pub(super) const AGENT: &str = concat!("kmid/", env!("CARGO_PKG_VERSION"));

/// Asks for a key's quota. The error is one sentence without secrets.
pub(super) async fn usages(
    upstream: &Arc<Upstream>,
    key: &Key,
    connect: Duration,
) -> Result<Quota, QuotaRefused> {
    let limits = Limits { connect: connect.min(LONGEST), idle: LONGEST };
    let asking = async {
        let bearer = key.secret.to_header("Bearer ").map_err(|_| say!(quota_no_header))?;
        let host = key.base_url.authority();
        let uri = format!("{}/usages", key.base_url.path());
        let mut make = || {
            Request::get(&uri)
                .header(HOST, host)
                .header(ACCEPT, "application/json")
                .header(USER_AGENT, AGENT)
                .header(AUTHORIZATION, &bearer)
                .body(())
        };
        let response = upstream.send(&key.base_url, limits, &mut make).await.map_err(|error| said(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|_| say!(quota_broke_off))?.to_bytes();
        if status == StatusCode::OK {
            return quota::parse(&body, clock::now())
                .map_err(|error| say!(quota_unread, why = error.said()).into());
        }
        let text = error::parse(&body);
        let row = error::classify(status.as_u16(), text.as_ref()).row;
        let said = say!(quota_answered, status = status.as_u16(), row = row.name());
        Err(QuotaRefused { status: Some(status.as_u16()), said })
    };
    tokio::time::timeout(LONGEST, asking).await.unwrap_or_else(|_| Err(say!(quota_timeout).into()))
}
