use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use kmid_core::kimi::quota::{Quota, Window};
use kmid_core::kimi::usage::Tokens;
use kmid_core::ledger::{Figure, Source};
use kmid_core::pool::Mode;
use kmid_core::pool::view::{ErrorCounts, FigureView, KeyState, KeyView};
use kmid_core::time::Time;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::client::Ask;
use super::*;
use crate::fixtures;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn key(label: &str, state: KeyState, percent_left: f64) -> KeyView {
    let window =
        Window { name: "5h".into(), limit: None, used: None, percent_left, resets_at: None, length: None };
    let cooling = state == KeyState::Cooling;
    // A refusal says more than the reading before it.
    let (left_percent, source) = if cooling { (0.0, Source::Error) } else { (percent_left, Source::Poll) };
    let figure = Figure {
        name: "5h".into(),
        left_percent,
        source,
        as_of: at("2026-11-23T12:00:00Z"),
        resets_at: None,
        burn: None,
        empty_at: None,
    };
    KeyView {
        figures: vec![FigureView { figure, stale: false }],
        reason: cooling.then_some("quota"),
        until: cooling.then(|| at("2026-11-23T12:01:30Z")),
        errors: ErrorCounts { e403: u64::from(cooling), ..ErrorCounts::default() },
        reading: Some((Quota { windows: vec![window], ..Quota::default() }, at("2026-11-23T12:00:00Z"))),
        ..fixtures::key_view(label, state)
    }
}

fn pool(alpha: KeyState, beta: KeyState) -> PoolView {
    PoolView {
        upstreams: Vec::new(),
        keys: vec![key("alpha", alpha, 22.0), key("beta", beta, 100.0), key("gamma", KeyState::Ready, 97.5)],
        active: Some(1),
        auto: true,
        allowed: true,
        mode: Mode::Auto,
        rotation_index: 0,
        sessions: 0,
        last_refresh: None,
        policy: kmid_core::policy::Policy::RoundRobin,
        empty_at: None,
    }
}

fn shot(number: u64, served_by: &str) -> Shot {
    Shot {
        number,
        at: at("2026-11-23T12:00:00Z") + Duration::from_millis(350 * number),
        ask: Ask::nth(number),
        status: Some(200),
        key: Some(served_by.into()),
        request_id: Some(format!("0197e5f0c0de{number:04}")),
        by_kmid: false,
        first_byte: Duration::from_millis(43),
        total: Duration::from_millis(171),
        tokens: Some(Tokens { input: 260, cached: 0, output: 46 }),
        error: None,
    }
}

fn refused(number: u64) -> Shot {
    Shot {
        status: Some(429),
        key: None,
        by_kmid: true,
        tokens: None,
        error: Some("no key can serve: alpha is cooling until 12:01:30; wait, or add a key".into()),
        ..shot(number, "")
    }
}

use KeyState::{Cooling, Ready, Warn};

/// A story in which alpha is exhausted, beta takes over, and later nobody is left.
fn told() -> (Story, VecDeque<Entry>, PoolView) {
    let mut story = Story::new(&pool(Ready, Ready));
    let mut entries = VecDeque::new();
    let steps = [
        (shot(1, "alpha"), pool(Ready, Ready)),
        (shot(2, "beta"), pool(Warn, Ready)),
        (shot(3, "gamma"), pool(Warn, Ready)),
        (shot(4, "beta"), pool(Cooling, Ready)),
        (refused(5), pool(Cooling, Cooling)),
        (shot(6, "gamma"), pool(Ready, Cooling)),
    ];
    let mut last = pool(Ready, Ready);
    for (shot, view) in steps {
        let events = story.tell(&shot, &view);
        entries.push_back(Entry::Shot(shot));
        entries.extend(events.into_iter().map(Entry::Event));
        last = view;
    }
    (story, entries, last)
}

fn look(width: usize, colour: bool) -> Look {
    Look { width, height: 24, colour, timezone: TimeZone::UTC }
}

#[test]
fn the_story_names_who_stopped_who_took_over_and_who_came_back() {
    let (story, entries, _) = told();
    let events: Vec<Event> = entries
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Event(event) => Some(event),
            Entry::Shot(_) => None,
        })
        .collect();
    let until = Some(at("2026-11-23T12:01:30Z"));
    let stopped =
        |label: &str| Event::Stopped { label: label.into(), state: Cooling, reason: Some("quota"), until };
    assert_eq!(
        events,
        [
            stopped("alpha"),
            Event::TookOver { key: "beta".into(), from: vec!["alpha".into()] },
            stopped("beta"),
            Event::Failed { message: refused(5).error.unwrap() },
            Event::Back { label: "alpha".into(), active: None },
        ]
    );
    assert_eq!((story.requests, story.answered, story.stopped, story.took_over), (6, 5, 2, 1));
    let served: Vec<_> = story.keys.iter().map(|key| (key.label.as_str(), key.served, key.tokens)).collect();
    assert_eq!(served, [("alpha", 1, 306), ("beta", 2, 612), ("gamma", 2, 612)]);
    assert_eq!(story.elapsed, Duration::from_millis(350 * 5 + 171));
}

#[test]
fn a_change_of_key_without_a_failure_is_not_a_take_over() {
    let mut story = Story::new(&pool(Ready, Ready));
    assert_eq!(story.tell(&shot(1, "alpha"), &pool(Ready, Ready)), []);
    assert_eq!(story.tell(&shot(2, "beta"), &pool(Ready, Ready)), []);
}

#[test]
fn who_is_back_does_not_take_over_from_an_active_key_that_serves() {
    let mut story = Story::new(&pool(Cooling, Ready));
    let events = story.tell(&shot(1, "beta"), &pool(Ready, Ready));
    assert_eq!(events, [Event::Back { label: "alpha".into(), active: Some("beta".into()) }]);
    let summary = table::summary(&story, &pool(Ready, Ready), &look(usize::MAX, false));
    assert!(
        summary
            .ends_with(" Keys that are back wait their turn: beta stays active as long as it can serve.\n")
    );
    // Without a key that serves nothing stays.
    assert!(!table::summary(&story, &pool(Ready, Cooling), &look(80, false)).contains("stays"));
}

#[test]
fn the_live_table_at_three_widths() {
    let (story, entries, view) = told();
    for width in [40, 80, 120] {
        let frame = table::frame(&entries, &view, &story, &look(width, false)).join("\n");
        insta::assert_snapshot!(format!("frame_{width}"), frame);
    }
}

#[test]
fn the_lines_the_intro_and_the_summary() {
    let (story, entries, view) = told();
    let look = look(usize::MAX, false);
    let mut text = table::intro(URL, &look);
    for entry in &entries {
        text += &match entry {
            Entry::Shot(shot) => table::shot_text(shot, &look),
            Entry::Event(event) => table::event_text(story.requests, event, &look),
        };
        text.push('\n');
    }
    insta::assert_snapshot!("lines", text + &table::summary(&story, &view, &look));
}

const URL: &str = "http://127.0.0.1:54123/kmi-rotor/v1";

#[test]
fn introduction_and_summary_on_a_terminal_break_between_words_and_leave_commands_whole() {
    let (story, _, view) = told();
    let text = |look: &Look| table::intro(URL, look) + &table::summary(&story, &view, look);
    insta::assert_snapshot!("sentences_80", text(&look(80, false)));
    let whole = text(&look(usize::MAX, false));
    for width in [20, 40, 79, 80, 120] {
        let text = text(&look(width, false));
        assert!(text.split_whitespace().eq(whole.split_whitespace()), "{text}");
        for command in whole.lines().filter(|line| line.contains("curl ")) {
            assert!(text.lines().any(|line| line == command), "{text}");
        }
    }
    let longest = text(&look(80, false)).lines().map(str::len).max();
    assert!(longest < Some(80), "{longest:?}");
    let narrow = table::summary(&story, &view, &look(41, false));
    assert!(narrow.lines().all(|line| line.chars().count() < 41), "{narrow}");
    assert_eq!(table::rows("\n12345\n1234\n", &look(4, false)), 4);
}

#[test]
fn introduction_and_table_fit_together_on_a_usual_terminal() {
    let (story, entries, view) = told();
    let look = look(80, false);
    let head = table::rows(&table::intro(URL, &look), &look);
    let frame = table::frame(&entries, &view, &story, &Look { height: 24 - head, ..look });
    assert!(head + frame.len() < 24, "{head} and {}", frame.len());
}

/// The text without colour sequences.
fn bare(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal(
        width in 40_usize..=200, height in 0_usize..60, label in "[a-zé漢]{0,40}", message in ".{0,300}", colour: bool,
    ) {
        let (story, mut entries, mut view) = told();
        view.keys.push(key(&label, Cooling, 0.0));
        entries.push_back(Entry::Shot(shot(u64::from(u32::MAX), &label)));
        entries.push_back(Entry::Event(Event::Failed { message }));
        let look = Look { height, ..look(width, colour) };
        let lines = table::frame(&entries, &view, &story, &look);
        for line in &lines {
            let line = if colour { bare(line) } else { line.clone() };
            prop_assert!(line.chars().count() < width && !line.contains('\x1b'), "{line:?}");
        }
    }
}

/// A proxy of five requests: alpha serves two, then beta takes over; then it answers by itself.
struct FakeProxy {
    listener: TcpListener,
    view: Arc<Mutex<PoolView>>,
}

impl FakeProxy {
    async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, view: Arc::new(Mutex::new(pool(Ready, Ready))) }
    }

    fn url(&self) -> String {
        format!("http://{}/kmi-rotor/v1", self.listener.local_addr().unwrap())
    }

    fn view(&self) -> impl Fn() -> PoolView + use<> {
        let view = Arc::clone(&self.view);
        move || view.lock().unwrap().clone()
    }

    /// Serves one connection after the other; ends only by being dropped.
    async fn serve(&self) {
        for number in 1_u64.. {
            let (stream, _) = self.listener.accept().await.unwrap();
            let service = service_fn(|_| async move { Ok::<_, Infallible>(self.answer(number)) });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }

    fn answer(&self, number: u64) -> Response<Full<Bytes>> {
        let ready = Response::builder().header("x-kmi-request-id", format!("id-{number}"));
        let done = Full::from(
            "data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n\
                               data: {\"type\":\"message_stop\"}\n\n",
        );
        let response = match number {
            1 | 2 => ready.header("x-kmi-key", "alpha").body(done),
            3 | 4 => {
                *self.view.lock().unwrap() = pool(Cooling, Ready);
                ready.header("x-kmi-key", "beta").body(done)
            }
            _ => ready
                .status(429)
                .header("x-kmi-origin", "kmid")
                .body(Full::from(r#"{"error":{"message":"no key can serve"}}"#)),
        };
        response.unwrap()
    }
}

fn options(out: &mut Vec<u8>, terminal: bool, requests: Option<u64>) -> Options<&mut Vec<u8>> {
    Options { requests, every: Duration::ZERO, ..Options::new(out, terminal, true) }
}

#[tokio::test]
async fn piped_it_prints_lines_from_real_responses_and_ends_by_itself() {
    let proxy = FakeProxy::bind().await;
    let (url, view, mut out) = (proxy.url(), proxy.view(), Vec::new());
    let summary = tokio::select! {
        summary = run(&url, view, options(&mut out, false, Some(5)), CancellationToken::new()) => summary,
        () = proxy.serve() => unreachable!("it never ends"),
    };
    assert_eq!(summary.end, End::Enough);
    assert_eq!((summary.requests, summary.answered, summary.took_over), (5, 4, 1));
    let served: Vec<_> =
        summary.keys.iter().map(|key| (key.label.as_str(), key.served, key.tokens)).collect();
    assert_eq!(served, [("alpha", 2, 20), ("beta", 2, 20), ("gamma", 0, 0)]);
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\x1b'));
    assert!(text.contains(&format!("curl -i {url}/models")));
    for (number, part) in
        [(1, "key=alpha status=200"), (3, "key=beta status=200"), (5, "key=kmid status=429")]
    {
        let line = text.lines().find(|line| line.starts_with(&format!("#{number} "))).unwrap();
        assert!(line.contains(part) && line.ends_with(&format!("id=id-{number}")), "{line}");
    }
    assert!(
        text.contains("#3 beta took over from alpha\n") && text.contains("#5 failed: no key can serve\n")
    );
    assert!(text.contains("5 requests in "));
}

#[tokio::test]
async fn piped_without_a_number_it_ends_after_twenty() {
    let proxy = FakeProxy::bind().await;
    let (url, view, mut out) = (proxy.url(), proxy.view(), Vec::new());
    let summary = tokio::select! {
        summary = run(&url, view, options(&mut out, false, None), CancellationToken::new()) => summary,
        () = proxy.serve() => unreachable!("it never ends"),
    };
    assert_eq!((summary.requests, summary.end), (PIPED_REQUESTS, End::Enough));
}

#[tokio::test]
async fn on_a_terminal_it_goes_on_until_cancelled_and_then_sums_up() {
    let proxy = FakeProxy::bind().await;
    let (url, cancel, mut out) = (proxy.url(), CancellationToken::new(), Vec::new());
    let (seen, stop) = (proxy.view(), cancel.clone());
    let view = move || {
        let view = seen();
        if view.keys[0].state == Cooling {
            stop.cancel();
        }
        view
    };
    let summary = tokio::select! {
        summary = run(&url, view, options(&mut out, true, None), cancel) => summary,
        () = proxy.serve() => unreachable!("it never ends"),
    };
    assert_eq!(summary.end, End::Cancelled);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\x1b[J") && text.contains("\x1b[32m"));
    assert!(text.contains(" requests in "));
}

#[tokio::test]
async fn a_request_under_way_when_it_is_cancelled_is_answered_and_counted() {
    let proxy = FakeProxy::bind().await;
    let (url, cancel, mut out) = (proxy.url(), CancellationToken::new(), Vec::new());
    let running = run(&url, proxy.view(), options(&mut out, false, None), cancel.clone());
    let cancelled_within_the_third = async {
        for number in 1..=3 {
            let (stream, _) = proxy.listener.accept().await.unwrap();
            let (cancel, proxy) = (cancel.clone(), &proxy);
            let service = service_fn(move |_| {
                let cancel = cancel.clone();
                async move {
                    if number == 3 {
                        cancel.cancel();
                        // Whoever gives up when cancelled has had its turn by then.
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, Infallible>(proxy.answer(number))
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    };
    let (summary, ()) = tokio::join!(running, cancelled_within_the_third);
    assert_eq!((summary.end, summary.requests, summary.answered), (End::Cancelled, 3, 3));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("#3 ") && text.contains(": 3 answered, 0 failed\n"), "{text}");
}

/// A pipe whose reader has gone.
#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    let proxy = FakeProxy::bind().await;
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let (url, view) = (proxy.url(), proxy.view());
    let summary = run(&url, view, Options::new(near, false, false), CancellationToken::new()).await;
    assert_eq!((summary.end, summary.requests), (End::OutputClosed, 0));
}

/// A full disk.
#[tokio::test]
async fn an_output_that_takes_nothing_is_an_error() {
    struct Stuck;

    impl tokio::io::AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    let proxy = FakeProxy::bind().await;
    let (url, view) = (proxy.url(), proxy.view());
    let summary = run(&url, view, Options::new(Stuck, false, false), CancellationToken::new()).await;
    assert_eq!((summary.end, summary.requests), (End::OutputFailed(io::ErrorKind::StorageFull), 0));
}

/// A pipe whose reader stops after a byte: cancelling still ends it.
#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_nothing_more_does_not_hold_it() {
    let proxy = FakeProxy::bind().await;
    let (near, mut far) = tokio::io::duplex(64);
    let (url, view, cancel) = (proxy.url(), proxy.view(), CancellationToken::new());
    let (summary, ()) =
        tokio::join!(run(&url, view, Options::new(near, false, false), cancel.clone()), async {
            far.read_u8().await.unwrap();
            cancel.cancel();
        });
    assert_eq!((summary.end, summary.requests), (End::Cancelled, 0));
}
