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
fn defaults_of_e2e_are_those_of_the_command_line() {
    let Command::E2e(args) = command("e2e") else { panic!("e2e") };
    assert_eq!(format!("{args:?}"), format!("{:?}", E2eArgs::default()));
}
