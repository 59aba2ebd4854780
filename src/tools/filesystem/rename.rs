//! The tool `move_file`, which never replaces a file.

use super::arguments::MoveFile;
use super::attributes::Attributes;
use super::context::{Context, answer_line};
use super::error::{FsError, Stop, shown};
use super::sandbox::access::Sandbox;
use super::sandbox::target::Target;
use super::sandbox::temporary::{Temporary, make_durable, rename_without_replacing, write_all};
use crate::server::{CallContext, CancellationToken, Cancelled};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

/// `move_file`.
pub(crate) fn move_file(
    arguments: &MoveFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let source = context.sandbox.resolve(arguments.source)?;
    let destination = context.sandbox.resolve(arguments.destination)?;
    if destination.exists {
        return Err(FsError::DestinationExists { path: shown(destination.path()) }.into());
    }
    move_resolved(context.sandbox, &source, &destination, context.cancellation)?;
    answer_line(call, &["Successfully moved ", arguments.source, " to ", arguments.destination]);
    Ok(())
}

fn move_resolved(
    sandbox: &Sandbox,
    source: &Target,
    destination: &Target,
    cancellation: &CancellationToken,
) -> Result<(), FsError> {
    let failed = |errno| match errno {
        Errno::CANCELED => FsError::Cancelled(Cancelled),
        Errno::EXIST => FsError::DestinationExists { path: shown(destination.path()) },
        errno => FsError::two(errno, "rename", source.path(), destination.path()),
    };
    let Some((from, from_name)) = source.open_parent() else {
        return Err(FsError::MovesAllowed { path: shown(source.path()) });
    };
    let Some((to, to_name)) = destination.open_parent() else {
        return Err(failed(Errno::EXIST));
    };
    let (from, to) = (from.map_err(failed)?, to.map_err(failed)?);
    // Both names are locked, always in the same order, so that two moves cannot wait for each other.
    let state = sandbox.state();
    let mut keys = [state.key(&from, from_name).map_err(failed)?, state.key(&to, to_name).map_err(failed)?];
    keys.sort_unstable();
    let _first = state.lock(keys[0]);
    let _second = (keys[0] != keys[1]).then(|| state.lock(keys[1]));
    match rename_without_replacing(&from, from_name, &to, to_name) {
        Err(Errno::XDEV) => {
            let copy = FileCopy { sandbox, from: &from, from_name, to: &to, to_name, cancellation };
            copy.move_file().map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    make_durable(&to).and_then(|()| make_durable(&from)).map_err(failed)
}

/// A regular file on its way to another file system.
struct FileCopy<'m> {
    sandbox: &'m Sandbox,
    from: &'m OwnedFd,
    from_name: &'m [u8],
    to: &'m OwnedFd,
    to_name: &'m [u8],
    cancellation: &'m CancellationToken,
}

impl FileCopy<'_> {
    /// Moves the file with its attributes: the copy is complete and durable under the new name before the old name is
    /// deleted, and whatever fails, the file ends up under one name only.
    fn move_file(&self) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = rustix::fs::openat(self.from, self.from_name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&source)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            // The error of the reference for everything that it cannot move there.
            return Err(Errno::XDEV);
        }
        let mut copy = Temporary::create(self.sandbox, self.to, true)?;
        self.fill(&source, copy.file())?;
        Attributes::of(&stat, Some(&source)).give_to(copy.file())?;
        rustix::fs::futimens(copy.file(), &times(&stat))?;
        copy.complete()?;
        copy.name_without_replacing(self.to_name)?;
        self.delete_source(&source, &stat).inspect_err(|_| self.remove_copy(copy.file()))
    }

    fn fill(&self, source: &OwnedFd, copy: &OwnedFd) -> Result<(), Errno> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.cancellation.check().map_err(|Cancelled| Errno::CANCELED)?;
            match rustix::io::read(source, &mut buffer[..]) {
                Ok(0) => return Ok(()),
                Ok(len) => write_all(copy, &buffer[..len])?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Deletes the file that was copied, unless somebody wrote to it meanwhile or replaced it.
    fn delete_source(&self, source: &OwnedFd, copied: &Stat) -> Result<(), Errno> {
        let state = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let now = rustix::fs::fstat(source)?;
        if state(&now) != state(copied) || !is_at(&now, self.from, self.from_name) {
            return Err(Errno::BUSY);
        }
        rustix::fs::unlinkat(self.from, self.from_name, AtFlags::empty())
    }

    /// Removes the copy when the file could not be deleted.
    fn remove_copy(&self, copy: &OwnedFd) {
        if rustix::fs::fstat(copy).is_ok_and(|stat| is_at(&stat, self.to, self.to_name)) {
            // The first error is the one that is reported.
            let _ = rustix::fs::unlinkat(self.to, self.to_name, AtFlags::empty());
        }
    }
}

/// Tells whether a file has that name.
fn is_at(stat: &Stat, directory: &OwnedFd, name: &[u8]) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|named| (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino))
}

#[allow(clippy::cast_possible_wrap, clippy::unnecessary_cast, reason = "the types differ between systems")]
fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    }
}
