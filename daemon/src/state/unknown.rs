//! Errors that no row of the table knows, each kind logged once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use kmid_core::kimi::error::{self, ErrorText};

/// So many kinds are told apart; what is new after that is not logged any more.
const MOST: usize = 256;

/// The kinds that were seen since the start.
#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<BTreeSet<(u16, String)>>);

impl Unknown {
    /// Logs the first of its status and type.
    pub(super) fn note(&self, status: u16, text: Option<&ErrorText>) {
        if self.is_new(status, text) {
            let said = text.map(|text| error::log_text(status, text));
            tracing::warn!(status, said, "upstream_unknown_error");
        }
    }

    fn is_new(&self, status: u16, text: Option<&ErrorText>) -> bool {
        let kind = text.and_then(|text| text.kind.clone()).unwrap_or_default();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.len() < MOST && seen.insert((status, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str) -> ErrorText {
        ErrorText { message: "new".into(), kind: Some(kind.into()), code: None }
    }

    #[test]
    fn each_kind_is_new_once_and_there_is_an_end_to_it() {
        let unknown = Unknown::default();
        assert!(unknown.is_new(403, Some(&text("odd"))));
        assert!(!unknown.is_new(403, Some(&ErrorText { message: "other".into(), ..text("odd") })));
        assert!(unknown.is_new(404, Some(&text("odd"))) && unknown.is_new(403, None));
        let new = (0..1000).filter(|n| unknown.is_new(418, Some(&text(&n.to_string())))).count();
        assert_eq!(new, MOST - 3);
    }
}
