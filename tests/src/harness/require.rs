//! What a machine may lack. The tests of `kmi` take this file as it is, so that the rule stands once.

use std::io::Write as _;

/// Whether a test can go on. A machine that lacks something skips it with a word, unless all has to be tested
/// (`KMI_TEST_REQUIRE_ALL=1`).
///
/// # Panics
/// When it lacks something and nothing may be skipped.
#[must_use]
#[allow(clippy::print_stderr, reason = "a skipped test has to be seen")]
pub fn or_skip(there: bool, lacking: &str) -> bool {
    let required = std::env::var_os("KMI_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(there || !required, "{lacking}, and KMI_TEST_REQUIRE_ALL=1");
    if !there {
        eprintln!("skipped: {lacking}");
        note(lacking);
    }
    there
}

/// Adds a line to the file that `KMI_TEST_SKIPPED` names: what a test that passes prints is shown to nobody.
fn note(lacking: &str) {
    let Some(path) = std::env::var_os("KMI_TEST_SKIPPED") else { return };
    let file = std::fs::File::options().create(true).append(true).open(path);
    // At once, so that the lines of several tests do not run together.
    let written = file.and_then(|mut file| file.write_all(format!("{lacking}\n").as_bytes()));
    written.expect("the file that KMI_TEST_SKIPPED names can be written");
}
