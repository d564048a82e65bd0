#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

const OPENAI: &str = "\
data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n\
: keep-alive\n\n\
data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hé \\\"usage\\\":{}\"}}],\"usage\":null}\n\n\
data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":4,\"cached_tokens\":16}}]}\n\n\
data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":4,\"total_tokens\":24,\"cached_tokens\":16}}\n\n\
data: [DONE]\n\n";

const ANTHROPIC: &str = "\
event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":16,\"output_tokens\":1}}}\n\n\
event: ping\ndata: {\"type\": \"ping\"}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"message_stop\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

type Seen = (bool, bool, Option<(u64, u64, u64)>, Option<String>);

fn seen(scanner: &SseScanner) -> Seen {
    (
        scanner.terminal(),
        scanner.output_seen(),
        scanner.tokens().map(|t| (t.input, t.cached, t.output)),
        scanner.error().map(|error| error.message.clone()),
    )
}

fn scan<'a>(wire: Wire, chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut scanner = SseScanner::new(wire);
    chunks.into_iter().for_each(|chunk| scanner.feed(chunk));
    seen(&scanner)
}

#[test]
fn whole_streams() {
    let tokens = Some((20, 16, 4));
    assert_eq!(scan(Wire::OpenAi, [OPENAI.as_bytes()]), (true, true, tokens, None));
    let crlf = OPENAI.replace('\n', "\r\n");
    assert_eq!(scan(Wire::OpenAi, [crlf.as_bytes()]), (true, true, tokens, None));
    let tight = OPENAI.replace("data: ", "data:");
    assert_eq!(scan(Wire::OpenAi, [tight.as_bytes()]), (true, true, tokens, None));

    let tokens = Some((20, 16, 9));
    assert_eq!(scan(Wire::Anthropic, [ANTHROPIC.as_bytes()]), (true, true, tokens, None));
    let crlf = ANTHROPIC.replace('\n', "\r\n");
    assert_eq!(scan(Wire::Anthropic, [crlf.as_bytes()]), (true, true, tokens, None));
}

#[test]
fn a_stream_is_terminal_at_its_last_event_and_not_before() {
    for (wire, stream, last) in
        [(Wire::OpenAi, OPENAI, "data: [DONE]"), (Wire::Anthropic, ANTHROPIC, "event: message_stop")]
    {
        let cut = stream.find(last).unwrap();
        assert!(!scan(wire, [&stream.as_bytes()[..cut]]).0, "{last}");
        assert!(scan(wire, [stream.as_bytes()]).0);
    }
    // the client hangs up here, before the newline came
    assert!(scan(Wire::OpenAi, [b"data: [DONE]".as_slice()]).0);
    assert!(!scan(Wire::OpenAi, [b"data: [DON".as_slice()]).0);
    assert!(!scan(Wire::OpenAi, [b"data: [DONE] and more\n\n".as_slice()]).0);
    // each wire has its own
    assert!(!scan(Wire::Anthropic, [b"data: [DONE]\n\n".as_slice()]).0);
    assert!(scan(Wire::Anthropic, [b"data: {\"type\":\"message_stop\"}\n\n".as_slice()]).0);
    assert!(scan(Wire::Anthropic, [b"event: message_stop\ndata: {}\n\n".as_slice()]).0);
    assert!(!scan(Wire::Anthropic, [b"event: message_stop\n".as_slice()]).0);
}

#[test]
fn error_events_before_and_after_output() {
    let error = "data: {\"error\": {\"message\": \"engine is currently overloaded\", \"type\": \"e\"}}\n\n";
    let text = Some("engine is currently overloaded".to_owned());
    assert_eq!(scan(Wire::OpenAi, [error.as_bytes()]), (true, false, None, text.clone()));
    let opening = &OPENAI[..OPENAI.find(": keep").unwrap()];
    let before = format!("{opening}{error}");
    assert_eq!(scan(Wire::OpenAi, [before.as_bytes()]), (true, false, None, text.clone()));
    let after = format!("{}{error}", &OPENAI[..OPENAI.find("data: [DONE]").unwrap()]);
    assert_eq!(scan(Wire::OpenAi, [after.as_bytes()]), (true, true, Some((20, 16, 4)), text.clone()));

    for error in [
        "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"t\", \"message\": \"engine is currently overloaded\"}}\n\n",
        "data: {\"type\":\"error\",\"error\":{\"type\":\"t\",\"message\":\"engine is currently overloaded\"}}\r\n\r\n",
        "event:error\ndata:{\"message\":\"engine is currently overloaded\"}\n\n",
    ] {
        let start = &ANTHROPIC[..ANTHROPIC.find("event: content_block_start").unwrap()];
        let stream = format!("{start}{error}");
        assert_eq!(
            scan(Wire::Anthropic, [stream.as_bytes()]),
            (true, false, Some((20, 16, 1)), text.clone())
        );
    }
    assert!(scan(Wire::Anthropic, [b"event: error\ndata: oops\n\n".as_slice()]).0);
}

#[test]
fn before_output_an_error_may_stand_anywhere_in_its_event() {
    let stream = "data: {\"id\":\"\",\"object\":\"error\",\"error\":{\"message\":\"m\"}}\n\n";
    assert_eq!(scan(Wire::OpenAi, [stream.as_bytes()]), (true, false, None, Some("m".into())));
}

#[test]
fn what_only_looks_like_an_error() {
    for data in [
        "{\"error\":null,\"choices\":[]}",
        "{\"choices\":[],\"error\":null}",
        "{\"type\":\"error_free\",\"choices\":[]}",
    ] {
        let seen = scan(Wire::OpenAi, [format!("data: {data}\n\n").as_bytes()]);
        assert_eq!(seen, (false, false, None, None), "{data}");
    }
}

#[test]
fn reasoning_and_tool_calls_are_output_and_so_is_what_cannot_be_read() {
    for (data, output) in [
        (r#"{"choices":[{"delta":{"role":"assistant"}}]}"#, false),
        (r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, true),
        (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, true),
        (r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#, false),
        (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, true),
        (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, false),
        ("not json", true),
        ("", false),
    ] {
        assert_eq!(scan(Wire::OpenAi, [format!("data: {data}\n\n").as_bytes()]).1, output, "{data}");
    }
}

#[test]
fn the_first_output_is_seen_with_its_line_and_not_before() {
    for (wire, stream, last_before, first) in [
        (Wire::OpenAi, OPENAI, ": keep-alive", "\\\"usage\\\":{}\"}}],\"usage\":null}\n"),
        (
            Wire::Anthropic,
            ANTHROPIC,
            "{\"type\": \"ping\"}",
            "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n",
        ),
    ] {
        assert!(stream.find(last_before).unwrap() < stream.find(first).unwrap());
        let seen_from = stream.find(first).unwrap() + first.len();
        let mut scanner = SseScanner::new(wire);
        for (at, byte) in stream.bytes().enumerate() {
            scanner.feed(&[byte]);
            // Bytes one by one must show it at the same place as the same bytes at once.
            let at_once = scan(wire, [&stream.as_bytes()[..=at]]).1;
            assert_eq!((scanner.output_seen(), at_once), (at + 1 >= seen_from, at + 1 >= seen_from), "{at}");
        }
    }
}

#[test]
fn memory_is_bounded_and_a_long_line_is_skipped() {
    let mut scanner = SseScanner::new(Wire::OpenAi);
    scanner.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"");
    for _ in 0..1000 {
        scanner.feed(&[b'x'; 1000]);
        assert!(scanner.partial.capacity() <= 2 * MAX_LINE);
    }
    assert!(scanner.output_seen() && !scanner.terminal());
    scanner.feed(b"\"}}]}\n\ndata: [DONE]\n\n");
    assert!(scanner.terminal());
}

/// Pieces of streams, good and odd, put together in any order.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let long = format!("data: {{\"x\":\"{}\"}}\n", "y".repeat(MAX_LINE));
    let pieces = vec![
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n".to_owned(),
        "data: {\"choices\":[],\"usage\": {\"prompt_tokens\":7,\"completion_tokens\":3}}\r\n\r\n".to_owned(),
        "data: {\"error\":{\"message\":\"m\"}}\n\n".to_owned(),
        "event: error\n".to_owned(),
        "event: message_stop\n".to_owned(),
        "data: {\"type\":\"message_stop\"}\n\n".to_owned(),
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":2}}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
        "data: [DONE]".to_owned(),
        "data: {\"x\":\r".to_owned(),
        ": ping\n\n".to_owned(),
        "\n".to_owned(),
        "é\u{1f600}".to_owned(),
        long,
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..12).prop_map(|p| p.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_says_the_same(
        stream in any_stream(),
        sizes in proptest::collection::vec(1usize..3000, 1..20),
        openai in any::<bool>(),
    ) {
        let wire = if openai { Wire::OpenAi } else { Wire::Anthropic };
        let whole = scan(wire, [stream.as_slice()]);
        let mut rest = stream.as_slice();
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(scan(wire, chunks), whole);
    }

    #[test]
    fn byte_by_byte_says_the_same(openai in any::<bool>()) {
        let (wire, stream) = if openai { (Wire::OpenAi, OPENAI) } else { (Wire::Anthropic, ANTHROPIC) };
        prop_assert_eq!(scan(wire, stream.as_bytes().chunks(1)), scan(wire, [stream.as_bytes()]));
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), openai in any::<bool>()) {
        let wire = if openai { Wire::OpenAi } else { Wire::Anthropic };
        prop_assert_eq!(scan(wire, bytes.chunks(3)), scan(wire, [bytes.as_slice()]));
    }
}

#[test]
fn an_error_or_an_end_is_known_wherever_its_name_stands() {
    let output = "data: {\"choices\":[{\"delta\":{\"content\":\"say \\\"error\\\"\"}}]}\n\n";
    let error = "data: {\"id\":\"a\",\"error\":{\"message\":\"m\"}}\n\n";
    let got = scan(Wire::OpenAi, [output.as_bytes(), error.as_bytes()]);
    assert_eq!(got, (true, true, None, Some("m".to_owned())));
    assert_eq!(scan(Wire::OpenAi, [output.as_bytes()]), (false, true, None, None));

    for (end, terminal) in [
        ("data: {\"id\":\"1\",\"type\":\"message_stop\"}\n\n", true),
        // Its last newlines may never come.
        ("event: message_stop\ndata: {\"type\":\"message_stop\"}", true),
        ("event: message_stop\ndata: {\"type\":\"message_stop\"", false),
        ("data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"message_stop\"}}\n\n", false),
    ] {
        assert_eq!(scan(Wire::Anthropic, [end.as_bytes()]).0, terminal, "{end}");
    }
}
