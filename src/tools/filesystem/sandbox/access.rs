//! What one call may reach: the allowed directories, opened for it, and what may be opened below them.
//!
//! **Invariant: every file is opened below a handle of an allowed directory, by a call that cannot leave
//! it.** Names are compared only to find out below which handle a request belongs; a wrong guess, or a
//! directory exchanged between the comparison and the call, ends in an error, never outside.
//!
//! Two ways lead to a file. [`Sandbox::open`] tries the request as it is, links followed by the kernel: no
//! allocation for paths of usual length. Where that fails, or more must be known than what is in the file,
//! [`Sandbox::resolve`] finds the directory that holds it, name by name where links are in the way, and
//! says what the reference server would. Whatever is done then is done to a name in that open directory:
//! a path is looked up once.

use super::beneath::{self, DIRECTORY_HANDLE, Links};
use super::directories::{Allowed, Ground};
use super::leftovers::Leftovers;
use super::lexical::{self, PathBytes};
use super::resolve::{self, Spelling};
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_DEPTH};
use crate::lock::lock;
use crate::server::CancellationToken;
use crate::tools::filesystem::Compat;
use crate::tools::filesystem::error::{FsError, errno, shortened, shown};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::sync::{Arc, MutexGuard};

/// How often a path is resolved anew when it changes under our hands.
const ATTEMPTS: usize = 8;

/// Allowed directories that an error names.
const NAMED_IN_ERRORS: usize = 8;

/// What a path leads to: a name in an open directory, whether or not something has that name.
#[derive(Debug)]
pub(crate) struct Target {
    /// The directory that holds it; itself, where that is an allowed directory.
    base: OwnedFd,
    /// Its name in there. Empty for an allowed directory; more than one name where nothing is there yet.
    rest: Vec<u8>,
    /// The real path, absolute: words.
    path: PathBytes,
    is_allowed_itself: bool,
    pub(crate) exists: bool,
}

impl Target {
    pub(crate) fn new(
        sandbox: &Sandbox,
        base: OwnedFd,
        rest: Vec<u8>,
        path: PathBytes,
        exists: bool,
    ) -> Self {
        let is_allowed_itself =
            rest.is_empty() || sandbox.locate(&path).is_some_and(|(_, below)| below.is_empty());
        Self { base, rest, path, is_allowed_itself, exists }
    }

    /// The real path, absolute.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Opens what is there. Links are refused: there were none when the path was resolved.
    pub(crate) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.rest.is_empty() {
            return beneath::reopen(self.base.as_fd(), flags);
        }
        beneath::open(self.base.as_fd(), &self.rest, flags, Links::Refused)
    }

    /// Opens what is below, if this is a directory.
    pub(crate) fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if path.is_empty() {
            return self.open(flags);
        }
        let below = if self.rest.is_empty() { path.to_vec() } else { [&self.rest, path].join(&b'/') };
        beneath::open(self.base.as_fd(), &below, flags, Links::Refused)
    }

    /// Opens the directory that holds this, and names it in there; `None` for an allowed directory itself.
    pub(crate) fn open_parent(&self) -> Option<(Result<OwnedFd, Errno>, &[u8])> {
        if self.is_allowed_itself {
            return None;
        }
        let (parent, name) = lexical::split_last(&self.rest)?;
        if !parent.is_empty() {
            return Some((Err(Errno::NOENT), name));
        }
        // Opened for reading it can be made durable; where it may not be read, it can still be used.
        let opened = match beneath::reopen(self.base.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::ACCESS) => self.base.try_clone().map_err(|error| errno(&error)),
            opened => opened,
        };
        Some((opened, name))
    }

    /// A handle of what the link at `path` below leads to.
    ///
    /// # Errors
    /// When that is outside, or nothing.
    pub(crate) fn follow(&self, sandbox: &Sandbox, path: &[u8]) -> Result<OwnedFd, FsError> {
        let linked = resolve::resolve(sandbox, &lexical::joined(&self.path, path), Spelling::Stored)?;
        linked.open(beneath::HANDLE).map_err(|errno| FsError::os(errno, "stat", linked.path()))
    }

    /// The last directory on the way that is there, and the names from it on, for making directories.
    pub(crate) fn remaining(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.base.as_fd(), &self.rest)
    }
}

/// The files that one call may reach.
#[derive(Debug)]
pub(crate) struct Sandbox {
    allowed: Arc<Allowed>,
    ground: Arc<Ground>,
    inline_names: Option<usize>,
    /// Says when nobody waits any more; `None` where nothing lasts.
    cancellation: Option<CancellationToken>,
    /// What names of files that are only read may stand for.
    spelling_to_read: Spelling,
    /// Names looked at so far.
    spent: Cell<usize>,
    /// The directory that was needed first, open: most calls need no other.
    first: OnceCell<(usize, OwnedFd)>,
    /// Where directories are whose names are not their real paths.
    real_paths: OnceCell<Vec<(usize, PathBytes)>>,
}

/// An allowed directory, open.
#[derive(Debug)]
pub(crate) enum Root<'s> {
    Kept(BorrowedFd<'s>),
    Owned(OwnedFd),
}

impl AsFd for Root<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Kept(handle) => *handle,
            Self::Owned(handle) => handle.as_fd(),
        }
    }
}

impl Root<'_> {
    pub(crate) fn into_owned(self) -> Result<OwnedFd, Errno> {
        match self {
            Self::Kept(handle) => handle.try_clone_to_owned().map_err(|error| errno(&error)),
            Self::Owned(handle) => Ok(handle),
        }
    }
}

impl Sandbox {
    pub(crate) fn new(
        allowed: Arc<Allowed>,
        ground: Arc<Ground>,
        inline_names: Option<usize>,
        cancellation: Option<CancellationToken>,
    ) -> Self {
        let (first, real_paths) = (OnceCell::new(), OnceCell::new());
        let spelling_to_read = Spelling::AnyBlanks;
        let spent = Cell::new(0);
        Self { allowed, ground, inline_names, cancellation, spelling_to_read, spent, first, real_paths }
    }

    /// The same, where names mean what the reference takes them for.
    pub(crate) fn compat(mut self, compat: Compat) -> Self {
        self.spelling_to_read = match compat {
            Compat::Default => Spelling::AnyBlanks,
            Compat::Reference => Spelling::Stored,
        };
        self
    }

    /// Counts names that are looked at, or made.
    ///
    /// # Errors
    /// [`FsError::TakesLong`] when they are more than others should wait for, [`FsError::Cancelled`] when
    /// nobody waits for them.
    pub(crate) fn spend(&self, names: usize) -> Result<(), FsError> {
        self.cancellation.as_ref().map_or(Ok(()), CancellationToken::check)?;
        let spent = self.spent.get().saturating_add(names);
        self.spent.set(spent);
        match self.inline_names {
            Some(limit) if spent > limit => Err(FsError::TakesLong),
            _ => Ok(()),
        }
    }

    /// Opens an allowed directory as it is now, once for the whole call.
    pub(crate) fn root(&self, index: usize) -> Result<Root<'_>, Errno> {
        if let Some((kept, handle)) = self.first.get()
            && *kept == index
        {
            return Ok(Root::Kept(handle.as_fd()));
        }
        let handle = self.allowed.open(index)?;
        if self.first.get().is_some() {
            return Ok(Root::Owned(handle));
        }
        Ok(Root::Kept(self.first.get_or_init(|| (index, handle)).1.as_fd()))
    }

    /// Where an allowed directory is now, or else its name.
    pub(crate) fn real_path(&self, index: usize, root: &Root<'_>) -> PathBytes {
        beneath::place(root.as_fd()).unwrap_or_else(|| PathBytes::from_slice(self.allowed.name(index)))
    }

    fn real_paths(&self) -> &[(usize, PathBytes)] {
        self.real_paths.get_or_init(|| {
            let real = |index| {
                let path = self.real_path(index, &self.root(index).ok()?);
                (&path[..] != self.allowed.name(index)).then_some((index, path))
            };
            (0..self.allowed.len()).filter_map(real).collect()
        })
    }

    /// The innermost allowed directory that a clean path lies in, and the path below it.
    pub(crate) fn locate<'p>(&self, path: &'p [u8]) -> Option<(usize, &'p [u8])> {
        if path.contains(&0) {
            return None;
        }
        let innermost =
            |places: &mut dyn Iterator<Item = (usize, &'p [u8])>| places.min_by_key(|(_, below)| below.len());
        let mut by_name = self
            .allowed
            .names()
            .enumerate()
            .filter_map(|(index, name)| Some((index, lexical::below(path, name)?)));
        innermost(&mut by_name).or_else(|| {
            let real = self.real_paths().iter();
            innermost(&mut real.filter_map(|(index, real)| Some((*index, lexical::below(path, real)?))))
        })
    }

    /// Gives each allowed directory's name to `each`, and its real path where that is another.
    pub(crate) fn each_listed(&self, mut each: impl FnMut(&[u8])) {
        for (index, name) in self.allowed.names().enumerate() {
            each(name);
            if let Some((_, real)) = self.real_paths().iter().find(|(of, _)| *of == index)
                && self.allowed.names().all(|name| name != &real[..])
            {
                each(real);
            }
        }
    }

    /// All of them in one line, for messages.
    fn listed(&self) -> String {
        let (mut listed, mut count) = (String::new(), 0);
        self.each_listed(|path| {
            count += 1;
            if count <= NAMED_IN_ERRORS {
                listed.push_str(if count == 1 { "" } else { ", " });
                listed.push_str(&shown(path));
            }
        });
        if count > NAMED_IN_ERRORS {
            // Writing to a string does not fail.
            let _ = write!(listed, ", and {} more", count - NAMED_IN_ERRORS);
        }
        listed
    }

    #[cold]
    pub(crate) fn outside(&self, path: &[u8]) -> FsError {
        FsError::Outside { path: shown(path), allowed: self.listed() }
    }

    /// A link on the way of `path` leads outside. Where to is not said.
    #[cold]
    pub(crate) fn link_outside(&self, path: &[u8]) -> FsError {
        FsError::LinkOutside { path: shown(path), allowed: self.listed() }
    }

    /// Opens what a request means, links followed. On errors nothing is said of why: ask
    /// [`Sandbox::resolve`].
    ///
    /// # Errors
    /// [`FsError`] when the request is no path in here, the inner error when opening it this way fails.
    pub(crate) fn open(&self, request: &str, flags: OFlags) -> Result<Result<OwnedFd, Errno>, FsError> {
        let path = self.absolute(request)?;
        let (index, below) = self.locate(&path).ok_or_else(|| self.outside(&path))?;
        Ok(self.root(index).and_then(|root| beneath::open(root.as_fd(), below, flags, Links::Followed)))
    }

    /// What a request means, resolved through all links.
    ///
    /// # Errors
    /// In the reference's words: the path is outside, or leads there, or cannot be resolved.
    pub(crate) fn resolve(&self, request: &str) -> Result<Target, FsError> {
        resolve::resolve(self, &self.absolute(request)?, Spelling::Stored)
    }

    /// The same for a file that is only read: its name may also have other blanks than asked for.
    pub(crate) fn resolve_to_read(&self, request: &str) -> Result<Target, FsError> {
        resolve::resolve(self, &self.absolute(request)?, self.spelling_to_read)
    }

    /// Opens what a request means, with the reference's errors. `verb` is what errors call it.
    pub(crate) fn open_resolved(
        &self,
        request: &str,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<(OwnedFd, Target), FsError> {
        self.open_spelled(request, flags, verb, Spelling::Stored)
    }

    /// The same for a file that is only read.
    pub(crate) fn open_to_read(
        &self,
        request: &str,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<(OwnedFd, Target), FsError> {
        self.open_spelled(request, flags, verb, self.spelling_to_read)
    }

    fn open_spelled(
        &self,
        request: &str,
        flags: OFlags,
        verb: &'static str,
        spelling: Spelling,
    ) -> Result<(OwnedFd, Target), FsError> {
        let path = self.absolute(request)?;
        let mut attempt = 0;
        loop {
            let target = resolve::resolve(self, &path, spelling)?;
            attempt += 1;
            match target.open(flags) {
                Ok(opened) => return Ok((opened, target)),
                // What had no links has some now: somebody exchanges names right here.
                Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) if attempt < ATTEMPTS => {}
                Err(errno) => return Err(FsError::os(errno, verb, target.path())),
            }
        }
    }

    /// The place of a directory in here: an allowed directory, and the path below it.
    pub(crate) fn directory(&self, path: &[u8]) -> Option<(usize, Box<[u8]>)> {
        check(path).ok()?;
        let (target, index, below) = resolve::place(self, path).ok()?;
        target.open(DIRECTORY_HANDLE).ok()?;
        Some((index, below.into()))
    }

    /// Holds off other writers of the file of that name in a directory.
    pub(crate) fn lock(&self, file: FileKey) -> MutexGuard<'_, ()> {
        lock(&self.ground.locks[file.slot])
    }

    /// What to lock for a name in a directory.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "of another type on other systems")]
    pub(crate) fn key(&self, parent: &OwnedFd, name: &[u8]) -> Result<FileKey, Errno> {
        let stat = rustix::fs::fstat(parent)?;
        Ok(FileKey { slot: self.ground.slot(stat.st_dev as u64, stat.st_ino as u64, name) })
    }

    /// Where others left temporary files.
    pub(crate) fn leftovers(&self) -> &Leftovers {
        &self.ground.leftovers
    }

    /// A number that nobody can guess, for names of temporary files.
    pub(crate) fn random(&self, attempt: usize) -> u64 {
        let now = std::time::SystemTime::now();
        self.ground.hasher.hash_one((now, std::process::id(), attempt, std::thread::current().id()))
    }

    /// The absolute path that a request means, as text.
    ///
    /// # Errors
    /// When it is none, or too long for one.
    fn absolute(&self, request: &str) -> Result<PathBytes, FsError> {
        if request.len() > MAX_PATH_BYTES {
            let path = shortened(request.as_bytes());
            return Err(FsError::PathTooLong { path, bytes: request.len() });
        }
        if lexical::is_windows_drive(request) {
            return Err(FsError::WindowsPath { path: request.to_owned() });
        }
        let path = self.joined(request);
        check(&path)?;
        Ok(path)
    }

    fn joined(&self, request: &str) -> PathBytes {
        if let Some(rest) = lexical::below_home(request) {
            return lexical::joined(&self.ground.home, rest.trim_start_matches('/').as_bytes());
        }
        let request = request.as_bytes();
        if request.starts_with(b"/") {
            return lexical::joined(b"/", request);
        }
        let mut first = None;
        for directory in self.allowed.names() {
            let path = lexical::joined(directory, request);
            if self.locate(&path).is_some() {
                return path;
            }
            first.get_or_insert(path);
        }
        first.unwrap_or_else(|| lexical::joined(&self.ground.base, request))
    }
}

/// Holds a clean path against the bounds of one.
fn check(path: &[u8]) -> Result<(), FsError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(FsError::PathTooLong { path: shortened(path), bytes: path.len() });
    }
    let names = memchr::memchr_iter(b'/', path).count();
    if names > MAX_PATH_DEPTH {
        return Err(FsError::PathTooDeep { path: shortened(path), names });
    }
    Ok(())
}

/// Stands for a file that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileKey {
    slot: usize,
}
