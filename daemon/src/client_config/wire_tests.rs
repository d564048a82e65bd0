#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use toml_edit::DocumentMut;

use super::*;

const URL: &str = "http://127.0.0.1:54123/kmi-rotor/v1";

fn wiring() -> Wiring {
    Wiring { url: URL.into(), key: Secret::new(PLACEHOLDER) }
}

const FILE: &str = "# mine\ndefault_model = 'm'\n[models.m]\nprovider = 'managed:kimi-code'\n\
    [providers.'managed:kimi-code']\ntype = 'kimi'\nbase_url = \"https://api.kimi.com/coding/v1\" # host\n\
    api_key = '''sk-kimi-0123456789'''\n[services.moonshot_search]\nbase_url = 'https://api.kimi.com/coding/v1/search'\n\
    api_key = 'sk-kimi-0123456789'\n[odd]\nlast = 1";

#[test]
fn the_four_values_change_and_come_back() {
    let wired = wire(FILE, &wiring()).unwrap();
    let expected = FILE
        .replace("\"https://api.kimi.com/coding/v1\"", &format!("\"{URL}\""))
        .replace("'https://api.kimi.com/coding/v1/search'", &format!("\"{URL}/search\""))
        .replace("'''sk-kimi-0123456789'''", "\"kmi\"")
        .replace("'sk-kimi-0123456789'", "\"kmi\"");
    assert_eq!(wired.text, expected);
    assert_eq!(wired.changes.len(), 4);
    let first = &wired.changes[0];
    assert_eq!((first.place.as_str(), first.line), ("providers.\"managed:kimi-code\".base_url", 7));
    assert_eq!((wired.changes[1].from.as_str(), wired.changes[1].to.as_str()), ("...6789", "kmi"));
    let undone = undo(&wired.text, &wired.replaced).unwrap();
    assert_eq!((undone.text.as_str(), undone.stays), (FILE, vec![]));
    assert_eq!(wire(&wired.text, &wiring()).unwrap().text, expected, "a second time changes nothing");
}

#[test]
fn what_may_be_a_secret_in_an_address_is_not_shown() {
    let shown = |url: &str| {
        let text = FILE.replace("\"https://api.kimi.com/coding/v1\"", &format!("\"{url}\""));
        let wired = wire(&text, &wiring()).unwrap();
        let undone = undo(&wired.text, &wired.replaced).unwrap();
        assert_eq!(undone.changes[0].to, wired.changes[0].from, "both ways");
        assert_eq!(wired.changes[0].to, URL);
        wired.changes[0].from.clone()
    };
    let address = "https://api.kimi.com/coding/v1";
    assert_eq!(shown(address), address);
    assert_eq!(shown(&format!("{address}?")), format!("{address}?"));
    assert_eq!(shown(&format!("{address}?api_key=sk-0123456789ab")), format!("{address}?..."));
    assert_eq!(shown(&format!("{address}?user=a@b&key=sk-0123456789ab")), format!("{address}?..."));
    assert_eq!(shown(&format!("{address}#sk-0123456789ab")), format!("{address}#..."));
    let with_password = shown("https://me:sk-0123456789ab@api.kimi.com/coding/v1?key=sk-0123456789ab");
    assert!(!with_password.contains("sk-01") && !with_password.contains("89ab"), "{with_password}");
}

#[test]
fn what_was_edited_meanwhile_stays() {
    let wired = wire(FILE, &wiring()).unwrap();
    let edited = format!("theme = 'dark'\n{}", wired.text).replacen("\"kmi\"", "'sk-mine'", 1);
    let undone = undo(&edited, &wired.replaced).unwrap();
    let expected = format!("theme = 'dark'\n{FILE}").replace("'''sk-kimi-0123456789'''", "'sk-mine'");
    assert_eq!(undone.text, expected);
    assert_eq!(undone.stays, ["providers.\"managed:kimi-code\".api_key"]);
    // a client that saves its file spells values its own way
    let respelled = wired.text.replace("\"kmi\"", "'kmi'");
    assert_eq!(undo(&respelled, &wired.replaced).unwrap().text, FILE);
    assert!(matches!(undo("=", &wired.replaced), Err(LeftAlone::NotToml { line: 1 })));
    assert_eq!(undo("", &wired.replaced).unwrap().stays.len(), 4);
}

#[test]
fn what_cannot_be_pointed_there_is_left_alone() {
    let refused = |text: &str| wire(text, &wiring()).err().unwrap();
    let key = "api_key = '''sk-kimi-0123456789'''";
    let cases = [
        ("=".to_owned(), (Part::File, LeftAlone::NotToml { line: 1 })),
        (String::new(), (Part::File, LeftAlone::NoProvider)),
        (FILE.replace("[models.m]", "[models.other]"), (Part::File, LeftAlone::DanglingModel)),
        (FILE.replace(key, "api_key = ''\noauth = { key = 'x' }"), (Part::Provider, LeftAlone::OAuth)),
        (FILE.replace(key, "api_key = 5"), (Part::Provider, LeftAlone::KeyIsNoText)),
        (FILE.replace(key, ""), (Part::Provider, LeftAlone::NoKey)),
        (FILE.replace(key, "env = { KIMI_API_KEY = 'x' }"), (Part::Provider, LeftAlone::FromEnvironment)),
        (
            FILE.replace("[models.m]", "[models.m]\nbase_url = 'https://x/v1'"),
            (Part::Provider, LeftAlone::ModelOverrules),
        ),
        (
            FILE.replace("'kimi'", "'openai'").replace("api.kimi.com", "api.example.com"),
            (Part::Provider, LeftAlone::NotKimi),
        ),
    ];
    for (text, why) in cases {
        assert_eq!(refused(&text), why, "{text}");
    }
    let oauth =
        FILE.replace("[services.moonshot_search]", "[services.moonshot_search]\noauth = { key = 'x' }");
    let wired = wire(&oauth, &wiring()).unwrap();
    assert_eq!((wired.changes.len(), wired.left_alone), (2, vec![(Part::Search, LeftAlone::OAuth)]));
}

#[test]
fn the_anthropic_wire_gets_its_shape() {
    let text = FILE.replace("type = 'kimi'", "type = 'anthropic'").replace("coding/v1\"", "coding/\"");
    let document: DocumentMut = wire(&text, &wiring()).unwrap().text.parse().unwrap();
    let provider = &document["providers"]["managed:kimi-code"];
    assert_eq!(provider["base_url"].as_str(), Some("http://127.0.0.1:54123/kmi-rotor"));
}

/// A string as TOML may spell it.
fn spelling(value: &str, style: usize) -> String {
    match style % 4 {
        0 => format!("\"{value}\""),
        1 => format!("'{value}'"),
        2 => format!("'''{value}'''"),
        _ => format!("\"\"\"\\\n  {value}\"\"\""),
    }
}

prop_compose! {
    fn file()(
        name in "[a-z:.-][a-z:. -]{0,10}[a-z]", key in "[a-zA-Z0-9-]{0,24}", styles in prop::array::uniform4(0usize..4),
        comments in prop::array::uniform3("[ a-z#ж'\"\\[\\]=]{0,20}"), inline in any::<bool>(), crlf in any::<bool>(),
        bom in any::<bool>(), services in 0usize..3, extra in "[a-z]{1,6}", ending in any::<bool>(),
    ) -> String {
        let (url, api_key) = (spelling("https://api.kimi.com/coding/v1", styles[0]), spelling(&key, styles[1]));
        let mut text = format!("# {}\ndefault_model = 'm' # {}\nzz_{extra} = 1\nmodels.m.provider = \"{name}\"\n", comments[0], comments[1]);
        if inline {
            text += &format!("providers = {{ \"{name}\" = {{ type = 'kimi',  base_url={url} , api_key = {api_key}, x = 'sk' }} }}\n");
        } else {
            text += &format!("[providers.\"{name}\"]\n\ttype = 'kimi'\napi_key={api_key} # {}\n\n  base_url  =  {url}\n", comments[2]);
        }
        for service in ["moonshot_search", "moonshot_fetch"].iter().take(services) {
            text += &format!(
                "[services.{service}]\napi_key = {}\nbase_url = {}\n", spelling(&key, styles[2]), spelling("https://api.kimi.com/x", styles[3])
            );
        }
        text += &format!("[[hooks]]\nrun = 'echo {key}'");
        if ending { text += "\n"; }
        if crlf { text = text.replace('\n', "\r\n"); }
        if bom { text.insert(0, '\u{feff}'); }
        text
    }
}

proptest! {
    #[test]
    fn an_undone_edit_is_no_edit(text in file()) {
        let wired = wire(&text, &wiring()).unwrap();
        prop_assert!(wired.text.contains(URL));
        let undone = undo(&wired.text, &wired.replaced).unwrap();
        prop_assert_eq!(&undone.text, &text);
        prop_assert!(undone.stays.is_empty());
    }

    #[test]
    fn nothing_else_changes(text in file()) {
        let wired = wire(&text, &wiring()).unwrap();
        let parsed = |text: &str| text.trim_start_matches('\u{feff}').parse::<DocumentMut>().unwrap();
        let (mut before, after) = (parsed(&text), parsed(&wired.text));
        for one in &wired.replaced {
            before[&one.place[0]][&one.place[1]][&one.place[2]] = toml_edit::value(one.new.as_str());
        }
        let values = |document: &DocumentMut| format!("{:?}", plain(document.as_item()));
        prop_assert_eq!(values(&before), values(&after));
        // whatever is not one of the values keeps its line: comments, order, blanks
        let rest = |text: &str| text.split(['\n', '\r']).filter(|line| line.trim_start().starts_with(['#', '['])).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(rest(&text), rest(&wired.text));
    }

    #[test]
    fn edits_of_the_person_outlive_the_undoing(text in file(), word in "[a-z]{1,8}") {
        let wired = wire(&text, &wiring()).unwrap();
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let added = format!("{newline}[zz_added]{newline}word = '{word}' # here{newline}");
        let undone = undo(&format!("{}{added}", wired.text), &wired.replaced).unwrap();
        prop_assert_eq!(undone.text, format!("{text}{added}"));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        if let Ok(wired) = wire(&text, &wiring()) {
            prop_assert_eq!(undo(&wired.text, &wired.replaced).unwrap().text, text);
        }
    }
}

/// Names and values without their spelling.
fn plain(item: &Item) -> Vec<(String, String)> {
    if let Some(table) = item.as_table_like() {
        let mut all: Vec<_> = table
            .iter()
            .flat_map(|(name, item)| {
                plain(item).into_iter().map(move |(rest, value)| (format!("{name}/{rest}"), value))
            })
            .collect();
        all.sort();
        return all;
    }
    match (item.as_str(), item.as_integer()) {
        (Some(text), _) => vec![(String::new(), text.to_owned())],
        (_, Some(number)) => vec![(String::new(), number.to_string())],
        _ => vec![(String::new(), item.to_string())],
    }
}
