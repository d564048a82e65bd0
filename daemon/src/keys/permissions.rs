//! Key files are for their owner alone: 600, their directories 700, or the access list that says the same on Windows.

use std::path::Path;

use kmid_core::said::Said;
use kmid_core::say;

/// Tightens the mode of `path` to `mode`, or says what is wrong with it.
///
/// Returns a message when others can still get at it.
#[cfg(unix)]
pub(super) fn check(path: &Path, mode: u32, enforce: bool) -> Option<Said> {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    // Gone since it was listed: reading it will say so.
    let now = metadata(path).ok()?.permissions().mode() & 0o777;
    if now & 0o077 == 0 {
        return None;
    }
    let shown = path.display().to_string().escape_debug().to_string();
    if enforce && set_permissions(path, Permissions::from_mode(mode)).is_ok() {
        tracing::info!(
            path = shown,
            from = format!("{now:o}"),
            to = format!("{mode:o}"),
            "permissions_hardened"
        );
        return None;
    }
    tracing::warn!(
        path = shown,
        mode = format!("{now:o}"),
        wanted = format!("{mode:o}"),
        "insecure_permissions"
    );
    Some(say!(others_may_use, mode = format!("{now:o}"), run = format!("chmod {mode:o}")))
}

/// Tightens the access list of `path`, or says what is wrong with it. The mode means nothing here.
///
/// Returns a message when others can still get at it.
#[cfg(windows)]
pub(super) fn check(path: &Path, _mode: u32, enforce: bool) -> Option<Said> {
    use crate::{access_list, private};

    // Gone since it was listed, or not ours to look at: reading it will say so.
    let stranger = access_list::open_to(path).ok()??;
    let is_dir = path.is_dir();
    let shown = access_list::shown(path);
    if enforce && access_list::protect(path, is_dir).is_ok() {
        tracing::info!(path = %shown, from = stranger, "permissions_hardened");
        return None;
    }
    tracing::warn!(path = %shown, open_to = stranger, "insecure_permissions");
    let advice = private::advice(path, is_dir);
    Some(say!(others_may_use_windows, who = stranger.to_string(), run = advice.to_string()))
}
