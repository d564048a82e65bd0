//! What a machine may lack. The tests of `kmi` take this file as it is, so that the rule stands once.

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
    }
    there
}
