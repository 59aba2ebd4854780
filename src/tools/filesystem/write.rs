//! Writing: `write_file`, `edit_file`, `create_directory`.
//!
//! **Invariant: whoever reads a file sees the old content or the new one, and after a power cut too.** The
//! content goes into a temporary file (see `temporary.rs`), is made durable and takes the target's name, all below
//! one handle of the directory. Writers of one file take turns, so no edit is lost. What belongs to the old file
//! is given to the new one (see `attributes.rs`).

use super::Compat;
use super::arguments::{EditFile, Path, WriteFile};
use super::as_node::reference_edit;
use super::attributes::Attributes;
use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::read::{OpenFile, name_of};
use super::sandbox::access::{Sandbox, Target};
use super::sandbox::beneath::{self, DIRECTORY_HANDLE, Links};
use super::sandbox::lexical;
use super::sandbox::temporary::Temporary;
use super::text_edit::apply::{Work, apply, check_tellable, fenced_diff};
use crate::server::CallContext;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// `write_file`.
pub(crate) fn write_file(
    arguments: &WriteFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let place = Place::of(context.sandbox.resolve(arguments.path)?)?;
    let _turn = place.wait_for_turn(context.sandbox)?;
    place.replace(context.sandbox, arguments.content.as_bytes())?;
    answer(call, &["Successfully wrote to ", arguments.path]);
    Ok(())
}

/// `edit_file`.
pub(crate) fn edit_file(
    arguments: &EditFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let target = context.sandbox.resolve(arguments.path)?;
    // A first look gives the right error where there is no file, or nothing that can be edited.
    OpenFile::at(&target)?;
    let place = Place::of(target)?;
    let turn = place.wait_for_turn(context.sandbox)?;
    let file = OpenFile::at(&place.target)?;
    let limit_bytes = call.limits().max_reply_bytes;
    let path = shown(place.target.path());
    if file.bytes > limit_bytes as u64 {
        return Err(FsError::FileTooLarge { path, bytes: file.bytes, limit_bytes }.into());
    }
    let stored = match String::from_utf8(file.read_all(limit_bytes)?) {
        Ok(stored) => stored,
        Err(error) => {
            return Err(FsError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() }.into());
        }
    };
    let mut work = Work::new(call.limits().max_edit_scan_bytes, limit_bytes, context.cancellation);
    let edited = match context.compat {
        Compat::Default => apply(&stored, &arguments.edits, arguments.replace_all, &mut work)?,
        Compat::Reference => reference_edit::apply(&stored, &arguments.edits, &mut work)?,
    };
    let diff = fenced_diff(&path, &stored, &edited, &work)?;
    // An edit that cannot be told of is not made.
    check_tellable(&diff, limit_bytes)?;
    if !arguments.dry_run {
        place.replace(context.sandbox, edited.as_bytes())?;
    }
    drop(turn);
    call.text(&diff);
    call.structured_from_text();
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
    answer(call, &["Successfully created directory ", arguments.path]);
    Ok(())
}

/// Makes what is missing on the way to a directory, name by name below the one before.
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
            // Something else has that name.
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(failed(Errno::EXIST)),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

/// Answers with one line, in both forms.
pub(crate) fn answer(call: &mut CallContext, parts: &[&str]) {
    call.text_with(|text| parts.iter().for_each(|part| text.push_str(part)));
    call.structured_from_text();
}

/// Where a file is, or will be: a name in an open directory.
struct Place {
    target: Target,
    parent: OwnedFd,
}

impl Place {
    fn of(target: Target) -> Result<Self, FsError> {
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

    /// Puts `content` in the place of what is there, if anything.
    fn replace(&self, sandbox: &Sandbox, content: &[u8]) -> Result<(), FsError> {
        let old = self.attributes()?;
        let mut temporary =
            Temporary::create(sandbox, &self.parent, old.is_some()).map_err(|errno| self.failed(errno))?;
        let written = write_all(temporary.file(), content)
            .and_then(|()| old.map_or(Ok(()), |old| old.give_to_new_content(temporary.file())))
            .and_then(|()| temporary.complete());
        written.map_err(|errno| FsError::os(errno, "write", self.target.path()))?;
        // What has the name may come, and go, while the content is written.
        let placed = match temporary.take_free(self.name()) {
            Err(Errno::EXIST) => temporary.replace(self.name()),
            taken => taken,
        };
        placed.map_err(|errno| FsError::os(errno, "rename", self.target.path()))
    }

    /// What belongs to the file that is there, if there is one.
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
            // A link came after the path was resolved: it is not followed, nor replaced.
            FileType::Symlink => return Err(self.failed(Errno::LOOP)),
            kind => {
                let path = shown(self.target.path());
                return Err(FsError::NotRegular { path, kind: name_of(kind) });
            }
        }
        let opened = rustix::fs::openat(&self.parent, self.name(), flags, Mode::empty());
        // It may be a file that cannot be read, or another one by now.
        let opened = opened.ok().filter(|file| {
            rustix::fs::fstat(file)
                .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (named.st_dev, named.st_ino))
        });
        Ok(Some(Attributes::of(&named, opened.as_ref())))
    }
}

/// Writes all of it.
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
