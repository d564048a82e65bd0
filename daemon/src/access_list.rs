//! Access lists, by which Windows says who may use a file or a pipe: what modes are on POSIX systems.
//!
//! They are written and read as text (Microsoft "Security Descriptor String Format", "ACE Strings", "SID Strings",
//! 2026-11), so that what they mean is decided by plain functions.

/// Who is no stranger besides the user: the system and the administrators, who can give themselves every right anyway
/// and whom backups and virus scanners run as, and two names for whoever owns the thing.
const KNOWN: [&str; 8] = ["SY", "S-1-5-18", "BA", "S-1-5-32-544", "OW", "S-1-3-4", "CO", "S-1-3-0"];

/// The list of a file or directory for the user with this number alone. It takes nothing from the directory above, and
/// what is made in a directory takes it over.
fn of_file(user: &str, is_dir: bool) -> String {
    let inherit = if is_dir { "OICI" } else { "" };
    let entries = ["SY", "BA", user].map(|who| format!("(A;{inherit};FA;;;{who})"));
    format!("D:P{}", entries.concat())
}

/// The descriptor of a pipe for the user with this number alone. The owner is named, because what an elevated process
/// makes belongs to the administrators else, and then they, and not the user, would be the ones that it lets in.
fn of_pipe(user: &str) -> String {
    format!("O:{user}D:P(A;;GA;;;{user})")
}

/// The first of a descriptor's list that has rights and is a stranger, by name or number; `WD` is everyone.
fn stranger(descriptor: &str, is_user: impl Fn(&str) -> bool) -> Option<&str> {
    // No list at all, as on a FAT disk, keeps nobody out.
    const EVERYONE: Option<&str> = Some("WD");
    let Some((_, list)) = descriptor.split_once("D:") else { return EVERYONE };
    let Some(at) = list.find('(') else {
        // An empty list lets nobody in.
        return if list.contains("NO_ACCESS_CONTROL") { EVERYONE } else { None };
    };
    entries(&list[at..]).find_map(|entry| {
        let fields: Vec<&str> = entry.split(';').collect();
        let [kind, _, rights, _, _, who, ..] = fields[..] else { return EVERYONE };
        let allows = matches!(kind, "A" | "OA" | "XA" | "ZA") && !matches!(rights, "" | "0x0");
        (allows && !KNOWN.contains(&who) && !is_user(who)).then_some(who)
    })
}

/// What stands in the parentheses that follow each other at the start of a list; a condition has some of its own.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let inside = rest.strip_prefix('(')?;
        let mut depth = 1;
        let end = inside.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        })?;
        rest = &inside[end + 1..];
        Some(&inside[..end])
    })
}

#[cfg(windows)]
pub(crate) use os::{is_ours, open_to, pipe_descriptor, protect, shown};

#[cfg(windows)]
mod os {
    use std::io;
    use std::path::Path;

    use interprocess::os::windows::security_descriptor::SecurityDescriptor as PipeDescriptor;
    use widestring::U16CString;
    use windows_permissions::constants::{SeObjectType, SecurityInformation};
    use windows_permissions::utilities::current_process_sid;
    use windows_permissions::wrappers::{
        ConvertSecurityDescriptorToStringSecurityDescriptor as to_text, GetNamedSecurityInfo,
        LookupAccountSid, SetNamedSecurityInfo,
    };
    use windows_permissions::{LocalBox, SecurityDescriptor, Sid};

    const FILE: SeObjectType = SeObjectType::SE_FILE_OBJECT;

    /// What a pipe is made with, so that only this user can open it.
    pub(crate) fn pipe_descriptor() -> io::Result<PipeDescriptor> {
        let text = super::of_pipe(&current_process_sid()?.to_string());
        PipeDescriptor::deserialize(&U16CString::from_str(text).map_err(io::Error::other)?)
    }

    /// Takes every right to a file or directory from others, also to what is in it and has no list of its own. Looked at
    /// again, because network drives may take a list and keep less of it.
    pub(crate) fn protect(path: &Path, is_dir: bool) -> io::Result<()> {
        let wanted = super::of_file(&current_process_sid()?.to_string(), is_dir);
        let wanted: LocalBox<SecurityDescriptor> = wanted.parse()?;
        let what = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
        SetNamedSecurityInfo(path.as_os_str(), FILE, what, None, None, wanted.dacl(), None)?;
        match open_to(path)? {
            Some(stranger) => Err(io::Error::other(format!("the disk still lets {stranger} in"))),
            None => Ok(()),
        }
    }

    /// A path for people and for commands, without the prefix that a resolved one has.
    pub(crate) fn shown(path: &Path) -> String {
        let text = path.display().to_string();
        match text.strip_prefix(r"\\?\") {
            None => text,
            Some(plain) => match plain.strip_prefix(r"UNC\") {
                Some(share) => format!(r"\\{share}"),
                None => plain.to_owned(),
            },
        }
    }

    /// Someone else who has a right to it, by name.
    pub(crate) fn open_to(path: &Path) -> io::Result<Option<String>> {
        let user = current_process_sid()?;
        let list = SecurityInformation::Dacl;
        let text = to_text(&*GetNamedSecurityInfo(path.as_os_str(), FILE, list)?, list)?;
        let text = text.to_string_lossy();
        let found = super::stranger(&text, |who| sid(who).is_some_and(|who| *who == *user));
        Ok(found.map(|who| sid(who).and_then(|who| name(&who)).unwrap_or_else(|| who.to_owned())))
    }

    /// Whether it belongs to this user, or to the administrators, as what an elevated process of this user made.
    pub(crate) fn is_ours(path: &Path) -> io::Result<bool> {
        let found = GetNamedSecurityInfo(path.as_os_str(), FILE, SecurityInformation::Owner)?;
        let user = current_process_sid()?;
        let administrators = sid("BA");
        Ok(found.owner().is_some_and(|owner| {
            *owner == *user || administrators.is_some_and(|administrators| *owner == *administrators)
        }))
    }

    fn sid(text: &str) -> Option<LocalBox<Sid>> {
        text.parse().ok()
    }

    fn name(sid: &Sid) -> Option<String> {
        let (name, _domain) = LookupAccountSid(sid).ok()?;
        Some(name.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1-2-3-1001";

    fn found(descriptor: &str) -> Option<&str> {
        stranger(descriptor, |who| who == USER || who == "LA")
    }

    #[test]
    fn what_is_written_lets_no_stranger_in() {
        assert_eq!(of_file(USER, true), format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{USER})"));
        assert_eq!(of_file("LA", false), "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;LA)");
        for text in [of_file(USER, true), of_file(USER, false), of_pipe(USER)] {
            assert_eq!(found(&text), None, "{text}");
        }
    }

    #[test]
    fn strangers_are_found() {
        for (text, who) in [
            ("O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICIIO;GA;;;CO)(A;;FA;;;LA)", None),
            ("D:AI(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)", Some("BU")),
            ("D:(A;;FR;;;WD)", Some("WD")),
            ("D:(A;;FA;;;S-1-5-21-1-2-3-1002)", Some("S-1-5-21-1-2-3-1002")),
            // A denial, and an entry without rights, open nothing.
            ("D:(D;;FA;;;WD)(A;;0x0;;;BU)(A;;;;;AU)", None),
            ("D:(D;;FA;;;WD)(OA;;FR;;;AU)", Some("AU")),
            ("D:(XA;;FR;;;BU;(@User.Title==\"(PM)\"))(A;;FA;;;LA)", Some("BU")),
            ("D:(XD;;FR;;;BU;(@User.Title==\"PM\"))(A;;FA;;;LA)S:(AU;SAFA;FA;;;WD)", None),
            // Nobody, everybody, and what nobody understands.
            ("D:P", None),
            ("D:NO_ACCESS_CONTROL", Some("WD")),
            ("O:BAG:SY", Some("WD")),
            ("", Some("WD")),
            ("D:(A;FA)", Some("WD")),
        ] {
            assert_eq!(found(text), who, "{text}");
        }
    }
}
