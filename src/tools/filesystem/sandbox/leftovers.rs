//! Removes the temporary files that a killed process left and nobody will rename any more.
//!
//! **Invariant: only a file that a server like this one made is removed.** Its name says so, with a check sum that no
//! name has by accident; it is a regular file with one name, owned by this user (root removes those of all users), and
//! nobody holds the lock that its maker holds while it lives. Process ids would tell less: several containers may share
//! a directory, and each counts from 1.
//!
//! A directory is searched once, before this process first writes in it. A process that is killed later leaves its
//! files to the next one that starts.

use crate::lock::lock;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::sync::Mutex;

const PREFIX: &str = ".mcpool-";
const SUFFIX: &str = ".tmp";
const RANDOM_DIGITS: usize = 16;
const SUM_DIGITS: usize = 8;

/// The most directories that are remembered as searched; beyond that all are forgotten.
const MAX_DIRECTORIES: usize = 4_096;

/// The most names that are looked at in one directory.
const MAX_NAMES: usize = 100_000;

/// Makes the name of a temporary file. It is short, so that it fits wherever the target's name does.
pub(crate) fn name(random: u64) -> String {
    let random = format!("{random:016x}");
    let sum = check_sum(random.as_bytes());
    format!("{PREFIX}{random}-{sum:08x}{SUFFIX}")
}

fn is_ours(name: &[u8]) -> bool {
    let Some(rest) =
        name.strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()))
    else {
        return false;
    };
    rest.len() == RANDOM_DIGITS + 1 + SUM_DIGITS
        && rest[RANDOM_DIGITS] == b'-'
        && rest[RANDOM_DIGITS + 1..] == *format!("{:08x}", check_sum(&rest[..RANDOM_DIGITS])).as_bytes()
}

/// FNV-1a, which is the same in every version of this program.
fn check_sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The directories that were searched.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Devices and inodes. The sign of a device's number differs between systems.
    seen: Mutex<HashSet<(i128, u64)>>,
}

impl Leftovers {
    /// Removes what killed processes left in a directory, the first time it is called for it. A file that cannot be
    /// removed stays: no call fails because of it.
    pub(crate) fn clean(&self, directory: &OwnedFd) {
        let Ok(stat) = rustix::fs::fstat(directory) else { return };
        {
            let mut seen = lock(&self.seen);
            if seen.len() >= MAX_DIRECTORIES {
                seen.clear();
            }
            if !seen.insert((i128::from(stat.st_dev), stat.st_ino)) {
                return;
            }
        }
        match remove_all(directory) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed temporary files of a server that was killed"),
            Err(error) => tracing::debug!(%error, "cannot look for temporary files that others left"),
        }
    }
}

fn remove_all(directory: &OwnedFd) -> Result<usize, Errno> {
    let mut removed = 0;
    for entry in Dir::read_from(directory)?.take(MAX_NAMES) {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let may_be_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
        if may_be_file && is_ours(name) && remove(directory, name).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes a file, unless another process may still need it.
fn remove(directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |access| rustix::fs::openat(directory, name, flags | access, Mode::empty());
    let file = open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let stat = rustix::fs::fstat(&file)?;
    let user = rustix::process::geteuid();
    let is_own = user.is_root() || stat.st_uid == user.as_raw();
    let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
    let named = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if is_own && is_plain && (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino) {
        return rustix::fs::unlinkat(directory, name, AtFlags::empty());
    }
    Err(Errno::PERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("a directory")
    }

    #[test]
    fn only_what_nobody_holds_and_nobody_else_made_is_removed() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = |name: &str| folder.path().join(name);
        let [orphan, held, linked, directory] = [1, 2, 3, 4].map(name);
        let like_ours = format!("{}0.tmp", &name(5)[..name(5).len() - 5]);
        let earlier = ".mcpool-0123456789abcdef.tmp";
        for name in [&orphan, &held, &linked, &like_ours, earlier, ".mcpool-.tmp", "notes.tmp"] {
            std::fs::write(path(name), "x").expect("a file");
        }
        std::fs::hard_link(path(&linked), path("another name")).expect("a link");
        std::fs::create_dir(path(&directory)).expect("a directory");
        std::os::unix::fs::symlink("notes.tmp", path(&name(6))).expect("a link");
        let holder: OwnedFd = std::fs::File::open(path(&held)).expect("open").into();
        assert!(crate::tools::filesystem::sandbox::temporary::lock_file(&holder));

        let leftovers = Leftovers::default();
        leftovers.clean(&handle(folder.path()));
        assert!(!path(&orphan).exists());
        for name in
            [&held, &linked, &like_ours, earlier, ".mcpool-.tmp", "notes.tmp", "another name", &directory]
        {
            assert!(path(name).exists(), "{name}");
        }
        assert!(path(&name(6)).is_symlink());

        // Each directory is searched once, by the next process that starts.
        drop(holder);
        leftovers.clean(&handle(folder.path()));
        assert!(path(&held).exists());
        Leftovers::default().clean(&handle(folder.path()));
        assert!(!path(&held).exists());
    }

    #[test]
    fn names_are_known_again() {
        for random in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let name = name(random);
            assert!(is_ours(name.as_bytes()), "{name}");
            for at in 0..name.len() {
                let mut other = name.clone().into_bytes();
                other[at] ^= 1;
                assert!(!is_ours(&other), "{}", String::from_utf8_lossy(&other));
            }
        }
    }
}
