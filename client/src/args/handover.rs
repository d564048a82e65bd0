//! What `kmi kimi` hands over to the client, before clap reads the rest.

use std::ffi::{OsStr, OsString};

/// All behind the word `kimi` is the client's, also what `kmi` has an option of the same name for.
pub(super) fn for_the_client(definition: &clap::Command, mut args: Vec<OsString>) -> Vec<OsString> {
    let takes_value = |word: &OsStr| {
        let of =
            |arg: &&clap::Arg| arg.get_long().is_some_and(|long| word.to_str() == Some(&format!("--{long}")));
        definition.get_arguments().find(of).is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut at = 1;
    while let Some(word) = args.get(at) {
        if !word.to_string_lossy().starts_with('-') {
            if word == "kimi" && args.get(at + 1).is_none_or(|next| next != "--") {
                args.insert(at + 1, "--".into());
            }
            break;
        }
        at += if takes_value(word) { 2 } else { 1 };
    }
    args
}
