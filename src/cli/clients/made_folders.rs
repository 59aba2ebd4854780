//! Folders that were made for a client's file, so that they can go with it.
//!
//! A folder is marked by an attribute of its own, which goes where it goes: there is no list to keep, and none to be
//! wrong. Where a file system has no attributes, the folder stays.

use std::io;
use std::path::{Path, PathBuf};

/// The attribute.
#[cfg(any(target_os = "linux", target_os = "macos"))]
const MARK: &str = "user.mcpool.made";

/// Makes a folder and those above it that are missing.
///
/// # Errors
/// Those of the system.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    for folder in missing.into_iter().rev() {
        match std::fs::create_dir(folder) {
            Ok(()) => mark(folder),
            // Another program made it meanwhile, and it is that one's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes a folder and those above it, as far as they were made here and there is nothing in them. Gives those that are
/// gone.
pub(super) fn remove(folder: &Path) -> Vec<PathBuf> {
    let is_gone = |folder: &&Path| is_marked(folder) && std::fs::remove_dir(folder).is_ok();
    folder.ancestors().take_while(is_gone).map(Path::to_owned).collect()
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn mark(folder: &Path) {
    // One without the mark stays, and nothing else depends on it.
    let _ = rustix::fs::setxattr(folder, MARK, b"1", rustix::fs::XattrFlags::empty());
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn is_marked(folder: &Path) -> bool {
    rustix::fs::getxattr(folder, MARK, &mut [0_u8; 8]).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn mark(_: &Path) {}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn is_marked(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the file system of a folder keeps attributes; in a test folder, nothing else has this one.
    fn keeps_attributes(folder: &Path) -> bool {
        mark(folder);
        is_marked(folder)
    }

    #[test]
    fn only_folders_that_were_made_and_are_empty_go() {
        let home = tempfile::tempdir().expect("a folder");
        let theirs = home.path().join("theirs");
        std::fs::create_dir(&theirs).expect("a folder");
        assert!(remove(&theirs).is_empty() && theirs.is_dir(), "it was there before");
        let deep = theirs.join("a/b/c");
        make(&deep).expect("made");
        make(&deep).expect("it is there already");
        std::fs::write(theirs.join("a/kept"), "").expect("written");
        let keeps = keeps_attributes(&deep);
        let gone = remove(&deep);
        assert_eq!(gone, if keeps { vec![deep, theirs.join("a/b")] } else { Vec::new() });
        assert!(theirs.join("a/kept").exists());
        std::fs::remove_file(theirs.join("a/kept")).expect("removed");
        assert_eq!(remove(&theirs.join("a")).len(), usize::from(keeps));
        assert!(theirs.is_dir());
    }
}
