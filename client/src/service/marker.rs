//! The line by which kmi knows a service file as it wrote it: with a hash of the rest, and the control socket.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// UTF-16, low byte first.
const BOM: [u8; 2] = [0xff, 0xfe];
const SIGN: &str = "Written by `kmi service install`, sha256 of the rest: ";

/// How a file on the disk stands to the one that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none.
    Missing,
    /// It is the same.
    Same,
    /// kmi wrote it, and nobody changed it.
    Ours,
    /// A person wrote or changed it.
    Changed,
}

/// The text with the marker as its last line, as a comment of the file's kind.
pub(crate) fn add(path: &Path, text: &str) -> String {
    let sign = format!("{SIGN}{}", hash(text));
    match path.extension().is_some_and(|kind| kind == "plist" || kind == "xml") {
        true => format!("{text}<!-- {sign} -->\n"),
        false => format!("{text}# {sign}\n"),
    }
}

/// What is there in place of `wanted`.
pub(crate) fn compare(path: &Path, wanted: &str) -> Found {
    match std::fs::read(path) {
        Err(_) if std::fs::symlink_metadata(path).is_err() => Found::Missing,
        Err(_) => Found::Changed,
        Ok(bytes) => judge(&decode(&bytes), wanted),
    }
}

/// As the file is written: Windows takes a task's definition as UTF-16.
pub(crate) fn encode(path: &Path, text: &str) -> Vec<u8> {
    if path.extension().is_none_or(|kind| kind != "xml") {
        return text.as_bytes().to_vec();
    }
    BOM.into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

/// As it is read again.
fn decode(bytes: &[u8]) -> String {
    match bytes.strip_prefix(&BOM) {
        None => String::from_utf8_lossy(bytes).into_owned(),
        Some(units) => {
            let units = units.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
    }
}

fn judge(there: &str, wanted: &str) -> Found {
    if there == wanted {
        Found::Same
    } else if is_untouched(there) {
        Found::Ours
    } else {
        Found::Changed
    }
}

fn is_untouched(text: &str) -> bool {
    let Some(at) = text.trim_end_matches('\n').rfind('\n').map(|end| end + 1) else { return false };
    let (rest, last) = text.split_at(at);
    last.split_once(SIGN).is_some_and(|(_, said)| said.trim_end_matches(" -->\n").trim_end() == hash(rest))
}

/// The control socket that a file's text names, for managers that do not hold it themselves.
pub(crate) fn socket_of(file: &Path) -> Option<PathBuf> {
    let bytes = std::fs::read(file).ok()?;
    let text = decode(&bytes);
    let (_, rest) = text.split_once(SOCKET)?;
    Some(PathBuf::from(rest.lines().next()?.trim_end_matches(" -->")))
}

/// The comment that [`socket_of`] reads; none where the path cannot stand in a comment.
pub(crate) fn socket_comment(socket: &Path) -> String {
    let path = socket.display().to_string();
    if path.contains("--") { String::new() } else { format!("<!-- {SOCKET}{path} -->\n") }
}

const SOCKET: &str = "control socket: ";

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_written_and_read_as_utf_16() {
        let text = "<a>\u{44f} & \u{1f980}</a>\n";
        let bytes = encode(Path::new("kmid.xml"), text);
        assert_eq!(&bytes[..4], [0xff, 0xfe, b'<', 0]);
        assert_eq!(decode(&bytes), text);
        assert_eq!(encode(Path::new("kmid.service"), text), text.as_bytes());
    }

    #[test]
    fn what_a_person_changed_is_told_from_what_kmi_wrote() {
        for name in ["kmid.service", "kmid.plist"] {
            let (old, new) = (add(Path::new(name), "a\nb\n"), add(Path::new(name), "a\nc\n"));
            assert_eq!(judge(&old, &old), Found::Same);
            assert_eq!(judge(&old, &new), Found::Ours);
            assert_eq!(judge(&old.replace('b', "d"), &new), Found::Changed);
            assert_eq!(judge(&format!("{old}x\n"), &new), Found::Changed);
            assert_eq!(judge("a\nb\n", &new), Found::Changed);
            assert_eq!(judge("", &new), Found::Changed);
        }
    }
}
