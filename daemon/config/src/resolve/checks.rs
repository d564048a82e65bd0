//! What no setting can tell by itself.

use kmid_core::said::Said;
use kmid_core::say;

use super::Reader;
use crate::env;
use crate::issue::Issue;
use crate::settings::Settings;

/// Rules that concern more than one setting.
pub(super) fn cross_checks(reader: &mut Reader<'_>, settings: &Settings) {
    let source = |variable| Some(reader.raw.source(variable).clone());
    let mut issues = Vec::new();
    if settings.proxy_replay_total < settings.proxy_replay {
        let message = say!(replay_total_too_small);
        issues.push(Issue::error(
            env::PROXY_REPLAY_TOTAL_MB.name,
            message,
            source(&env::PROXY_REPLAY_TOTAL_MB),
        ));
    }
    if settings.require_usage_before_request && settings.usage_cache.is_none() {
        let variable = &env::REQUIRE_USAGE_BEFORE_REQUEST;
        issues.push(Issue::error(variable.name, say!(strict_needs_readings), source(variable)));
    }
    if !settings.upstream_allowlist.permits(&settings.upstream_base_url) {
        let message = say!(upstream_not_on_allowlist);
        issues.push(Issue::warning(env::UPSTREAM_BASE_URL.name, message, source(&env::UPSTREAM_BASE_URL)));
    }
    let listeners = [
        (&env::PROXY_LISTEN, Some(&settings.proxy_listen)),
        (&env::METRICS_LISTEN, settings.metrics_listen.as_ref()),
    ];
    for (variable, listen) in listeners {
        let Some(listen) = listen.filter(|listen| !listen.is_loopback()) else { continue };
        if let Some(missing) = missing_for_remote(settings) {
            let message = say!(remote_needs, listen = listen.to_string(), missing = missing);
            issues.push(Issue::error(variable.name, message, source(variable)));
        }
    }
    if settings.proxy_tls_terminated && settings.proxy_tokens.is_empty() {
        let message = say!(terminated_needs_token);
        issues.push(Issue::error(
            env::PROXY_TLS_TERMINATED.name,
            message,
            source(&env::PROXY_TLS_TERMINATED),
        ));
    }
    let remote = settings.proxy_tls_terminated || !settings.proxy_listen.is_loopback();
    if remote && settings.proxy_tokens.secrets().any(|token| token.expose().len() < SHORT_TOKEN) {
        let variable = match settings.proxy_tokens.unnamed {
            Some(_) => &env::PROXY_TOKEN,
            None => &env::PROXY_TOKENS,
        };
        let message = say!(token_is_short, least = SHORT_TOKEN);
        issues.push(Issue::warning(variable.name, message, source(variable)));
    }
    reader.issues.append(&mut issues);
}

/// What is shorter can be guessed.
const SHORT_TOKEN: usize = 16;

fn missing_for_remote(settings: &Settings) -> Option<Said> {
    let has_tls =
        settings.proxy_tls.is_some() || settings.proxy_tls_terminated || !settings.proxy_require_tls;
    [
        (settings.proxy_allow_remote, say!(needs_allow_remote)),
        (!settings.proxy_tokens.is_empty(), say!(needs_token)),
        (has_tls, say!(needs_tls)),
    ]
    .into_iter()
    .filter_map(|(there, what)| (!there).then_some(what))
    .reduce(|one, other| say!(both, one = one, other = other))
}
