//! Moving: `move_file`, which never replaces anything.

use super::arguments::MoveFile;
use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::sandbox::{Sandbox, Target};
use super::write::{self, Temporary};
use crate::server::CallContext;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// `move_file`.
pub(super) fn move_file(
    arguments: &MoveFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let source = context.sandbox.resolve(arguments.source)?;
    let destination = context.sandbox.resolve(arguments.destination)?;
    if destination.exists {
        return Err(FsError::DestinationExists { path: shown(destination.path()) }.into());
    }
    move_resolved(context.sandbox, &source, &destination)?;
    write::answer(call, &["Successfully moved ", arguments.source, " to ", arguments.destination]);
    Ok(())
}

fn move_resolved(sandbox: &Sandbox, source: &Target, destination: &Target) -> Result<(), FsError> {
    let failed = |errno| match errno {
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
    // Writers of either wait. Always in the same order, so that two moves cannot wait for each other.
    let mut keys =
        [sandbox.key(&from, from_name).map_err(failed)?, sandbox.key(&to, to_name).map_err(failed)?];
    keys.sort_unstable();
    let _first = sandbox.lock(keys[0]);
    let _second = (keys[0] != keys[1]).then(|| sandbox.lock(keys[1]));
    match without_replacing(&from, from_name, &to, to_name) {
        Err(Errno::XDEV) => copy_and_delete(sandbox, &from, from_name, &to, to_name).map_err(failed)?,
        result => result.map_err(failed)?,
    }
    write::make_durable(&to).and_then(|()| write::make_durable(&from)).map_err(failed)
}

/// Renames, unless something has the new name: [`Errno::EXIST`].
pub(super) fn without_replacing(
    from: &OwnedFd,
    from_name: &[u8],
    to: &OwnedFd,
    to_name: &[u8],
) -> Result<(), Errno> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::RenameFlags;
        match rustix::fs::renameat_with(from, from_name, to, to_name, RenameFlags::NOREPLACE) {
            // Some file systems cannot, and say so like this. So may a directory moved into itself; it
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

/// Moves a regular file to another file system: complete under its new name before the old one goes.
fn copy_and_delete(
    sandbox: &Sandbox,
    from: &OwnedFd,
    from_name: &[u8],
    to: &OwnedFd,
    to_name: &[u8],
) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, from_name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&source)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        // As the reference says of everything that it cannot move there.
        return Err(Errno::XDEV);
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
    let mut copy = Temporary::create(sandbox, to, Some(mode))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match rustix::io::read(&source, &mut buffer[..]) {
            Ok(0) => break,
            Ok(len) => write::write_all(copy.file(), &buffer[..len])?,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    copy.complete()?;
    copy.rename_new(to_name)?;
    rustix::fs::unlinkat(from, from_name, AtFlags::empty())
}
