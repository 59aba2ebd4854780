//! A file that is to be written: locked against other writers, and replaced as a whole.
//!
//! **Invariant: whoever reads the file sees the old content or the new one, also after a power cut.** The content goes
//! into a temporary file (see `sandbox/temporary.rs`), is made durable and takes the name of the target, all below one
//! handle of the directory. Only one call at a time writes a file, so that no edit is lost. The new file gets the
//! attributes of the old one (see `attributes.rs`).

use super::attributes::Attributes;
use super::error::{FsError, shown};
use super::open_file::kind_name;
use super::sandbox::access::Sandbox;
use super::sandbox::lexical;
use super::sandbox::target::Target;
use super::sandbox::temporary::Temporary;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::sync::MutexGuard;

/// The name of a file in an open directory, whether or not the file exists.
pub(crate) struct WriteTarget {
    target: Target,
    parent: OwnedFd,
}

impl WriteTarget {
    /// # Errors
    /// When the target is an allowed directory, or the directory that would hold it does not exist.
    pub(crate) fn of(target: Target) -> Result<Self, FsError> {
        let parent = match target.open_parent() {
            Some((Ok(parent), _)) => parent,
            Some((Err(errno), _)) => return Err(FsError::os(errno, "open", target.path())),
            None => return Err(FsError::os(Errno::ISDIR, "open", target.path())),
        };
        Ok(Self { target, parent })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    fn name(&self) -> &[u8] {
        lexical::split_last(self.target.path()).map_or(&[], |(_, name)| name)
    }

    fn failed(&self, errno: Errno) -> FsError {
        FsError::os(errno, "open", self.target.path())
    }

    /// Waits for other writers of this file, and keeps them out until the guard is dropped.
    pub(crate) fn lock<'s>(&self, sandbox: &'s Sandbox) -> Result<MutexGuard<'s, ()>, FsError> {
        let key = sandbox.state().key(&self.parent, self.name()).map_err(|errno| self.failed(errno))?;
        Ok(sandbox.state().lock(key))
    }

    /// Puts what `write` writes in place of the old file, if there is one.
    pub(crate) fn replace(
        &self,
        sandbox: &Sandbox,
        write: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), FsError> {
        let old = self.attributes()?;
        let mut temporary =
            Temporary::create(sandbox, &self.parent, old.is_some()).map_err(|errno| self.failed(errno))?;
        let written = write(temporary.file())
            .and_then(|()| old.map_or(Ok(()), |old| old.give_to_new_content(temporary.file())))
            .and_then(|()| temporary.complete());
        written.map_err(|errno| FsError::os(errno, "write", self.target.path()))?;
        // A file of that name may appear, and disappear, while the content is written.
        let placed = match temporary.name_without_replacing(self.name()) {
            Err(Errno::EXIST) => temporary.replace(self.name()),
            taken => taken,
        };
        placed.map_err(|errno| FsError::os(errno, "rename", self.target.path()))
    }

    /// The attributes of the old file, if there is one.
    fn attributes(&self) -> Result<Option<Attributes>, FsError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let named = match rustix::fs::statat(&self.parent, self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => named,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed(errno)),
        };
        match FileType::from_raw_mode(named.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(self.failed(Errno::ISDIR)),
            // The link was made after the path was resolved: it is neither followed nor replaced.
            FileType::Symlink => return Err(self.failed(Errno::LOOP)),
            kind => {
                let path = shown(self.target.path());
                return Err(FsError::NotRegular { path, kind: kind_name(kind) });
            }
        }
        let opened = rustix::fs::openat(&self.parent, self.name(), flags, Mode::empty());
        // The file may be unreadable, or a different one by now.
        let opened = opened.ok().filter(|file| {
            rustix::fs::fstat(file)
                .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (named.st_dev, named.st_ino))
        });
        Ok(Some(Attributes::of(&named, opened.as_ref())))
    }
}
