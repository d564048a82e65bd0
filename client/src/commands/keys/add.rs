//! `kmi keys add`

use std::path::{Path, PathBuf};

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::keys::{Key, LabelParams};
use kmid_config::keyring::{self, KeyringError};
use kmid_core::key::{BaseUrl, Fingerprint, Secret};
use serde_json::json;

use super::args::AddArgs;
use super::file::{Known, NewKey};
use super::given::Given;
use super::{ask, directory, file, key_in_argument, list, listed, unwritten, wait};
use crate::app::App;
use crate::connect::{self, Daemon, Start};
use crate::exit::{Exit, Failure, Outcome, Stop};
use crate::output::flow;
use crate::output::style::{Paint, Span, clean};
use crate::tr;

/// What the API said of the new key.
enum Check {
    /// It answered well.
    Good,
    /// It refuses the key: 401.
    Refused(String),
    /// Nothing clear came back.
    Unclear(String),
    /// Dry-run.
    DryRun,
    /// No daemon to ask.
    NotRunning,
    /// Its file switches it off.
    Disabled,
}

impl Check {
    fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Refused(_) => "refused",
            Self::Unclear(_) => "unclear",
            Self::DryRun => "dry_run",
            Self::NotRunning => "not_running",
            Self::Disabled => "disabled",
        }
    }

    fn said(&self) -> Option<&str> {
        match self {
            Self::Refused(said) | Self::Unclear(said) => Some(said),
            _ => None,
        }
    }
}

pub(super) fn run(app: &App, args: &AddArgs) -> Outcome {
    if !args.words.is_empty() {
        return Err(key_in_argument(app).into());
    }
    let base_url = args.base_url.as_deref().map(|text| base_url(app, text)).transpose()?;
    let mut daemon = connect::find(app, Start::OnDemand)?;
    let status = match &mut daemon {
        Some(daemon) => {
            Some(daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?)
        }
        None => None,
    };
    let dir = directory(app, status.as_ref());
    let known = match &mut daemon {
        Some(daemon) => listed(app, daemon)?.keys.into_iter().map(as_known).collect(),
        None => file::scan(&dir),
    };
    if let Some(label) = &args.label {
        label_is_free(app, &known, label)?;
    }
    let Given { secret, label: named, base_url: from_file, priority, disabled, email, left_out } =
        ask::key(app, &dir)?;
    let base_url = match (base_url, from_file) {
        (None, Some(text)) => Some(self::base_url(app, &text)?),
        (given, _) => given,
    };
    key_is_new(app, &known, &secret)?;
    let label = label(app, args, named, &known)?;
    let (path, stem) = file::free_path(&dir, &label);
    let name = args.keyring.then(|| file::keyring_name(&stem, &secret));
    let new = NewKey {
        secret: &secret,
        in_keyring: name.as_deref(),
        label: &label,
        base_url: base_url.as_deref(),
        priority: args.priority.or(priority),
        disabled,
        email: email.as_deref(),
    };
    let Some(text) = new.text(&stem) else {
        return Err(Failure::new(Exit::Failed, tr!(app.messages, "keys-bad-characters")).into());
    };
    if let Some(name) = &name {
        keyring::store(name, &label, &secret).map_err(|error| not_in_keyring(app, &error))?;
    }
    file::create(&path, &text).map_err(|error| unwritten(app, &path, &error))?;
    if !left_out.is_empty() {
        let list = clean(&left_out.join(", ")).into_owned();
        app.warn(&tr!(app.messages, "keys-left-out", list = list));
    }
    let fingerprint = Fingerprint::of(&secret).to_string();
    drop(secret);
    let dry_run = status.is_some_and(|status| status.mode == "dry-run");
    let Some(mut daemon) = daemon else {
        return report(app, args, &path, &label, None, &Check::NotRunning);
    };
    let key = loaded(app, &mut daemon, &path, &fingerprint)?;
    let check = match (disabled, dry_run) {
        (true, _) => Check::Disabled,
        (false, true) => Check::DryRun,
        (false, false) => check(app, &mut daemon, &key.label)?,
    };
    let key =
        listed(app, &mut daemon)?.keys.into_iter().find(|k| k.fingerprint == fingerprint).unwrap_or(key);
    report(app, args, &path, &key.label.clone(), Some((&mut daemon, &key)), &check)
}

/// Why the keyring did not take the key; nothing is written then.
fn not_in_keyring(app: &App, error: &KeyringError) -> Failure {
    let what = match error {
        KeyringError::Unsupported => tr!(app.messages, "keys-keyring-unsupported"),
        KeyringError::NoTool(tool) => tr!(app.messages, "keys-keyring-no-tool", tool = *tool),
        KeyringError::Unreachable(said) => {
            tr!(app.messages, "keys-keyring-unreachable", why = clean(said).into_owned())
        }
        KeyringError::Silent => tr!(app.messages, "keys-keyring-silent"),
        KeyringError::Missing | KeyringError::NoKey => tr!(app.messages, "keys-keyring-refused"),
    };
    Failure::new(Exit::Failed, what).next(tr!(app.messages, "keys-keyring-next"))
}

fn as_known(key: Key) -> Known {
    Known { label: key.label, fingerprint: key.fingerprint, source: key.source }
}

fn base_url(app: &App, text: &str) -> Outcome<String> {
    match BaseUrl::parse(text) {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(why) => {
            let what = tr!(app.messages, "keys-bad-url", why = app.messages.said(&why.said()));
            Err(Failure::new(Exit::Usage, what).next(tr!(app.messages, "keys-bad-url-next")).into())
        }
    }
}

fn key_is_new(app: &App, known: &[Known], secret: &Secret) -> Outcome<()> {
    let fingerprint = Fingerprint::of(secret).to_string();
    let Some(twin) = known.iter().find(|known| known.fingerprint == fingerprint) else { return Ok(()) };
    let (label, source) = (clean(&twin.label).into_owned(), clean(&twin.source).into_owned());
    Err(Failure::new(Exit::Failed, tr!(app.messages, "keys-same-key", label = label, source = source)).into())
}

fn label_is_free(app: &App, known: &[Known], label: &str) -> Outcome<()> {
    if !file::is_label(label) {
        return Err(Failure::new(Exit::Usage, tr!(app.messages, "keys-bad-label")).into());
    }
    let lower = label.to_lowercase();
    let Some(twin) = known.iter().find(|known| known.label.to_lowercase() == lower) else { return Ok(()) };
    let (label, source) = (clean(&twin.label).into_owned(), clean(&twin.source).into_owned());
    Err(Failure::new(Exit::Failed, tr!(app.messages, "keys-same-label", label = label, source = source))
        .next(tr!(app.messages, "keys-same-label-next"))
        .into())
}

/// The label that was given, stands in the key's file or is answered; without an answer the proposal.
fn label(app: &App, args: &AddArgs, from_file: Option<String>, known: &[Known]) -> Outcome<String> {
    if let Some(label) = &args.label {
        return Ok(label.clone());
    }
    if let Some(label) = from_file {
        label_is_free(app, known, &label)?;
        return Ok(label);
    }
    let proposal = file::proposal(known.iter().map(|known| known.label.as_str()));
    if !ask::somebody() {
        return Ok(proposal);
    }
    let question = tr!(app.messages, "keys-ask-label", proposal = proposal.as_str());
    answered(app, known, proposal, || ask::line(&question))
}

/// Asks until a label can be used: the key was typed already, and nobody likes to type it again.
fn answered(
    app: &App,
    known: &[Known],
    proposal: String,
    mut ask: impl FnMut() -> Option<String>,
) -> Outcome<String> {
    loop {
        let Some(label) = ask().filter(|label| !label.is_empty()) else { return Ok(proposal) };
        match label_is_free(app, known, &label) {
            Ok(()) => return Ok(label),
            Err(Stop::Failure(failure)) => app.note(&failure.what),
            Err(stop) => return Err(stop),
        }
    }
}

/// Waits until the daemon has the key, or says why it does not take it.
fn loaded(app: &App, daemon: &mut Daemon, path: &Path, fingerprint: &str) -> Outcome<Key> {
    let file = path.display().to_string();
    let seen = wait(app, daemon, |list| {
        let key = list.keys.iter().find(|key| key.fingerprint == fingerprint);
        let issue = list.issues.iter().find(|issue| issue.level == "error" && issue.subject == file);
        key.cloned().map(Ok).or_else(|| issue.map(|issue| Err(app.messages.said(&issue.said))))
    })?;
    match seen {
        Some(Ok(key)) => Ok(key),
        Some(Err(why)) => {
            // What cannot be used is not left behind.
            let _ = file::discard(path);
            Err(Failure::new(Exit::Failed, tr!(app.messages, "keys-not-taken", path = file, why = why))
                .into())
        }
        None => Err(Failure::new(Exit::Failed, tr!(app.messages, "keys-add-unseen", path = file))
            .next(tr!(app.messages, "next-doctor"))
            .into()),
    }
}

fn check(app: &App, daemon: &mut Daemon, label: &str) -> Outcome<Check> {
    connect::patience(daemon, connect::SLOW);
    let asked = daemon
        .ask::<typed::QuotaRefresh>(&LabelParams { label: Some(label.to_owned()) })
        .map_err(|error| connect::failure(app, error))?;
    Ok(match asked.failed.into_iter().next() {
        None => Check::Good,
        Some(failed) => {
            let said =
                app.messages.one_said(failed.error_said.as_ref(), Some(&failed.error)).unwrap_or_default();
            // 401 is the API's word for a key that it does not know [error table of kimi-upstream.md, 2026-11].
            if failed.status == Some(401) { Check::Refused(said) } else { Check::Unclear(said) }
        }
    })
}

/// Says what came of it; a key that the API refuses goes again unless it is to stay.
fn report(
    app: &App,
    args: &AddArgs,
    path: &Path,
    label: &str,
    loaded: Option<(&mut Daemon, &Key)>,
    check: &Check,
) -> Outcome {
    let file: PathBuf = path.to_owned();
    let (label, shown) = (clean(label).into_owned(), file.display().to_string());
    if !app.json {
        let view = app.view();
        let added = tr!(app.messages, "keys-added", label = label.as_str(), path = shown.as_str());
        app.print(&flow::spans(view.look, "", 2, &[Span::plain(added)]))?;
        let mut spans = vec![verdict(app, check, &label)];
        spans.extend(loaded.as_ref().iter().flat_map(|(_, key)| list::window_spans(&view, &key.windows)));
        app.print(&flow::spans(view.look, "", 2, &spans))?;
    }
    let refused = matches!(check, Check::Refused(_));
    let keeps =
        || args.keep || (ask::somebody() && !ask::agreed(app, &tr!(app.messages, "keys-refused-ask"), true));
    let removed = refused && !keeps();
    if removed {
        file::discard(path).map_err(|error| unwritten(app, path, &error))?;
        if let Some((daemon, key)) = loaded {
            wait(app, daemon, |list| {
                (!list.keys.iter().any(|other| other.fingerprint == key.fingerprint)).then_some(())
            })?;
        }
    }
    if app.json {
        app.print_json(&json!({
            "label": label, "file": shown, "added": !removed, "check": check.word(), "error": check.said()
        }))?;
    } else if refused {
        let done = if removed {
            tr!(app.messages, "keys-refused-removed")
        } else {
            tr!(app.messages, "keys-refused-kept")
        };
        app.print(&app.view().flowing(&done))?;
    }
    Ok(if removed { Exit::Failed } else { Exit::Ok })
}

/// A label as it is typed into a shell; it has no quotes of its own.
fn in_a_shell(label: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    if label.chars().all(is_plain) && !label.starts_with('-') {
        label.to_owned()
    } else {
        format!("'{label}'")
    }
}

fn verdict(app: &App, check: &Check, label: &str) -> Span {
    let said = clean(check.said().unwrap_or_default()).into_owned();
    match check {
        Check::Good => Span::new(Paint::Good, tr!(app.messages, "keys-check-good")),
        Check::Refused(_) => Span::new(Paint::Bad, tr!(app.messages, "keys-check-refused", said = said)),
        Check::Unclear(_) => Span::new(Paint::Warn, tr!(app.messages, "keys-check-unclear", said = said)),
        Check::DryRun => Span::new(Paint::Warn, tr!(app.messages, "keys-check-dry-run")),
        Check::NotRunning => Span::new(Paint::Warn, tr!(app.messages, "keys-check-not-running")),
        Check::Disabled => {
            let label = in_a_shell(label);
            Span::new(Paint::Warn, tr!(app.messages, "keys-check-disabled", label = label))
        }
    }
}
