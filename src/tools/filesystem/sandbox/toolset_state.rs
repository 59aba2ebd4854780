//! What all sessions of one toolset share: locks of files that are written, and where relative paths begin.

use super::leftovers::Leftovers;
use super::lexical::PathBytes;
use crate::lock::lock;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

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
    /// Texts that are kept for answers which are being sent.
    pub(crate) kept_texts: KeptBytes,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
}

/// Bytes that live longer than the call that made them, for the memory report.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptBytes(Arc<AtomicUsize>);

impl KeptBytes {
    pub(crate) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts so many bytes until the guard is dropped.
    pub(crate) fn count(&self, bytes: usize) -> KeptBytesGuard {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        KeptBytesGuard { total: self.clone(), bytes }
    }
}

/// A part of [`KeptBytes`].
#[derive(Debug)]
pub(crate) struct KeptBytesGuard {
    total: KeptBytes,
    bytes: usize,
}

impl Drop for KeptBytesGuard {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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
        let (leftovers, kept_texts) = (Leftovers::default(), KeptBytes::default());
        Self { base, home, leftovers, kept_texts, locks, hasher: RandomState::new() }
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
