//! What a machine may lack.

/// Whether something is there that a test needs. Without it the test skips, and says so; where everything is required
/// (`KMI_TEST_REQUIRE_ALL=1`) it fails.
///
/// # Panics
/// When it is not there, and everything is required.
#[allow(clippy::print_stderr, reason = "a skipped test has to be seen")]
#[must_use]
pub fn present(what: &str, there: bool) -> bool {
    let required = std::env::var_os("KMI_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(there || !required, "missing: {what}, and KMI_TEST_REQUIRE_ALL=1");
    if !there {
        eprintln!("skipped: missing: {what}");
    }
    there
}
