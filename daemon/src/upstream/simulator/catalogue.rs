//! Answers that no model makes: models, quotas, the profile, search, fetch and files.

use bytes::Bytes;
use kmid_core::key::Fingerprint;
use kmid_core::time::Time;
use serde_json::{Map, Value, json};

use super::account::{Account, Window};

/// The models of the coding plan [kimi-upstream.md, 2026-11]. The context lengths are uncertain: 262144 is what
/// clients of `kimi-for-coding` ask for (2026-11), the one of `k3` is only known to be above that of `k3-256k`.
const MODELS: [(&str, &str, u64); 4] = [
    ("k3", "Kimi K3", 1_048_576),
    ("k3-256k", "Kimi K3 256K", 262_144),
    ("kimi-for-coding", "Kimi for Coding", 262_144),
    ("kimi-for-coding-highspeed", "Kimi for Coding Highspeed", 262_144),
];

/// Any fixed moment does; clients show none.
const MODELS_CREATED: i64 = 1_760_000_000;

/// `/models`. kimi-code refuses a list in which a model lacks a positive `context_length`, and reads the
/// `supports_` fields [kimi-code: packages/oauth/src/managed-kimi-code.ts; kimi-cli: auth/platforms.py, 2026-11].
pub(super) fn models() -> Bytes {
    let data: Vec<Value> = MODELS
        .iter()
        .map(|(id, name, context)| {
            json!({
                "id": id,
                "object": "model",
                "created": MODELS_CREATED,
                "owned_by": "moonshot",
                "display_name": name,
                "context_length": context,
                "supports_reasoning": true,
                "supports_thinking_type": "both",
                "supports_image_in": true,
                "supports_video_in": false,
                "supports_tool_use": true,
            })
        })
        .collect();
    json!({ "object": "list", "data": data }).to_string().into()
}

/// `/usages` in today's shape: decimal strings, zeros dropped, ratios beside the counts [kimi-upstream.md, 2026-11].
pub(super) fn usages(key: Fingerprint, account: &Account) -> Bytes {
    json!({
        "user": {
            "userId": user_id(key),
            "region": "REGION_CN",
            "membership": { "level": "LEVEL_INTERMEDIATE" },
        },
        "usage": counts(account.week()),
        "limits": [{
            "window": { "duration": 300, "timeUnit": "TIME_UNIT_MINUTE" },
            "detail": counts(account.five_hours()),
        }],
        "parallel": { "limit": account.parallel().to_string() },
        "usages": { "limit_5h": ratio(account.five_hours()), "limit_7d": ratio(account.week()) },
        "authentication": { "method": "METHOD_API_KEY", "scope": "FEATURE_CODING" },
    })
    .to_string()
    .into()
}

fn user_id(key: Fingerprint) -> String {
    format!("dry-run-{key}")
}

fn counts(window: &Window) -> Value {
    let used = window.used_percent();
    let mut counts = Map::new();
    counts.insert("limit".to_owned(), json!("100"));
    if used > 0 {
        counts.insert("used".to_owned(), json!(used.to_string()));
    }
    if used < 100 {
        counts.insert("remaining".to_owned(), json!((100 - used).to_string()));
    }
    counts.insert("resetTime".to_owned(), json!(nanoseconds(window.resets_at())));
    Value::Object(counts)
}

fn ratio(window: &Window) -> Value {
    let used_ratio = (window.used_ratio() * 10_000.0).floor() / 10_000.0;
    json!({ "used_ratio": used_ratio, "reset_time": nanoseconds(window.resets_at()) })
}

fn nanoseconds(time: Time) -> String {
    format!("{:.9}", time.timestamp())
}

/// `/me` [kimi-code: packages/oauth/src/managed-userinfo.ts, 2026-11].
pub(super) fn me(key: Fingerprint) -> Bytes {
    json!({
        "user_id": user_id(key),
        "nickname": "dry-run",
        "status": "USER_STATUS_NORMAL",
        "region": "REGION_CN",
        "user_level": 20,
        "user_level_name": "Dry run",
        "domain": 1,
        "domain_name": "DOMAIN_CODING",
    })
    .to_string()
    .into()
}

/// `/search` [kimi-cli: tools/web/search.py, 2026-11].
pub(super) fn search() -> Bytes {
    json!({
        "search_results": [{
            "site_name": "kmid",
            "title": "Dry run: nothing was searched",
            "url": "https://example.invalid/dry-run",
            "snippet": "The simulator inside kmid made this result; no request left this machine.",
            "content": "",
            "date": "",
            "icon": "",
            "mime": "text/html",
        }],
    })
    .to_string()
    .into()
}

/// `/fetch`: Markdown.
pub(super) fn fetch() -> Bytes {
    Bytes::from_static(
        b"# Dry run\n\nThe simulator inside kmid made this page; nothing was fetched and no request left this machine.\n",
    )
}

/// `GET /files`: nothing is kept, so there is nothing to list.
pub(super) fn files() -> Bytes {
    json!({ "object": "list", "data": [] }).to_string().into()
}

/// `POST /files`: the upload was read and forgotten.
pub(super) fn uploaded(id: &str, bytes: u64, now: Time) -> Bytes {
    json!({
        "id": id,
        "object": "file",
        "bytes": bytes,
        "created_at": now.as_millis() / 1000,
        "filename": "dry-run",
        "purpose": "file-extract",
        "status": "ok",
    })
    .to_string()
    .into()
}
