//! What the operating systems accept as the address of the control socket. Pure: nothing is opened or looked up.

use std::path::{Path, PathBuf};

/// Longest path of a Unix socket in bytes: `sun_path` without its final NUL (Linux: 108, macOS and the BSDs: 104;
/// unix(7) and sys/un.h, 2026-11).
pub const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Longest name of a Windows pipe with its prefix, in characters (CreateNamedPipeW, 2026-11).
pub const MAX_PIPE_NAME: usize = 256;

const PIPE_PREFIX: &str = r"\\.\pipe\";

/// Why nothing can listen there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The path does not fit into a socket address.
    #[error(
        "the socket path {} is {length} bytes long, and the system takes {limit} at most; \
         set KMI_SOCKET or KMI_STATE_DIR to a shorter path",
        path.display()
    )]
    TooLong {
        /// As configured.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// The longest that works.
        limit: usize,
    },
    /// Nothing was named.
    #[error("the socket path is empty; set KMI_SOCKET to a path")]
    Empty,
    /// A pipe's name with a character that it cannot have.
    #[error(
        "{0:?} is no pipe name: after \\\\.\\pipe\\ no backslash may stand; set KMI_SOCKET to a plain name"
    )]
    PipeName(String),
}

/// The address to bind or connect to on this system, after the checks that it needs.
///
/// # Errors
/// When the system cannot take it.
pub fn address(configured: &Path) -> Result<PathBuf, EndpointError> {
    if cfg!(windows) {
        pipe_name(&configured.to_string_lossy()).map(PathBuf::from)
    } else {
        check_socket_path(configured)?;
        Ok(configured.to_owned())
    }
}

/// Checks that a path fits into a Unix socket address.
///
/// # Errors
/// When it does not.
pub fn check_socket_path(path: &Path) -> Result<(), EndpointError> {
    match path.as_os_str().as_encoded_bytes().len() {
        0 => Err(EndpointError::Empty),
        length if length > MAX_SOCKET_PATH => {
            Err(EndpointError::TooLong { path: path.to_owned(), length, limit: MAX_SOCKET_PATH })
        }
        _ => Ok(()),
    }
}

/// A pipe's full name from its short or full one.
///
/// # Errors
/// When Windows would not take it.
pub fn pipe_name(configured: &str) -> Result<String, EndpointError> {
    let short = configured.strip_prefix(PIPE_PREFIX).unwrap_or(configured);
    let full = format!("{PIPE_PREFIX}{short}");
    let length = full.chars().count();
    match short {
        "" => Err(EndpointError::Empty),
        _ if short.contains('\\') => Err(EndpointError::PipeName(configured.to_owned())),
        _ if length > MAX_PIPE_NAME => {
            Err(EndpointError::TooLong { path: configured.into(), length, limit: MAX_PIPE_NAME })
        }
        _ => Ok(full),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn the_length_of_a_socket_path_is_checked_in_bytes() {
        let fits = format!("/{}", "x".repeat(MAX_SOCKET_PATH - 1));
        assert_eq!(check_socket_path(Path::new(&fits)), Ok(()));
        let over = format!("/{}x", "я".repeat(MAX_SOCKET_PATH / 2));
        let error = check_socket_path(Path::new(&over)).unwrap_err();
        assert!(error.to_string().contains("KMI_SOCKET"), "{error}");
        assert_eq!(check_socket_path(Path::new("")), Err(EndpointError::Empty));
    }

    #[test]
    fn pipe_names() {
        assert_eq!(pipe_name("kmid-anna").unwrap(), r"\\.\pipe\kmid-anna");
        assert_eq!(pipe_name(r"\\.\pipe\kmid-anna").unwrap(), r"\\.\pipe\kmid-anna");
        assert!(matches!(pipe_name(r"C:\kmid.sock"), Err(EndpointError::PipeName(_))));
        assert_eq!(pipe_name(r"\\.\pipe\"), Err(EndpointError::Empty));
        assert!(matches!(pipe_name(&"x".repeat(250)), Err(EndpointError::TooLong { length: 259, .. })));
    }
}
