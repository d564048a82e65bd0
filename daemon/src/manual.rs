//! `kmid man`: the manual page, from the definition of the command line and what that cannot say.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Cli;

/// A heading and its entries: a term, and what it means.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: [Section; 3] = [
    (
        "SIGNALS",
        &[
            (
                "SIGTERM, SIGINT",
                "Takes no new requests, lets those under way end, and ends. A second one cuts them off.",
            ),
            ("SIGHUP", "Reads settings and keys anew, as `kmi proxy-reload` does."),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "It was told to end, or has handed its work to a new kmid."),
            ("1", "It could not start, or a part of it failed."),
            ("2", "The command line is wrong."),
            ("64", "The settings cannot be used; a restart would not make them better."),
            ("75", "Another kmid has the state directory."),
        ],
    ),
    (
        "FILES",
        &[
            (
                "~/.kmi/.env",
                "Settings, one KMI_ variable a line. In a folder with keys in ./_auths, ./.env in its place.",
            ),
            ("~/.kmi/_auths/", "Key files: .env, .toml, .json."),
            ("~/.kmi/kmid.sock", "The control socket, on which kmi(1) asks."),
            (
                "~/.kmi/state.json, ~/.kmi/usage/",
                "What is remembered of each key, and the history of its use.",
            ),
            ("~/.kmi/logs/, ~/.kmi/trace/", "What the daemon did; a line for each finished request."),
        ],
    ),
];

/// Writes `kmid.1` into a folder and returns its path.
pub(crate) fn write(dir: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let path = dir.join("kmid.1");
    fs::write(&path, page()?)?;
    Ok(path)
}

fn page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // Without those of the subcommands: there are no pages of theirs, and `kmid demo --help` says more.
    let man = Man::new(Cli::command().disable_help_subcommand(true));
    man.render(&mut page)?;
    let mut rest = Roff::new();
    for (heading, entries) in SECTIONS {
        rest.control("SH", [heading]);
        for (term, meaning) in entries {
            rest.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
        }
    }
    rest.control("SH", ["SEE ALSO"]).text([bold("kmi"), roman("(1)")]);
    page.write_all(rest.to_roff().as_bytes())?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_that_is_shown_and_no_other() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        let plain = page.replace('\\', "");
        for option in Cli::command().get_arguments().filter(|option| !option.is_positional()) {
            let name = format!("--{}", option.get_long().unwrap());
            assert_eq!(plain.contains(&name), !option.is_hide_set(), "{name}: {page}");
        }
        for heading in ["NAME", "SYNOPSIS", "OPTIONS", "SIGNALS", "\"EXIT STATUS\"", "FILES", "\"SEE ALSO\""]
        {
            assert!(page.contains(&format!(".SH {heading}\n")), "{heading}: {page}");
        }
    }

    #[test]
    fn it_is_written_into_a_folder_that_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(&dir.path().join("share/man")).unwrap();
        assert_eq!(fs::read(path).unwrap(), page().unwrap());
    }
}
