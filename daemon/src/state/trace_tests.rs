//! The trace line, field by field.

use jiff::tz::TimeZone;
use kmid_core::key::Secret;

use super::*;

fn record() -> TraceRecord {
    TraceRecord {
        zone: Zone::new(TimeZone::fixed(jiff::tz::offset(3))),
        ended_at: Time::parse("2026-02-02T09:00:00.123Z").unwrap(),
        request_id: RequestId::new(0x1f),
        method: Method::POST,
        endpoint: "/chat/completions".into(),
        status: 200,
        latency: Duration::from_micros(41_900),
        ttfb: Some(Duration::from_millis(12)),
        key: Some(("beta".into(), Fingerprint::of(&Secret::new("abc")))),
        rotation_index: 3,
        attempts: TraceAttempts::from_vec(vec![
            TraceAttempt {
                key_label: "alpha".into(),
                status: Some(403),
                outcome: "quota",
                took: Duration::ZERO,
                decision: Decision::default(),
            },
            TraceAttempt {
                key_label: "beta".into(),
                status: None,
                outcome: "completed",
                took: Duration::from_millis(30),
                decision: Decision::default(),
            },
        ]),
        queued: Some(Duration::from_millis(7)),
        session: Some(SessionId([0x5e, 0x55, 1, 2, 3, 4, 5, 6])),
        client_name: None,
        model: None,
        refused: None,
        prompt_hint: "".into(),
        prompt_head: "".into(),
        tokens: Some(Tokens { input: 10, cached: 4, output: 2 }),
        bytes_up: 100,
        bytes_down: 200,
        error_code: None,
        outcome: "completed",
    }
}

fn line(record: &TraceRecord) -> String {
    let mut out = Vec::new();
    record.write_line(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_has_every_field_in_its_order() {
    assert_eq!(
        line(&record()),
        concat!(
            r#"{"ts":"2026-02-02 12:00:00.123 +0300","request_id":"000000000000001f","method":"POST","#,
            r#""endpoint":"/chat/completions","status":200,"latency_ms":41,"ttfb_ms":12,"key_label":"beta","#,
            r#""key_hash":"ba7816bf8f01","rotation_index":3,"attempts":["#,
            r#"{"key_label":"alpha","status":403,"outcome":"quota","ms":0"#,
            r#","decision":{"mode":"manual","policy":"round-robin","placement":"no_session","candidates":[]}},"#,
            r#"{"key_label":"beta","status":null,"outcome":"completed","ms":30"#,
            r#","decision":{"mode":"manual","policy":"round-robin","placement":"no_session","candidates":[]}}],"queue_ms":7,"#,
            r#""session":"5e55010203040506","#,
            r#""prompt_hint":"","prompt_head":"","tokens":{"input":10,"cached":4,"output":2},"bytes_up":100,"#,
            r#""bytes_down":200,"error_code":null,"outcome":"completed","schema_version":2}"#,
        )
    );
}

#[test]
fn a_refusal_without_a_key_reads_as_the_wire_type() {
    let refused = TraceRecord {
        key: None,
        attempts: TraceAttempts::new(),
        session: None,
        client_name: Some("laptop".into()),
        tokens: None,
        ttfb: None,
        error_code: Some("no_keys_available"),
        outcome: "refused",
        endpoint: "/a\n\"b\"".into(),
        ..record()
    };
    let line = line(&refused);
    assert!(!line.contains('\n'));
    let entry: kmi_proto::methods::requests::TraceEntry = serde_json::from_str(&line).unwrap();
    assert_eq!((entry.endpoint.as_str(), entry.outcome.as_str()), ("/a\n\"b\"", "refused"));
    assert_eq!(entry.client_name.as_deref(), Some("laptop"));
    assert!(entry.key_label.is_none() && entry.attempts.is_empty() && entry.more.is_empty());
    assert_eq!(serde_json::to_string(&entry).unwrap(), line, "nothing is missing on either side");
}

struct Shared(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_finished_request_is_an_event_of_the_log() {
    let written = Arc::new(std::sync::Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer({
            let written = Arc::clone(&written);
            move || Shared(Arc::clone(&written))
        })
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        record().after();
        TraceRecord {
            key: None,
            tokens: None,
            ttfb: None,
            queued: None,
            client_name: Some("laptop".into()),
            error_code: Some("quota"),
            ..record()
        }
        .after();
    });
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = written.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            concat!(
                r#"INFO proxy_request key="beta" method="POST" endpoint="/chat/completions" status=200 latency_ms=41 "#,
                r#"ttfb_ms=12 attempts=2 queue_ms=7 input_tokens=10 cached_tokens=4 output_tokens=2 outcome="completed" "#,
                r#"request_id="000000000000001f""#,
            ),
            concat!(
                r#"INFO proxy_request method="POST" endpoint="/chat/completions" status=200 latency_ms=41 "#,
                r#"attempts=2 client_name="laptop" outcome="completed" error_code="quota" request_id="000000000000001f""#,
            ),
        ]
    );
}
