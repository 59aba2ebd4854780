//! Finds what a path leads to, and words the error of the reference server where it leads nowhere.
//!
//! A path is walked by handles: each name is looked up once, in the directory that the names before it led to. The walk
//! reads links and follows them itself, at most [`MAX_LINKS`] of them. Where a link leads out of its allowed directory,
//! the walk asks the system where the link ends; if that is in an allowed directory again, the walk begins anew there,
//! below that directory's handle. The length of the path bounds the number of steps, whatever is on the disk.

use super::beneath::{self, DIRECTORY_HANDLE, Links, MAX_LINKS};
use super::call_directories::{CallDirectories, OpenDirectory};
use super::lexical;
use super::listing::{self, LIST};
use super::target::Target;
use crate::limits::MAX_PATH_DEPTH;
use crate::tools::filesystem::error::{FsError, shown};
use rustix::fd::AsFd;
use rustix::io::Errno;
use unicode_normalization::UnicodeNormalization;

/// The most names that are looked up for one path, those in links included.
pub(crate) const MAX_STEPS: usize = 4 * MAX_PATH_DEPTH;

/// The most names that are compared to find another spelling, for one path.
const MAX_COMPARED: usize = 200_000;

/// Which other spellings of a name are accepted when no file has exactly that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// The name in another Unicode form.
    AnyForm,
    /// That, or the name with other kinds of blanks, if only one file has such a name: macOS writes U+202F into the
    /// names of screenshots, which nobody types.
    AnyBlanks,
}

/// Resolves a clean, absolute path.
///
/// # Errors
/// In the words of the reference: the path lies outside, or leads there, or cannot be resolved.
pub(crate) fn resolve(
    directories: &CallDirectories,
    path: &[u8],
    spelling: Spelling,
) -> Result<Target, FsError> {
    let mut walk = PathWalk::new(directories, path, spelling)?;
    loop {
        if let Some(target) = walk.step()? {
            return Ok(target);
        }
    }
}

/// The same, and where the target was found: the index of the allowed directory, and the path below it, which has no
/// links.
pub(crate) fn locate(
    directories: &CallDirectories,
    path: &[u8],
) -> Result<(Target, usize, Vec<u8>), FsError> {
    let mut walk = PathWalk::new(directories, path, Spelling::AnyForm)?;
    loop {
        if let Some(target) = walk.step()? {
            let below = walk.below(target.remaining().1);
            return Ok((target, walk.index, below));
        }
    }
}

/// The walk along one path.
#[derive(Debug)]
struct PathWalk<'s> {
    directories: &'s CallDirectories,
    /// The path that was asked for, absolute: errors name it.
    request: &'s [u8],
    spelling: Spelling,
    /// The allowed directory that the walk is in.
    index: usize,
    /// The path below it to the current directory, without links.
    here: Vec<u8>,
    /// The current directory, open.
    handle: OpenDirectory<'s>,
    /// The text that the walk follows. Names before [`Self::at`] are done.
    pending: Vec<u8>,
    at: usize,
    /// Text of `pending` before this position comes from links, the rest from the request.
    linked: usize,
    links: usize,
    steps: usize,
    compared: usize,
}

impl<'s> PathWalk<'s> {
    fn new(directories: &'s CallDirectories, request: &'s [u8], spelling: Spelling) -> Result<Self, FsError> {
        let (index, below) = directories.locate(request).ok_or_else(|| directories.outside(request))?;
        let handle = directories.open(index).map_err(|errno| realpath(errno, request))?;
        let mut walk = Self {
            directories,
            request,
            spelling,
            index,
            here: Vec::new(),
            handle,
            pending: below.to_vec(),
            at: 0,
            linked: 0,
            links: 0,
            steps: 0,
            compared: 0,
        };
        walk.skip_to_parent();
        Ok(walk)
    }

    /// Goes to the directory that holds the last name in one step, if there is no link on the way.
    fn skip_to_parent(&mut self) {
        let Some((parent, _)) = lexical::split_last(&self.pending) else { return };
        if parent.is_empty() {
            return;
        }
        let opened = beneath::open(self.handle.as_fd(), parent, DIRECTORY_HANDLE, Links::Refused);
        if let Ok(opened) = opened {
            self.here = parent.to_vec();
            self.at = parent.len() + 1;
            self.handle = OpenDirectory::Owned(opened);
        }
    }

    /// Walks one name; gives the target after the last one.
    fn step(&mut self) -> Result<Option<Target>, FsError> {
        self.spend(1)?;
        let pending = &self.pending[self.at..];
        let len = pending.iter().position(|byte| *byte == b'/').unwrap_or(pending.len());
        let is_last = pending[len..].iter().all(|byte| *byte == b'/');
        match &pending[..len] {
            b"" if is_last => return self.target_at_directory().map(Some),
            b"" | b"." => self.at = (self.at + len + 1).min(self.pending.len()),
            b".." => self.go_up()?,
            name => {
                let name = name.to_vec();
                return self.look_up(&name, is_last);
            }
        }
        Ok(None)
    }

    fn spend(&mut self, steps: usize) -> Result<(), FsError> {
        self.steps += steps;
        if self.steps > MAX_STEPS || self.links > MAX_LINKS {
            return Err(realpath(Errno::LOOP, self.request));
        }
        self.directories.spend(steps)
    }

    fn look_up(&mut self, name: &[u8], is_last: bool) -> Result<Option<Target>, FsError> {
        if !is_last {
            match beneath::open_directory(self.handle.as_fd(), name) {
                Ok(opened) => {
                    self.handle = OpenDirectory::Owned(opened);
                    push(&mut self.here, name);
                    self.at = (self.at + name.len() + 1).min(self.pending.len());
                    return Ok(None);
                }
                // It is a link, or no directory.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                Err(errno) => return Err(realpath(errno, self.request)),
            }
        }
        match beneath::read_link(self.handle.as_fd(), name) {
            Ok(Some(target)) => self.follow(&target, name.len()).map(|()| None),
            Ok(None) if is_last => self.target(name.to_vec(), true).map(Some),
            Ok(None) => Err(realpath(Errno::NOTDIR, self.request)),
            Err(Errno::NOENT) => self.not_found(name),
            Err(errno) => Err(realpath(errno, self.request)),
        }
    }

    /// Replaces the name of a link by the path that the link holds.
    fn follow(&mut self, link: &[u8], name_len: usize) -> Result<(), FsError> {
        self.links += 1;
        let from = self.at + name_len;
        self.replace_pending(link, from);
        if !link.starts_with(b"/") {
            return Ok(());
        }
        let has_dots = link.split(|byte| *byte == b'/').any(|name| name == b"..");
        let clean = lexical::joined(b"/", link);
        match self.directories.locate(&clean) {
            Some((index, below)) if !has_dots => self.continue_in(index, below, link.len()),
            _ => self.leave_directory(),
        }
    }

    /// Replaces what is pending before `from` by text that comes from a link.
    fn replace_pending(&mut self, text: &[u8], from: usize) {
        let still_linked = self.linked.saturating_sub(from);
        let rest = self.pending.get(from..).unwrap_or_default();
        self.pending = [text, rest].concat();
        self.at = 0;
        self.linked = text.len() + still_linked;
    }

    /// Goes up for all `..` in a row at once, so that the whole row costs one look-up.
    fn go_up(&mut self) -> Result<(), FsError> {
        while self.pending[self.at..].starts_with(b"../") || &self.pending[self.at..] == b".." {
            let Some((parent, _)) = lexical::split_last(&self.here) else { return self.leave_directory() };
            let parent = parent.len();
            self.here.truncate(parent);
            self.at = (self.at + 3).min(self.pending.len());
        }
        self.spend(self.here.split(|byte| *byte == b'/').count())?;
        let root = self.open(self.index)?;
        let opened = beneath::open(root.as_fd(), &self.here, DIRECTORY_HANDLE, Links::Refused);
        self.handle = OpenDirectory::Owned(opened.map_err(|errno| realpath(errno, self.request))?);
        Ok(())
    }

    /// A link leads out of this allowed directory: asks the system where it ends.
    fn leave_directory(&mut self) -> Result<(), FsError> {
        self.links += 1;
        self.spend(1)?;
        // `here` may be some steps further up than the handle.
        let root = self.open(self.index)?;
        let from = if self.here.is_empty() {
            root
        } else {
            let here = beneath::open(root.as_fd(), &self.here, DIRECTORY_HANDLE, Links::Refused);
            OpenDirectory::Owned(here.map_err(|errno| realpath(errno, self.request))?)
        };
        let mut until = self.linked.max(self.at);
        let mut real = match beneath::real_path(from.as_fd(), &self.pending[self.at..until]) {
            Ok(real) => real,
            Err(errno) => return self.follow_to_nothing(&from, until, errno),
        };
        if self.directories.locate(&real).is_none() && until < self.pending.len() {
            // The remaining names may lead back inside. If not, the error must not tell what exists outside.
            until = self.pending.len();
            let found = beneath::real_path(from.as_fd(), &self.pending[self.at..until]);
            real = found.map_err(|_| self.directories.link_outside(self.request))?;
        }
        match self.directories.locate(&real) {
            Some((index, below)) => self.continue_in(index, below, until),
            None => Err(self.directories.link_outside(self.request)),
        }
    }

    /// Goes where a link to nothing leads, by its text alone: the answer must not tell what exists outside.
    #[cold]
    fn follow_to_nothing(
        &mut self,
        from: &OpenDirectory<'_>,
        until: usize,
        errno: Errno,
    ) -> Result<(), FsError> {
        let link = &self.pending[self.at..until];
        let leads_to = lexical::joined(&beneath::current_path(from.as_fd()).unwrap_or_default(), link);
        match self.directories.locate(&leads_to) {
            // Text alone does not tell where `..` leads.
            Some(_) if link.split(|byte| *byte == b'/').any(|name| name == b"..") => {
                Err(realpath(errno, self.request))
            }
            Some((index, below)) => {
                let below = below.to_vec();
                self.continue_in(index, &below, until)
            }
            None => Err(self.directories.link_outside(self.request)),
        }
    }

    /// Continues in an allowed directory, with the path below it in place of the first `link_len` pending bytes.
    fn continue_in(&mut self, index: usize, below: &[u8], link_len: usize) -> Result<(), FsError> {
        self.handle = self.open(index)?;
        self.index = index;
        self.here.clear();
        self.replace_pending(below, link_len);
        Ok(())
    }

    fn open(&self, index: usize) -> Result<OpenDirectory<'s>, FsError> {
        self.directories.open(index).map_err(|errno| realpath(errno, self.request))
    }

    /// No file has that name: it is stored in another spelling, or nothing exists from here on.
    fn not_found(&mut self, name: &[u8]) -> Result<Option<Target>, FsError> {
        if self.at < self.linked {
            return Err(no_parent(self.request));
        }
        if let Some(stored) = self.stored_name(name)? {
            let from = self.at + name.len();
            self.replace_pending(&stored, from);
            self.linked = 0;
            return Ok(None);
        }
        self.target(self.pending[self.at..].to_vec(), false).map(Some)
    }

    /// The walk ended in a directory, not at a name in one: the target is that directory.
    fn target_at_directory(&mut self) -> Result<Target, FsError> {
        let Some((parent, name)) = lexical::split_last(&self.here) else {
            return self.target(Vec::new(), true);
        };
        let (parent, name) = (parent.to_vec(), name.to_vec());
        let root = self.open(self.index)?;
        let opened = beneath::open(root.as_fd(), &parent, DIRECTORY_HANDLE, Links::Refused);
        self.handle = OpenDirectory::Owned(opened.map_err(|errno| realpath(errno, self.request))?);
        self.here = parent;
        self.target(name, true)
    }

    /// The path below the allowed directory that `rest` has.
    fn below(&self, rest: &[u8]) -> Vec<u8> {
        let mut below = self.here.clone();
        if !rest.is_empty() {
            push(&mut below, rest);
        }
        below
    }

    fn target(&mut self, rest: Vec<u8>, exists: bool) -> Result<Target, FsError> {
        let root = self.open(self.index)?;
        let path = lexical::joined(&self.directories.real_path(self.index, &root), &self.below(&rest));
        let base = std::mem::replace(&mut self.handle, root).into_owned();
        let base = base.map_err(|errno| realpath(errno, self.request))?;
        let is_allowed_itself =
            rest.is_empty() || self.directories.locate(&path).is_some_and(|(_, below)| below.is_empty());
        Ok(Target { base, rest, path, is_allowed_itself, exists })
    }

    /// Finds the name in this directory that `wanted` means.
    fn stored_name(&mut self, wanted: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        let Ok(text) = std::str::from_utf8(wanted) else { return Ok(None) };
        let any_blanks = self.spelling == Spelling::AnyBlanks && text.contains(is_blank);
        // Only a few ASCII characters are the canonical form of another character.
        if text.is_ascii() && !text.contains(['K', ';', '`']) && !any_blanks {
            return Ok(None);
        }
        let directory = beneath::reopen(self.handle.as_fd(), LIST).map_err(|errno| self.unlisted(errno))?;
        let (mut equivalent, mut alike) = (None, Vec::new());
        let (mut compared, mut is_enough) = (self.compared, false);
        let looked = listing::each_name(&directory, |name, _| {
            self.directories.spend(1)?;
            compared += 1;
            is_enough = compared > MAX_COMPARED || alike.len() > 1;
            if is_enough {
                return Err(FsError::TakesLong);
            }
            let Ok(name) = std::str::from_utf8(name) else { return Ok(()) };
            if name.nfc().eq(text.nfc()) {
                if equivalent.is_some() {
                    return Err(FsError::AmbiguousName { name: text.to_owned() });
                }
                equivalent = Some(name.to_owned());
            } else if any_blanks && plain(name).eq(plain(text)) {
                alike.push(name.to_owned());
            }
            Ok(())
        });
        self.compared = compared;
        match looked {
            Err(error) if !is_enough => {
                return Err(error.unwrap_or_else(|errno| self.unlisted(errno)));
            }
            _ => {}
        }
        alike.sort_unstable();
        match (equivalent, &alike[..]) {
            (Some(stored), _) => Ok(Some(stored.into_bytes())),
            (None, [only]) => Ok(Some(only.clone().into_bytes())),
            (None, [first, second, ..]) => Err(FsError::AmbiguousBlanks {
                name: text.to_owned(),
                first: first.clone(),
                second: second.clone(),
            }),
            (None, []) => Ok(None),
        }
    }

    fn unlisted(&self, errno: Errno) -> FsError {
        let parent = lexical::split_last(self.request).map_or(self.request, |(parent, _)| parent);
        FsError::os(errno, "scandir", parent)
    }
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Tells whether a character looks like a blank in a name.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\u{a0}' | '\u{202f}')
}

/// The text with one form of each character, and one kind of blank.
fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfc().map(|character| if is_blank(character) { ' ' } else { character })
}

/// Words the error of the reference for a path that the system cannot resolve.
fn realpath(errno: Errno, path: &[u8]) -> FsError {
    match errno {
        Errno::NOENT => no_parent(path),
        errno => FsError::os(errno, "realpath", path),
    }
}

fn no_parent(path: &[u8]) -> FsError {
    let parent = lexical::split_last(path).map_or(path, |(parent, _)| parent);
    FsError::NoParent { path: if parent.is_empty() { "/".to_owned() } else { shown(parent) } }
}
