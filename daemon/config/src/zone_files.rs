//! Time zones, each read alone from the file that the system has for it.
//!
//! A zone database of jiff that keeps to the system's files lists all of them before it looks up one, which was a third
//! of the time that `kmi` takes to start (1800 files, 2026-11). Where the system has no file, the database that comes
//! with the program counts; it may be older.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Where Unix systems have the files (jiff 0.2, 2026-11). Elsewhere there is no usual place.
const FOLDERS: &[&str] =
    if cfg!(unix) { &["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"] } else { &[] };
/// Before which a path names the folder of the files, and behind which the zone.
const FOLDER_NAME: &str = "zoneinfo/";
/// The largest that is read; they have some kilobytes.
const MOST_BYTES: u64 = 1 << 20;

/// The zone of an IANA name, in any case.
#[must_use]
pub fn named(name: &str) -> Option<TimeZone> {
    named_in(name, &folders(std::env::var_os("TZDIR")))
}

/// The zone of this system and user: TZ, else the system's setting; UTC without a name where there is none.
#[must_use]
pub fn local() -> TimeZone {
    match TimeZone::try_system() {
        // Its name is right; its rules are the program's own.
        Ok(zone) => zone.iana_name().and_then(named).unwrap_or(zone),
        Err(_) => {
            std::env::var_os("TZ").and_then(|text| named(name_in(&text)?)).unwrap_or_else(TimeZone::unknown)
        }
    }
}

/// What TZ names that is younger than the program: `:Europe/Moscow`, `/usr/share/zoneinfo/Europe/Moscow`.
fn name_in(text: &OsStr) -> Option<&str> {
    let text = text.to_str()?;
    let text = text.strip_prefix(':').unwrap_or(text);
    Some(text.rfind(FOLDER_NAME).map_or(text, |at| &text[at + FOLDER_NAME.len()..]))
}

fn folders(own: Option<OsString>) -> Vec<PathBuf> {
    own.map(PathBuf::from).into_iter().chain(FOLDERS.iter().map(PathBuf::from)).collect()
}

fn named_in(name: &str, folders: &[PathBuf]) -> Option<TimeZone> {
    // An absolute path or `..` must not leave the folder.
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return None;
    }
    let own = TimeZoneDatabase::bundled().get(name).ok();
    if own.as_ref().is_some_and(|zone| *zone == TimeZone::UTC || zone.is_unknown()) {
        return own;
    }
    // It knows how the name is spelled.
    let name = own.as_ref().and_then(TimeZone::iana_name).unwrap_or(name);
    folders.iter().find_map(|folder| read(&folder.join(name), name)).or_else(|| own.clone())
}

fn read(path: &Path, name: &str) -> Option<TimeZone> {
    let mut data = Vec::new();
    File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut data).ok()?;
    TimeZone::tzif(name, &data).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A zone file (RFC 9636, version 2) of one offset.
    const FIVE_HOURS_EAST: &[u8] = include_bytes!("../../../tests/data/five-hours-east.tzif");

    fn hours(zone: &TimeZone) -> i32 {
        zone.to_offset("2026-11-23T12:00:00Z".parse().unwrap()).seconds() / 3600
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("Europe")).unwrap();
        fs::write(folder.path().join("Europe/Moscow"), FIVE_HOURS_EAST).unwrap();
        fs::write(folder.path().join("Europe/Newtown"), FIVE_HOURS_EAST).unwrap();
        fs::write(folder.path().join("Europe/Berlin"), "no zone").unwrap();
        folder
    }

    #[test]
    fn the_systems_file_counts_more_than_the_programs_own() {
        let folder = folder();
        let zone = |name| named_in(name, &[folder.path().join("missing"), folder.path().to_owned()]);
        let moscow = zone("europe/MOSCOW").unwrap();
        assert_eq!((hours(&moscow), moscow.iana_name()), (5, Some("Europe/Moscow")));
        // Younger than the program, damaged, and not there.
        assert_eq!(hours(&zone("Europe/Newtown").unwrap()), 5);
        assert_eq!(hours(&zone("Europe/Berlin").unwrap()), 1);
        assert_eq!(hours(&zone("Asia/Tokyo").unwrap()), 9);
        assert_eq!(zone("utc"), Some(TimeZone::UTC));
        let above = format!("../{}/Europe/Moscow", folder.path().file_name().unwrap().display());
        let absolute = folder.path().join("Europe/Moscow");
        for name in ["", "Mars/Olympus", "Europe", &above, absolute.to_str().unwrap()] {
            assert_eq!(zone(name), None, "{name}");
        }
    }

    #[test]
    fn a_zone_in_the_environment() {
        for text in ["Europe/Newtown", ":Europe/Newtown", "/usr/share/zoneinfo/Europe/Newtown"] {
            assert_eq!(name_in(text.as_ref()), Some("Europe/Newtown"));
        }
    }

    #[test]
    fn a_folder_of_ones_own_comes_first() {
        assert_eq!(folders(Some("/own".into()))[0], Path::new("/own"));
        assert_eq!(folders(None).len(), FOLDERS.len());
    }
}
