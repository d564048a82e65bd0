use serde_json::{Value, json};

use super::*;
use crate::fixtures;

fn reloaded(changed: &[&str], needs_restart: &[&str], issues: Value) -> Reloaded {
    let answer = json!({"changed": changed, "needs_restart": needs_restart, "issues": issues});
    serde_json::from_value(answer).unwrap()
}

#[test]
fn what_counts_now_what_waits_and_what_is_wrong() {
    let bad = json!([
        {"kind": "settings", "level": "error", "subject": "KMI_PLAIN", "message": "\"perhaps\" is not allowed"},
        {"kind": "key_file", "level": "error", "subject": "a.env", "message": "no KMI_API_KEY"},
    ]);
    let all = reloaded(
        &["KMI_PROXY_TOKEN", "KMI_LOG_LEVEL", "keys"],
        &["KMI_PROXY_LISTEN", "KMI_DRY_RUN"],
        json!([]),
    );
    let refused_one = reloaded(&[], &[], bad);
    assert_eq!(refused(&refused_one).len(), 1);
    assert!(refused(&all).is_empty());
    insta::assert_snapshot!(fixtures::looks(|view| {
        [&all, &reloaded(&[], &[], json!([])), &refused_one]
            .map(|answer| render(view, answer, None))
            .join("\n")
    }));
}

#[test]
fn what_the_files_of_the_service_hold_waits_for_them() {
    let show = |names: &[&str]| {
        let answer = reloaded(&[], names, json!([]));
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
            render(view, &answer, Some("KMI_PROXY_LISTEN"))
        })
    };
    let both = "After `kmi proxy-restart`: KMI_DRY_RUN\nAfter `kmi service install`: KMI_PROXY_LISTEN\n";
    assert_eq!(show(&["KMI_PROXY_LISTEN", "KMI_DRY_RUN"]), both);
    assert_eq!(show(&["KMI_PROXY_LISTEN"]), "After `kmi service install`: KMI_PROXY_LISTEN\n");
}
