//! What all sessions of one toolset share: locks of files that are written, and where relative paths begin.

use super::leftovers::Leftovers;
use super::lexical::PathBytes;
use crate::lock::lock;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// Locks for files that are being written: enough that two files seldom share one.
pub(crate) const LOCKS: usize = 64;

/// The state that all directories of one toolset share. Whoever writes a file waits for all other writers of it,
/// whatever the roots of their sessions are.
#[derive(Debug)]
pub(crate) struct ToolsetState {
    /// Where relative directories of the command line begin.
    pub(crate) base: PathBytes,
    /// The home directory of the user.
    pub(crate) home: PathBytes,
    /// The directories that were searched for temporary files of killed servers.
    pub(crate) leftovers: Leftovers,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
}

/// Names the lock of a file that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileKey {
    slot: usize,
}

impl ToolsetState {
    /// Takes the working directory and the home directory as they are now.
    pub(crate) fn new() -> Self {
        let bytes = |path: PathBuf| PathBytes::from_vec(path.into_os_string().into_vec());
        let base = std::env::current_dir().map_or_else(|_| PathBytes::from_slice(b"/"), bytes);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let home = home.map_or_else(|| PathBytes::from_slice(b"/"), |home| bytes(home.into()));
        let locks = std::array::from_fn(|_| Mutex::new(()));
        Self { base, home, leftovers: Leftovers::default(), locks, hasher: RandomState::new() }
    }

    /// Waits for other writers of the file, and keeps them out until the guard is dropped.
    pub(crate) fn lock(&self, file: FileKey) -> MutexGuard<'_, ()> {
        lock(&self.locks[file.slot])
    }

    /// The key of the lock for a name in a directory.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "of another type on other systems")]
    pub(crate) fn key(&self, parent: &OwnedFd, name: &[u8]) -> Result<FileKey, Errno> {
        let stat = rustix::fs::fstat(parent)?;
        let slot = self.hasher.hash_one((stat.st_dev as u64, stat.st_ino as u64, name)) as usize % LOCKS;
        Ok(FileKey { slot })
    }

    /// A number that nobody can guess, for names of temporary files.
    pub(crate) fn random(&self, attempt: usize) -> u64 {
        let now = std::time::SystemTime::now();
        self.hasher.hash_one((now, std::process::id(), attempt, std::thread::current().id()))
    }
}
