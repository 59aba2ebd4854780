//! Writing: `write_file`, `edit_file`, `create_directory`.
//!
//! **Invariant: whoever reads a file sees the old content or the new one, and after a power cut too.** The
//! content goes into a temporary file beside the target, is made durable and renamed over it, all below
//! one handle of the directory. A temporary file does not survive a failure. Writers of one file take
//! turns, so no edit is lost.

use super::arguments::{EditFile, Path, WriteFile};
use super::beneath::{self, DIRECTORY_HANDLE, Links};
use super::context::Context;
use super::edit;
use super::error::{FsError, Stop, shown};
use super::lexical;
use super::read::{OpenFile, name_of};
use super::sandbox::{Sandbox, Target};
use crate::server::CallContext;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fmt::Write as _;

/// Names tried for a temporary file.
const ATTEMPTS: usize = 16;

/// `write_file`.
pub(super) fn write_file(
    arguments: &WriteFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let place = Place::find(context.sandbox, arguments.path)?;
    let _turn = place.wait_for_turn(context.sandbox)?;
    place.replace(context.sandbox, arguments.content.as_bytes())?;
    answer(call, &["Successfully wrote to ", arguments.path]);
    Ok(())
}

/// `edit_file`.
pub(super) fn edit_file(
    arguments: &EditFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    // A first look gives the right error where there is no file, or nothing that can be edited.
    OpenFile::open_with_target(context.sandbox, arguments.path)?;
    let place = Place::find(context.sandbox, arguments.path)?;
    let turn = place.wait_for_turn(context.sandbox)?;
    let (file, target) = OpenFile::open_with_target(context.sandbox, arguments.path)?;
    let limit_bytes = call.limits().max_reply_bytes;
    let path = shown(target.path());
    if file.bytes > limit_bytes as u64 {
        return Err(FsError::FileTooLarge { path, bytes: file.bytes, limit_bytes }.into());
    }
    let stored = match String::from_utf8(file.read_all(limit_bytes)?) {
        Ok(stored) => stored,
        Err(error) => {
            return Err(FsError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() }.into());
        }
    };
    let original = edit::with_unix_line_ends(&stored);
    let edited = edit::apply(&original, &arguments.edits)?;
    if !arguments.dry_run {
        place.replace(context.sandbox, edited.as_bytes())?;
    }
    drop(turn);
    call.text(&edit::fenced_diff(&path, &original, &edited));
    call.structured_from_text();
    Ok(())
}

/// `create_directory`.
pub(super) fn create_directory(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let target = context.sandbox.resolve(arguments.path)?;
    make_directories(&target)?;
    answer(call, &["Successfully created directory ", arguments.path]);
    Ok(())
}

/// Makes what is missing on the way to a directory, name by name below the one before.
fn make_directories(target: &Target) -> Result<(), FsError> {
    let failed = |errno| FsError::os(errno, "mkdir", target.path());
    let (root, below) = target.below_allowed();
    let mut parent: Option<OwnedFd> = None;
    for name in below.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let from = parent.as_ref().map_or(root, rustix::fd::AsFd::as_fd);
        match rustix::fs::mkdirat(from, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match beneath::open(from, name, DIRECTORY_HANDLE, Links::Refused) {
            Ok(directory) => parent = Some(directory),
            // Something else has that name.
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(failed(Errno::EXIST)),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

/// Answers with one line, in both forms.
pub(super) fn answer(call: &mut CallContext, parts: &[&str]) {
    call.text_with(|text| parts.iter().for_each(|part| text.push_str(part)));
    call.structured_from_text();
}

/// Where a file is, or will be: a name in an open directory.
struct Place {
    target: Target,
    parent: OwnedFd,
}

impl Place {
    fn find(sandbox: &Sandbox, request: &str) -> Result<Self, FsError> {
        let target = sandbox.resolve(request)?;
        let parent = match target.open_parent() {
            Some((Ok(parent), _)) => parent,
            Some((Err(errno), _)) => return Err(FsError::os(errno, "open", target.path())),
            None => return Err(FsError::os(Errno::ISDIR, "open", target.path())),
        };
        Ok(Self { target, parent })
    }

    fn name(&self) -> &[u8] {
        lexical::split_last(self.target.path()).map_or(&[], |(_, name)| name)
    }

    fn failed(&self, errno: Errno) -> FsError {
        FsError::os(errno, "open", self.target.path())
    }

    fn wait_for_turn<'s>(&self, sandbox: &'s Sandbox) -> Result<std::sync::MutexGuard<'s, ()>, FsError> {
        let key = sandbox.key(&self.parent, self.name()).map_err(|errno| self.failed(errno))?;
        Ok(sandbox.lock(key))
    }

    /// Puts `content` in the place of what is there, if anything. The permission bits stay.
    fn replace(&self, sandbox: &Sandbox, content: &[u8]) -> Result<(), FsError> {
        let mode = match rustix::fs::statat(&self.parent, self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Some(Mode::from_raw_mode(stat.st_mode & 0o777)),
                FileType::Directory => return Err(self.failed(Errno::ISDIR)),
                // A link came after the path was resolved: it is not followed, nor replaced.
                FileType::Symlink => return Err(self.failed(Errno::LOOP)),
                kind => {
                    let path = shown(self.target.path());
                    return Err(FsError::NotRegular { path, kind: name_of(kind) });
                }
            },
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(self.failed(errno)),
        };
        let mut temporary =
            Temporary::create(sandbox, &self.parent, mode).map_err(|errno| self.failed(errno))?;
        temporary.fill(content).map_err(|errno| FsError::os(errno, "write", self.target.path()))?;
        temporary.rename(self.name()).map_err(|errno| FsError::os(errno, "rename", self.target.path()))
    }
}

/// A file under a name of its own, which is deleted again unless it gets its real name.
pub(super) struct Temporary<'d> {
    parent: &'d OwnedFd,
    name: String,
    file: OwnedFd,
    mode: Option<Mode>,
    is_renamed: bool,
}

impl<'d> Temporary<'d> {
    /// Makes an empty file. With a mode it is nobody else's until it is complete.
    pub(super) fn create(sandbox: &Sandbox, parent: &'d OwnedFd, mode: Option<Mode>) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = Mode::from_raw_mode(if mode.is_some() { 0o600 } else { 0o666 });
        let mut name = String::with_capacity(32);
        for attempt in 0..ATTEMPTS {
            name.clear();
            // Writing to a string does not fail. The name is short, so that it fits where the target's does.
            let _ = write!(name, ".mcpool-{:016x}.tmp", sandbox.random(attempt));
            match rustix::fs::openat(parent, &name[..], flags, created) {
                Ok(file) => return Ok(Self { parent, name, file, mode, is_renamed: false }),
                Err(Errno::EXIST | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Writes all of the content and makes it durable.
    fn fill(&mut self, content: &[u8]) -> Result<(), Errno> {
        write_all(&self.file, content)?;
        self.complete()
    }

    /// Sets the permissions and makes the content durable.
    pub(super) fn complete(&mut self) -> Result<(), Errno> {
        if let Some(mode) = self.mode {
            rustix::fs::fchmod(&self.file, mode)?;
        }
        rustix::fs::fsync(&self.file)
    }

    /// Gives the file its real name, over what has it now.
    fn rename(mut self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(self.parent, &self.name[..], self.parent, name)?;
        self.is_renamed = true;
        make_durable(self.parent)
    }

    /// Gives the file its real name, which nothing may have yet.
    pub(super) fn rename_new(mut self, name: &[u8]) -> Result<(), Errno> {
        super::rename::without_replacing(self.parent, self.name.as_bytes(), self.parent, name)?;
        self.is_renamed = true;
        make_durable(self.parent)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            // Nothing is left to do where this fails, too.
            let _ = rustix::fs::unlinkat(self.parent, &self.name[..], AtFlags::empty());
        }
    }
}

/// Writes all of it.
pub(super) fn write_all(file: &OwnedFd, mut content: &[u8]) -> Result<(), Errno> {
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

/// Makes a directory's names durable. Not every file system can, nor every handle.
pub(super) fn make_durable(directory: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(directory) {
        Err(Errno::INVAL | Errno::BADF | Errno::NOTSUP | Errno::ROFS) => Ok(()),
        result => result,
    }
}
