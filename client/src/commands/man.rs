//! `kmi man`: manual pages from the definition of the command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use serde_json::json;

use crate::app::App;
use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::help::Say;
use crate::output::flow;
use crate::output::style::Span;
use crate::tr;

/// The headings of a page as the generator spells them, and their messages.
pub(crate) const HEADINGS: [(&str, &str); 7] = [
    ("NAME", "help-man-name"),
    ("SYNOPSIS", "help-man-synopsis"),
    ("DESCRIPTION", "help-man-description"),
    ("OPTIONS", "help-man-options"),
    ("SUBCOMMANDS", "help-man-subcommands"),
    ("EXTRA", "help-man-extra"),
    ("VERSION", "help-man-version"),
];

pub(crate) fn run(app: &App, dir: &Path) -> Outcome {
    let say = |id: &str| app.messages.find(id);
    let write = || -> io::Result<usize> {
        fs::create_dir_all(dir)?;
        write_pages(args::shown(&say).disable_help_subcommand(true), dir, &say)
    };
    let folder = dir.display().to_string();
    let count = write().map_err(|error| {
        let why = error.to_string();
        Failure::new(
            Exit::Failed,
            tr!(app.messages, "man-unwritten", dir = dir.display().to_string(), why = why),
        )
        .next(tr!(app.messages, "man-unwritten-next"))
    })?;
    if app.json {
        app.print_json(&json!({"dir": folder, "pages": count}))?;
    } else {
        let done = tr!(app.messages, "man-written", count = count, dir = folder.as_str());
        for line in [done, tr!(app.messages, "man-try", dir = folder.as_str())] {
            app.print(&flow::spans(app.look, "", 2, &[Span::plain(line)]))?;
        }
    }
    Ok(Exit::Ok)
}

/// A page for the command and one for each below it, and how many that were; hidden ones have none.
fn write_pages(command: Command, dir: &Path, say: Say<'_>) -> io::Result<usize> {
    let mut pages = 1;
    for below in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        pages += write_pages(below.clone(), dir, say)?;
    }
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    let lines: String = page.split_inclusive('\n').map(|line| in_language(line, say)).collect();
    fs::write(dir.join(man.get_filename()), lines)?;
    Ok(pages)
}

/// A line of a page, with its heading in the language. The values of an option stand in a list that the generator knows
/// nothing of in another language; each gets its own line.
fn in_language(line: &str, say: Say<'_>) -> String {
    if line.starts_with("\\- ") {
        return format!(".br\n{line}");
    }
    let title = line.strip_prefix(".SH ").map(str::trim_end);
    let known = HEADINGS.iter().find(|(english, _)| Some(*english) == title);
    match known.and_then(|(_, id)| say(id)) {
        Some(text) => format!(".SH {text}\n"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::locale::{Locale, Messages};

    #[test]
    fn a_page_for_each_command_in_the_persons_language() {
        for (locale, title) in [(Locale::En, ".SH SYNOPSIS\n"), (Locale::Ru, ".SH ВЫЗОВ\n")] {
            let messages = Messages::new(locale);
            let say = |id: &str| messages.find(id);
            let dir = tempfile::tempdir().unwrap();
            let count = write_pages(args::shown(&say), dir.path(), &say).unwrap();
            let pages: Vec<String> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
                .collect();
            assert!(pages.len() == count && count > 30, "{count}");
            for page in &pages {
                assert!(page.contains(title), "{page}");
                let headings = page.lines().filter_map(|line| line.strip_prefix(".SH "));
                let english = headings.filter(|heading| heading.is_ascii()).count();
                assert_eq!(english == 0, locale == Locale::Ru, "{page}");
                assert_eq!(page.matches("\n\\- ").count(), page.matches("\n.br\n\\- ").count(), "{page}");
            }
        }
    }

    #[test]
    fn the_synopsis_begins_with_the_own_options() {
        let dir = tempfile::tempdir().unwrap();
        write_pages(args::shown(&|_| None), dir.path(), &|_| None).unwrap();
        let page = fs::read_to_string(dir.path().join("kmi-e2e.1")).unwrap();
        let synopsis = page.split(".SH SYNOPSIS").nth(1).unwrap().split(".SH").next().unwrap();
        let place = |option: &str| synopsis.find(option).unwrap_or_else(|| panic!("{option}: {synopsis}"));
        for own in ["requests", "batch", "window", "endpoint", "timeout", "pause"] {
            assert!(place(own) < place("json"), "{own}: {synopsis}");
        }
    }
}
