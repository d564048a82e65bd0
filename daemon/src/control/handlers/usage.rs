//! `usage.*`

use std::sync::Arc;
use std::time::Duration;

use kmi_proto::error::{Kind, RpcError};
use kmi_proto::methods::usage::{GetParams, Row, Sums, Usage};
use kmid_core::history::{By, DAYS_KEPT, Group, Hour, Sums as Counted};
use kmid_core::time::Time;

use super::super::Context;
use super::read_since;
use crate::clock;

const KEPT: Duration = Duration::from_secs(DAYS_KEPT as u64 * 86_400);

/// Adds the history up. It is read from files, on a thread that may wait for them.
pub(in super::super) async fn get(context: &Context, params: GetParams) -> Result<Usage, RpcError> {
    let (by, name) = read_by(params.by.as_deref())?;
    let zone = match &params.zone {
        Some(zone) => read_zone(zone)?,
        None => context.settings.load().timezone.clone(),
    };
    let now = clock::now();
    let earliest = Time::from_millis(now.as_millis() - KEPT.as_millis() as i64);
    let since = params.since.as_deref().map(|text| read_since(text, now, &zone)).transpose()?;
    let from = Hour::of(since.unwrap_or(earliest).max(earliest)).start();
    let zone_name = zone.iana_name().map(str::to_owned).or(params.zone);
    let state = Arc::clone(&context.state);
    let read = tokio::task::spawn_blocking(move || state.usage().read(from, now, by, &zone));
    let groups = match read.await {
        Ok(Ok(groups)) => groups,
        Ok(Err(error)) => return Err(unreadable(&error.to_string())),
        Err(error) => return Err(unreadable(&error.to_string())),
    };
    let mut total = Counted::default();
    groups.iter().for_each(|group| total += group.sums);
    let rows = groups.into_iter().map(row).collect();
    Ok(Usage { by: name.to_owned(), since: from.to_string(), zone: zone_name, rows, total: sums(total) })
}

fn read_zone(text: &str) -> Result<jiff::tz::TimeZone, RpcError> {
    kmid_config::zone(text).map_err(|allowed| RpcError::said(Kind::InvalidParams, allowed))
}

fn read_by(by: Option<&str>) -> Result<(By, &'static str), RpcError> {
    match by {
        None | Some("day") => Ok((By::Day, "day")),
        Some("key") => Ok((By::Key, "key")),
        Some("hour") => Ok((By::Hour, "hour")),
        Some("model") => Ok((By::Model, "model")),
        Some("client") => Ok((By::Client, "client")),
        Some(_) => Err(RpcError::new(Kind::InvalidParams, "by is key, day, hour, model or client")),
    }
}

fn unreadable(why: &str) -> RpcError {
    let message = format!("the history of usage cannot be read: {why}; check its permissions");
    RpcError::new(Kind::LogUnreadable, message)
}

fn row(group: Group) -> Row {
    Row {
        name: group.name,
        fingerprint: group.fingerprint.map(|fingerprint| fingerprint.to_string()),
        start: group.start.map(|start| start.to_string()),
        sums: sums(group.sums),
    }
}

fn sums(counted: Counted) -> Sums {
    let tokens = counted.tokens;
    Sums {
        requests: counted.requests,
        errors: counted.errors,
        input: tokens.input,
        cached: tokens.cached,
        output: tokens.output,
        cache_share: (tokens.input > 0).then(|| tokens.cached as f64 / tokens.input as f64),
    }
}
