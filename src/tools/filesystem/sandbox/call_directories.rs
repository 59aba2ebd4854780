//! The allowed directories as one call sees them: each is opened at most once, and the names it looks up are counted.

use super::allowed::AllowedDirectories;
use super::beneath;
use super::lexical::{self, PathBytes};
use crate::server::CancellationToken;
use crate::tools::filesystem::error::{FsError, errno, shown};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;
use std::sync::Arc;

/// Allowed directories that an error names.
const NAMED_IN_ERRORS: usize = 8;

/// The allowed directories of one call.
#[derive(Debug)]
pub(crate) struct CallDirectories {
    allowed: Arc<AllowedDirectories>,
    /// Names that a call may look up where other requests wait for it; `None` on a thread that may block.
    inline_names: Option<usize>,
    /// Says when nobody waits for the answer any more; `None` where nothing takes long.
    cancellation: Option<CancellationToken>,
    /// Names looked up so far.
    spent: Cell<usize>,
    /// The directory that was needed first, open: most calls need no other.
    first: OnceCell<(usize, OwnedFd)>,
    /// The real paths of the directories whose names differ from them.
    real_paths: OnceCell<Vec<(usize, PathBytes)>>,
}

/// An allowed directory, open.
#[derive(Debug)]
pub(crate) enum OpenDirectory<'s> {
    Borrowed(BorrowedFd<'s>),
    Owned(OwnedFd),
}

impl AsFd for OpenDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Borrowed(handle) => *handle,
            Self::Owned(handle) => handle.as_fd(),
        }
    }
}

impl OpenDirectory<'_> {
    pub(crate) fn into_owned(self) -> Result<OwnedFd, Errno> {
        match self {
            Self::Borrowed(handle) => handle.try_clone_to_owned().map_err(|error| errno(&error)),
            Self::Owned(handle) => Ok(handle),
        }
    }
}

impl CallDirectories {
    pub(crate) fn new(
        allowed: Arc<AllowedDirectories>,
        inline_names: Option<usize>,
        cancellation: Option<CancellationToken>,
    ) -> Self {
        let (first, real_paths) = (OnceCell::new(), OnceCell::new());
        Self { allowed, inline_names, cancellation, spent: Cell::new(0), first, real_paths }
    }

    /// The directories, of which this call may have opened some.
    pub(crate) fn allowed(&self) -> &Arc<AllowedDirectories> {
        &self.allowed
    }

    /// The names of the directories, as they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.allowed.names()
    }

    /// Counts names that are looked up or made.
    ///
    /// # Errors
    /// [`FsError::TakesLong`] when there are more than other requests should wait for, [`FsError::Cancelled`] when
    /// nobody waits for the answer.
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
    pub(crate) fn open(&self, index: usize) -> Result<OpenDirectory<'_>, Errno> {
        if let Some((opened, handle)) = self.first.get()
            && *opened == index
        {
            return Ok(OpenDirectory::Borrowed(handle.as_fd()));
        }
        let handle = self.allowed.open(index)?;
        if self.first.get().is_some() {
            return Ok(OpenDirectory::Owned(handle));
        }
        Ok(OpenDirectory::Borrowed(self.first.get_or_init(|| (index, handle)).1.as_fd()))
    }

    /// Opens what a clean path names, which was located below a directory, in one system call. Fails where that does not tell
    /// whether it lies there: [`CallDirectories::open`] is another way then.
    pub(crate) fn open_at_once(&self, index: usize, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        // The directory of a name without links is the one that the name has now. A path that was located by where a directory
        // really is does not begin with its name.
        let is_below_name = lexical::below(path, self.allowed.name(index)).is_some();
        if !is_below_name || !self.allowed.is_anywhere(index) {
            return Err(Errno::NOSYS);
        }
        beneath::open_without_links(path, flags)
    }

    /// The current path of an allowed directory; its name where the system does not say.
    pub(crate) fn real_path(&self, index: usize, directory: &OpenDirectory<'_>) -> PathBytes {
        beneath::current_path(directory.as_fd())
            .unwrap_or_else(|| PathBytes::from_slice(self.allowed.name(index)))
    }

    fn real_paths(&self) -> &[(usize, PathBytes)] {
        self.real_paths.get_or_init(|| {
            let real = |index| {
                let path = self.real_path(index, &self.open(index).ok()?);
                (&path[..] != self.allowed.name(index)).then_some((index, path))
            };
            (0..self.allowed.len()).filter_map(real).collect()
        })
    }

    /// Finds the innermost allowed directory that a clean path lies in, and gives the path below it. The answer
    /// only chooses the handle beneath which the file is then opened.
    pub(crate) fn locate<'p>(&self, path: &'p [u8]) -> Option<(usize, &'p [u8])> {
        if path.contains(&0) {
            return None;
        }
        let innermost = |matches: &mut dyn Iterator<Item = (usize, &'p [u8])>| {
            matches.min_by_key(|(_, below)| below.len())
        };
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

    /// Calls `each` with the name of each allowed directory, and with its real path where that differs.
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

    /// All of them in one line, for errors.
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

    /// `path` lies in no allowed directory.
    #[cold]
    pub(crate) fn outside(&self, path: &[u8]) -> FsError {
        FsError::Outside { path: shown(path), allowed: self.listed() }
    }

    /// A link on the way of `path` leads outside. The error does not say where to.
    #[cold]
    pub(crate) fn link_outside(&self, path: &[u8]) -> FsError {
        FsError::LinkOutside { path: shown(path), allowed: self.listed() }
    }
}
