//! Windows: a task at log-on. It starts kmid in the background, so that no console window stays, and has ended when
//! kmid serves; whether it serves its own answer says.

use std::path::{Path, PathBuf};

use super::marker::socket_comment;
use super::plan::Plan;
use super::step::Step;
use super::{Activity, State, xml};

/// Its name in JSON.
pub(crate) const NAME: &str = "task-scheduler";
const TASK: &str = "kmid";
const TEMPLATE: &str = include_str!("kmid.xml");

/// Where its file is, and for whom.
#[derive(Debug)]
pub(crate) struct TaskScheduler {
    home: PathBuf,
    user: String,
}

impl TaskScheduler {
    /// For a home.
    pub(crate) fn new(home: &Path) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let (domain, name) = (variable("USERDOMAIN"), variable("USERNAME"));
        let user = if domain.is_empty() { name } else { format!("{domain}\\{name}") };
        Self { home: home.to_owned(), user }
    }

    /// The registered task is kept by Windows; this is the definition that it came from.
    pub(super) fn path(&self) -> PathBuf {
        self.home.join(".kmi").join("kmid-task.xml")
    }

    pub(super) fn file(&self, plan: &Plan) -> (PathBuf, String) {
        (self.path(), text(plan, &self.user, &self.home))
    }

    pub(super) fn enable(&self) -> Vec<Step> {
        let file = self.path().display().to_string();
        let create = Step::new("schtasks.exe", ["/Create", "/TN", TASK, "/XML", &file, "/F"]);
        [vec![create], start()].concat()
    }
}

pub(super) fn disable() -> Vec<Step> {
    vec![Step::new("schtasks.exe", ["/Delete", "/TN", TASK, "/F"]).or_not()]
}

pub(super) fn start() -> Vec<Step> {
    vec![Step::new("schtasks.exe", ["/Run", "/TN", TASK])]
}

/// kmid is asked to end over its pipe before: here only the task is told, in case it still starts.
pub(super) fn stop() -> Vec<Step> {
    vec![Step::new("schtasks.exe", ["/End", "/TN", TASK]).or_not()]
}

pub(super) fn state(file: Option<PathBuf>) -> State {
    match Step::new("schtasks.exe", ["/Query", "/TN", TASK]).run() {
        Ok(output) if output.status.success() => State { enabled: true, ..State::unknown(NAME, file) },
        Ok(_) => State { activity: Activity::Stopped, ..State::unknown(NAME, file) },
        Err(_) => State::unknown(NAME, file),
    }
}

fn text(plan: &Plan, user: &str, home: &Path) -> String {
    let args: Vec<String> =
        std::iter::once("--detach".to_owned()).chain(plan.args.iter().map(|arg| quoted(arg))).collect();
    let mut text = TEMPLATE.replace("<UserId>YOU</UserId>", &format!("<UserId>{}</UserId>", xml(user)));
    for (element, value) in [
        ("Command", plan.kmid.display().to_string()),
        ("Arguments", args.join(" ")),
        ("WorkingDirectory", home.display().to_string()),
    ] {
        text = fill(&text, element, &xml(&value));
    }
    format!("{text}{}", socket_comment(&plan.socket))
}

/// Replaces the content of an element that stands once.
fn fill(text: &str, element: &str, value: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    match text.split_once(&open).and_then(|(before, rest)| Some((before, rest.split_once(&close)?.1))) {
        Some((before, after)) => format!("{before}{open}{value}{close}{after}"),
        None => text.to_owned(),
    }
}

/// As programs split their command line (CommandLineToArgvW): backslashes count only before a quotation mark, and a
/// path has none inside.
fn quoted(arg: &str) -> String {
    match arg.contains([' ', '\t']) || arg.is_empty() {
        true => format!("\"{arg}{}\"", if arg.ends_with('\\') { "\\" } else { "" }),
        false => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::example;
    use super::*;

    #[test]
    fn the_task_holds_the_paths_of_the_plan() {
        let plan = Plan {
            kmid: r"C:\Users\a & b\kmid.exe".into(),
            args: vec!["--no-folder".into(), "--state-dir".into(), r"D:\my state\".into()],
            ..example()
        };
        let text = text(&plan, r"PC\anna", Path::new(r"C:\Users\anna"));
        for part in [
            r"<UserId>PC\anna</UserId>",
            r"<Command>C:\Users\a &amp; b\kmid.exe</Command>",
            r"<Arguments>--detach --no-folder --state-dir &quot;D:\my state\\&quot;</Arguments>",
            r"<WorkingDirectory>C:\Users\anna</WorkingDirectory>",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("YOU"), "{text}");
    }
}
