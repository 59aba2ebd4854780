//! A file that is written before it takes its name.
//!
//! **Invariant: what is not complete has no name, and what has a name of ours is removed.** On Linux the file is made
//! without any name (`O_TMPFILE`): a process that ends half-way leaves nothing. It gets one when its content is
//! durable: its own where nothing has that, or a temporary one for the moment until it is renamed over the old file.
//! Where files without names cannot be made, it has a temporary one from the start. Whoever has a temporary name
//! holds a lock on the file, which ends with the process: by that `leftovers.rs` knows what nobody will rename.

use super::access::Sandbox;
use super::leftovers;
use crate::tools::filesystem::rename::without_replacing;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// Names tried for a temporary file.
const ATTEMPTS: usize = 16;

/// A file that is deleted again unless it gets its real name.
pub(crate) struct Temporary<'d> {
    sandbox: &'d Sandbox,
    parent: &'d OwnedFd,
    file: OwnedFd,
    /// The name that it has for now.
    name: Option<String>,
}

impl<'d> Temporary<'d> {
    /// Makes an empty file; a secret one is nobody else's until it is given its attributes.
    pub(crate) fn create(sandbox: &'d Sandbox, parent: &'d OwnedFd, is_secret: bool) -> Result<Self, Errno> {
        sandbox.leftovers().clean(parent);
        let mode = Mode::from_raw_mode(if is_secret { 0o600 } else { 0o666 });
        if let Some(file) = nameless(parent, mode) {
            return Ok(Self { sandbox, parent, file, name: None });
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for attempt in 0..ATTEMPTS {
            let name = leftovers::name(sandbox.random(attempt));
            match rustix::fs::openat(parent, &name[..], flags, mode) {
                Ok(file) => {
                    let temporary = Self { sandbox, parent, file, name: Some(name) };
                    // Until it is locked, another process may take it for a leftover.
                    if lock(&temporary.file) && has_name(&temporary.file) {
                        return Ok(temporary);
                    }
                }
                Err(Errno::EXIST | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    }

    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Makes the content durable.
    pub(crate) fn complete(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.file)
    }

    /// Gives the file its real name, over what has it now.
    pub(crate) fn replace(mut self, name: &[u8]) -> Result<(), Errno> {
        if self.name.is_none() && !lock(&self.file) {
            return Err(Errno::NOLCK);
        }
        for attempt in 0..ATTEMPTS {
            if self.name.is_some() {
                break;
            }
            let temporary = leftovers::name(self.sandbox.random(attempt));
            match link(&self.file, self.parent, temporary.as_bytes()) {
                Ok(()) => self.name = Some(temporary),
                Err(Errno::EXIST | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let temporary = self.name.as_ref().ok_or(Errno::EXIST)?;
        rustix::fs::renameat(self.parent, &temporary[..], self.parent, name)?;
        self.name = None;
        make_durable(self.parent)
    }

    /// Gives the file its real name.
    ///
    /// # Errors
    /// [`Errno::EXIST`] where something has that name.
    pub(crate) fn take_free(&mut self, name: &[u8]) -> Result<(), Errno> {
        match &self.name {
            None => link(&self.file, self.parent, name)?,
            Some(temporary) => {
                without_replacing(self.parent, temporary.as_bytes(), self.parent, name)?;
                self.name = None;
            }
        }
        make_durable(self.parent)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing is left to do where this fails, too.
            let _ = rustix::fs::unlinkat(self.parent, &name[..], AtFlags::empty());
        }
    }
}

/// A file without a name, where such a file can be made and be given one later.
#[cfg(target_os = "linux")]
fn nameless(parent: &OwnedFd, mode: Mode) -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, c".", flags, mode).ok()?;
    // The way by which it is linked may be closed, where `/proc` is not there.
    let itself = rustix::fs::fstat(&file).ok()?;
    let by_way = rustix::fs::stat(way_to(&file)).ok()?;
    ((itself.st_dev, itself.st_ino) == (by_way.st_dev, by_way.st_ino)).then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_parent: &OwnedFd, _mode: Mode) -> Option<OwnedFd> {
    None
}

/// The name by which the kernel knows an open file of this process.
fn way_to(file: &OwnedFd) -> String {
    use rustix::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Gives a file without a name one that nothing has.
fn link(file: &OwnedFd, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::linkat(rustix::fs::CWD, way_to(file), parent, name, AtFlags::SYMLINK_FOLLOW)
}

/// Locks a file for as long as it is open; file systems without locks have no leftovers either: nobody looks for
/// some there.
pub(crate) fn lock(file: &OwnedFd) -> bool {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN) => false,
        Ok(()) | Err(_) => true,
    }
}

fn has_name(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0)
}

/// Makes a directory's names durable. Not every file system can, nor every handle.
pub(crate) fn make_durable(directory: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(directory) {
        Err(Errno::INVAL | Errno::BADF | Errno::NOTSUP | Errno::ROFS) => Ok(()),
        result => result,
    }
}
