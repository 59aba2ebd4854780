//! What one call may do with a path: open it, resolve it, and lock the file that it names.
//!
//! **Invariant: every file is opened below a handle of an allowed directory, by a system call that cannot leave it**, or by
//! its whole name, which begins with that of the directory, by one that follows no link: it cannot leave it either. Paths are
//! compared as text only to choose between the two, and the handle. A wrong choice, or a directory that is exchanged between
//! the comparison and the call, ends in an error, never outside.
//!
//! There are two ways to a file. [`Sandbox::open`] tries the request as it is: at once, and where there are links below the
//! directory, where the kernel follows them. Paths of usual length need no allocation. Where that fails, or more must be
//! known than the content of the file, [`Sandbox::resolve`] finds the directory that holds the file (name by name where
//! there are links) and words errors as the reference server does. Everything after that uses the name in this open directory: a path is looked up once.

use super::allowed::AllowedDirectories;
use super::beneath::{self, Links};
use super::call_directories::CallDirectories;
use super::lexical::{self, PathBytes};
use super::resolve::{self, Spelling};
use super::target::Target;
use super::toolset_state::ToolsetState;
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_DEPTH};
use crate::server::CancellationToken;
use crate::tools::filesystem::compat::Compat;
use crate::tools::filesystem::error::{FsError, shortened};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::sync::Arc;

/// How often a path is resolved again when somebody changes it meanwhile.
const ATTEMPTS: usize = 8;

/// What the files are that a call may reach, for who reads some of them after the call.
#[derive(Debug)]
pub(crate) struct Reach {
    allowed: Arc<AllowedDirectories>,
    state: Arc<ToolsetState>,
    spelling_to_read: Spelling,
}

impl Reach {
    /// The same files, for a thread that may block.
    pub(crate) fn enter(&self) -> Sandbox {
        let directories = CallDirectories::new(Arc::clone(&self.allowed), None, None);
        let (state, spelling_to_read) = (Arc::clone(&self.state), self.spelling_to_read);
        Sandbox { directories, state, spelling_to_read }
    }
}

/// The files that one call may reach.
#[derive(Debug)]
pub(crate) struct Sandbox {
    directories: CallDirectories,
    state: Arc<ToolsetState>,
    /// Which stored names a name may mean, for files that are only read.
    spelling_to_read: Spelling,
}

impl Sandbox {
    pub(crate) fn new(
        allowed: Arc<AllowedDirectories>,
        state: Arc<ToolsetState>,
        inline_names: Option<usize>,
        cancellation: Option<CancellationToken>,
    ) -> Self {
        let directories = CallDirectories::new(allowed, inline_names, cancellation);
        Self { directories, state, spelling_to_read: Spelling::AnyBlanks }
    }

    /// Sets whether names mean what the reference takes them for.
    pub(crate) fn compat(mut self, compat: Compat) -> Self {
        self.spelling_to_read = match compat {
            Compat::Default => Spelling::AnyBlanks,
            Compat::Reference => Spelling::AnyForm,
        };
        self
    }

    /// What the call may reach.
    pub(crate) fn reach(&self) -> Reach {
        let allowed = Arc::clone(self.directories.allowed());
        Reach { allowed, state: Arc::clone(&self.state), spelling_to_read: self.spelling_to_read }
    }

    /// Counts names that are looked up or made.
    ///
    /// # Errors
    /// As for [`CallDirectories::spend`].
    pub(crate) fn spend(&self, names: usize) -> Result<(), FsError> {
        self.directories.spend(names)
    }

    /// The allowed directories.
    pub(crate) fn directories(&self) -> &CallDirectories {
        &self.directories
    }

    /// What all sessions share.
    pub(crate) fn state(&self) -> &ToolsetState {
        &self.state
    }

    /// Opens what a request names; links are followed. [`Sandbox::resolve`] tells why that failed.
    ///
    /// # Errors
    /// [`FsError`] when the request is no path in an allowed directory, the inner error when it cannot be opened this
    /// way.
    pub(crate) fn open(&self, request: &str, flags: OFlags) -> Result<Result<OwnedFd, Errno>, FsError> {
        self.open_clean(&self.absolute(request)?, flags)
    }

    fn open_clean(&self, path: &[u8], flags: OFlags) -> Result<Result<OwnedFd, Errno>, FsError> {
        let directories = &self.directories;
        let (index, below) = directories.locate(path).ok_or_else(|| directories.outside(path))?;
        if let Ok(opened) = directories.open_at_once(index, path, flags) {
            return Ok(Ok(opened));
        }
        let opened = directories.open(index);
        Ok(opened.and_then(|directory| beneath::open(directory.as_fd(), below, flags, Links::Followed)))
    }

    /// Opens what an absolute path names, which need not be UTF-8; links are followed.
    ///
    /// # Errors
    /// As for [`Sandbox::open_resolved`].
    pub(crate) fn open_absolute(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, FsError> {
        let path = clean(path)?;
        match self.open_clean(&path, flags)? {
            Ok(opened) => Ok(opened),
            // A link may lead to another allowed directory.
            Err(_) => self.open_spelled(&path, flags, "open", Spelling::AnyForm).map(|(opened, _)| opened),
        }
    }

    /// Resolves what an absolute path names, which need not be UTF-8.
    ///
    /// # Errors
    /// As for [`Sandbox::resolve`].
    pub(crate) fn resolve_absolute(&self, path: &[u8]) -> Result<Target, FsError> {
        resolve::resolve(&self.directories, &clean(path)?, Spelling::AnyForm)
    }

    /// Resolves what a request names, through all links.
    ///
    /// # Errors
    /// In the reference's words: the path is outside, or leads there, or cannot be resolved.
    pub(crate) fn resolve(&self, request: &str) -> Result<Target, FsError> {
        resolve::resolve(&self.directories, &self.absolute(request)?, Spelling::AnyForm)
    }

    /// The same for a file that is only read: its name may also have other blanks than the request.
    pub(crate) fn resolve_to_read(&self, request: &str) -> Result<Target, FsError> {
        resolve::resolve(&self.directories, &self.absolute(request)?, self.spelling_to_read)
    }

    /// Resolves and opens what a request names, with the errors of the reference. Errors name the call `verb`.
    pub(crate) fn open_resolved(
        &self,
        request: &str,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<(OwnedFd, Target), FsError> {
        self.open_spelled(&self.absolute(request)?, flags, verb, Spelling::AnyForm)
    }

    /// The same for a file that is only read.
    pub(crate) fn open_to_read(
        &self,
        request: &str,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<(OwnedFd, Target), FsError> {
        self.open_spelled(&self.absolute(request)?, flags, verb, self.spelling_to_read)
    }

    fn open_spelled(
        &self,
        path: &[u8],
        flags: OFlags,
        verb: &'static str,
        spelling: Spelling,
    ) -> Result<(OwnedFd, Target), FsError> {
        let mut attempt = 0;
        loop {
            let target = resolve::resolve(&self.directories, path, spelling)?;
            attempt += 1;
            match target.open(flags) {
                Ok(opened) => return Ok((opened, target)),
                // There were no links, and now there are some: somebody exchanges names at this moment.
                Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) if attempt < ATTEMPTS => {}
                Err(errno) => return Err(FsError::os(errno, verb, target.path())),
            }
        }
    }

    /// Opens a handle of what the link at `path` below a directory leads to.
    ///
    /// # Errors
    /// When that is outside, or does not exist.
    pub(crate) fn follow(&self, directory: &Target, path: &[u8]) -> Result<OwnedFd, FsError> {
        let link = lexical::joined(directory.path(), path);
        let linked = resolve::resolve(&self.directories, &link, Spelling::AnyForm)?;
        linked.open(beneath::HANDLE).map_err(|errno| FsError::os(errno, "stat", linked.path()))
    }

    /// Finds the allowed directory that a directory lies in, and the path below it. `None` when it lies in none or does
    /// not exist.
    pub(crate) fn locate_directory(&self, path: &[u8]) -> Option<(usize, Box<[u8]>)> {
        check(path).ok()?;
        let (target, index, below) = resolve::locate(&self.directories, path).ok()?;
        target.open(beneath::DIRECTORY_HANDLE).ok()?;
        Some((index, below.into()))
    }

    /// The absolute path that a request means, as text.
    ///
    /// # Errors
    /// When the request is no path, or too long for one.
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
            return lexical::joined(&self.state.home, rest.trim_start_matches('/').as_bytes());
        }
        let request = request.as_bytes();
        if request.starts_with(b"/") {
            return lexical::joined(b"/", request);
        }
        let mut first = None;
        for directory in self.directories.names() {
            let path = lexical::joined(directory, request);
            if self.directories.locate(&path).is_some() {
                return path;
            }
            first.get_or_insert(path);
        }
        first.unwrap_or_else(|| lexical::joined(&self.state.base, request))
    }
}

/// The clean form of an absolute path.
fn clean(path: &[u8]) -> Result<PathBytes, FsError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(FsError::PathTooLong { path: shortened(path), bytes: path.len() });
    }
    let path = lexical::joined(b"/", path);
    check(&path)?;
    Ok(path)
}

/// Checks that a clean path is not too long or too deep.
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
