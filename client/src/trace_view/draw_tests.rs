use jiff::tz::TimeZone;
use kmi_proto::methods::requests::TraceAttempt;
use kmid_core::said::Said;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::feed::{Figures, Update};
use super::super::input::Action;
use super::super::model::tests::entry;
use super::*;
use crate::fixtures;
use crate::output::locale::{Locale, Messages};
use crate::output::style::Look;

/// A pool at work: three keys, one of them in another script, and requests of every kind.
fn at_work() -> Model {
    let mut model = Model::default();
    let status = fixtures::status();
    model.update(Update::Live);
    model.update(Update::Figures(Box::new(Figures { keys: fixtures::keys(), status })));
    for second in 0..8 {
        let key = if second % 3 == 0 { "月之暗面" } else { "alpha" };
        let mut one = entry(second, Some(key), 200);
        one.ts = format!("2026-11-23 11:59:{:02}.500 +0300", 10 + second * 5);
        model.update(Update::Entry(Box::new(one)));
    }
    let mut moved = entry(90, Some("alpha"), 200);
    let choice = fixtures::decision();
    moved.attempts = vec![
        TraceAttempt {
            key_label: "月之暗面".into(),
            status: Some(403),
            outcome: "quota_cycle".into(),
            ms: 90,
            decision: None,
        },
        TraceAttempt {
            key_label: "alpha".into(),
            status: Some(200),
            outcome: "completed".into(),
            ms: 300,
            decision: Some(choice),
        },
    ];
    moved.queue_ms = Some(1500);
    model.update(Update::Entry(Box::new(moved)));
    let mut refused = entry(91, None, 429);
    (refused.outcome, refused.tokens, refused.error_code) =
        ("refused".into(), None, Some("none_serves".into()));
    model.update(Update::Entry(Box::new(refused)));
    let mut left = entry(92, Some("alpha"), 0);
    (left.outcome, left.ttfb_ms) = ("client_left".into(), None);
    model.update(Update::Entry(Box::new(left)));
    model
}

fn drawn(model: &Model, locale: Locale, size: (u16, u16), color: bool) -> Terminal<TestBackend> {
    drawn_to(model, locale, size, color).0
}

/// The same with how far the detail can be scrolled.
fn drawn_to(
    model: &Model,
    locale: Locale,
    (columns, rows): (u16, u16),
    color: bool,
) -> (Terminal<TestBackend>, u16) {
    let messages = Messages::new(locale);
    let view = View {
        messages: &messages,
        look: Look { color, boxes: true, width: Some(usize::from(columns)) },
        now: "2026-11-23T09:00:00Z".parse().unwrap(),
        zone: TimeZone::fixed(jiff::tz::offset(3)),
    };
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let mut bottom = 0;
    terminal.draw(|frame| bottom = draw(frame, model, &view)).unwrap();
    (terminal, bottom)
}

fn screens(model: &Model) -> String {
    [
        ("en, 120", Locale::En, (120, 20)),
        ("ru, 120", Locale::Ru, (120, 20)),
        ("en, 100", Locale::En, (100, 20)),
        ("en, 80", Locale::En, (80, 20)),
        ("ru, 80", Locale::Ru, (80, 20)),
        ("en, 60", Locale::En, (60, 20)),
        ("en, 40", Locale::En, (40, 20)),
        ("ru, 40", Locale::Ru, (40, 20)),
    ]
    .map(|(name, locale, size)| format!("== {name}\n{}", drawn(model, locale, size, false).backend()))
    .join("\n")
}

#[test]
fn a_pool_at_work() {
    insta::assert_snapshot!(screens(&at_work()));
}

#[test]
fn before_anything_came() {
    insta::assert_snapshot!(screens(&Model::default()));
}

#[test]
fn paused_filtered_and_typing() {
    let mut model = at_work();
    model.act(Action::Pause);
    model.update(Update::Entry(Box::new(entry(99, Some("alpha"), 200))));
    model.act(Action::NextKey);
    model.act(Action::NextStatuses);
    model.act(Action::Down);
    model.act(Action::Down);
    let kept = screens(&model);
    model.act(Action::Type);
    "нет".chars().for_each(|letter| model.act(Action::Letter(letter)));
    insta::assert_snapshot!(format!("{kept}\n{}", screens(&model)));
}

#[test]
fn a_lost_daemon_is_said() {
    let mut model = at_work();
    model.update(Update::Missed(3));
    let denied = std::io::ErrorKind::PermissionDenied.into();
    let why = [Said::plain("\u{1b}[31mno\r\n"), Said::of_io(&denied)];
    let losses = [Lost::NotRunning, Lost::Closed].into_iter().chain(why.map(Lost::Broken));
    let heads = losses.map(|lost| {
        model.update(Update::Lost(lost));
        screens(&model).lines().filter(|line| line.contains('✗')).collect::<Vec<_>>().join("\n")
    });
    insta::assert_snapshot!(heads.collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_was_known_before_a_loss_is_not_shown_as_the_present() {
    let mut model = at_work();
    let shown = |model: &Model| drawn(model, Locale::En, (100, 14), true);
    let is_coloured = |terminal: &Terminal<TestBackend>| {
        // The label, and the state.
        let cells = terminal.backend().buffer().content();
        cells[3 * 100..6 * 100].iter().any(|cell| cell.fg != Color::Reset)
    };
    assert!(is_coloured(&shown(&model)));
    model.update(Update::Lost(Lost::NotRunning));
    let lost = shown(&model);
    assert!(!is_coloured(&lost));
    let screen = lost.backend().to_string();
    assert!(!screen.contains("2 in flight") && screen.contains("as it was before the loss"), "{screen}");
    let cells = &lost.backend().buffer().content()[3 * 100 + 1..3 * 100 + 60];
    assert!(cells.iter().all(|cell| cell.modifier.contains(Modifier::DIM)), "{screen}");
    // The stream is back before the figures are.
    model.update(Update::Live);
    assert!(!shown(&model).backend().to_string().contains("2 in flight"));
    model.update(Update::Figures(Box::new(Figures { keys: fixtures::keys(), status: fixtures::status() })));
    assert!(is_coloured(&shown(&model)));
    assert!(shown(&model).backend().to_string().contains("2 in flight"));
}

/// Lines of the screen.
fn lines(model: &Model, locale: Locale, size: (u16, u16)) -> Vec<String> {
    let screen = drawn(model, locale, size, false).backend().to_string();
    screen.lines().map(|line| line.trim_matches('"').to_owned()).collect()
}

#[test]
fn figures_and_headings_are_whole_at_every_width() {
    let mut model = at_work();
    let mut keys = fixtures::keys();
    keys.keys[0].windows[0].percent_left = 100.0;
    keys.keys[0].windows[1].percent_left = 100.0;
    let mut month = keys.keys[0].windows[0].clone();
    (month.name, month.percent_left) = ("month".into(), 7.0);
    keys.keys[0].windows.push(month);
    let windows = [("5h", "100 %"), ("7d", "100 %"), ("month", "7 %")];
    model.update(Update::Figures(Box::new(Figures { keys, status: fixtures::status() })));
    for locale in [Locale::En, Locale::Ru] {
        let mut most = 0;
        for columns in 40..=200 {
            let lines = lines(&model, locale, (columns, 20));
            let row = lines.iter().find(|line| line.contains("▸alpha")).unwrap();
            let shown: Vec<&(&str, &str)> =
                windows.iter().filter(|(name, _)| row.contains(&format!(" {name} "))).collect();
            assert!(shown.contains(&&windows[2]), "{columns}: the worst is missing: {row}");
            for (name, percent) in &shown {
                let (_, after) = row.split_once(&format!(" {name} ")).unwrap();
                let figure = after.trim_start_matches(['█', '░', ' ']);
                assert!(figure.starts_with(percent), "{columns}: {name} is cut: {row}");
            }
            most = most.max(shown.len());
            for heading in [2, 8].map(|at| &lines[at]) {
                assert!(!heading.contains('…'), "{columns}: {heading}");
            }
        }
        assert_eq!(most, 3);
    }
}

#[test]
fn keys_without_room_are_counted_and_trouble_comes_first() {
    let mut model = at_work();
    let mut keys = fixtures::keys();
    let ready = keys.keys[0].clone();
    keys.keys.clear();
    for number in 1..=18 {
        let mut key = ready.clone();
        key.label = format!("key{number:02}");
        key.active = number == 15;
        key.state = if [3, 17, 18].contains(&number) { "blocked" } else { "ready" }.into();
        keys.keys.push(key);
    }
    let update = |keys: &kmi_proto::methods::keys::KeyList| {
        Update::Figures(Box::new(Figures { keys: keys.clone(), status: fixtures::status() }))
    };
    model.update(update(&keys));
    model.update(Update::Entry(Box::new(entry(200, Some("key12"), 200))));
    let labels = |size| {
        let lines = lines(&model, Locale::En, size);
        let label = |line: &String| {
            line.split(['│', '▸', ' '])
                .find(|word| word.starts_with("key") && word.len() == 5)
                .map(str::to_owned)
        };
        let labels: Vec<String> =
            lines[3..].iter().take_while(|line| !line.contains('└')).filter_map(label).collect();
        (labels.join(" "), lines.iter().find(|line| line.contains(" more")).cloned().unwrap_or_default())
    };
    let (shown, more) = labels((80, 24));
    assert_eq!(shown, "key03 key17 key18 key15 key12 key01 key02 key04");
    assert!(more.starts_with("│ and 10 more  "), "{more}");
    let (shown, more) = labels((80, 13));
    assert_eq!(shown, "key03");
    assert!(more.starts_with("│ and 17 more (2 cannot serve)  "), "{more}");
    let (shown, more) = labels((80, 60));
    assert!(shown.starts_with("key01 key02 key03 key04") && shown.ends_with("key18"), "{shown}");
    assert_eq!(more, "");
}

#[test]
fn all_of_the_help_can_be_read_at_40_columns() {
    let mut model = at_work();
    model.act(Action::Help);
    let mut seen = String::new();
    for _ in 0..30 {
        let (terminal, bottom) = drawn_to(&model, Locale::Ru, (40, 16), false);
        assert!(bottom > 0);
        model.scroll_at_most(bottom);
        let screen = terminal.backend().to_string();
        let inside = screen.lines().skip(2).take(12).map(|line| line.trim_matches(['"', '│', ' ']));
        seen.extend(inside.flat_map(|line| [line, " "]));
        model.act(Action::Down);
    }
    let messages = Messages::new(Locale::Ru);
    for id in
        ["quit", "help", "pause", "move", "page", "ends", "open", "back", "key", "statuses", "text", "clear"]
    {
        let words = messages.find(&format!("trace-help-{id}")).unwrap();
        let last = words.rsplit(' ').next().unwrap();
        assert!(seen.contains(last), "{words:?} is cut: {seen}");
    }
    model.act(Action::Back);
    assert!(matches!(model.over, Over::Nothing));
}

#[test]
fn help_and_detail() {
    let mut model = at_work();
    model.act(Action::Help);
    let help = screens(&model);
    model.act(Action::Back);
    for _ in 0..3 {
        model.act(Action::Down);
    }
    model.act(Action::Open);
    let detail = screens(&model);
    model.act(Action::PageDown);
    insta::assert_snapshot!(format!("{help}\n{detail}\n== scrolled\n{}", screens(&model)));
}

#[test]
fn a_detail_is_never_scrolled_past_its_end() {
    let mut model = at_work();
    for _ in 0..3 {
        model.act(Action::Down);
    }
    model.act(Action::Open);
    let shown = |model: &mut Model| {
        let (terminal, bottom) = drawn_to(model, Locale::En, (60, 10), false);
        model.scroll_at_most(bottom);
        terminal.backend().to_string()
    };
    let top = shown(&mut model);
    model.act(Action::Last);
    let end = shown(&mut model);
    assert_ne!(end, top);
    model.act(Action::PageDown);
    assert_eq!(shown(&mut model), end);
    model.act(Action::Up);
    assert_ne!(shown(&mut model), end, "one step back shows at once");
    model.act(Action::First);
    assert_eq!(shown(&mut model), top);
}

#[test]
fn colours_only_where_they_are_wanted() {
    let colored = |color| {
        let terminal = drawn(&at_work(), Locale::En, (120, 20), color);
        terminal.backend().buffer().content().iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    assert_eq!(colored(false), 0);
    assert!(colored(true) > 20);
}

#[test]
fn no_size_is_too_small() {
    let mut model = at_work();
    for step in 0..3 {
        if step == 2 {
            model.update(Update::Lost(Lost::Closed));
        }
        for columns in (1..45).chain([59, 60, 80, 89, 90, 103, 104, 500]) {
            for rows in [1, 2, 3, 4, 5, 8, 40] {
                drawn(&model, Locale::Ru, (columns, rows), true);
            }
        }
        model.act(if step == 0 { Action::Help } else { Action::Open });
    }
}

#[test]
fn labels_and_paths_cannot_steer_the_terminal() {
    let mut model = at_work();
    let mut evil = entry(95, Some("\u{1b}[2Jevil"), 200);
    evil.endpoint = "/\u{1b}]0;title\u{7}".into();
    model.update(Update::Entry(Box::new(evil)));
    let terminal = drawn(&model, Locale::En, (120, 20), true);
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| !cell.symbol().contains(char::is_control)));
    assert!(terminal.backend().to_string().contains("evil"));
}

/// On a few rows the requests come before the keys, which come back with the first row that they fit into.
#[test]
fn small_screens_show_requests_first() {
    let model = at_work();
    let rows_with = |size: (u16, u16), what: &str| {
        let text = drawn(&model, Locale::En, size, false).backend().to_string();
        text.lines().filter(|line| line.contains(what)).count()
    };
    for (size, keys, requests) in [((30, 10), 0, 5), ((40, 12), 0, 3), ((40, 13), 1, 3), ((40, 15), 1, 3)] {
        assert_eq!(rows_with(size, "share"), keys, "{size:?}");
        assert!(rows_with(size, "11:5") >= requests, "{size:?}: {}", rows_with(size, "11:5"));
    }
    for screen in 0..60 {
        let room = room_for_keys(6, screen);
        assert!(room == 0 || (5..=screen / 2).contains(&room), "{screen}: {room}");
        assert!(
            room == 0 || screen - room >= 8,
            "{screen}: three requests in their box, the first line, the last"
        );
    }
}
