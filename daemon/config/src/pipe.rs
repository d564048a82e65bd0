//! Names of Windows pipes. Pure, so that they are tested everywhere.

use std::path::Path;

const PREFIX: &str = r"\\.\pipe\";

/// The full name of a pipe that a person named.
pub(crate) fn named(text: &str) -> String {
    let name = text.trim();
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let safe = |c: char| if c.is_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    format!("{PREFIX}{}", name.chars().map(safe).collect::<String>())
}

/// The pipe of a state directory when nobody names one. All pipes of a machine have one folder, so that the user's name
/// is in it, and a kmid with a state directory of its own gets a pipe of its own.
pub(crate) fn default(user: &str, home: Option<&Path>, state_dir: &Path) -> String {
    if home.is_some_and(|home| state_dir == home.join(".kmi")) {
        named(&format!("kmid-{user}"))
    } else {
        // Neither pipes nor paths have a case there.
        named(&format!("kmid-{user}-{}", state_dir.display().to_string().to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_for_each_state_directory() {
        let home = Path::new("/home/anna");
        let of = |state_dir: &str| default("anna b", Some(home), Path::new(state_dir));
        assert_eq!(of("/home/anna/.kmi"), r"\\.\pipe\kmid-anna_b");
        assert_eq!(of("/Srv/kmi"), r"\\.\pipe\kmid-anna_b-_srv_kmi");
        assert_eq!(of("/srv/KMI"), of("/Srv/kmi"));
        assert_eq!(default("anna", None, Path::new(r"D:\k mi")), r"\\.\pipe\kmid-anna-d__k_mi");
    }

    #[test]
    fn a_name_is_taken_short_or_full() {
        for (text, name) in [(" mine ", "mine"), (r"\\.\pipe\mine", "mine"), (r"a\b/c:d", "a_b_c_d")] {
            assert_eq!(named(text), format!("{PREFIX}{name}"), "{text}");
        }
    }
}
