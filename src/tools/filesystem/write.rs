//! The tools `write_file` and `create_directory`.

use super::arguments::{Path, WriteFile};
use super::context::{Context, answer_line};
use super::error::{FsError, Stop};
use super::open_file::CHUNK;
use super::sandbox::beneath::{self, DIRECTORY_HANDLE, Links};
use super::sandbox::target::Target;
use super::sandbox::temporary::write_all;
use super::write_target::WriteTarget;
use crate::server::CallContext;
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;

/// `write_file`.
pub(crate) fn write_file(
    arguments: &WriteFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let file = WriteTarget::of(context.sandbox.resolve(arguments.path)?)?;
    let _lock = file.lock(context.sandbox)?;
    let mut room = [0; CHUNK];
    file.replace(context.sandbox, |new| {
        arguments.content.each_piece(&mut room, |piece| write_all(new, piece))
    })?;
    answer_line(call, &["Successfully wrote to ", arguments.path]);
    Ok(())
}

/// `create_directory`.
pub(crate) fn create_directory(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let target = context.sandbox.resolve(arguments.path)?;
    context.sandbox.spend(target.remaining().1.split(|byte| *byte == b'/').count())?;
    make_directories(&target)?;
    answer_line(call, &["Successfully created directory ", arguments.path]);
    Ok(())
}

/// Makes the missing directories of a path, each below the one before it.
fn make_directories(target: &Target) -> Result<(), FsError> {
    let failed = |errno| FsError::os(errno, "mkdir", target.path());
    let (root, below) = target.remaining();
    let mut parent: Option<OwnedFd> = None;
    for name in below.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let from = parent.as_ref().map_or(root, rustix::fd::AsFd::as_fd);
        match rustix::fs::mkdirat(from, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match beneath::open(from, name, DIRECTORY_HANDLE, Links::Refused) {
            Ok(directory) => parent = Some(directory),
            // A file that is no directory has that name.
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(failed(Errno::EXIST)),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}
