//! Every text of the command line has its Russian, and no Russian is left over.

use std::cell::RefCell;
use std::collections::BTreeSet;

use clap::Command;

use crate::args;
use crate::commands::man;
use crate::output::locale::{Locale, Messages};

/// Every text that a help, a shell or a manual page shows of a command and of those below it.
fn texts(command: &mut Command, all: &mut String) {
    all.push_str(&command.render_help().to_string());
    all.push_str(&command.render_long_help().to_string());
    for below in command.get_subcommands_mut() {
        texts(below, all);
    }
}

fn in_russian() -> String {
    let messages = Messages::new(Locale::Ru);
    let mut all = String::new();
    texts(&mut args::shown(&|id| messages.find(id)), &mut all);
    all
}

#[test]
fn every_text_has_its_russian_and_none_is_left_over() {
    let messages = Messages::new(Locale::Ru);
    let asked = RefCell::new(BTreeSet::new());
    let _ = args::shown(&|id| {
        asked.borrow_mut().insert(id.to_owned());
        messages.find(id)
    });
    let mut asked = asked.into_inner();
    asked.extend(man::HEADINGS.iter().map(|(_, id)| (*id).to_owned()));
    // For a command that stands in no group; there is none now.
    asked.insert("help-heading-more".to_owned());
    let lines = include_str!("messages/ru.ftl").lines().filter(|line| line.starts_with("help-"));
    let there: BTreeSet<String> =
        lines.filter_map(|line| line.split_once(" =")).map(|(id, _)| id.to_owned()).collect();
    assert!(there.len() > 130, "{}", there.len());
    assert_eq!(asked.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "without Russian");
    assert_eq!(there.difference(&asked).collect::<Vec<_>>(), Vec::<&String>::new(), "asked for by nobody");
}

/// Each sentence of the English help must be gone, and what clap says by itself, too.
#[test]
fn no_english_is_left_in_the_russian_help() {
    let russian = in_russian();
    let left: Vec<&str> = russian
        .lines()
        .filter(|line| {
            // A letter of the other alphabet in each line that has words of more than names.
            let words = line.split_whitespace().filter(|word| {
                word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase() || b",.:".contains(&byte))
            });
            words.count() > 2 && !line.chars().any(|c| ('а'..='я').contains(&c))
        })
        .collect();
    assert_eq!(left, [""; 0]);
    for word in [
        "Usage:",
        "Options:",
        "Arguments:",
        "Commands:",
        "Examples:",
        "Print",
        "default:",
        "values:",
        "aliases",
    ] {
        assert!(!russian.contains(word), "{word}: {russian}");
    }
}

#[test]
fn the_same_commands_and_options_stand_in_both() {
    let names = |command: Command| {
        let mut found = BTreeSet::new();
        let mut waiting = vec![(String::new(), command)];
        while let Some((path, command)) = waiting.pop() {
            let path = format!("{path} {}", command.get_name());
            found.extend(command.get_arguments().map(|arg| format!("{path} {arg}")));
            waiting.extend(command.get_subcommands().map(|below| (path.clone(), below.clone())));
        }
        found
    };
    let messages = Messages::new(Locale::Ru);
    let (english, russian) = (names(args::definition()), names(args::shown(&|id| messages.find(id))));
    assert!(english.len() > 150, "{}", english.len());
    assert_eq!(english, russian);
}

/// English is what clap itself makes of the definition.
#[test]
fn without_another_language_nothing_changes() {
    let (mut as_it_is, mut shown) = (String::new(), String::new());
    texts(&mut args::definition(), &mut as_it_is);
    texts(&mut args::shown(super::ENGLISH), &mut shown);
    assert_eq!(as_it_is, shown);
}
