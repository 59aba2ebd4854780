//! The files of the allowed directories, page by page, without a memory of their tree.
//!
//! A page goes on behind a path, not at a number: whatever comes and goes meanwhile, a file that stays is listed once. It
//! walks depth first, names in byte order, links not followed, and of each directory on its way it holds some of the names
//! that come next; a directory whose names do not all have room is read again where they end. Every directory is opened
//! below the handle of its allowed directory. A page ends after a number of names, whether or not one of them was listed.

use super::as_node::media;
use super::error::FsError;
use super::held::HeldMemory;
use super::ignore_files::IgnoreFiles;
use super::sandbox::access::Sandbox;
use super::sandbox::beneath::HANDLE;
use super::sandbox::lexical;
use super::sandbox::listing::{self, Entry, Kind, LIST};
use super::sandbox::target::Target;
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_DEPTH};
use crate::protocol::Resource;
use crate::server::{CancellationToken, ResourcePage, ToolError};
use rustix::fs::FileType;
use std::vec::IntoIter;

/// Names that a page looks at before it ends.
const PAGE_NAMES: usize = 20_000;
/// Names that are held of all directories on the way, and at least of each.
const HELD_BYTES: usize = 48 * 1024;
const LEVEL_BYTES: usize = 320;
/// An entry beside its name: itself, in a list that may be half empty, and its block.
const ENTRY_BYTES: usize = 64;
/// Between the directory and the path below it in a position: no path holds it.
const SEPARATOR: u8 = 0;

/// Writes a page.
///
/// # Errors
/// When the page begins where none ended; when nobody waits for it any more; when there is no memory for it.
pub(super) fn list(sandbox: &Sandbox, page: &mut ResourcePage<'_>) -> Result<(), ToolError> {
    let held = HeldMemory::in_budget(page.large_messages());
    let position = page.position();
    let (at, mut behind) = match memchr::memchr(SEPARATOR, position) {
        Some(end) => (&position[..end], &position[end + 1..]),
        None if position.is_empty() => (position, position),
        None => return Err(ToolError::InvalidParams("this cursor was not given out here")),
    };
    let mut names = PAGE_NAMES;
    for directory in directories(sandbox) {
        if directory[..] < *at {
            continue;
        }
        let begins = if directory[..] == *at { std::mem::take(&mut behind) } else { &[] };
        // It was a directory a moment ago.
        let Ok(target) = sandbox.resolve_absolute(&directory) else { continue };
        let ignored = IgnoreFiles::new(sandbox, &target, page.limits());
        let mut walk = Walk {
            target: &target,
            ignored,
            cancellation: page.cancellation(),
            held: &held,
            levels: Vec::new(),
            held_bytes: 0,
            path: Vec::new(),
            begins,
            names,
        };
        if walk.write(page)? == Ended::Page {
            return Ok(());
        }
        names = walk.names;
    }
    Ok(())
}

/// The allowed directories by their real paths, sorted, without those that lie in another one.
fn directories(sandbox: &Sandbox) -> Vec<Box<[u8]>> {
    let real = |name: &[u8]| sandbox.resolve_absolute(name).ok().map(|target| Box::from(target.path()));
    let mut paths: Vec<Box<[u8]>> = sandbox.directories().names().filter_map(real).collect();
    paths.sort();
    let mut outer: Vec<Box<[u8]>> = Vec::new();
    for path in paths {
        if outer.iter().all(|outer| lexical::below(&path, outer).is_none()) {
            outer.push(path);
        }
    }
    outer
}

/// How a walk ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The page did.
    Page,
    /// All of the directory is done.
    Directory,
}

/// A walk through one allowed directory.
struct Walk<'w> {
    target: &'w Target,
    ignored: IgnoreFiles,
    cancellation: CancellationToken,
    held: &'w HeldMemory,
    levels: Vec<Level>,
    held_bytes: usize,
    /// The path of the current entry below the allowed directory.
    path: Vec<u8>,
    /// Everything up to this path is done, of which the names are left that were not come to yet.
    begins: &'w [u8],
    /// Names that the page may still look at.
    names: usize,
}

/// A directory on the way.
struct Level {
    entries: IntoIter<Entry>,
    held_bytes: usize,
    /// It has more entries than are held, and this is the last of those.
    last: Option<Box<[u8]>>,
    /// Bytes of the path that lead to this directory.
    path_len: usize,
}

impl Walk<'_> {
    fn write(&mut self, page: &mut ResourcePage<'_>) -> Result<Ended, ToolError> {
        if let Err(error) = self.enter() {
            return skip(error).map(|()| Ended::Directory);
        }
        while let Some(level) = self.levels.last_mut() {
            if self.cancellation.check().is_err() {
                return Err(ToolError::Cancelled);
            }
            self.path.truncate(level.path_len);
            let Some(entry) = level.entries.next() else {
                self.leave_or_go_on()?;
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&entry.name);
            let is_done = self.take_from_begin(&entry);
            if self.visit(entry.kind, is_done, page)? == Ended::Page {
                return Ok(Ended::Page);
            }
            if self.names == 0 {
                page.end_behind(&self.position());
                return Ok(Ended::Page);
            }
        }
        Ok(Ended::Directory)
    }

    /// Takes the name of the current entry from the path behind which the page begins. Returns whether the entry itself
    /// is done.
    fn take_from_begin(&mut self, entry: &Entry) -> bool {
        let (name, rest) = split_first(self.begins);
        let is_on_the_way = !name.is_empty() && name == &entry.name[..];
        self.begins = if is_on_the_way { rest } else { &[] };
        is_on_the_way
    }

    /// Lists the current entry, or enters it.
    fn visit(&mut self, kind: Kind, is_done: bool, page: &mut ResourcePage<'_>) -> Result<Ended, ToolError> {
        let path_bytes = self.target.path().len() + 1 + self.path.len();
        if kind == Kind::Link || path_bytes > MAX_PATH_BYTES || self.levels.len() >= MAX_PATH_DEPTH {
            return Ok(Ended::Directory);
        }
        let (_, name) = lexical::split_last(&self.path).unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let is_directory = kind == Kind::Directory;
        if name == ".git" || self.ignored.ignore(self.levels.len() - 1, &name, is_directory) {
            return Ok(Ended::Directory);
        }
        if is_directory {
            return match self.enter() {
                Ok(()) => Ok(Ended::Directory),
                Err(error) => skip(error).map(|()| Ended::Directory),
            };
        }
        if is_done {
            return Ok(Ended::Directory);
        }
        let Some(bytes) = self.file_bytes() else { return Ok(Ended::Directory) };
        let path = lexical::joined(self.target.path(), &self.path);
        let name = String::from_utf8_lossy(&self.path).into_owned();
        let resource = Resource::new(media::file_url(&path), name).size(bytes);
        let mime_type = media::mime_type(&path);
        let resource = if mime_type == media::UNKNOWN { resource } else { resource.mime_type(mime_type) };
        let has_room = page.push(&resource, &self.position())?;
        Ok(if has_room { Ended::Directory } else { Ended::Page })
    }

    /// The length of the current entry, if it is a file.
    fn file_bytes(&self) -> Option<u64> {
        let handle = self.target.open_below(&self.path, HANDLE).ok()?;
        let stat = rustix::fs::fstat(&handle).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file.then(|| u64::try_from(stat.st_size).unwrap_or(0))
    }

    fn position(&self) -> Vec<u8> {
        [self.target.path(), &[SEPARATOR], &self.path].concat()
    }

    /// Enters the current entry, a directory.
    fn enter(&mut self) -> Result<(), FsError> {
        let (name, _) = split_first(self.begins);
        let level = self.read(name, true)?;
        // What the page begins behind is gone.
        if level.entries.as_slice().first().is_none_or(|first| first.name[..] != *name) {
            self.begins = &[];
        }
        self.levels.push(level);
        if self.levels.len() > 1 {
            self.ignored.enter(self.target, &self.path);
        }
        Ok(())
    }

    /// Reads the directory at the current path, from a name on.
    fn read(&mut self, from: &[u8], is_included: bool) -> Result<Level, FsError> {
        let directory = self
            .target
            .open_below(&self.path, LIST)
            .map_err(|errno| FsError::os(errno, "scandir", &self.path))?;
        let most_bytes = HELD_BYTES.saturating_sub(self.held_bytes).max(LEVEL_BYTES);
        let part = listing::first_wanted(
            &directory,
            (most_bytes, ENTRY_BYTES),
            |name| if is_included { name >= from } else { name > from },
            || Ok(self.cancellation.check()?),
        );
        let listing::Part { entries, is_cut, looked_at } =
            part.map_err(|ended| ended.unwrap_or_else(|errno| FsError::os(errno, "scandir", &self.path)))?;
        self.names = self.names.saturating_sub(looked_at);
        let held_bytes: usize = entries.iter().map(|entry| entry.name.len() + ENTRY_BYTES).sum();
        self.held.hold_names(0, self.held_bytes + held_bytes)?;
        self.held_bytes += held_bytes;
        let last = entries.last().filter(|_| is_cut).map(|entry| entry.name.clone());
        Ok(Level { entries: entries.into_iter(), held_bytes, last, path_len: self.path.len() })
    }

    /// Reads on in the directory, or leaves it.
    fn leave_or_go_on(&mut self) -> Result<(), ToolError> {
        let Some(Level { held_bytes, last, .. }) = self.levels.pop() else { return Ok(()) };
        self.held_bytes -= held_bytes;
        if let Some(last) = last {
            match self.read(&last, false) {
                Ok(level) => {
                    self.levels.push(level);
                    return Ok(());
                }
                Err(error) => skip(error)?,
            }
        }
        if !self.levels.is_empty() {
            self.ignored.leave();
        }
        Ok(())
    }
}

/// What becomes of the walk where a directory cannot be read: it has no files.
fn skip(error: FsError) -> Result<(), ToolError> {
    match error {
        FsError::Cancelled(_) => Err(ToolError::Cancelled),
        FsError::OutOfMemory(_) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The first name of a path, and the others.
fn split_first(path: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'/', path) {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, &[]),
    }
}
