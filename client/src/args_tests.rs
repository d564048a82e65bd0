use super::*;

fn line(text: &str) -> Result<(Global, Option<Command>), clap::Error> {
    parse(std::iter::once("kmi").chain(text.split_whitespace()))
}

fn command(text: &str) -> Command {
    line(text).unwrap().1.unwrap()
}

fn exit(text: &str) -> i32 {
    line(text).unwrap_err().exit_code()
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn nothing_asks_for_the_help() {
    assert!(line("").unwrap().1.is_none());
    assert!(line("--json").unwrap().1.is_none());
}

#[test]
fn old_flags_are_the_commands() {
    assert!(matches!(command("--status"), Command::Status));
    assert!(matches!(command("--health"), Command::Health(HealthArgs { current: false, .. })));
    assert!(matches!(command("--all"), Command::Health(HealthArgs { current: false, .. })));
    assert!(matches!(command("--current"), Command::Health(HealthArgs { current: true, .. })));
    assert!(matches!(command("--rotate"), Command::Rotate(RotateArgs { mode: None, to: None })));
    for flag in ["--auto-rotate", "--auto_rotate", "rotate auto"] {
        assert!(
            matches!(command(flag), Command::Rotate(RotateArgs { mode: Some(RotateMode::Auto), .. })),
            "{flag}"
        );
    }
    assert!(matches!(command("--trace"), Command::Trace(_)));
}

#[test]
fn two_modes_at_once_are_a_usage_error() {
    for text in [
        "--status --health",
        "--rotate --auto-rotate",
        "--current --all",
        "--status status",
        "--rotate health",
        "status health",
        "rotate auto --to alpha",
        "health --all --current",
        "proxy-logs --daemon --app",
        "status extra",
        "no-such-command",
        "e2e --requests 0",
        "e2e --batch 0",
        "e2e --min-confidence 101",
        "e2e --timeout nan",
        "e2e --pause -1",
        "e2e --scheme gopher",
    ] {
        assert_eq!(exit(text), 2, "{text}");
    }
    for text in ["--help", "--version", "rotate --help"] {
        assert_eq!(exit(text), 0, "{text}");
    }
}

#[test]
fn global_options_stand_anywhere() {
    for text in [
        "--json --plain --no-color --no-start --socket /s status",
        "status --json --plain --no-color --no-start --socket /s",
    ] {
        let global = line(text).unwrap().0;
        assert!(global.json && global.plain && global.no_color && global.no_start);
        assert_eq!(global.socket.as_deref(), Some(std::path::Path::new("/s")));
    }
    assert!(matches!(line("--json --status").unwrap(), (Global { json: true, .. }, Some(Command::Status))));
}

#[test]
fn old_options_are_accepted() {
    assert!(matches!(command("proxy --daemon"), Command::Proxy(ProxyArgs { foreground: false, .. })));
    let Command::ProxyLogs(args) =
        command("proxy-logs --daemon --sleep 0.5 --lines 7 --no-follow --since 10m")
    else {
        panic!("proxy-logs")
    };
    assert_eq!((args.lines, args.no_follow, args.app, args.since.as_deref()), (7, true, false, Some("10m")));
    let Command::ProxyLogs(args) = command("proxy-logs --no-follow --follow") else { panic!("proxy-logs") };
    assert!(!args.no_follow, "the last one counts");
}

#[test]
fn the_client_gets_its_arguments_untouched() {
    let Command::Kimi(args) = command("kimi --help -p hello --json -- x") else { panic!("kimi") };
    assert_eq!(args.args, ["--help", "-p", "hello", "--json", "--", "x"]);
    let Command::Kimi(args) = command("kimi") else { panic!("kimi") };
    assert!(args.args.is_empty());
}

#[test]
fn all_behind_the_word_is_the_clients() {
    for option in
        ["--json", "--plain", "--no-color", "--no-start", "--socket /s", "--socket=/s", "--help", "--version"]
    {
        let words: Vec<&str> = option.split(' ').collect();
        for before in ["", "--socket kimi ", "--json --no-color "] {
            let (global, command) = line(&format!("{before}kimi {option} -p hi")).unwrap();
            let Some(Command::Kimi(args)) = command else { panic!("kimi {option}") };
            assert_eq!(args.args, [&words[..], &["-p", "hi"]].concat(), "{before}kimi {option}");
            let ours = Global {
                json: before.contains("--json"),
                no_color: before.contains("--no-color"),
                socket: before.contains("--socket").then(|| "kimi".into()),
                ..Global::default()
            };
            assert_eq!(format!("{global:?}"), format!("{ours:?}"), "{before}kimi {option}");
        }
    }
    // Who writes it out gets the same.
    let Command::Kimi(args) = command("kimi -- --json") else { panic!("kimi") };
    assert_eq!(args.args, ["--json"]);
    // Another command may have it as a value.
    assert!(matches!(
        line("keys enable kimi --json").unwrap(),
        (Global { json: true, .. }, Some(Command::Keys(_)))
    ));
}

#[test]
fn csv_and_json_do_not_go_together_in_any_order() {
    let said = ["--json usage --csv", "usage --csv --json", "usage --json --csv"].map(|text| {
        let error = line(text).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{text}");
        error.render().to_string()
    });
    assert!(
        said[0].contains("'--csv' cannot be used with '--json'") && said[0].contains("kmi usage"),
        "{}",
        said[0]
    );
    assert!(said.iter().all(|other| *other == said[0]), "{said:?}");
    assert!(line("usage --csv").is_ok() && line("usage --json").is_ok());
}

#[test]
fn own_options_stand_before_those_of_every_command() {
    for (path, own) in [
        ("e2e", &["--requests", "--batch", "--window", "--endpoint", "--min-confidence"][..]),
        ("keys add", &["--label", "--base-url", "--priority", "--keyring", "--keep"]),
    ] {
        let mut command = definition();
        for word in path.split(' ') {
            command = command.find_subcommand(word).unwrap().clone();
        }
        let help = command.render_help().to_string();
        let (before, after) = help.split_once("\nGlobal options:\n").unwrap_or_else(|| panic!("{help}"));
        let place =
            |option: &&str| before.find(&format!("{option} ")).or(before.find(&format!("{option}\n")));
        let places: Vec<_> =
            own.iter().map(|option| place(option).unwrap_or_else(|| panic!("{option}: {help}"))).collect();
        assert!(places.is_sorted(), "{help}");
        for option in ["--json", "--plain", "--no-color", "--socket", "--no-start", "--help"] {
            assert!(after.contains(option) && !before.contains(option), "{option}: {help}");
        }
    }
}

#[test]
fn defaults_of_e2e_are_those_of_the_command_line() {
    let Command::E2e(args) = command("e2e") else { panic!("e2e") };
    assert_eq!(format!("{args:?}"), format!("{:?}", E2eArgs::default()));
}
