#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use super::*;

const BOTH: [Wire; 2] = [Wire::OpenAi, Wire::Anthropic];

fn one(wire: Wire, text: &str) -> Option<SessionId> {
    scan(wire, &[text]).session
}

fn openai(text: &str) -> Option<SessionId> {
    one(Wire::OpenAi, text)
}

/// What a parser of the whole document finds.
fn oracle(wire: Wire, text: &[u8]) -> Named {
    let Ok(body) = serde_json::from_slice::<Value>(text) else { return Named::default() };
    let plain = |name: &str| {
        name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
    };
    let model = body.get("model").and_then(Value::as_str).filter(|name| !name.is_empty());
    let model = model.map(|name| if plain(name) { name.into() } else { "other".into() });
    let stream = body.get("stream") == Some(&Value::Bool(true));
    Named { session: session(wire, &body), model, stream }
}

fn session(wire: Wire, body: &Value) -> Option<SessionId> {
    let name = match wire {
        Wire::OpenAi => body.get("prompt_cache_key"),
        Wire::Anthropic => body.get("metadata").and_then(|metadata| metadata.get("user_id")),
    };
    let name = name?.as_str().filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)?;
    Some(SessionId::of(wire, name))
}

#[test]
fn the_field_of_each_wire() {
    let body = r#"{"messages":[{"prompt_cache_key":"inner","metadata":{"user_id":"inner"}}],
        "prompt_cache_key":"one","metadata":{"other":[1,{"user_id":"no"}],"user_id":"two"}}"#;
    assert_eq!(openai(body), Some(SessionId::of(Wire::OpenAi, "one")));
    assert_eq!(one(Wire::Anthropic, body), Some(SessionId::of(Wire::Anthropic, "two")));
    assert_ne!(SessionId::of(Wire::OpenAi, "one"), SessionId::of(Wire::Anthropic, "one"));
}

#[test]
fn the_model_is_the_outermost_one_and_a_plain_name() {
    let model = |wire, body: &str| scan(wire, &[body]).model.map(String::from);
    for wire in BOTH {
        let body = r#"{"messages":[{"model":"inner"}],"x":{"model":"inner"},"model":"kimi-k2.5/x_1","metadata":{"model":"no"}}"#;
        assert_eq!(model(wire, body).as_deref(), Some("kimi-k2.5/x_1"));
        assert_eq!(model(wire, r#"{"model":"a","model":"b"}"#).as_deref(), Some("b"));
        for none in
            [r#"{"model":""}"#, r#"{"model":7}"#, r#"{"model":["a"]}"#, r#"{"model":"a","model":null}"#, "{}"]
        {
            assert_eq!(model(wire, none), None, "{none}");
        }
        let long = |length| format!(r#"{{"model":"{}"}}"#, "m".repeat(length));
        assert_eq!(model(wire, &long(64)), Some("m".repeat(64)));
        for other in [
            &long(65),
            &long(100_000),
            r#"{"model":"a b"}"#,
            r#"{"model":"\u001b[2J"}"#,
            r#"{"model":"мир"}"#,
        ] {
            assert_eq!(model(wire, other).as_deref(), Some("other"), "{}", &other[..other.len().min(80)]);
        }
    }
}

#[test]
fn only_the_field_at_the_top_asks_for_a_stream() {
    for (body, expected) in [
        (&["{\"messages\":[{\"stream\":false}],\"str", "eam\" : true}"][..], true),
        (&["{\"stream\":true,\"messages\":[]}"], true),
        (&["{\"stream\":false,\"stream\":true}"], true),
        (&["{\"stream\":true,\"stream\":1}"], false),
        (&["{\"stream\":[true]}"], false),
        (&["{\"stream\":false}"], false),
        (&["{\"messages\":[{\"stream\":true}]}"], false),
        (&["{\"messages\":\"\\\"stream\\\":true\"}"], false),
        (&["{\"stream\":\"true\"}"], false),
        (&["{\"stream\":true"], false),
        (&["\"stream\""], false),
        (&[], false),
    ] {
        for wire in BOTH {
            assert_eq!(scan(wire, body).stream, expected, "{body:?}");
        }
    }
}

#[test]
fn the_id_is_a_hash_that_stays_the_same() {
    // printf 'openai\0one' | sha256sum
    assert_eq!(SessionId::of(Wire::OpenAi, "one").to_string(), "c8f397ec0a6c25af");
    // printf 'anthropic\0one' | sha256sum
    assert_eq!(SessionId::of(Wire::Anthropic, "one").to_string(), "48cd2ffe02ff8474");
}

#[test]
fn escapes_are_the_characters_that_they_stand_for() {
    let id = Some(SessionId::of(Wire::OpenAi, "a\"\\/\u{8}\u{c}\n\r\té😀"));
    let escaped = r#"{"prompt\u005fcache_key":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\uDE00"}"#;
    assert_eq!(openai(escaped), id);
}

#[test]
fn of_a_field_that_stands_twice_the_last_counts() {
    assert_eq!(
        openai(r#"{"prompt_cache_key":"a","prompt_cache_key":"b"}"#),
        Some(SessionId::of(Wire::OpenAi, "b"))
    );
    for emptied in [
        r#"{"prompt_cache_key":"a","prompt_cache_key":null}"#,
        r#"{"prompt_cache_key":"a","prompt_cache_key":""}"#,
    ] {
        assert_eq!(openai(emptied), None, "{emptied}");
    }
    let replaced = r#"{"metadata":{"user_id":"a"},"metadata":{}}"#;
    assert_eq!(one(Wire::Anthropic, replaced), None);
}

#[test]
fn what_is_no_name_is_no_session() {
    let long = format!(r#"{{"prompt_cache_key":"{}"}}"#, "x".repeat(LONGEST_NAME + 1));
    let longest = format!(r#"{{"prompt_cache_key":"{}"}}"#, "x".repeat(LONGEST_NAME));
    assert!(openai(&longest).is_some());
    for body in [
        "",
        "{}",
        "null",
        r#"["prompt_cache_key"]"#,
        r#"[{"prompt_cache_key":"a"}]"#,
        r#"{"prompt_cache_key":7}"#,
        r#"{"prompt_cache_key":["a"]}"#,
        r#"{"prompt_cache_key":{"prompt_cache_key":"a"}}"#,
        r#"{"prompt_cache_keys":"a","prompt_cache_ke":"b","":"c"}"#,
        r#"{"x":"prompt_cache_key","y":"\"prompt_cache_key\":\"a\""}"#,
        &long,
    ] {
        assert_eq!(openai(body), None, "{}", &body[..body.len().min(80)]);
    }
    for body in [r#"{"metadata":"user_id"}"#, r#"{"metadata":["user_id","a"]}"#, r#"{"user_id":"a"}"#] {
        assert_eq!(one(Wire::Anthropic, body), None, "{body}");
    }
}

#[test]
fn what_is_no_json_is_no_session() {
    let name = r#""prompt_cache_key":"a""#;
    for body in [
        format!("{{{name}"),
        format!("{{{name}}}}}"),
        format!("{{{name}}} x"),
        format!("{{{name},}}"),
        format!("{{,{name}}}"),
        format!("{{{name}]"),
        format!("\u{feff}{{{name}}}"),
        format!(r#"{{{name},"n":01}}"#),
        format!(r#"{{{name},"n":-}}"#),
        format!(r#"{{{name},"n":1.}}"#),
        format!(r#"{{{name},"n":1e}}"#),
        format!(r#"{{{name},"n":nul}}"#),
        format!(r#"{{{name},"n":[1 2]}}"#),
        format!(r#"{{{name},"n":[1,]}}"#),
        format!(r#"{{{name},"n" 1}}"#),
        format!(r#"{{{name},n:1}}"#),
        r#"{"prompt_cache_key":"\x"}"#.to_owned(),
        r#"{"prompt_cache_key":"\ud800"}"#.to_owned(),
        r#"{"prompt_cache_key":"\udc00"}"#.to_owned(),
        r#"{"prompt_cache_key":"\ud800\u0041"}"#.to_owned(),
        r#"{"prompt_cache_key":"\u00g0"}"#.to_owned(),
        "{\"prompt_cache_key\":\"a\nb\"}".to_owned(),
        r#"{"prompt_cache_key":"a"#.to_owned(),
    ] {
        assert_eq!(oracle(Wire::OpenAi, body.as_bytes()).session, None, "{body}");
        assert_eq!(openai(&body), None, "{body}");
    }
    assert_eq!(scan(Wire::OpenAi, &[b"{\"prompt_cache_key\":\"\xff\"}"]), Named::default());
    assert_eq!(
        scan(Wire::OpenAi, &[b"\x1f\x8b\x08\0{\"prompt_cache_key\":\"a\"}"]),
        Named::default(),
        "gzip"
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        format!(r#"{{"x":{}{},"prompt_cache_key":"a"}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    for depth in [1, DEEPEST - 1, DEEPEST, 1_000_000] {
        let body = nested(depth);
        assert_eq!(openai(&body), oracle(Wire::OpenAi, body.as_bytes()).session, "{depth}");
    }
    assert!(openai(&nested(DEEPEST - 1)).is_some());
    assert!(openai(&"{\"metadata\":".repeat(100_000)).is_none());
}

/// Keys that matter, some that nearly do, and any.
fn a_key() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 7] =
        ["prompt_cache_key", "model", "metadata", "user_id", "prompt_cache_ke", "metadatas", "messages"];
    prop_oneof![4 => select(&KNOWN[..]).prop_map(str::to_owned), 1 => any::<String>()]
}

/// A string as a program might write it, some of its characters escaped.
fn written(text: &str, escape_every: usize) -> String {
    let mut out = String::from("\"");
    for (place, char) in text.chars().enumerate() {
        if escape_every > 0 && place % escape_every == 0 {
            let mut units = [0; 2];
            char.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            let quoted = serde_json::to_string(&char).unwrap();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out + "\""
}

fn a_string(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (text, 0..4usize).prop_map(|(text, every)| written(&text, every))
}

fn a_space() -> impl Strategy<Value = &'static str> {
    select(&["", "", "", " ", "\n\t", " \r\n "][..])
}

/// The text of a JSON value; objects may hold a key twice.
fn a_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(
            &["true", "false", "null", "0", "-0", "-12", "3.25", "1e5", "2E-3", "0.5e+1", "[]", "{ }"][..]
        )
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        a_string(any::<String>()),
        a_string("[a-z0-9./-]{1,70}"),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..5), a_space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!(",{space}")))),
            an_object(inner),
        ]
    })
}

fn an_object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (vec((a_string(a_key()), value), 0..6), a_space()).prop_map(|(fields, space)| {
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
        format!("{{{space}{}{space}}}", fields.join(&format!("{space},")))
    })
}

fn cut<'a>(text: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(text.len() + 1)).collect();
    places.sort_unstable();
    let mut chunks = Vec::new();
    let mut from = 0;
    for place in places {
        chunks.push(&text[from..place]);
        from = place;
    }
    chunks.push(&text[from..]);
    chunks
}

proptest! {
    #[test]
    fn finds_what_a_parser_finds(body in an_object(a_value()), places in vec(any::<Index>(), 0..12)) {
        serde_json::from_str::<Value>(&body).unwrap();
        for wire in BOTH {
            let found = scan(wire, &cut(body.as_bytes(), &places));
            prop_assert_eq!(&found, &oracle(wire, body.as_bytes()), "{}", body);
        }
    }

    /// A byte more, less or different: nothing panics, the cuts change nothing, and what a parser takes is found.
    #[test]
    fn damage_is_survived(
        body in an_object(a_value()),
        damage in vec((any::<Index>(), 0..3u8, any::<u8>()), 1..4),
        places in vec(any::<Index>(), 0..12),
    ) {
        let mut body = body.into_bytes();
        for (place, kind, byte) in damage {
            let at = place.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ if body.len() > 1 => drop(body.remove(at)),
                _ => {}
            }
        }
        for wire in BOTH {
            let found = scan(wire, &cut(&body, &places));
            prop_assert_eq!(&found, &scan(wire, &[&body]));
            if serde_json::from_slice::<Value>(&body).is_ok() {
                prop_assert_eq!(&found, &oracle(wire, &body));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200), places in vec(any::<Index>(), 0..5)) {
        for wire in BOTH {
            let found = scan(wire, &cut(&bytes, &places));
            prop_assert_eq!(found, scan(wire, &[&bytes]));
        }
    }
}
