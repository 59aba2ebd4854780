//! Writes a file under no name or a temporary one, and gives it its name when it is complete.
//!
//! **Invariant: an incomplete file never has its real name, and a temporary name is removed again.** On Linux the file
//! is made without any name (`O_TMPFILE`): a process that ends half-way leaves nothing. The file gets a name when its
//! content is durable: its real one where no file has that, or a temporary one for the moment until it is renamed over
//! the old file. Where files without names cannot be made, it has a temporary name from the start. While it has one,
//! this process holds a lock on it, which ends with the process: so `leftovers.rs` knows which files nobody will
//! rename.

use super::access::Sandbox;
use super::leftovers;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// How many names are tried for a temporary file.
const ATTEMPTS: usize = 16;

/// A new file, which is deleted again unless it gets its real name.
pub(crate) struct Temporary<'d> {
    sandbox: &'d Sandbox,
    parent: &'d OwnedFd,
    file: OwnedFd,
    /// The temporary name that it has now, if any.
    name: Option<String>,
}

impl<'d> Temporary<'d> {
    /// Makes an empty file. Nobody else may read a secret one until it is given its attributes.
    pub(crate) fn create(sandbox: &'d Sandbox, parent: &'d OwnedFd, is_secret: bool) -> Result<Self, Errno> {
        sandbox.state().leftovers.clean(parent);
        let mode = Mode::from_raw_mode(if is_secret { 0o600 } else { 0o666 });
        if let Some(file) = nameless(parent, mode) {
            return Ok(Self { sandbox, parent, file, name: None });
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for attempt in 0..ATTEMPTS {
            let name = leftovers::name(sandbox.state().random(attempt));
            match rustix::fs::openat(parent, &name[..], flags, mode) {
                Ok(file) => {
                    let temporary = Self { sandbox, parent, file, name: Some(name) };
                    // Before it was locked, another process may have taken it for a leftover and removed it.
                    if lock_file(&temporary.file) && has_name(&temporary.file) {
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

    /// Gives the file its real name, and replaces the file that has it now.
    pub(crate) fn replace(mut self, name: &[u8]) -> Result<(), Errno> {
        if self.name.is_none() && !lock_file(&self.file) {
            return Err(Errno::NOLCK);
        }
        for attempt in 0..ATTEMPTS {
            if self.name.is_some() {
                break;
            }
            let temporary = leftovers::name(self.sandbox.state().random(attempt));
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

    /// Gives the file its real name, and replaces nothing.
    ///
    /// # Errors
    /// [`Errno::EXIST`] where a file has that name.
    pub(crate) fn name_without_replacing(&mut self, name: &[u8]) -> Result<(), Errno> {
        match &self.name {
            None => link(&self.file, self.parent, name)?,
            Some(temporary) => {
                rename_without_replacing(self.parent, temporary.as_bytes(), self.parent, name)?;
                self.name = None;
            }
        }
        make_durable(self.parent)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // If this fails, nothing can be done about it.
            let _ = rustix::fs::unlinkat(self.parent, &name[..], AtFlags::empty());
        }
    }
}

/// Makes a file without a name, where the system can do that and can give it a name later.
#[cfg(target_os = "linux")]
fn nameless(parent: &OwnedFd, mode: Mode) -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, c".", flags, mode).ok()?;
    // Without `/proc` the file could not be linked later.
    let itself = rustix::fs::fstat(&file).ok()?;
    let linked = rustix::fs::stat(proc_path(&file)).ok()?;
    ((itself.st_dev, itself.st_ino) == (linked.st_dev, linked.st_ino)).then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_parent: &OwnedFd, _mode: Mode) -> Option<OwnedFd> {
    None
}

/// The name by which the kernel knows an open file of this process.
fn proc_path(file: &OwnedFd) -> String {
    use rustix::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Gives a file without a name a name that no file has.
fn link(file: &OwnedFd, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::linkat(rustix::fs::CWD, proc_path(file), parent, name, AtFlags::SYMLINK_FOLLOW)
}

/// Locks a file for as long as it is open. True also on file systems without locks, where no process removes leftovers.
pub(crate) fn lock_file(file: &OwnedFd) -> bool {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN) => false,
        Ok(()) | Err(_) => true,
    }
}

fn has_name(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0)
}

/// Renames a file; [`Errno::EXIST`] where a file has the new name.
pub(crate) fn rename_without_replacing(
    from: &OwnedFd,
    from_name: &[u8],
    to: &OwnedFd,
    to_name: &[u8],
) -> Result<(), Errno> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::RenameFlags;
        match rustix::fs::renameat_with(from, from_name, to, to_name, RenameFlags::NOREPLACE) {
            // Some file systems cannot, and say so like this. So may the move of a directory into itself, which
            // is refused again below.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return result,
        }
    }
    match rustix::fs::statat(to, to_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(from, from_name, to, to_name),
        Err(errno) => Err(errno),
    }
}

/// Makes the names in a directory durable. Does nothing on file systems and handles that cannot.
pub(crate) fn make_durable(directory: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(directory) {
        Err(Errno::INVAL | Errno::BADF | Errno::NOTSUP | Errno::ROFS) => Ok(()),
        result => result,
    }
}

/// Writes all of `content`.
pub(crate) fn write_all(file: &OwnedFd, mut content: &[u8]) -> Result<(), Errno> {
    while !content.is_empty() {
        match rustix::io::write(file, content) {
            Ok(0) => return Err(Errno::IO),
            Ok(len) => content = &content[len..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
