//! Completions, manual pages, help.

use std::fs;
use std::process::Command;

use kmi_tests::harness::cli;
use kmi_tests::harness::home::Home;
use kmi_tests::harness::{Daemon, Setup};

use kmi_tests::harness::tmux::{Tmux, has_tmux, is_there};

#[tokio::test]
async fn the_scripts_are_good_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = cli::kmi(&home, &["completions", shell]).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}: {ran:?}");
        assert!(ran.out.contains("kmi") && ran.out.contains("_KMI_COMPLETE"), "{shell}: {}", ran.out);
        // The flag that makes a shell read a script without running it.
        let Some(flag) =
            [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")].iter().find(|(s, _)| *s == shell)
        else {
            continue;
        };
        if is_there(shell) {
            let script = home.write(format!("completions.{shell}"), &ran.out);
            let checked = Command::new(shell).arg(flag.1).arg(&script).output().unwrap();
            assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}");
        }
    }
    assert_eq!(cli::kmi(&home, &["completions", "tcsh"]).await.code, 2);
    assert!(!home.state_dir().exists(), "completions left files behind");
}

/// How each shell is started without a person's own files, and what such a file would say. PowerShell is not among
/// them: Debian has no package of it, and so nobody can be asked to have it.
const SHELLS: [(&str, &str, &str); 4] = [
    ("bash", "bash --norc --noprofile", "eval \"$(kmi completions bash)\""),
    ("zsh", "zsh -f", "autoload -Uz compinit; compinit -D; source <(kmi completions zsh)"),
    ("fish", "fish --no-config", "kmi completions fish | source"),
    ("elvish", "elvish -norc", "eval (kmi completions elvish | slurp)"),
];

#[tokio::test]
async fn the_tab_key_in_every_shell() {
    let daemon: Daemon = Setup::dry_run().keys(&["alpha", "beta"]).start().await;
    let folder = kmi_tests::harness::binaries::binaries().kmi.parent().unwrap().display();
    for (shell, start, setup) in SHELLS {
        if !is_there(shell) || !has_tmux() {
            continue;
        }
        let tmux = Tmux::run(&daemon.home, &format!("export PATH='{folder}':\"$PATH\"; {start}"));
        // In pieces, so that what is typed is not taken for what it prints.
        tmux.types(&format!("{setup}; echo re'ad'y"));
        tmux.press(&["Enter"]);
        tmux.until("the shell", |screen| screen.lines().any(|line| line.trim() == "ready")).await;
        tmux.types("kmi keys ena");
        tmux.press(&["Tab"]);
        tmux.shows("kmi keys enable").await;
        tmux.press(&["C-u"]);
        tmux.types("kmi keys disable al");
        tmux.press(&["Tab"]);
        tmux.shows("kmi keys disable alpha").await;
    }
}

/// What bash would offer for a command line, by the script itself.
fn offered(home: &Home, words: &[&str]) -> Vec<String> {
    let program = kmi_tests::harness::binaries::binaries().kmi.clone();
    let script = "source /dev/stdin; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; \
                  _clap_complete_kmi kmi \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let registration = home.command(&program).args(["completions", "bash"]).output().unwrap().stdout;
    let file = home.write("completions.bash", registration);
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = home.command("bash".as_ref());
    bash.env("PATH", path).arg("-c").arg(script).arg("bash").args(words);
    let ran = bash.stdin(fs::File::open(file).unwrap()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap().lines().map(|line| line.trim_end().to_owned()).collect()
}

fn offers(home: &Home, words: &[&str], wanted: &[&str]) {
    let found = offered(home, words);
    for one in wanted {
        assert!(found.iter().any(|offer| offer == one), "{words:?}: {found:?}");
    }
}

#[tokio::test]
async fn a_shell_is_offered_commands_and_labels() {
    if !is_there("bash") {
        return;
    }
    let daemon: Daemon = Setup::dry_run().keys(&["alpha", "beta"]).start().await;
    offers(&daemon.home, &["kmi", "ke"], &["keys"]);
    offers(&daemon.home, &["kmi", "keys", ""], &["list", "add", "remove", "enable", "disable", "test"]);
    for command in ["remove", "enable", "disable", "test"] {
        offers(&daemon.home, &["kmi", "keys", command, ""], &["alpha", "beta"]);
    }
    offers(&daemon.home, &["kmi", "rotate", "--to", "al"], &["alpha"]);
    // Without a daemon the files' names do; none is started for it.
    let home = daemon.stopped().await;
    offers(&home, &["kmi", "keys", "test", ""], &["alpha", "beta"]);
    assert!(!home.socket().exists(), "completing started a daemon");
}

#[tokio::test]
async fn manual_pages_for_the_command_and_those_below_it() {
    let home = Home::new();
    let dir = home.path().join("man");
    let ran = cli::kmi(&home, &["man", dir.to_str().unwrap(), "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(ran.json()["pages"], names.len(), "{names:?}");
    for name in ["kmi.1", "kmi-status.1", "kmi-keys.1", "kmi-keys-add.1", "kmi-man.1"] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.contains(".TH") && text.contains("NAME"), "{name}: {text}");
    }
    assert!(!home.state_dir().exists(), "the pages left other files behind");
    let file = home.write("in-the-way", "");
    let ran = cli::kmi(&home, &["man", file.to_str().unwrap()]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("in-the-way"), "{ran:?}");
}

#[tokio::test]
async fn the_help_is_grouped_and_a_mistyped_command_gets_a_suggestion() {
    let home = Home::new();
    let ran = cli::kmi(&home, &["--help"]).await;
    for heading in ["Look:", "Steer:", "Set up:", "Options:", "Examples:"] {
        assert!(ran.out.lines().any(|line| line == heading), "{heading}: {}", ran.out);
    }
    assert!(ran.out.lines().count() < 60, "the help is short: {}", ran.out);
    for (typed, meant) in [("statsu", "status"), ("key", "keys"), ("docter", "doctor")] {
        let ran = cli::kmi(&home, &[typed]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(&format!("'{meant}'")), "{typed}: {}", ran.err);
    }
    let ran = cli::kmi(&home, &["keys", "remvoe", "alpha"]).await;
    assert!(ran.code == 2 && ran.err.contains("'remove'"), "{ran:?}");
}
