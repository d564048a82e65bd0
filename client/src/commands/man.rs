//! `kmi man`: manual pages from the definition of the command line.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::app::App;
use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::tr;

pub(crate) fn run(app: &App, dir: &Path) -> Outcome {
    let write = || -> std::io::Result<usize> {
        fs::create_dir_all(dir)?;
        clap_mangen::generate_to(args::definition(), dir)?;
        Ok(pages(&args::definition()))
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
        app.print(&format!("{done}\n{}\n", tr!(app.messages, "man-try", dir = folder.as_str())))?;
    }
    Ok(Exit::Ok)
}

/// A page for the command and one for each below it, as the generator counts: hidden ones have none.
fn pages(command: &clap::Command) -> usize {
    1 + command.get_subcommands().filter(|one| !one.is_hide_set()).map(pages).sum::<usize>()
}
