//! What this build is.

#[cfg(test)]
mod date;

/// Version, commit and date, as `--version` shows them: `0.1.0 (commit 1a2b3c4d5, 2026-11-23)`. The date is that of
/// SOURCE_DATE_EPOCH, else of the commit; what the sources do not tell is `unknown`, and a development build is called
/// that.
pub const LONG: &str = env!("KMI_BUILD");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_the_version() {
        let rest = LONG.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap_or_default();
        let is_known = rest == " (development build)" || rest.starts_with(" (commit ");
        assert!(is_known, "{LONG}");
    }
}
