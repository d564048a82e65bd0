//! What every command prints, in every look: the real program, a daemon with fixed data, a clock that stands still.
//!
//! A row of [`TABLE`] is a command line and its surroundings; each row has one snapshot, with a part for each of
//! [`LOOKS`]. The clock can be stopped in debug builds only, and so this is not tested in others.
#![cfg(debug_assertions)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixed::{self, KEY, NOW};
use crate::kmi::{Home, Run, output};
use crate::pty;

/// What a command runs among.
type World = fn(&Home);

/// Name, columns of the terminal (without one it is a pipe), options, language.
type Look = (&'static str, Option<u16>, &'static [&'static str], &'static str);

/// The snapshot's name, the command line, what it runs among.
const TABLE: [(&str, &str, World); 49] = [
    ("help", "--help", fixed::nobody),
    ("help-of-usage", "usage --help", fixed::nobody),
    ("help-of-usage-short", "usage -h", fixed::nobody),
    ("help-of-keys", "keys --help", fixed::nobody),
    ("help-of-e2e", "e2e --help", fixed::nobody),
    ("help-of-keys-add", "keys add --help", fixed::nobody),
    ("help-of-status", "status --help", fixed::nobody),
    ("version", "--version", fixed::nobody),
    ("status", "status", fixed::running),
    ("status-stopped", "status", fixed::nobody),
    ("health", "health", fixed::running),
    ("health-current", "health --current", fixed::running),
    ("usage", "usage --by key", fixed::running),
    ("usage-csv", "usage --by key --csv", fixed::running),
    ("trace", "trace --no-follow", fixed::running),
    ("why", "why 36096089eefd36b0", fixed::running),
    ("plan", "plan", fixed::running),
    ("proxy-logs", "proxy-logs --no-follow", fixed::running),
    ("proxy-logs-app", "proxy-logs --no-follow --app", fixed::logging),
    ("doctor", "doctor", fixed::serving),
    ("doctor-stopped", "doctor", fixed::stopped),
    ("report", "report", fixed::running),
    ("proxy", "proxy", fixed::running),
    ("proxy-stop", "proxy-stop -y", fixed::running),
    ("proxy-stop-stopped", "proxy-stop -y", fixed::nobody),
    ("proxy-reload", "proxy-reload", fixed::reloading),
    ("proxy-restart", "proxy-restart", fixed::restarting),
    ("rotate", "rotate", fixed::running),
    ("rotate-auto", "rotate auto", fixed::serving),
    ("kimi", "kimi -p hello", fixed::with_client),
    ("kimi-missing", "kimi -p hello", fixed::running),
    ("e2e", "e2e -n 4 --pause 0", fixed::serving),
    ("e2e-uneven", "e2e -n 6 --pause 0", fixed::uneven),
    ("e2e-failed", "e2e -n 4 --pause 0 --endpoint /nope", fixed::serving),
    ("keys", "keys", fixed::running),
    ("keys-stopped", "--no-start keys", fixed::nobody),
    ("keys-add", "keys add --label work", fixed::adding),
    ("keys-add-file", "keys add --label work", fixed::adding_a_file),
    ("keys-add-refused", "keys add --label work", fixed::adding_a_bad_one),
    ("keys-add-stopped", "--no-start keys add", fixed::nobody),
    ("keys-remove", "keys remove -y alpha", fixed::removing),
    ("keys-disable", "keys disable alpha", fixed::disabling),
    ("keys-enable", "keys enable alpha", fixed::running),
    ("keys-test", "keys test", fixed::running),
    ("connect", "connect kimi-code", fixed::running),
    ("connect-dry-run", "connect kimi-code --dry-run", fixed::running),
    ("connect-show", "connect --show", fixed::running),
    ("disconnect", "disconnect", fixed::running),
    ("man", "man pages", fixed::nobody),
];

/// What goes wrong: the command line, what it runs among.
const ERRORS: [(&str, World); 37] = [
    ("statsu", fixed::nobody),
    ("--status --health", fixed::nobody),
    ("--status status", fixed::nobody),
    ("--json --json status", fixed::nobody),
    ("--json=1 status", fixed::nobody),
    ("status --al", fixed::nobody),
    ("health --curent", fixed::nobody),
    ("keys remove", fixed::nobody),
    ("keys remvoe alpha", fixed::nobody),
    ("connect", fixed::nobody),
    ("connect claude", fixed::nobody),
    ("completions tcsh", fixed::nobody),
    ("usage --by week", fixed::nobody),
    ("usage --since yesterday", fixed::nobody),
    ("trace --since 5x", fixed::nobody),
    ("e2e -n 0", fixed::nobody),
    ("e2e --timeout nan", fixed::nobody),
    ("proxy-logs -n few", fixed::nobody),
    ("why not-hexadecimal", fixed::nobody),
    ("man input", fixed::nobody),
    ("report --output input", fixed::nobody),
    ("keys add --base-url http://x", fixed::nobody),
    ("keys add --label a'b", fixed::running),
    ("keys add --label ALPHA", fixed::running),
    ("keys add", fixed::with_settings),
    ("keys enable nobody", fixed::running),
    ("keys remove alpha", fixed::running),
    ("keys disable 月之暗面", fixed::running),
    ("e2e --scheme https", fixed::running),
    ("why 0123456789abcdef", fixed::refusing),
    ("usage", fixed::refusing),
    ("rotate --to nobody", fixed::refusing),
    ("rotate auto", fixed::refusing),
    ("plan", fixed::refusing),
    ("connect kimi-code", fixed::refusing),
    ("plan", fixed::older),
    ("plan", fixed::of_tomorrow),
];

/// Its output is a shell's to read and the same in every look.
const FOR_SHELLS: &str = "completions";

/// Its lines stay whole: code to paste, lines of a file, and what another program says.
const WHOLE_LINES: [&str; 3] = ["connect --show", "proxy-logs --no-follow", "kimi -p hello"];

const LOOKS: [Look; 9] = [
    ("piped", None, &[], "en"),
    ("json", None, &["--json"], "en"),
    ("plain", Some(100), &["--plain"], "en"),
    ("colour", Some(100), &[], "en"),
    ("ru", Some(100), &["--no-color"], "ru"),
    ("narrow", Some(40), &["--no-color"], "en"),
    ("narrow, ru", Some(40), &["--no-color"], "ru"),
    ("80 columns", Some(80), &["--no-color"], "en"),
    ("wide", Some(200), &["--no-color"], "en"),
];

/// Columns of every HOME's path: where lines break must not hang on the folder for temporary files.
const HOME_COLUMNS: usize = 60;

fn run(line: &str, world: World, look: Look) -> (Home, Run) {
    let (home, mut command) = prepared(line, world, look);
    let run = match look.1 {
        Some(columns) => pty::run(&mut command, columns),
        None => Run::of(output(&mut command)),
    };
    (home, run)
}

fn prepared(line: &str, world: World, look: Look) -> (Home, Command) {
    let (_, _, options, locale) = look;
    let home = Home::of_length(HOME_COLUMNS);
    world(&home);
    // Beside the original lies the real kmid, which must not be found.
    let program = home.link();
    let words = options.iter().copied().chain(line.split(' '));
    let mut command = home.command_of(&program, words);
    command.current_dir(home.path()).env("_KMI_CLOCK", NOW).env("KMI_TIMEZONE", "Europe/Moscow");
    command.env("KMI_LOCALE", locale).env("TERM", "xterm-256color");
    let input = home.path().join("input");
    if !input.exists() {
        home.write("input", KEY);
    }
    command.stdin(std::fs::File::open(input).unwrap());
    (home, command)
}

/// One part of a snapshot.
fn part(line: &str, world: World, look: Look) -> String {
    let (home, run) = run(line, world, look);
    let out = if look.0 == "json" { settled_json(&run.out) } else { settled(&run.out) };
    let mut text = format!("== {} (exit {})\n{out}", look.0, run.code);
    if !run.err.is_empty() {
        text.push_str(&format!("-- stderr\n{}", run.err));
    }
    let wide = look.1.map(|columns| too_wide(&out, columns)).unwrap_or_default();
    assert!(wide.is_empty() || WHOLE_LINES.contains(&line), "kmi {line}, {}, is too wide: {wide:#?}", look.0);
    in_words(&text, home.path())
}

/// Lines that are wider than their terminal, but for those where one long word alone is: a path or an address, which is
/// there to be copied whole, beside a name at most. A command between backticks is one word, and one that sets variables
/// or has several parts stays a line.
fn too_wide(text: &str, columns: u16) -> Vec<String> {
    /// Columns of the longest name with its blanks.
    const NAME: usize = 16;
    let columns = usize::from(columns);
    let width = |text: &str| unicode_width::UnicodeWidthStr::width(text);
    let is_excused = |line: &String| {
        let commands = line.split('`').skip(1).step_by(2);
        let longest = line.split_whitespace().chain(commands).map(width).max().unwrap_or(0);
        let is_alone = line.split_whitespace().count() == 1;
        let sets =
            |word: &str| word.split_once('=').is_some_and(|(name, _)| name.starts_with(char::is_uppercase));
        let is_command = line.contains(" && ") || line.split_whitespace().next().is_some_and(sets);
        is_alone || is_command || (longest > columns && width(line) - longest <= NAME)
    };
    let lines = text.lines().map(without_colours);
    lines.filter(|line| width(line) > columns && !is_excused(line)).collect()
}

#[test]
fn only_one_long_word_may_be_too_wide() {
    let wide = |line: &str| !too_wide(line, 20).is_empty();
    // A word of 35 bytes may take 18 columns, and setting a variable is no excuse.
    for line in [
        "five words are too many",
        "all this stands in a line with /path/that/is/too/long",
        "это /состояние/и/ключи",
        "export A=1 B=2 C=3 D=4",
    ] {
        assert!(wide(line), "{line}");
    }
    for line in [
        "нет слишком широких",
        "at /a/path/that/is/too/long/to/fit",
        "    /a/path/in/its/place",
        "`kmi proxy-restart --force`",
    ] {
        assert!(!wide(line), "{line}");
    }
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// Without what hangs on the machine: the room on its disk.
fn settled(out: &str) -> String {
    let mut kept = String::new();
    let mut dropping = false;
    for line in out.split_inclusive('\n') {
        if !line.starts_with(' ') {
            let plain = without_colours(line);
            dropping = plain.starts_with("OK    disk") || plain.starts_with("OK    диск");
        }
        if !dropping {
            kept.push_str(line);
        }
    }
    kept
}

/// The same in a document; the length of a report hangs on the system's name.
fn settled_json(out: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(out) else { return out.to_owned() };
    let mut changed = false;
    if let Some(checks) = value.get_mut("checks").and_then(Value::as_array_mut) {
        checks.retain(|check| check["name"] != "disk");
        changed = true;
    }
    if value.get("bytes").is_some() {
        value["bytes"] = Value::from("[bytes]");
        changed = true;
    }
    if changed { format!("{value:#}\n") } else { out.to_owned() }
}

/// Without what changes from run to run and from version to version; escapes are made visible.
fn in_words(text: &str, home: &Path) -> String {
    let mut text = text.replace(&home.display().to_string(), "/home/you");
    // How it was built: from which commit, when, by which compiler.
    text = text.replace(kmi_proto::build::LONG, "x.y.z (build)");
    text = text.replace(env!("CARGO_PKG_VERSION"), "x.y.z").replace('\x1b', "␛");
    // The port of the proxy: every one of them has five digits.
    let pieces: Vec<String> = text.split("127.0.0.1:").map(str::to_owned).collect();
    let mut known = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        if index == 0 {
            known.push_str(piece);
            continue;
        }
        let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        known.push_str(if digits == 5 { "127.0.0.1:54123" } else { "127.0.0.1:" });
        known.push_str(if digits == 5 { &piece[digits..] } else { piece });
    }
    known
}

/// The rows whose number leaves this rest: several tests run at once.
fn rows(rest: usize) {
    for (name, line, world) in TABLE.iter().skip(rest).step_by(4) {
        let parts: Vec<String> = LOOKS.into_iter().map(|look| part(line, *world, look)).collect();
        let about = format!("kmi {line}");
        insta::with_settings!({description => about, omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("kmi-{name}"), parts.join("\n"));
        });
    }
}

#[test]
fn first_quarter() {
    rows(0);
}

#[test]
fn second_quarter() {
    rows(1);
}

#[test]
fn third_quarter() {
    rows(2);
}

#[test]
fn last_quarter() {
    rows(3);
}

#[test]
fn whatever_goes_wrong() {
    let mut parts = Vec::new();
    for (line, world) in ERRORS {
        for look in LOOKS.into_iter().filter(|(name, ..)| ["piped", "ru"].contains(name)) {
            let text = part(line, world, look);
            let (home, json) = run(line, world, (look.0, None, &["--json"], look.3));
            // Programs read the exit status: nothing but words is told, and those beside standard output.
            if json.code != 0 {
                let first = in_words(json.err.lines().next().unwrap(), home.path());
                assert!(
                    text.contains(&first) && text.contains(&format!("(exit {})", json.code)),
                    "{first}: {text}"
                );
                assert_eq!(json.out, "", "kmi --json {line}");
            }
            let text = text.replacen("== ", &format!("== kmi {line}, "), 1);
            parts.push(text);
        }
    }
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("kmi-errors", parts.join("\n"));
    });
}

/// What goes wrong is told where a person looks, and so it fits there.
#[test]
fn a_dumb_terminal_gets_no_escapes() {
    for line in ["status", "health", "keys", "trace --no-follow", "doctor", "--help"] {
        let (_home, mut command) = prepared(line, fixed::running, ("colour", Some(100), &[], "en"));
        assert!(pty::run(&mut command, 100).out.contains('\x1b'), "{line}: it is not coloured anywhere");
        let (_home, mut command) = prepared(line, fixed::running, ("colour", Some(100), &[], "en"));
        let run = pty::run(command.env("TERM", "dumb"), 100);
        assert!(!run.out.is_empty() && !run.out.contains('\x1b'), "{line}: {}", run.out);
    }
}

#[test]
fn errors_fit_their_terminal() {
    for (line, world) in ERRORS {
        for locale in ["en", "ru"] {
            let (_home, mut command) = prepared(line, world, ("errors", None, &[], locale));
            let shown = pty::errors(&mut command, 40);
            // These are clap's own words.
            if shown.contains("For more information, try") {
                continue;
            }
            let wide = too_wide(&shown, 40);
            assert!(wide.is_empty(), "kmi {line}, {locale}: {wide:#?}");
        }
    }
}

/// A command that is new needs a row.
#[test]
fn every_command_has_a_row() {
    let (_home, help) = run("--help", fixed::nobody, LOOKS[0]);
    let listed: Vec<&str> = help
        .out
        .lines()
        .skip_while(|line| *line != "Look:")
        .take_while(|line| *line != "Options:")
        .filter_map(|line| line.strip_prefix("  ")?.split([' ', ',']).next())
        .collect();
    assert!(listed.len() >= 19 && listed.contains(&"status"), "{listed:?}");
    for command in listed {
        let has_row = TABLE.iter().any(|(_, line, _)| line.split(' ').any(|word| word == command));
        // What `kmi service` says is the machine's manager's; its texts have snapshots of their own.
        assert!(has_row || [FOR_SHELLS, "service"].contains(&command), "kmi {command} has no row");
    }
}

/// What a shell shows beside the words that it offers.
#[test]
fn what_shells_show_is_in_the_persons_language() {
    for (locale, status, by) in [
        ("en", "status\tSummary: mode, proxy, keys, rotation, alerts", "day\tEach day"),
        ("ru", "status\tКоротко: режим, прокси, ключи, ротация, предупреждения", "day\tпо дням"),
    ] {
        let home = Home::of_length(HOME_COLUMNS);
        for (line, shown) in [("kmi sta", status), ("kmi usage --by d", by)] {
            let words = ["--"].into_iter().chain(line.split(' '));
            let mut command = home.command_of(&home.link(), words);
            let offered = Run::of(output(command.env("_KMI_COMPLETE", "fish").env("KMI_LOCALE", locale))).out;
            assert!(offered.lines().any(|line| line == shown), "{line}: {offered}");
        }
    }
}

#[test]
fn behind_kimi_nothing_of_kmis_own_is_offered() {
    let home = Home::of_length(HOME_COLUMNS);
    let offered = |words: &[&str]| {
        let mut command = home.command_of(&home.link(), ["--", "kmi"].iter().chain(words));
        Run::of(output(command.env("_KMI_COMPLETE", "fish"))).code(0).out
    };
    for words in
        [["kimi", "--"].as_slice(), &["kimi", ""], &["kimi", "--json", "-"], &["--json", "kimi", "--j"]]
    {
        assert_eq!(offered(words), "", "{words:?}");
    }
    // Elsewhere they are, also where a client is only spoken of.
    for words in [
        ["status", "--j"].as_slice(),
        &["--j"],
        &["connect", "kimi-code", "--j"],
        &["--socket", "kimi", "--j"],
    ] {
        assert!(offered(words).contains("--json"), "{words:?}");
    }
    assert!(offered(&["kim"]).contains("kimi"));
}

#[test]
fn what_shells_read_is_the_same_in_every_look() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let line = format!("{FOR_SHELLS} {shell}");
        let texts: Vec<String> =
            LOOKS.into_iter().map(|look| run(&line, fixed::nobody, look).1.out).collect();
        assert!(texts[0].contains("kmi") && texts.iter().all(|text| *text == texts[0]), "{shell}: {texts:?}");
    }
}
