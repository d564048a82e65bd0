//! The message files are whole, equal, and what the code asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fluent_bundle::FluentResource;

use kmid_core::said::{Said, sentences};
use kmid_core::say;

use super::{EN, Locale, Messages, RU, RU_SAID};

type Set = BTreeMap<String, BTreeSet<String>>;

/// Ids with the names of their arguments.
fn messages(source: &str) -> Set {
    FluentResource::try_new(source.to_owned()).expect("the file parses");
    let mut set = Set::new();
    let mut id = String::new();
    for line in source.lines() {
        if let Some((name, _)) = line.split_once(" =")
            && !line.starts_with([' ', '#'])
        {
            id = name.to_owned();
            assert!(set.insert(id.clone(), BTreeSet::new()).is_none(), "{id} stands twice");
        }
        for part in line.split('$').skip(1).filter(|_| !line.starts_with('#')) {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            set.get_mut(&id).unwrap().insert(name);
        }
    }
    set
}

/// The calls of `tr!` in the sources, as ids with the names of their arguments.
fn calls(folder: &Path, found: &mut Vec<(String, BTreeSet<String>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            calls(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            // Where the macro itself stands, and this test.
            && !path.ends_with("output/locale.rs")
            && !path.ends_with("output/locale_tests.rs")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            // `include_str!(` ends in the same letters.
            let text = text.replace("include_str!(", "");
            found.extend(text.split("tr!(").skip(1).filter_map(call));
        }
    }
}

fn call(after: &str) -> Option<(String, BTreeSet<String>)> {
    let mut depth = 1;
    let end = after.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    })?;
    let (_, rest) = after[..end].split_once('"')?;
    let (id, rest) = rest.split_once('"')?;
    // `name = value` right behind a comma, outside of strings: enough for how the macro is written.
    let names =
        rest.split(',').filter_map(|part| part.split_once(" = ")).map(|(name, _)| name.trim().to_owned());
    Some((id.to_owned(), names.collect()))
}

/// What stands in the definition of the command line in English, or in clap.
fn said_by_clap(id: &str) -> bool {
    id.starts_with("help-") || id.starts_with("wrong-")
}

/// What a question offers is in its own language, and is taken for an answer.
#[test]
fn questions_offer_answers_of_their_language() {
    let asks =
        |text: &str, marks: &[&str]| marks.iter().map(|mark| text.matches(mark).count()).sum::<usize>();
    let (english, russian) = (asks(EN, &["[y/N]", "[Y/n]"]), asks(RU, &["[д/Н]", "[Д/н]"]));
    // One of them has a form more in Russian.
    assert_eq!((english, russian, asks(RU, &["[y/N]", "[Y/n]"])), (8, 9, 0));
    for locale in [Locale::En, Locale::Ru] {
        let taken = Messages::new(locale).find("stop-yes").unwrap();
        let taken: Vec<&str> = taken.split(' ').collect();
        assert!(taken.contains(&"y"), "{taken:?}");
        assert_eq!(taken.contains(&"д"), locale == Locale::Ru, "{taken:?}");
    }
}

#[test]
fn both_languages_say_the_same_things() {
    let (en, mut ru) = (messages(EN), messages(RU));
    ru.retain(|id, _| !said_by_clap(id));
    for (id, arguments) in &en {
        assert_eq!(ru.get(id), Some(arguments), "{id} in ru.ftl");
    }
    assert_eq!(en.len(), ru.len());
}

#[test]
fn every_sentence_of_kmid_is_said_in_russian() {
    let mut said = messages(RU_SAID);
    for sentence in sentences::ALL {
        let id = format!("said-{}", sentence.code.replace('_', "-"));
        let arguments: BTreeSet<String> = sentence.arguments().into_iter().map(str::to_owned).collect();
        assert_eq!(said.remove(&id), Some(arguments), "{id} in ru_said.ftl");
    }
    assert!(said.is_empty(), "nobody says {said:?}");
}

#[test]
fn what_kmid_says_is_said_in_the_persons_language() {
    let (en, ru) = (Messages::new(Locale::En), Messages::new(Locale::Ru));
    let said = say!(about, subject = "KMI_QUEUE_MAX", said = say!(use_whole, low = 1_u64, high = 3_u64));
    assert_eq!(en.said(&said), "KMI_QUEUE_MAX: use a whole number from 1 to 3");
    assert_eq!(ru.said(&said), "KMI_QUEUE_MAX: нужно целое число от 1 до 3");
    assert_eq!(
        ru.said(&say!(lines_lost, count = 3_u64)),
        "с запуска не удалось записать 3 строки; проверьте диск и права"
    );
    // Of another version: a code that is not known, an argument that is missing, none at all.
    let mut newer = say!(lines_lost, count = 3_u64);
    newer.args.clear();
    assert_eq!(ru.said(&newer), newer.message);
    newer.code = "of_tomorrow".into();
    assert_eq!(ru.said(&newer), newer.message);
    assert_eq!(
        ru.said(&Said::plain("somebody's \u{1b}words")),
        en.said(&Said::plain("somebody's \u{1b}words"))
    );
}

#[test]
fn the_code_and_the_files_agree() {
    let (mut en, ru) = (messages(EN), messages(RU));
    // What a help needs is asked for by other means; see help_tests.rs.
    en.extend(ru.into_iter().filter(|(id, _)| said_by_clap(id) && !id.starts_with("help-")));
    let mut found = Vec::new();
    calls(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 100, "the sources were searched");
    for (id, arguments) in &found {
        assert_eq!(en.get(id), Some(arguments), "{id}");
    }
    let called: BTreeSet<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    // Found by a word of the daemon or by a name made from it.
    let families = [
        "mode-",
        "level-",
        "rotation-",
        "policy-",
        "placement-",
        "rank-",
        "obstacle-",
        "state-",
        "reason-",
        "rotate-reason-",
        "auto-reason-",
        "outcome-",
        "refused-",
        "refusal-",
        "stream-end-",
        "e2e-failure-",
        "check-",
        "doctor-",
        "keys-bad-",
        "service-activity-",
        "service-unreachable-",
    ];
    for id in en.keys().filter(|id| !called.contains(id.as_str())) {
        assert!(families.iter().any(|family| id.starts_with(family)), "{id} is never used");
    }
}

#[test]
fn plural_rules_follow_the_language() {
    let (en, ru) = (Messages::new(Locale::En), Messages::new(Locale::Ru));
    let cases = [
        (0, "none", "нет"),
        (1, "1 key", "1 ключ"),
        (2, "2 keys", "2 ключа"),
        (5, "5 keys", "5 ключей"),
        (21, "21 keys", "21 ключ"),
    ];
    for (count, english, russian) in cases {
        assert_eq!(crate::tr!(en, "keys-total", count = count), english);
        assert_eq!(crate::tr!(ru, "keys-total", count = count), russian);
    }
}

#[test]
fn an_unknown_id_shows_itself() {
    assert_eq!(Messages::new(Locale::Ru).format("no-such-message", &[]), "no-such-message");
    assert_eq!(Messages::new(Locale::Ru).find("state-of-tomorrow"), None);
}
