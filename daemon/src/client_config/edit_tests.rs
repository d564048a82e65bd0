#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use toml_edit::DocumentMut;

use super::*;

const NEW_KEY: &str = "sk-kimi-new-key";

fn own() -> OwnAddress {
    OwnAddress { host: "127.0.0.1".into(), port: 54123, base_path: "/kmi-rotor/v1".into() }
}

fn run_at(text: &str, base_url: &str) -> Result<Edit, LeftAlone> {
    let (secret, base_url, own) = (Secret::new(NEW_KEY), BaseUrl::parse(base_url).unwrap(), own());
    edit(text, &Change { secret: &secret, base_url: &base_url, own: &own })
}

fn run(text: &str) -> Result<Edit, LeftAlone> {
    run_at(text, "https://api.kimi.com/coding/v1")
}

/// The one part that was left alone, with nothing changed.
fn refusal(text: &str) -> (Part, LeftAlone) {
    let done = run(text).unwrap();
    assert!(!done.changed && done.text == text, "{text}");
    assert_eq!(done.left_alone.len(), 1, "{text}: {:?}", done.left_alone);
    done.left_alone[0]
}

/// kimi-cli's own file, as its set-up writes it, with a person's additions.
const KIMI_CLI: &str = r#"# my settings
default_model = "kimi-code/kimi-for-coding"   # the good one
default_yolo = false

[models."kimi-code/kimi-for-coding"]
provider = "managed:kimi-code"
model = "kimi-for-coding"
max_context_size = 262144
capabilities = ["thinking", "image_in"]

[providers."managed:kimi-code"]
type = "kimi"
base_url = "https://api.kimi.com/coding/v1"
api_key = "sk-old"	# do not share

[providers.other]
type = "openai_legacy"
base_url = "https://api.example.com/v1"
api_key = "sk-other"

[services.moonshot_search]
base_url = "https://api.kimi.com/coding/v1/search"
api_key = "sk-old"

[services.moonshot_fetch]
base_url = 'https://api.kimi.com/coding/v1/fetch'
api_key = '''sk-old'''
custom_headers = { "X-A" = "sk-old" }

[mcp.client]
tool_call_timeout_ms = 60000

[[hooks]]
event = "Stop"
command = "echo sk-old"
"#;

#[test]
fn the_three_keys_change_and_nothing_else() {
    let expected = KIMI_CLI
        .replace("api_key = \"sk-old\"", "api_key = \"sk-kimi-new-key\"")
        .replace("api_key = '''sk-old'''", "api_key = \"sk-kimi-new-key\"");
    let done = run(KIMI_CLI).unwrap();
    assert_eq!((done.text.as_str(), done.changed, done.left_alone), (expected.as_str(), true, vec![]));
    let again = run(&expected).unwrap();
    assert!(!again.changed && again.text == expected);
}

#[test]
fn crlf_and_bom_stay() {
    let text = format!("\u{feff}{}", KIMI_CLI.replace('\n', "\r\n"));
    let done = run(&text).unwrap();
    assert!(done.text.starts_with("\u{feff}# my settings\r\n"));
    assert_eq!(done.text.matches("\r\n").count(), text.matches("\r\n").count());
    assert_eq!(done.text.replace("\r\n", "\n").trim_start_matches('\u{feff}'), run(KIMI_CLI).unwrap().text);
}

#[test]
fn urls_follow_the_keys_host() {
    let done = run_at(KIMI_CLI, "https://api.kimi.ai/coding/v1").unwrap();
    let document: DocumentMut = done.text.parse().unwrap();
    assert_eq!(
        document["providers"]["managed:kimi-code"]["base_url"].as_str(),
        Some("https://api.kimi.ai/coding/v1")
    );
    let services = &document["services"];
    assert_eq!(
        services["moonshot_search"]["base_url"].as_str(),
        Some("https://api.kimi.ai/coding/v1/search")
    );
    assert_eq!(services["moonshot_fetch"]["base_url"].as_str(), Some("https://api.kimi.ai/coding/v1/fetch"));
    assert_eq!(document["providers"]["other"]["base_url"].as_str(), Some("https://api.example.com/v1"));
    assert!(done.text.contains("# do not share") && done.text.contains("\"X-A\" = \"sk-old\""));
    // the same host with another path is the person's choice
    let text = KIMI_CLI.replace("/coding/v1", "/coding/v2");
    assert_eq!(run(&text).unwrap().text.matches("/coding/v2").count(), 3);
}

#[test]
fn the_anthropic_wire_keeps_its_shape() {
    let text = |url: &str| {
        format!(
            "default_model = 'm'\nmodels.m.provider = 'p'\nproviders.p = {{ type = 'anthropic', base_url = '{url}', api_key = 'x' }}\n"
        )
    };
    let url_of = |old: &str| {
        let document: DocumentMut =
            run_at(&text(old), "https://api.kimi.ai/coding/v1").unwrap().text.parse().unwrap();
        document["providers"]["p"]["base_url"].as_str().unwrap().to_owned()
    };
    assert_eq!(url_of("https://api.kimi.com/coding"), "https://api.kimi.ai/coding");
    assert_eq!(url_of("https://api.kimi.com/coding/"), "https://api.kimi.ai/coding");
    assert_eq!(url_of("https://api.kimi.com/coding/v1"), "https://api.kimi.ai/coding/v1");
}

#[test]
fn inline_tables_and_dotted_keys() {
    for text in [
        "default_model = 'm'\nmodels = { m = { provider = 'p' } }\nproviders = { p = { type = 'kimi', base_url = 'https://api.kimi.com/coding/v1', api_key = 'OLD' }, q = { api_key = 'x' } }\n",
        "default_model = 'm'\nmodels.m.provider = 'p'\nproviders.p.type = 'kimi'\nproviders.p.base_url = 'https://api.kimi.com/x'\nproviders . p . api_key   =   'OLD' # c\n",
        "default_model = 'm'\n[models.m]\nprovider = 'p'\n[providers]\np.type = 'kimi'\np.base_url = 'https://api.kimi.com/x'\np.api_key = 'OLD'",
    ] {
        let done = run(text).unwrap();
        assert_eq!(done.text, text.replace("'OLD'", "\"sk-kimi-new-key\""));
        assert_eq!(done.left_alone, []);
    }
}

#[test]
fn which_provider_is_in_use() {
    let provider = |name: &str| {
        format!(
            "[providers.\"{name}\"]\ntype = 'kimi'\nbase_url = 'https://api.kimi.com/coding/v1'\napi_key = 'of {name}'\n"
        )
    };
    let changed = |text: &str| {
        let done = run(text).unwrap().text;
        let before: Vec<&str> = text.lines().collect();
        done.lines().zip(before).find(|(a, b)| a != b).map(|(_, b)| b.to_owned())
    };
    let (a, b, managed) = (provider("a"), provider("b"), provider("managed:kimi-code"));
    let models = "[models.m]\nprovider = 'b'\n[models.n]\nprovider_id = 'a'\n[models.o]\nmodel = 'k3'\n";
    for (text, expected) in [
        (format!("default_model = 'm'\n{a}{b}{models}"), Some("api_key = 'of b'")),
        (format!("default_model = 'n'\n{a}{b}{models}"), Some("api_key = 'of a'")),
        (format!("default_model = 'o'\ndefault_provider = 'a'\n{a}{b}{models}"), Some("api_key = 'of a'")),
        (format!("default_provider = 'b'\n{a}{b}"), Some("api_key = 'of b'")),
        (format!("{a}{managed}{b}"), Some("api_key = 'of managed:kimi-code'")),
        (b.clone(), Some("api_key = 'of b'")),
    ] {
        assert_eq!(changed(&text).as_deref(), expected, "{text}");
    }
    for (text, expected) in [
        (format!("{a}{b}"), LeftAlone::NoProvider),
        (String::new(), LeftAlone::NoProvider),
        (format!("default_model = 'x'\n{a}{models}"), LeftAlone::DanglingModel),
        (format!("default_model = 'm'\n{a}{models}"), LeftAlone::DanglingModel),
        (format!("default_model = 'o'\n{a}{models}"), LeftAlone::DanglingModel),
    ] {
        assert_eq!(refusal(&text), (Part::File, expected), "{text}");
    }
}

#[test]
fn what_is_left_alone_and_why() {
    let provider = |members: &str| format!("[providers.p]\ntype = 'kimi'\n{members}");
    for (members, expected) in [
        ("base_url = 'http://127.0.0.1:54123/kmi-rotor/v1'\napi_key = 'x'", LeftAlone::PointsAtKmid),
        ("base_url = 'http://localhost:54123'\napi_key = 'x'", LeftAlone::PointsAtKmid),
        (
            "api_key = ''\n[providers.p.env]\nKIMI_BASE_URL = 'http://localhost:54123'",
            LeftAlone::PointsAtKmid,
        ),
        (
            "base_url = 'https://api.kimi.com/coding/v1'\napi_key = ''\n[providers.p.oauth]\nstorage = 'file'\nkey = 'k'",
            LeftAlone::OAuth,
        ),
        (
            "base_url = 'https://api.kimi.com/coding/v1'\noauth = { storage = 'file', key = 'k' }",
            LeftAlone::OAuth,
        ),
        ("base_url = 'https://api.kimi.com/coding/v1'\napi_key_env = 'MY_KEY'", LeftAlone::FromEnvironment),
        (
            "base_url = 'https://api.kimi.com/coding/v1'\n[providers.p.env]\nKIMI_API_KEY = 'x'",
            LeftAlone::FromEnvironment,
        ),
        ("base_url = 'https://api.kimi.com/coding/v1'", LeftAlone::NoKey),
        ("base_url = 'https://api.kimi.com/coding/v1'\napi_key = 5", LeftAlone::KeyIsNoText),
        ("api_key = 'x'", LeftAlone::NoBaseUrl),
        ("api_key = 'x'\nbase_url = 'nowhere'", LeftAlone::NoBaseUrl),
    ] {
        assert_eq!(refusal(&provider(members)), (Part::Provider, expected), "{members}");
    }
    let foreign =
        "[providers.p]\ntype = 'openai_legacy'\nbase_url = 'https://api.example.com/v1'\napi_key = 'x'\n";
    assert_eq!(refusal(foreign), (Part::Provider, LeftAlone::NotKimi));
    let model = |members: &str| {
        format!(
            "default_model = 'm'\n[models.m]\nprovider = 'p'\n{members}\n[providers.p]\ntype = 'kimi'\nbase_url = 'https://api.kimi.com/coding/v1'\napi_key = 'x'\n"
        )
    };
    assert_eq!(refusal(&model("api_key = 'y'")), (Part::Provider, LeftAlone::ModelOverrules));
    assert_eq!(
        refusal(&model("base_url = 'https://h.example/'")),
        (Part::Provider, LeftAlone::ModelOverrules)
    );
    assert_eq!(
        refusal(&model("base_url = 'http://localhost:54123/'")),
        (Part::Provider, LeftAlone::PointsAtKmid)
    );
    assert!(run(&model("base_url = 'https://api.kimi.com/other'")).unwrap().changed);
}

#[test]
fn each_part_is_judged_by_itself() {
    let text = KIMI_CLI
        .replacen("https://api.kimi.com/coding/v1", "http://127.0.0.1:54123/kmi-rotor/v1", 1)
        .replace("api_key = '''sk-old'''", "api_key = ''\noauth = { storage = 'file', key = 'k' }");
    let done = run(&text).unwrap();
    assert_eq!(done.left_alone, [(Part::Provider, LeftAlone::PointsAtKmid), (Part::Fetch, LeftAlone::OAuth)]);
    let search = "/search\"\napi_key = \"sk-old\"";
    assert_eq!(done.text, text.replace(search, &search.replace("sk-old", NEW_KEY)));
}

#[test]
fn a_file_that_does_not_parse_is_not_quoted() {
    for (text, line) in [("a = 1\nsk-secret = = 2\n", 2), ("[providers.p\napi_key = 'sk-secret'\n", 1)] {
        let why = run(text).unwrap_err();
        assert_eq!(why, LeftAlone::NotToml { line });
        assert!(!why.to_string().contains("secret"));
    }
}

#[test]
fn current_settings() {
    let now = current(KIMI_CLI, &own(), &Tokens::default()).unwrap();
    assert_eq!(now.provider, "managed:kimi-code");
    assert_eq!(now.fingerprint, Some(Fingerprint::of(&Secret::new("sk-old"))));
    assert!(!now.points_at_kmid);
    assert_eq!(now.provider_type.as_deref(), Some("kimi"));
    let no_model = "default_model = ''\n[providers.p]\ntype = 'anthropic'\napi_key = 'x'\n";
    assert_eq!(
        current(no_model, &own(), &Tokens::default()).unwrap().provider_type,
        None,
        "no model leads to it"
    );
    let through =
        KIMI_CLI.replacen("https://api.kimi.com/coding/v1", "http://localhost:54123/kmi-rotor/v1", 1);
    assert!(current(&through, &own(), &Tokens::default()).unwrap().points_at_kmid);
    assert_eq!(now.token_accepted, None, "its key is no token");
    let accepted = |tokens: &Tokens| current(&through, &own(), tokens).unwrap().token_accepted;
    let token = |text: &str| Tokens { unnamed: Some(Secret::new(text)), named: Vec::new() };
    let written = current(&through, &own(), &Tokens::default()).unwrap().fingerprint.unwrap();
    let key = KIMI_CLI.split('"').find(|part| Fingerprint::of(&Secret::new(part)) == written).unwrap();
    assert_eq!(accepted(&Tokens::default()), Some(true), "without a token all may pass");
    assert_eq!((accepted(&token(key)), accepted(&token("another"))), (Some(true), Some(false)));
    let oauth = "[providers.p]\napi_key = ''\noauth = { storage = 'file', key = 'k' }\n";
    assert_eq!(current(oauth, &own(), &Tokens::default()).unwrap().fingerprint, None);
    assert!(matches!(current("= 1", &own(), &Tokens::default()), Err(LeftAlone::NotToml { line: 1 })));
}

#[test]
fn the_key_is_not_in_debug_output() {
    assert!(!format!("{:?}", run(KIMI_CLI)).contains(NEW_KEY));
}

/// A config file in pieces, with `@KEY@` and `@URL@` where the old values stand.
fn any_config() -> impl Strategy<Value = String> {
    let old_key = proptest::sample::select(vec!["sk-old", "", "k\u{e9}y"]);
    let quote =
        proptest::sample::select(vec![("\"", "\""), ("'", "'"), ("'''", "'''"), ("\"\"\"", "\"\"\"")]);
    let layout = proptest::sample::select(vec![
        "[providers.p]\ntype='kimi'\n  base_url = @URL@ # u\napi_key=@KEY@\n",
        "[providers.p]\n\tapi_key = @KEY@ \ntype = \"kimi\"\nbase_url = @URL@\n[providers.p.custom_headers]\na = 'api_key'\n",
        "[providers]\np = { type = 'kimi', base_url = @URL@ , api_key=@KEY@} # api_key = 'x'\n",
        "[providers]\np.type = 'kimi'\np.\"api_key\" = @KEY@\n'p'.base_url = @URL@\n",
    ]);
    let noise = proptest::sample::select(vec![
        "",
        "# api_key = 'commented'\n\n",
        "[mcp.servers.x]\nenv = { api_key = 'theirs' }\nargs = [ 'a',\n  'b', ]\n",
        "[[permission.rules]]\npattern = 'api_key'\ndecision = \"allow\"\n",
        "[other]\ntext = '''\n[providers.p]\napi_key = 'fake'\n'''\n",
        "[other-2]\n\"\u{fc}ml\u{e4}ut \u{1f600}\" = '\u{6f22}\u{5b57}' \n\n\n",
    ]);
    let noise = proptest::collection::vec(noise, 0..3).prop_map(|mut pieces| {
        // a table may be defined once only
        pieces.sort_unstable();
        pieces.dedup();
        pieces.concat()
    });
    (layout, old_key, quote, noise.clone(), any::<bool>(), any::<bool>()).prop_map(
        |(layout, key, (open, close), noise, crlf, before)| {
            let layout = layout.replace("@KEY@", &format!("@KEY@{open}{key}{close}@END@"));
            let (first, second) = if before { (noise, layout) } else { (layout, noise) };
            let text = format!("default_model = 'm'\nmodels.m.provider = 'p'\n{first}{second}");
            if crlf { text.replace('\n', "\r\n") } else { text }
        },
    )
}

/// Puts `key` and `url` into the places, or the old values where `None`.
fn filled(template: &str, new: Option<(&str, &str)>) -> String {
    let (before, rest) = template.split_once("@KEY@").unwrap();
    let (old, after) = rest.split_once("@END@").unwrap();
    match new {
        None => format!("{before}{old}{after}").replace("@URL@", "'https://api.moonshot.cn/v1'"),
        Some((key, url)) => format!("{before}{key}{after}").replace("@URL@", url),
    }
}

proptest! {
    #[test]
    fn only_the_intended_bytes_differ(template in any_config(), key in "[ -~]{1,40}|.{1,20}") {
        let (secret, own) = (Secret::new(&key), own());
        let base_url = BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap();
        let before = filled(&template, None);
        let done = edit(&before, &Change { secret: &secret, base_url: &base_url, own: &own }).unwrap();
        prop_assert_eq!(&done.left_alone, &vec![]);
        let written = basic_string(&key);
        let expected = filled(&template, Some((&written, "\"https://api.kimi.com/coding/v1\"")));
        prop_assert_eq!(&done.text, &expected);
        let document: DocumentMut = done.text.parse().unwrap();
        prop_assert_eq!(document["providers"]["p"]["api_key"].as_str(), Some(key.as_str()));
    }

    #[test]
    fn never_panics(text in ".{0,200}", tail in "(\\[providers\\.p\\]|api_key|=|'|\"|\n|\\{|\\}|base_url|x){0,30}") {
        let _ = (run(&format!("{text}\n{tail}")), run(&tail), current(&tail, &own(), &Tokens::default()));
    }
}
