//! The allowed directories, and how each of them is opened.
//!
//! **Invariant: only the way to open a directory is remembered, never a handle of it.** Each call opens it anew: it
//! gets the directory that has the name now, even if the old one was moved away, made again or replaced by a link, and
//! no descriptor is held between calls, however many roots the sessions have. There are two kinds of directories. One
//! kind is opened by its name, because it was named by the user who runs this server, or by a client that may name any.
//! The other kind lies below such a directory and is opened beneath that one's handle: somebody who may change names
//! there could replace it by a link, and this way the link cannot lead outside. The path to a directory of the first
//! kind may pass through an allowed directory, where others may change names and so redirect the path. Therefore what
//! was opened is compared with its [`RequiredLocation`].

use super::beneath::{self, DIRECTORY_HANDLE, Links};
use super::lexical::{self, PathBytes};
use super::toolset_state::ToolsetState;
use crate::tools::filesystem::error::shown;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// An allowed directory.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The name that it was given, absolute and clean.
    pub(crate) name: Box<[u8]>,
    pub(crate) opening: Opening,
}

/// How a directory is opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// By its name, links followed.
    ByName(RequiredLocation),
    /// Beneath a directory of the server, links refused.
    Beneath { index: usize, path: Box<[u8]> },
}

/// Where a directory that is opened by its name has to be. The open handle is compared, so that it does not matter
/// what happens to names meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequiredLocation {
    /// Wherever the name leads: no allowed directory lies on its way.
    Anywhere,
    /// Inside the directory of that index, as it was at the start.
    Inside(usize),
    /// Where it was at the start: its name passes through an allowed directory, and out of it again.
    Exactly(Box<[u8]>),
}

/// What happens to a directory that is named twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// It is listed as often as the user who runs this server named it, as in the reference.
    Keep,
    /// It is listed once: a client may name one thousands of times.
    Drop,
}

/// The allowed directories of the server or of one session, in the order in which they are listed.
#[derive(Debug, Default)]
pub(crate) struct AllowedDirectories {
    directories: Vec<Directory>,
    /// The directories that those of [`Opening::Beneath`] lie below.
    server: Option<Arc<Self>>,
}

impl AllowedDirectories {
    /// Directories that lie below those of the server.
    pub(crate) fn beneath(server: Arc<Self>, directories: Vec<Directory>) -> Self {
        Self { directories, server: Some(server) }
    }

    /// Gives the directories of `paths` that can be opened by name, and a warning for each of the others.
    pub(crate) fn by_name(
        paths: &[PathBuf],
        duplicates: Duplicates,
        state: &ToolsetState,
    ) -> (Self, Vec<String>) {
        let mut allowed = Self::default();
        let mut places: Vec<PathBytes> = Vec::new();
        let mut warnings = Vec::new();
        for path in paths {
            let path = path.as_os_str().as_bytes();
            let name = match std::str::from_utf8(path).ok().and_then(lexical::below_home) {
                Some(rest) => lexical::joined(&state.home, rest.trim_start_matches('/').as_bytes()),
                None => lexical::joined(&state.base, path),
            };
            match beneath::open_by_name(&name) {
                Ok(handle) => {
                    let real = beneath::current_path(handle.as_fd()).unwrap_or_else(|| name.clone());
                    // A second name of a directory that is listed already is no duplicate.
                    let is_known = || {
                        allowed.names().any(|known| known == &name[..])
                            || (real == name && places.contains(&real))
                    };
                    if duplicates == Duplicates::Drop && is_known() {
                        continue;
                    }
                    places.push(real);
                    let opening = Opening::ByName(RequiredLocation::Anywhere);
                    allowed.directories.push(Directory { name: name[..].into(), opening });
                }
                Err(Errno::NOTDIR) => warnings.push(format!("{} is not a directory, skipping", shown(&name))),
                Err(_) => warnings.push(format!("Cannot access directory {}, skipping", shown(&name))),
            }
        }
        allowed.require_locations(&places);
        (allowed, warnings)
    }

    /// Requires each directory whose name passes through one of them to stay where it is now.
    fn require_locations(&mut self, places: &[PathBytes]) {
        for (directory, real) in self.directories.iter_mut().zip(places) {
            let steps = beneath::directories_on_the_way(&directory.name);
            let is_passed = |place: &PathBytes| steps.iter().any(|step| is_inside(step, place));
            if !places.iter().any(is_passed) {
                continue;
            }
            // The outermost directory has no such requirement itself: none is around it.
            let around = places.iter().enumerate().filter(|(_, place)| is_inside(real, place));
            directory.opening = Opening::ByName(match around.min_by_key(|(_, place)| place.len()) {
                Some((index, _)) => RequiredLocation::Inside(index),
                None => RequiredLocation::Exactly(real[..].into()),
            });
        }
    }

    /// Tells whether an opened directory is where it has to be.
    fn is_at(&self, opened: &OwnedFd, required: &RequiredLocation) -> Result<bool, Errno> {
        let current = |handle: &OwnedFd| beneath::current_path(handle.as_fd()).ok_or(Errno::NOENT);
        Ok(match required {
            RequiredLocation::Anywhere => true,
            RequiredLocation::Inside(index) => is_inside(&current(opened)?, &current(&self.open(*index)?)?),
            RequiredLocation::Exactly(known) => current(opened)?[..] == known[..],
        })
    }

    /// The number of directories.
    pub(crate) fn len(&self) -> usize {
        self.directories.len()
    }

    /// The names as they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.directories.iter().map(|directory| &directory.name[..])
    }

    /// The name of one directory.
    pub(crate) fn name(&self, index: usize) -> &[u8] {
        &self.directories[index].name
    }

    /// Whether a directory is opened by its name, wherever that leads.
    pub(crate) fn is_anywhere(&self, index: usize) -> bool {
        matches!(self.directories[index].opening, Opening::ByName(RequiredLocation::Anywhere))
    }

    /// Opens a directory as it is now.
    pub(crate) fn open(&self, index: usize) -> Result<OwnedFd, Errno> {
        let directory = &self.directories[index];
        match (&directory.opening, &self.server) {
            (Opening::Beneath { index, path }, Some(server)) => {
                let above = server.open(*index)?;
                beneath::open(above.as_fd(), path, DIRECTORY_HANDLE, Links::Refused)
            }
            (Opening::ByName(required), _) => {
                let opened = beneath::open_by_name(&directory.name)?;
                if self.is_at(&opened, required)? { Ok(opened) } else { Err(Errno::NOENT) }
            }
            (Opening::Beneath { .. }, None) => Err(Errno::NOENT),
        }
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let texts = self.directories.iter().map(|directory| {
            let below = if let Opening::Beneath { path, .. } = &directory.opening { path.len() } else { 0 };
            directory.name.len() + below
        });
        size_of::<Self>() + self.directories.capacity() * size_of::<Directory>() + texts.sum::<usize>()
    }
}

/// Tells whether a path lies below another one, and is not the same.
fn is_inside(path: &[u8], around: &[u8]) -> bool {
    lexical::below(path, around).is_some_and(|below| !below.is_empty())
}
