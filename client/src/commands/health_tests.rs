use super::*;
use crate::fixtures;
use crate::output::locale::Locale;

fn show_all(view: &View<'_>, list: &KeyList) -> String {
    let empty = list.keys.iter().any(serves).then(|| "2026-11-23T15:00:00.000Z".to_owned());
    render(view, &mark(list), list, &PoolSummary::new(view, list, empty))
}

#[test]
fn what_is_left_counts_each_account_once_and_no_blocked_key() {
    let mut list = fixtures::keys();
    let figures = |list: &KeyList| -> Vec<(String, f64)> {
        left(&list.keys).into_iter().map(|left| (left.name, left.percent_left)).collect()
    };
    let of = |pairs: [(&str, f64); 2]| pairs.map(|(name, percent)| (name.to_owned(), percent)).to_vec();
    assert_eq!(figures(&list), of([("5h", 31.2), ("7d", 18.0)]));
    list.keys.push(list.keys[0].clone());
    list.keys.iter_mut().for_each(|key| key.account = None);
    (list.keys[0].account, list.keys[3].account) = (Some("one".into()), Some("one".into()));
    assert_eq!(figures(&list), of([("5h", 31.2), ("7d", 18.0)]));
    list.keys[1].state = "blocked".into();
    assert_eq!(figures(&list), of([("5h", 62.4), ("7d", 18.0)]));
}

#[test]
fn every_key_in_every_look() {
    let list = fixtures::keys();
    insta::assert_snapshot!(fixtures::looks(|view| show_all(view, &list)));
}

#[test]
fn no_key_and_none_that_serves() {
    let mut list = fixtures::keys();
    list.keys.remove(0);
    list.issues.clear();
    let none = KeyList { keys: Vec::new(), issues: Vec::new(), clients: Vec::new(), upstreams: Vec::new() };
    list.clients.clear();
    let show = |list: &KeyList| fixtures::looks(|view| show_all(view, list));
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
    let healthy = fixtures::looks(|view| show_all(view, &list));
    list.upstreams = vec![upstream("up.example", "closed")];
    assert_eq!(fixtures::looks(|view| show_all(view, &list)), healthy);
    let gate = Upstream { trouble: Some("gate".to_owned()), ..upstream("gate.example", "open") };
    list.upstreams = vec![upstream("down.example", "open"), upstream("again.example", "half-open"), gate];
    for (locale, said) in [
        (Locale::En, ["down.example is down", "again.example was down", "gate.example refuses a client"]),
        (
            Locale::Ru,
            ["down.example не работает", "again.example не работал", "gate.example не пускает одну"],
        ),
    ] {
        let text = fixtures::show(locale, fixtures::PIPED, |view| show_all(view, &list));
        assert!(said.iter().all(|said| text.contains(said)), "{text}");
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
    insta::assert_snapshot!(fixtures::looks(|view| show_all(view, &list)));
}
