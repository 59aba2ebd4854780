//! The files of the allowed directories, page by page, without a memory of their tree.
//!
//! A page goes on behind a path, not at a number: whatever comes and goes meanwhile, a file that stays is listed once. It
//! walks depth first, the names of each directory in byte order, links not followed, and of each directory on its way it
//! holds some of the names that come next; a directory whose names do not all have room is read again where they end. Every
//! directory is opened below the handle of its allowed directory.
//!
//! A page that goes on inside of directories reads only the innermost of them, and those around it once it leaves that one.
//! It ends before a directory that it would read after a number of names, whether or not one of them was listed; what
//! it has read by then it goes through, so that each page comes further than the one before it, however many names a
//! directory has.

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
/// What one reading of a directory counts at most. There is no reading a part of one; and of a directory with more names
/// the first are not read for the sake of a single file below each.
const READ_NAMES: usize = PAGE_NAMES / 2;
/// Names that are held of all directories on the way: each has three quarters of what is left, and at least so much.
const HELD_BYTES: usize = 60 * 1024;
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
    let not_given_out = || ToolError::InvalidParams("this cursor was not given out here");
    let (at, behind) = match memchr::memchr(SEPARATOR, position) {
        Some(end) => (&position[..end], &position[end + 1..]),
        None if position.is_empty() => (position, position),
        None => return Err(not_given_out()),
    };
    if !is_walkable(behind) {
        return Err(not_given_out());
    }
    let mut names = PAGE_NAMES;
    for directory in directories(sandbox) {
        if directory[..] < *at {
            continue;
        }
        let begins = (directory[..] == *at).then_some(behind);
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
    /// Where the page begins, if that is in this directory: the last name is done in the directory before it, with all
    /// that is below; an empty one is behind none.
    begins: Option<&'w [u8]>,
    /// Names that the page may still look at.
    names: usize,
}

/// A directory on the way.
struct Level {
    /// The entries that come next.
    entries: IntoIter<Entry>,
    held_bytes: usize,
    /// The directory is to be read when those are done, for what comes behind this name.
    behind: Option<Box<[u8]>>,
    /// Bytes of the path that lead to this directory.
    path_len: usize,
}

impl Walk<'_> {
    fn write(&mut self, page: &mut ResourcePage<'_>) -> Result<Ended, ToolError> {
        self.begin();
        while let Some(level) = self.levels.last_mut() {
            if self.cancellation.check().is_err() {
                return Err(ToolError::Cancelled);
            }
            self.path.truncate(level.path_len);
            if let Some(entry) = level.entries.next() {
                self.push_name(&entry.name);
                if self.visit(entry.kind, page)? == Ended::Page {
                    return Ok(Ended::Page);
                }
            } else if let Some(behind) = level.behind.take() {
                if self.names == 0 {
                    self.push_name(&behind);
                    page.end_behind(&self.position());
                    return Ok(Ended::Page);
                }
                self.read(&behind).or_else(skip)?;
            } else {
                self.leave();
            }
        }
        Ok(Ended::Directory)
    }

    /// Goes to where the page begins, without reading a directory: those around the innermost are read once it is left.
    /// Where one of them is gone or ignored by now, the walk goes on behind its name.
    fn begin(&mut self) {
        self.levels.push(Level::new(0));
        let mut begins = self.begins.unwrap_or_default();
        loop {
            let (name, rest) = split_first(begins);
            if let Some(level) = self.levels.last_mut() {
                level.behind = Some(name.into());
            }
            let Some(rest) = rest else { return };
            self.push_name(name);
            if !self.is_listed(Kind::Directory) {
                return;
            }
            self.enter();
            begins = rest;
        }
    }

    fn push_name(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    /// Whether the current entry is listed, or, if it is a directory, entered.
    fn is_listed(&mut self, kind: Kind) -> bool {
        let path_bytes = self.target.path().len() + 1 + self.path.len();
        if kind == Kind::Link || path_bytes > MAX_PATH_BYTES || self.levels.len() >= MAX_PATH_DEPTH {
            return false;
        }
        let (_, name) = lexical::split_last(&self.path).unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        name != ".git" && !self.ignored.ignore(self.levels.len() - 1, &name, kind == Kind::Directory)
    }

    /// Lists the current entry, or enters it.
    fn visit(&mut self, kind: Kind, page: &mut ResourcePage<'_>) -> Result<Ended, ToolError> {
        if !self.is_listed(kind) {
            return Ok(Ended::Directory);
        }
        if kind == Kind::Directory {
            self.enter();
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

    /// Where a page begins behind the current entry.
    fn position(&self) -> Vec<u8> {
        debug_assert!(self.begins.is_none_or(|begins| is_behind(&self.path, begins)), "{:?}", self.path);
        [self.target.path(), &[SEPARATOR], &self.path].concat()
    }

    /// Enters the current entry, a directory, which is read when the walk comes to its names.
    fn enter(&mut self) {
        self.levels.push(Level { behind: Some(Box::default()), ..Level::new(self.path.len()) });
        self.ignored.enter(self.target, &self.path);
    }

    /// Reads the innermost directory on the way, behind a name.
    fn read(&mut self, behind: &[u8]) -> Result<(), FsError> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        self.held_bytes -= std::mem::take(&mut level.held_bytes);
        let directory = self
            .target
            .open_below(&self.path, LIST)
            .map_err(|errno| FsError::os(errno, "scandir", &self.path))?;
        let left_bytes = HELD_BYTES.saturating_sub(self.held_bytes);
        let part = listing::first_wanted(
            &directory,
            (LEVEL_BYTES.max(left_bytes / 4 * 3), ENTRY_BYTES),
            |name| name > behind,
            || Ok(self.cancellation.check()?),
        );
        let listing::Part { entries, is_cut, looked_at } =
            part.map_err(|ended| ended.unwrap_or_else(|errno| FsError::os(errno, "scandir", &self.path)))?;
        // A directory without a name takes time, too.
        self.names = self.names.saturating_sub(looked_at.clamp(1, READ_NAMES));
        level.held_bytes = entries.iter().map(|entry| entry.name.len() + ENTRY_BYTES).sum();
        level.behind = entries.last().filter(|_| is_cut).map(|entry| entry.name.clone());
        level.entries = entries.into_iter();
        self.held_bytes += level.held_bytes;
        self.held.hold_names(0, self.held_bytes)
    }

    /// Leaves the innermost directory.
    fn leave(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.held_bytes -= level.held_bytes;
        }
        if !self.levels.is_empty() {
            self.ignored.leave();
        }
    }
}

impl Level {
    /// A directory of which nothing is to be listed.
    fn new(path_len: usize) -> Self {
        Self { entries: Vec::new().into_iter(), held_bytes: 0, behind: None, path_len }
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

/// The first name of a path, and the path behind it.
fn split_first(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', path) {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

/// Whether each name of a path but the last is that of an entry; the last is only compared.
fn is_walkable(path: &[u8]) -> bool {
    let mut names = path.rsplit(|byte| *byte == b'/').skip(1);
    names.all(|name| !matches!(name, b"" | b"." | b".."))
}

/// Whether a walk that begins at one path comes to the other. A directory is done once its name is; it begins at its
/// name, a slash and nothing.
fn is_behind(path: &[u8], begins: &[u8]) -> bool {
    let (name, rest) = split_first(path);
    let (first, others) = split_first(begins);
    match (rest, others) {
        _ if name != first => name > first,
        (Some(rest), Some(others)) => is_behind(rest, others),
        (rest, others) => rest.is_none() && others.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_have_the_order_of_the_walk() {
        let order: [&[u8]; 11] =
            [b"", b"a/", b"a/b/", b"a/b/c", b"a/b/d", b"a/b", b"a/c", b"a", b"a-b", b"ab/", b"ab"];
        for (at, path) in order.iter().enumerate() {
            for (begins_at, begins) in order.iter().enumerate() {
                assert_eq!(is_behind(path, begins), at > begins_at, "{path:?} {begins:?}");
            }
        }
    }

    #[test]
    fn positions_hold_names_alone() {
        for path in [&b""[..], b"a", b"a/", b"a/b", b".a/..b/", b"..", b"a/."] {
            assert!(is_walkable(path), "{path:?}");
        }
        for path in [&b"/"[..], b"/a", b"a//", b"a//b", b"../a", b"a/../b", b"./a", b"a/./"] {
            assert!(!is_walkable(path), "{path:?}");
        }
    }
}
