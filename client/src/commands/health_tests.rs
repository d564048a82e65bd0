use super::*;
use crate::fixtures;
use crate::output::locale::Locale;

#[test]
fn every_key_in_every_look() {
    let list = fixtures::keys();
    let shown = mark(&list);
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &shown, &list)));
}

#[test]
fn no_key_and_none_that_serves() {
    let mut list = fixtures::keys();
    list.keys.remove(0);
    list.issues.clear();
    let none = KeyList { keys: Vec::new(), issues: Vec::new(), clients: Vec::new(), upstreams: Vec::new() };
    list.clients.clear();
    let show = |list: &KeyList| fixtures::looks(|view| render(view, &mark(list), list));
    insta::assert_snapshot!(format!("{}\n\n{}", show(&list), show(&none)));
}

#[test]
fn an_upstream_that_is_down_is_told_in_both_languages() {
    let mut list = fixtures::keys();
    let upstream = |host: &str, breaker: &str| Upstream {
        host: host.to_owned(),
        breaker: breaker.to_owned(),
        until: None,
        trouble: None,
        status: None,
    };
    let healthy = fixtures::looks(|view| render(view, &mark(&list), &list));
    list.upstreams = vec![upstream("up.example", "closed")];
    assert_eq!(fixtures::looks(|view| render(view, &mark(&list), &list)), healthy);
    list.upstreams = vec![upstream("down.example", "open"), upstream("again.example", "half-open")];
    for (locale, [down, again]) in [
        (Locale::En, ["down.example is down", "again.example was down"]),
        (Locale::Ru, ["down.example не работает", "again.example не работал"]),
    ] {
        let text = fixtures::show(locale, fixtures::PIPED, |view| render(view, &mark(&list), &list));
        assert!(text.contains(down) && text.contains(again), "{text}");
    }
}

#[test]
fn json_marks_the_configured_key() {
    let list = fixtures::keys();
    let shown = Shown { key: &list.keys[0], configured: true };
    insta::assert_snapshot!(crate::output::json::document(&shown).unwrap_or_default());
}

#[test]
fn a_figure_says_where_it_comes_from() {
    let mut list = fixtures::keys();
    list.keys.truncate(1);
    list.issues.clear();
    list.clients.clear();
    let mut windows = Vec::new();
    for (source, stale, empty) in
        [("ledger", false, Some("2026-11-23T10:00:00.000Z")), ("error", false, None), ("reset", true, None)]
    {
        let mut window = list.keys[0].windows[0].clone();
        (window.source, window.stale, window.estimated_empty_at) =
            (source.into(), stale, empty.map(Into::into));
        windows.push(window);
    }
    list.keys[0].windows = windows;
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &mark(&list), &list)));
}
