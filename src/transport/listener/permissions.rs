//! Warns when the permissions of a Unix socket let other users connect or replace it.
//!
//! This only warns: `admission` checks the user of each peer.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A way in which other users reach a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Whoever can write to the file can connect.
    Writable { path: PathBuf, mode: u32 },
    /// Whoever can write to the folder can put a socket of their own in the place of ours.
    Replaceable { path: PathBuf, folder: PathBuf },
    /// An abstract socket has no file, and so no mode.
    Abstract,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writable { path, mode } => write!(
                f,
                "users other than the server's can connect to {} (mode {mode:04o}): they are refused unless they \
                 show a token; say SocketMode=0600 in its unit, or chmod 600, to keep them out",
                path.display()
            ),
            Self::Replaceable { path, folder } => write!(
                f,
                "users other than the server's can put a socket of their own in the place of {}: take the right to \
                 write to {} from them (chmod go-w)",
                path.display(),
                folder.display()
            ),
            Self::Abstract => f.write_str(
                "every user of this machine can connect to a socket without a path: they are refused unless they \
                 show a token; say ListenStream= with a path and SocketMode=0600 in its unit to keep them out",
            ),
        }
    }
}

/// Warns in the log of what is open to other users. A socket without a path is an abstract one.
pub(super) fn warn_of_exposure(path: Option<&Path>) {
    for exposure in exposures(path) {
        tracing::warn!("{exposure}");
    }
}

/// What is open to others.
fn exposures(path: Option<&Path>) -> Vec<Exposure> {
    let Some(path) = path else { return vec![Exposure::Abstract] };
    let own = rustix::process::geteuid().as_raw();
    let is_safe = |uid: u32| uid == own || uid == 0;
    let mut found = Vec::new();
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        let mode = metadata.permissions().mode() & 0o7777;
        if is_open(&metadata) || !is_safe(metadata.uid()) {
            found.push(Exposure::Writable { path: path.to_owned(), mode });
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(metadata) = std::fs::metadata(folder) {
        // In a sticky folder (/tmp) names go only with their owner.
        let is_sticky = metadata.permissions().mode() & 0o1000 != 0;
        if is_open(&metadata) && !is_sticky || !is_safe(metadata.uid()) {
            found.push(Exposure::Replaceable { path: path.to_owned(), folder: folder.to_owned() });
        }
    }
    found
}

/// Whether group or others may write. The group may have only one user; that is not known here.
fn is_open(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_open_to_others_is_told_with_its_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.sock");
        let _listener = UnixListener::bind(&path).expect("bound");
        for (folder_mode, mode, want) in [
            (0o700, 0o600, vec![]),
            (0o755, 0o755, vec![]),
            (0o755, 0o666, vec!["(mode 0666): they are refused unless"]),
            (0o755, 0o660, vec!["SocketMode=0600 in its unit"]),
            (0o1777, 0o600, vec![]),
            (0o777, 0o600, vec!["in the place of "]),
            (0o775, 0o666, vec!["(mode 0666)", "(chmod go-w)"]),
        ] {
            set_permissions(folder.path(), Permissions::from_mode(folder_mode)).expect("set");
            set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            let found = exposures(Some(&path));
            assert_eq!(found.len(), want.len(), "{folder_mode:o} {mode:o}: {found:?}");
            for (found, want) in found.iter().zip(want) {
                assert!(found.to_string().contains(want), "{found}");
            }
        }
        let found = exposures(None);
        assert!(found[0].to_string().contains("without a path"), "{found:?}");
    }
}
