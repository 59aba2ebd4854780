//! What a path leads to: a name in an open directory.

use super::beneath::{self, Links};
use super::lexical::{self, PathBytes};
use crate::tools::filesystem::error::errno;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// A name in an open directory, whether or not a file has that name.
#[derive(Debug)]
pub(crate) struct Target {
    /// The directory that holds the name. For an allowed directory: that directory itself.
    pub(super) base: OwnedFd,
    /// The name in `base`. Empty for an allowed directory; several names where nothing exists yet.
    pub(super) rest: Vec<u8>,
    /// The real path, absolute. Only for texts: nothing is opened by it.
    pub(super) path: PathBytes,
    /// Whether it is an allowed directory, reached by whatever path: such a directory is not moved or replaced.
    pub(super) is_allowed_itself: bool,
    pub(crate) exists: bool,
}

impl Target {
    /// The real path, absolute.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Opens the file of that name. Links are refused: there were none when the path was resolved.
    pub(crate) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.rest.is_empty() {
            return beneath::reopen(self.base.as_fd(), flags);
        }
        beneath::open(self.base.as_fd(), &self.rest, flags, Links::Refused)
    }

    /// Opens a path below this, if this is a directory.
    pub(crate) fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if path.is_empty() {
            return self.open(flags);
        }
        let below = if self.rest.is_empty() { path.to_vec() } else { [&self.rest, path].join(&b'/') };
        beneath::open(self.base.as_fd(), &below, flags, Links::Refused)
    }

    /// Opens the directory that holds this, and gives the name in it; `None` for an allowed directory itself.
    pub(crate) fn open_parent(&self) -> Option<(Result<OwnedFd, Errno>, &[u8])> {
        if self.is_allowed_itself {
            return None;
        }
        let (parent, name) = lexical::split_last(&self.rest)?;
        if !parent.is_empty() {
            return Some((Err(Errno::NOENT), name));
        }
        // A directory that is open for reading can be made durable. One that may not be read can still be used.
        let opened = match beneath::reopen(self.base.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::ACCESS) => self.base.try_clone().map_err(|error| errno(&error)),
            opened => opened,
        };
        Some((opened, name))
    }

    /// The last directory that exists, and the names from it on that do not: for making directories.
    pub(crate) fn remaining(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.base.as_fd(), &self.rest)
    }
}
