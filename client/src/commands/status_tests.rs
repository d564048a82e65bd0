use super::*;
use crate::fixtures;
use crate::output::locale::Locale;

#[test]
fn the_summary_in_every_look() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &fixtures::status(), None)));
}

#[test]
fn a_fresh_daemon_without_keys() {
    let mut status = fixtures::status();
    status.mode = "live".into();
    status.keys = kmi_proto::methods::daemon::KeyCounts::default();
    status.active_key = None;
    status.last_health_refresh = None;
    status.cache.usage_refresh_seconds = 0;
    status.cache.blocklist_recheck_seconds = 0;
    status.policy.strict_usage_check = true;
    status.payment_block_seconds = 0;
    status.rotation.mode = "mode-of-tomorrow".into();
    status.daemon.rss_bytes = 0;
    status.issues.clear();
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &status, None)));
}

#[test]
fn the_words_of_others_cannot_steer_a_terminal() {
    let mut status = fixtures::status();
    status.active_key = Some("\x1b]0;owned\x07".into());
    status.issues[0].said = Said::plain("line\r\x1b[2Joverwritten");
    let look = crate::output::style::Look { color: false, ..fixtures::TERMINAL };
    let text = fixtures::show(crate::output::locale::Locale::En, look, |view| render(view, &status, None));
    assert!(!text.contains(['␛', '\r', '\x07']), "{text}");
}

#[test]
fn json_is_the_object_of_the_contract() {
    insta::assert_snapshot!(crate::output::json::document(&fixtures::status()).unwrap_or_default());
}

/// A path that is longer than its line stands beside its mark all the same.
#[test]
fn an_alert_keeps_its_mark() {
    for subject in
        ["/home/you/.kmi/_auths/the-key-of-the-desk.env", "/home/you/.kmi/_auths/desk-key-1.env", "x.env"]
    {
        for level in ["error", "warn"] {
            let issue =
                Issue { level: level.into(), subject: subject.into(), ..fixtures::status().issues.remove(0) };
            let text = fixtures::show(Locale::Ru, fixtures::NARROW, |view| alerts(view, &[issue]));
            let mark = if level == "error" { "✗" } else { "!" };
            assert!(text.contains(&format!("\n  {mark}  {subject}")), "{text}");
        }
    }
    // Colours are of the mark alone.
    let text =
        fixtures::show(Locale::En, fixtures::TERMINAL, |view| alerts(view, &fixtures::status().issues));
    assert!(text.contains("\n  ␛[33m!␛[0m  ␛[1mbroken.env␛[0m  it has no KMI_API_KEY"), "{text}");
}
