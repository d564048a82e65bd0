//! What is wrong with the settings, all of it at once.

use std::fmt;

use kmid_core::said::Said;
use kmid_core::say;

use crate::resolve::Source;

/// Something about one variable that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Whether the settings cannot be used because of it; else it is a warning.
    pub error: bool,
    /// The variable, or the file when the file itself is the trouble.
    pub subject: String,
    /// What was wrong and what is allowed; never a secret.
    pub message: Said,
    /// Where the value came from.
    pub source: Option<Source>,
}

impl Issue {
    pub(crate) fn error(subject: impl Into<String>, message: Said, source: Option<Source>) -> Self {
        Self { error: true, subject: subject.into(), message, source }
    }

    pub(crate) fn warning(subject: impl Into<String>, message: Said, source: Option<Source>) -> Self {
        Self { error: false, ..Self::error(subject, message, source) }
    }
}

impl Issue {
    /// The message with the place that the value came from.
    #[must_use]
    pub fn said(&self) -> Said {
        match &self.source {
            Some(source) => say!(from_source, said = &self.message, source = source.said()),
            None => self.message.clone(),
        }
    }

    /// The same behind what it is about.
    #[must_use]
    pub fn line(&self) -> Said {
        say!(about, subject = self.subject.as_str(), said = self.said())
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

/// The settings cannot be used; every issue is listed, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BadSettings {
    /// At least one is an error; warnings are among them.
    pub issues: Vec<Issue>,
}

impl BadSettings {
    /// The errors, for people.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        self.issues.iter().filter(|issue| issue.error).map(Issue::line).collect()
    }

    /// The issues alone, for a place that has one line.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        self.words().collect::<Vec<_>>().join("; ")
    }

    fn words(&self) -> impl Iterator<Item = String> {
        self.issues.iter().map(|issue| format!("{}{issue}", if issue.error { "" } else { "warning: " }))
    }
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        self.words().try_for_each(|issue| write!(f, "\n  {issue}"))
    }
}
