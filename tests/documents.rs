//! What the documents say is there is there, and both languages say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kmi_tests::harness::home::Home;
use kmi_tests::harness::{Setup, cli};

const READMES: [&str; 2] = ["README.md", "README.ru.md"];

/// The two commands for a fresh machine: the main job and the tests.
const COMMANDS: [&str; 2] = ["cargo run --release --bin kmid -- demo", "cargo test --workspace"];

/// What a key file may hold; these are no settings.
const KEY_FILE_NAMES: [&str; 6] = [
    "KMI_API_KEY",
    "KMI_API_KEY_KEYRING",
    "KMI_KEY_LABEL",
    "KMI_KEY_PRIORITY",
    "KMI_KEY_DISABLED",
    "KMI_ACCOUNT_EMAIL",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(top().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A document as its headings, its code blocks and its remaining lines.
#[derive(Debug, Default)]
struct Document {
    headings: Vec<usize>,
    blocks: Vec<Block>,
    prose: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    language: String,
    lines: Vec<String>,
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut open: Option<Block> = None;
        for line in text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => open = Some(Block { language: language.into(), lines: vec![] }),
                (Some(_), Some(_)) => document.blocks.extend(open.take()),
                (Some(block), None) => block.lines.push(line.into()),
                (None, None) => {
                    let level = line.bytes().take_while(|byte| *byte == b'#').count();
                    if level > 0 {
                        document.headings.push(level);
                    }
                    document.prose.push(line.into());
                }
            }
        }
        assert!(open.is_none(), "a code block does not end");
        document
    }

    /// What stands between backticks in the prose, sorted: commands, paths, names.
    fn literals(&self) -> Vec<String> {
        let text = self.prose.join(" ");
        let mut found: Vec<String> = text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        found.sort_unstable();
        found
    }
}

impl Block {
    /// What has to be the same in every language: code without its comments, and the commands of a console.
    fn essence(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        match self.language.as_str() {
            "text" => Vec::new(),
            "console" => lines.filter(|line| line.starts_with("$ ")).collect(),
            _ => lines.filter(|line| !line.starts_with('#')).collect(),
        }
    }
}

/// Every `KMI_` name in a text.
fn settings_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    words.filter(|word| word.starts_with("KMI_") && word.len() > 4).collect()
}

/// Names and defaults, as `.env.example` has them.
fn defaults(example: &str) -> BTreeMap<&str, &str> {
    let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
    lines.filter(|line| line.starts_with("KMI_")).filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn both_languages_have_the_same_parts() {
    let [english, russian] = READMES.map(|name| Document::parse(&read(name)));
    assert!(english.headings.len() > 10 && english.blocks.len() > 10);
    assert_eq!(english.headings, russian.headings);
    assert_eq!(english.blocks.len(), russian.blocks.len());
    for (one, other) in english.blocks.iter().zip(&russian.blocks) {
        assert_eq!((&one.language, one.essence()), (&other.language, other.essence()));
    }
    let rows = |document: &Document| document.prose.iter().filter(|line| line.starts_with('|')).count();
    assert_eq!(rows(&english), rows(&russian));
    let only_in_russian = ["KMI_LOCALE=ru"];
    let mut extra = russian.literals();
    for literal in english.literals() {
        let place = extra.iter().position(|other| *other == literal);
        extra.remove(place.unwrap_or_else(|| panic!("`{literal}` is in README.md only")));
    }
    extra.retain(|literal| !only_in_russian.contains(&literal.as_str()));
    assert_eq!(extra, [""; 0], "in README.ru.md only");
}

#[test]
fn a_fresh_machine_needs_two_commands() {
    for name in READMES {
        let document = Document::parse(&read(name));
        let code: Vec<&Block> = document.blocks.iter().filter(|block| block.language == "sh").collect();
        assert_eq!(
            [&code[0].lines[..], &code[1].lines[..]],
            COMMANDS.map(|command| [command.to_owned()]),
            "{name}"
        );
    }
    let checks = read(".ci/run");
    assert!(checks.contains(COMMANDS[1]), ".ci/run does not run the tests as README.md names them");
}

#[test]
fn every_output_is_filled_in() {
    for name in READMES {
        let document = Document::parse(&read(name));
        for block in document.blocks {
            assert!(!block.lines.is_empty(), "{name}: an empty block");
            let filled: Vec<&String> = block.lines.iter().filter(|line| !line.is_empty()).collect();
            for (at, line) in filled.iter().enumerate().filter(|(_, line)| line.starts_with("$ ")) {
                let output = filled.get(at + 1).is_some_and(|next| !next.starts_with("$ "));
                assert!(output, "{name}: {line} without its output");
            }
        }
    }
}

/// Commands that need no daemon, and print the same on every machine and at every moment.
const REPEATABLE: [&str; 4] =
    ["kmi completions bash | head -3", "kmi man man", "kmid man man", "kmid --check-config | head -8"];

/// What stands below a command of a console block, without the empty lines that part it from the next one.
fn shown_below(document: &Document, command: &str) -> Option<String> {
    let line = format!("$ {command}");
    let block = document.blocks.iter().find(|block| block.lines.contains(&line))?;
    let below = block.lines.iter().skip_while(|other| **other != line).skip(1);
    let output: Vec<&str> = below.take_while(|other| !other.starts_with("$ ")).map(String::as_str).collect();
    Some(output.join("\n").trim_end().to_owned())
}

#[tokio::test]
async fn outputs_that_need_no_daemon_are_real() {
    for (name, locale) in READMES.into_iter().zip(["en", "ru"]) {
        let document = Document::parse(&read(name));
        for command in REPEATABLE {
            let shown = shown_below(&document, command).unwrap_or_else(|| panic!("{name} lacks $ {command}"));
            let home = Home::new().env("KMI_LOCALE", locale);
            std::fs::create_dir_all(home.auths_dir()).unwrap();
            std::fs::write(home.state_dir().join(".env"), "KMI_AUTO_ROTATE_ALLOWED=1\n").unwrap();
            let (line, most) = match command.split_once(" | head -") {
                Some((line, most)) => (line, most.parse().unwrap()),
                None => (command, usize::MAX),
            };
            let (program, args) = line.split_once(' ').unwrap();
            let args: Vec<&str> = args.split(' ').collect();
            let ran = match program {
                "kmi" => cli::kmi(&home, &args).await,
                _ => cli::kmid(&home, &args).await,
            };
            let printed: Vec<&str> = ran.out.lines().take(most).collect();
            let printed = printed.join("\n").replace(&home.path().display().to_string(), "/home/you");
            assert_eq!((ran.code, printed.trim_end()), (0, shown.as_str()), "{name}: {command}: {}", ran.err);
        }
    }
}

#[test]
fn every_setting_is_one() {
    let example = read(".env.example");
    let defaults = defaults(&example);
    assert!(defaults.len() > 40 && defaults["KMI_DRY_RUN"] == "1");
    for name in READMES.iter().chain(&["ARCHITECTURE.md", "CHANGELOG.md", "systemd/kmid.service"]) {
        let text = read(name);
        for setting in settings_in(&text) {
            let known = defaults.contains_key(setting) || KEY_FILE_NAMES.contains(&setting);
            // `KMI_EMAIL` is an older spelling of `KMI_ACCOUNT_EMAIL`; the others are for tests and builds.
            let known = known
                || ["KMI_EMAIL", "KMI_SIM_SEED"].contains(&setting)
                || ["KMI_TEST_", "KMI_BUILD_"].iter().any(|start| setting.starts_with(start));
            assert!(known, "{name} names {setting}, which is no setting");
        }
    }
    for name in READMES {
        let text = read(name);
        let mut rows = 0;
        for row in text.lines().filter(|line| line.starts_with("| `KMI_")) {
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            assert_eq!(Some(&cells[2]), defaults.get(cells[1]), "{name}: the default of {}", cells[1]);
            rows += 1;
        }
        assert!(rows >= 10, "{name} has a table of settings");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for name in READMES.iter().chain(&["ARCHITECTURE.md", "CHANGELOG.md"]) {
        let text = read(name);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if path.starts_with("https://") {
                continue;
            }
            let path = if path.is_empty() { name } else { path };
            assert!(top().join(path).is_file(), "{name} links to {target}");
            assert!(anchor.is_empty() || anchors(&read(path)).contains(anchor), "{name} links to {target}");
        }
    }
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let plain = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = plain
        .map(|line| line.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect());
    kept.map(|line: String| line.replace(' ', "-")).collect()
}

#[tokio::test]
async fn every_command_is_described() {
    let setup = Setup::dry_run();
    let help = cli::kmi(setup.home(), &["--help"]).await;
    // Groups of commands, each with a heading, stand between the usage and the options.
    let listed = help.out.lines().skip_while(|line| !line.starts_with("Usage:")).skip(1);
    let commands: Vec<&str> = listed
        .take_while(|line| *line != "Options:")
        .filter_map(|line| line.strip_prefix("  ")?.split([' ', ',']).next())
        .collect();
    assert!(
        ["status", "rotate", "keys"].iter().all(|one| commands.contains(one)) && commands.len() >= 16,
        "{help:?}"
    );
    for name in READMES {
        let text = read(name);
        for command in &commands {
            assert!(text.contains(&format!("kmi {command}")), "{name} does not mention kmi {command}");
            let heading = text.lines().any(|line| {
                line.strip_prefix("### kmi ")
                    .is_some_and(|named| named.split(", ").any(|one| one == *command))
            });
            assert!(heading, "{name} has no section about kmi {command}");
        }
        for flag in ["kmid demo", "kmid --check-config"] {
            assert!(
                text.contains(flag) || text.contains(&flag.replace("kmid ", "kmid -- ")),
                "{name}: {flag}"
            );
        }
    }
}
