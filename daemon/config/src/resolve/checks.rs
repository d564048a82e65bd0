//! What no setting can tell by itself.

use super::Reader;
use crate::env;
use crate::issue::Issue;
use crate::settings::Settings;

/// Rules that concern more than one setting.
pub(super) fn cross_checks(reader: &mut Reader<'_>, settings: &Settings) {
    let source = |variable| Some(reader.raw.source(variable).clone());
    let mut issues = Vec::new();
    if settings.proxy_replay_total < settings.proxy_replay {
        let message = "it must be at least KMI_PROXY_REPLAY_MB, or no body of that size could be collected";
        issues.push(Issue::error(
            env::PROXY_REPLAY_TOTAL_MB.name,
            message,
            source(&env::PROXY_REPLAY_TOTAL_MB),
        ));
    }
    if !settings.upstream_allowlist.permits(&settings.upstream_base_url) {
        let message = "KMI_UPSTREAM_ALLOWLIST does not name its host; keys without a base URL of their own will be refused";
        issues.push(Issue::warning(env::UPSTREAM_BASE_URL.name, message, source(&env::UPSTREAM_BASE_URL)));
    }
    let listeners = [
        (&env::PROXY_LISTEN, Some(&settings.proxy_listen)),
        (&env::METRICS_LISTEN, settings.metrics_listen.as_ref()),
    ];
    for (variable, listen) in listeners {
        let Some(listen) = listen.filter(|listen| !listen.is_loopback()) else { continue };
        let missing = missing_for_remote(settings);
        if !missing.is_empty() {
            let message = format!(
                "other machines can reach {listen}, which needs {}; or listen on 127.0.0.1",
                missing.join(", and ")
            );
            issues.push(Issue::error(variable.name, message, source(variable)));
        }
    }
    if settings.proxy_tls_terminated && settings.proxy_tokens.is_empty() {
        let message = "whoever reaches what ends TLS reaches the proxy, which needs KMI_PROXY_TOKEN or KMI_PROXY_TOKENS";
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
        let message = format!(
            "others can reach the proxy, and a token has under {SHORT_TOKEN} characters; `openssl rand -hex 16` makes \
             one that nobody guesses"
        );
        issues.push(Issue::warning(variable.name, message, source(variable)));
    }
    reader.issues.append(&mut issues);
}

/// What is shorter can be guessed.
const SHORT_TOKEN: usize = 16;

fn missing_for_remote(settings: &Settings) -> Vec<&'static str> {
    let has_tls =
        settings.proxy_tls.is_some() || settings.proxy_tls_terminated || !settings.proxy_require_tls;
    [
        (settings.proxy_allow_remote, "KMI_PROXY_ALLOW_REMOTE=1"),
        (!settings.proxy_tokens.is_empty(), "KMI_PROXY_TOKEN (or KMI_PROXY_TOKENS)"),
        (
            has_tls,
            "TLS (KMI_PROXY_TLS_CERT with KMI_PROXY_TLS_KEY, or KMI_PROXY_TLS_TERMINATED=1 when TLS ends in front of \
             it, or KMI_PROXY_REQUIRE_TLS=0 at your own risk)",
        ),
    ]
    .into_iter()
    .filter_map(|(there, what)| (!there).then_some(what))
    .collect()
}
