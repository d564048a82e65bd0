//! launchd: an agent of the person's own session.

use std::path::{Path, PathBuf};

use super::marker::socket_comment;
use super::plan::Plan;
use super::step::Step;
use super::written::Written;
use super::{Activity, BAD_SETTINGS, State, xml};

/// Its name in JSON.
pub(crate) const NAME: &str = "launchd";
const LABEL: &str = "io.github.kmid.kmid";
const TEMPLATE: &str = include_str!("../../../launchd/io.github.kmid.kmid.plist");

/// Where its file is, and for whom.
#[derive(Debug)]
pub(crate) struct Launchd {
    home: PathBuf,
    domain: String,
}

impl Launchd {
    /// For a home.
    pub(crate) fn new(home: &Path) -> Self {
        #[cfg(unix)]
        let uid = rustix::process::getuid().as_raw();
        #[cfg(not(unix))]
        let uid = 0;
        Self { home: home.to_owned(), domain: format!("gui/{uid}") }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.home.join(format!("Library/LaunchAgents/{LABEL}.plist"))
    }

    pub(super) fn file(&self, plan: &Plan) -> (PathBuf, String) {
        (self.path(), text(plan))
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain)
    }

    /// `bootout` returns before the job has ended, and to load the same label meanwhile fails (5: Input/output error).
    pub(super) fn enable(&self) -> Vec<Step> {
        vec![
            Step::new("launchctl", ["bootout", &self.target()]).or_not(),
            Step::new("launchctl", ["print", &self.target()]).until_gone(),
            Step::new("launchctl", ["enable", &self.target()]),
            Step::new("launchctl", ["bootstrap", &self.domain, &self.path().display().to_string()]),
        ]
    }

    pub(super) fn disable(&self) -> Vec<Step> {
        vec![Step::new("launchctl", ["bootout", &self.target()]).or_not()]
    }

    /// Loaded already, it is started; else it starts with being loaded.
    pub(super) fn start(&self) -> Vec<Step> {
        let file = self.path().display().to_string();
        vec![
            Step::new("launchctl", ["bootstrap", &self.domain, &file]).or_not(),
            Step::new("launchctl", ["kickstart", &self.target()]),
        ]
    }

    /// It ends with 0 then, which KeepAlive takes for meant. Most often it has ended already, because kmi asked it to.
    pub(super) fn stop(&self) -> Vec<Step> {
        vec![Step::new("launchctl", ["kill", "SIGTERM", &self.target()]).or_not()]
    }

    pub(super) fn restart(&self) -> Vec<Step> {
        let file = self.path().display().to_string();
        vec![
            Step::new("launchctl", ["bootstrap", &self.domain, &file]).or_not(),
            Step::new("launchctl", ["kickstart", "-k", &self.target()]),
        ]
    }

    pub(super) fn state(&self, file: Option<PathBuf>) -> State {
        match Step::new("launchctl", ["print", &self.target()]).run() {
            Ok(output) if output.status.success() => parse(&String::from_utf8_lossy(&output.stdout), file),
            Ok(_) => State { activity: Activity::Stopped, ..State::unknown(NAME, file) },
            Err(_) => State::unknown(NAME, file),
        }
    }
}

/// What a list on the disk says.
pub(super) fn written(text: &str) -> Written {
    let within = |start: &str, end: &str| Some(text.split_once(start)?.1.split_once(end)?.0);
    let args = within("<key>ProgramArguments</key>", "</array>").unwrap_or_default();
    let word = |rest: &str| rest.split_once("</string>").map(|(word, _)| super::unxml(word));
    let seconds = within("<key>ExitTimeOut</key>", "</integer>");
    Written {
        args: args.split("<string>").skip(1).filter_map(word).collect(),
        stop_seconds: seconds.and_then(|text| text.rsplit('>').next()?.trim().parse().ok()),
        ..Written::default()
    }
}

/// What launchd caught: a line for each start, and why one failed.
pub(super) fn logs(lines: usize, follow: bool, state_dir: &Path) -> Step {
    let file = log_file(state_dir).display().to_string();
    let lines = lines.to_string();
    let mut args = vec!["-n", &lines];
    if follow {
        args.push("-F");
    }
    args.push(&file);
    Step::new("tail", args)
}

fn log_file(state_dir: &Path) -> PathBuf {
    state_dir.join("logs").join("launchd.out")
}

fn text(plan: &Plan) -> String {
    let kmid = plan.kmid.display().to_string();
    let words = [kmid.as_str(), "--detached"].into_iter().chain(plan.args.iter().map(String::as_str));
    let words: String = words.map(|word| format!("    <string>{}</string>\n", xml(word))).collect();
    let log = format!("<string>{}</string>", xml(&log_file(&plan.state_dir).display().to_string()));
    let mut text = between(TEMPLATE, "<array>\n", "  </array>", &words);
    for (key, value) in [
        ("WorkingDirectory", format!("<string>{}</string>", xml(&plan.state_dir.display().to_string()))),
        ("ExitTimeOut", format!("<integer>{}</integer>", plan.stop_seconds())),
        ("StandardOutPath", log.clone()),
        ("StandardErrorPath", log),
    ] {
        text = between(&text, &format!("<key>{key}</key>\n  "), "\n", &value);
    }
    format!("{text}{}", socket_comment(&plan.socket))
}

/// Replaces what stands between two texts, the first time that they stand there.
fn between(text: &str, start: &str, end: &str, new: &str) -> String {
    let parts = text.split_once(start).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{start}{new}{end}{after}"),
        None => text.to_owned(),
    }
}

/// `launchctl print`: lines `name = value` (macOS 14; Apple calls the format no interface, so nothing rests on it
/// but what is shown).
fn parse(text: &str, file: Option<PathBuf>) -> State {
    let value = |name: &str| {
        let start = format!("{name} = ");
        text.lines().find_map(|line| line.trim().strip_prefix(&start)).map(str::to_owned)
    };
    // `64`, or with a word behind it: `78: EX_CONFIG`.
    let ended = value("last exit code").filter(|code| code != "0" && !code.starts_with('('));
    let exit_status = ended.as_deref().and_then(|code| code.split(':').next()?.trim().parse().ok());
    let activity = match value("state").as_deref() {
        Some("running") => Activity::Running,
        Some(_) if exit_status == Some(BAD_SETTINGS) => Activity::Failed,
        Some("spawn scheduled") if ended.is_some() => Activity::Restarting,
        Some("spawn scheduled") => Activity::Starting,
        Some(_) => Activity::Stopped,
        None => Activity::Unknown,
    };
    State {
        enabled: true,
        activity,
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        result: ended.map(|code| format!("exit-code, status {code}")),
        exit_status,
        ..State::unknown(NAME, file)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::example;
    use super::super::step::Counts;
    use super::*;

    #[test]
    fn the_list_holds_the_paths_of_the_plan() {
        let plan = Plan {
            kmid: "/Users/a&b/kmid".into(),
            args: vec!["--no-folder".into(), "--state-dir".into(), "/Users/a&b/my state".into()],
            state_dir: "/Users/a&b/my state".into(),
            socket: "/Users/a&b/my state/kmid.sock".into(),
            drain: std::time::Duration::from_secs(5),
            ..example()
        };
        let text = text(&plan);
        assert!(!text.contains("<string>/Users/YOU"), "{text}");
        for part in [
            "    <string>/Users/a&amp;b/kmid</string>\n    <string>--detached</string>\n    <string>--no-folder</string>\n",
            "<key>WorkingDirectory</key>\n  <string>/Users/a&amp;b/my state</string>",
            "<key>ExitTimeOut</key>\n  <integer>15</integer>",
            "<key>StandardOutPath</key>\n  <string>/Users/a&amp;b/my state/logs/launchd.out</string>",
            "<!-- control socket: /Users/a&b/my state/kmid.sock -->",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    /// What Apple's `plutil -lint` would say, by Python's reader of the same format.
    #[test]
    fn the_list_is_well_formed_and_says_what_it_should() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        use crate::require::or_skip;

        let read = "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))";
        let python =
            Command::new("python3").args(["-c", read]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut python) = python else {
            let _ = or_skip(false, "python3 is not installed, so the property list was not read");
            return;
        };
        let plan = Plan { state_dir: "/Users/a&b/<state>".into(), ..example() };
        let text = super::super::marker::add(Path::new("kmid.plist"), &text(&plan));
        python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let log = "/Users/a&b/<state>/logs/launchd.out";
        let wanted = serde_json::json!({
            "Label": LABEL,
            "ProgramArguments": ["/home/me/.cargo/bin/kmid", "--detached", "--no-folder"],
            "WorkingDirectory": "/Users/a&b/<state>",
            "Umask": 0o077,
            "RunAtLoad": true,
            "KeepAlive": {"SuccessfulExit": false},
            "ThrottleInterval": 10,
            "ExitTimeOut": 40,
            "SoftResourceLimits": {"NumberOfFiles": 16384, "Core": 0},
            "EnvironmentVariables": {"RUST_BACKTRACE": "1"},
            "StandardOutPath": log,
            "StandardErrorPath": log,
        });
        assert_eq!(list, wanted);
    }

    #[test]
    fn what_is_read_again_is_what_was_written() {
        let args = ["--no-folder", "--state-dir", "/Users/a&b/<state>"].map(str::to_owned).to_vec();
        let plan = Plan { args, drain: std::time::Duration::from_secs(5), ..example() };
        let found = written(&text(&plan));
        assert_eq!(found.stop_seconds, Some(15));
        assert_eq!(found.args[..2], ["/home/me/.cargo/bin/kmid", "--detached"]);
        assert_eq!(found.args[2..], plan.args);
        assert_eq!(written("<plist></plist>"), Written::default());
    }

    /// What is loaded under the same label has to be gone before.
    #[test]
    fn the_old_job_is_waited_for_before_the_new_one_is_loaded() {
        let steps = Launchd::new(Path::new("/Users/me")).enable();
        let said: Vec<(&str, Counts)> =
            steps.iter().map(|step| (step.args[0].as_str(), step.counts)).collect();
        let wanted = [
            ("bootout", Counts::Either),
            ("print", Counts::Gone),
            ("enable", Counts::Success),
            ("bootstrap", Counts::Success),
        ];
        assert_eq!(said, wanted);
    }

    #[test]
    fn the_shipped_list_is_that_of_the_defaults() {
        let plan = Plan {
            kmid: "/Users/YOU/.cargo/bin/kmid".into(),
            state_dir: "/Users/YOU/.kmi".into(),
            ..example()
        };
        assert!(text(&plan).starts_with(TEMPLATE));
    }

    #[test]
    fn what_launchd_says() {
        let text = "gui/501/io.github.kmid.kmid = {\n\tactive count = 1\n\tstate = running\n\n\tpid = 321\n\
                    \tlast exit code = 1\n}\n";
        let state = parse(text, None);
        assert_eq!((state.activity, state.pid), (Activity::Running, Some(321)));
        assert_eq!(state.result.as_deref(), Some("exit-code, status 1"));
        let never = parse("\tstate = not running\n\tlast exit code = (never exited)\n", None);
        assert_eq!((never.activity, never.result), (Activity::Stopped, None));
        let again = parse("\tstate = spawn scheduled\n\tlast exit code = 1\n", None);
        assert_eq!((again.activity, again.exit_status), (Activity::Restarting, Some(1)));
        let unusable = parse("\tstate = spawn scheduled\n\tlast exit code = 64: EX_USAGE\n", None);
        assert_eq!((unusable.activity, unusable.settings_unusable()), (Activity::Failed, true));
    }
}
