//! What `kmi kimi` hands over to the client, before clap reads the rest.

use std::ffi::{OsStr, OsString};

/// All behind the word `kimi` is the client's, also what `kmi` has an option of the same name for.
pub(super) fn for_the_client(definition: &clap::Command, mut args: Vec<OsString>) -> Vec<OsString> {
    if let Some(at) = place_of_kimi(definition, &args)
        && args.get(at + 1).is_none_or(|next| next != "--")
    {
        args.insert(at + 1, "--".into());
    }
    args
}

/// The definition that a line is completed with: behind `kimi` nothing of kmi's own is offered.
pub(super) fn completing(definition: clap::Command, line: &[OsString]) -> clap::Command {
    if place_of_kimi(&definition, line).is_none() {
        return definition;
    }
    definition.mut_args(|arg| arg.global(false))
}

/// Where the command stands, if it is `kimi`.
fn place_of_kimi(definition: &clap::Command, args: &[OsString]) -> Option<usize> {
    let takes_value = |word: &OsStr| {
        let of =
            |arg: &&clap::Arg| arg.get_long().is_some_and(|long| word.to_str() == Some(&format!("--{long}")));
        definition.get_arguments().find(of).is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut at = 1;
    while let Some(word) = args.get(at) {
        if !word.to_string_lossy().starts_with('-') {
            return (word == "kimi").then_some(at);
        }
        at += if takes_value(word) { 2 } else { 1 };
    }
    None
}
