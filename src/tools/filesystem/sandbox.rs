//! The allowed directories, held open, and what may be opened below them.
//!
//! **Invariant: every file is opened below a handle of an allowed directory, by a call that cannot leave
//! it.** Names are compared only to find out below which handle a request belongs; a wrong guess, or a
//! directory exchanged between the comparison and the call, ends in an error, never outside.
//!
//! Two ways lead to a file. [`Sandbox::open`] tries the request as it is, links followed by the kernel: no
//! allocation for paths of usual length. Where that fails, [`Sandbox::resolve`] finds out what the
//! reference server would say: the real path, or the same error.

use super::beneath::{self, DIRECTORY_HANDLE, Links};
use super::error::{FsError, errno, shown};
use super::leftovers::Leftovers;
use super::lexical::{self, PathBytes};
use super::listing;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use unicode_normalization::UnicodeNormalization;

/// How often a path is resolved anew when it changes under our hands.
const ATTEMPTS: usize = 8;

/// Locks for files that are being written: enough that two files seldom share one.
const LOCKS: usize = 64;

/// An allowed directory.
#[derive(Debug)]
struct Directory {
    /// As it was given, or resolved.
    path: PathBytes,
    handle: OwnedFd,
}

/// The allowed directories at one time, in the order in which they are listed.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    directories: Vec<Directory>,
}

impl Allowed {
    /// Opens directories; for each that cannot be, a warning.
    fn open(paths: &[PathBuf], base: &[u8], home: &[u8]) -> (Self, Vec<String>) {
        let mut allowed = Self::default();
        let mut warnings = Vec::new();
        for path in paths {
            let path = path.as_os_str().as_bytes();
            let given = match std::str::from_utf8(path).ok().and_then(lexical::below_home) {
                Some(rest) => lexical::joined(home, rest.trim_start_matches('/').as_bytes()),
                None => lexical::joined(base, path),
            };
            let real = real_path(&given).unwrap_or_else(|_| given.clone());
            let listed = if given == real { vec![real] } else { vec![given, real] };
            for path in listed {
                match rustix::fs::open(&path[..], DIRECTORY_HANDLE | OFlags::CLOEXEC, Mode::empty()) {
                    Ok(handle) => allowed.directories.push(Directory { path, handle }),
                    Err(Errno::NOTDIR) => {
                        warnings.push(format!("{} is not a directory, skipping", shown(&path)));
                    }
                    Err(_) => warnings.push(format!("Cannot access directory {}, skipping", shown(&path))),
                }
            }
        }
        (allowed, warnings)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.directories.iter().map(|directory| &directory.path[..])
    }

    /// The innermost allowed directory that a cleaned-up path lies in, and the path below it.
    fn locate<'p>(&self, path: &'p [u8]) -> Option<(usize, &'p [u8])> {
        if path.contains(&0) {
            return None;
        }
        let places = self.directories.iter().enumerate();
        places
            .filter_map(|(index, directory)| Some((index, lexical::below(path, &directory.path)?)))
            .min_by_key(|(_, below)| below.len())
    }

    fn handle(&self, index: usize) -> BorrowedFd<'_> {
        self.directories[index].handle.as_fd()
    }

    /// All of them in one line, for messages.
    fn listed(&self) -> String {
        self.paths().map(shown).collect::<Vec<_>>().join(", ")
    }

    #[cold]
    fn outside(&self, path: &[u8]) -> FsError {
        FsError::Outside { path: shown(path), allowed: self.listed() }
    }

    #[cold]
    fn link_outside(&self, path: &[u8]) -> FsError {
        FsError::LinkOutside { path: shown(path), allowed: self.listed() }
    }

    /// Opens again what was deleted and made anew at the same place since.
    fn reopened(&self) -> Option<Self> {
        let is_gone = |handle: &OwnedFd| rustix::fs::fstat(handle).is_ok_and(|stat| stat.st_nlink == 0);
        if !self.directories.iter().any(|directory| is_gone(&directory.handle)) {
            return None;
        }
        let open = |directory: &Directory| {
            let flags = DIRECTORY_HANDLE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let again = rustix::fs::open(&directory.path[..], flags, Mode::empty()).ok();
            let again = again.filter(|_| is_gone(&directory.handle));
            let handle = again.or_else(|| directory.handle.try_clone().ok())?;
            Some(Directory { path: directory.path.clone(), handle })
        };
        Some(Self { directories: self.directories.iter().map(open).collect::<Option<_>>()? })
    }
}

/// A path resolved through all its links: where it is, whether or not something is there.
#[derive(Debug)]
pub(super) struct Target {
    allowed: Arc<Allowed>,
    directory: usize,
    /// The real path, absolute; from `below` on, it is below the directory.
    path: PathBytes,
    below: usize,
    pub(super) exists: bool,
}

impl Target {
    /// The real path, absolute.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Opens what is there. Links are refused: there were none when the path was resolved.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let below = &self.path[self.below..];
        beneath::open(self.allowed.handle(self.directory), below, flags, Links::Refused)
    }

    /// Opens what is below, if this is a directory.
    pub(super) fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = lexical::joined(&self.path, path);
        let below = path.get(self.below..).unwrap_or_default();
        let below = below.strip_prefix(b"/").unwrap_or(below);
        beneath::open(self.allowed.handle(self.directory), below, flags, Links::Refused)
    }

    /// Opens the directory that holds this, and names it in there; `None` for an allowed directory itself.
    pub(super) fn open_parent(&self) -> Option<(Result<OwnedFd, Errno>, &[u8])> {
        let (parent, name) = lexical::split_last(&self.path[self.below..])?;
        let handle = self.allowed.handle(self.directory);
        // Opened for reading it can be made durable; where it may not be read, it can still be used.
        let opened = match beneath::open(handle, parent, OFlags::RDONLY | OFlags::DIRECTORY, Links::Refused) {
            Err(Errno::ACCESS) => beneath::open(handle, parent, DIRECTORY_HANDLE, Links::Refused),
            opened => opened,
        };
        Some((opened, name))
    }

    /// A handle of what the link at `path` below leads to.
    ///
    /// # Errors
    /// When that is outside, or nothing.
    pub(super) fn follow(&self, path: &[u8]) -> Result<OwnedFd, FsError> {
        let linked = resolve_in(Arc::clone(&self.allowed), &lexical::joined(&self.path, path))?;
        linked.open(beneath::HANDLE).map_err(|errno| FsError::os(errno, "stat", linked.path()))
    }

    /// The names on the way from the allowed directory, for making directories.
    pub(super) fn below_allowed(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.allowed.handle(self.directory), &self.path[self.below..])
    }
}

/// The files that the tools may see. Shared by all calls of a session, or of all that brought no roots.
#[derive(Debug)]
pub(super) struct Sandbox {
    allowed: RwLock<Arc<Allowed>>,
    ground: Arc<Ground>,
}

/// What all sandboxes of one toolset stand on: whoever writes a file waits for all others, whatever their roots.
#[derive(Debug)]
struct Ground {
    /// Where relative directories of the command line begin.
    base: PathBytes,
    home: PathBytes,
    locks: [Mutex<()>; LOCKS],
    leftovers: Leftovers,
    hasher: RandomState,
}

impl Sandbox {
    /// A sandbox of these directories, and a warning for each that cannot be used.
    pub(super) fn new(paths: &[PathBuf]) -> (Self, Vec<String>) {
        let bytes = |path: PathBuf| PathBytes::from_vec(path.into_os_string().into_vec());
        let base = std::env::current_dir().map_or_else(|_| PathBytes::from_slice(b"/"), bytes);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let home = home.map_or_else(|| PathBytes::from_slice(b"/"), |home| bytes(home.into()));
        let (allowed, warnings) = Allowed::open(paths, &base, &home);
        let locks = std::array::from_fn(|_| Mutex::new(()));
        let ground = Arc::new(Ground {
            base,
            home,
            locks,
            leftovers: Leftovers::default(),
            hasher: RandomState::new(),
        });
        (Self { allowed: RwLock::new(Arc::new(allowed)), ground }, warnings)
    }

    /// A sandbox of those directories of `paths` that are there, for one session; `None` when none is. With
    /// `narrow` only those inside the directories of this one count. And the warnings.
    pub(super) fn for_roots(&self, paths: &[PathBuf], narrow: bool) -> (Option<Self>, Vec<String>) {
        let (allowed, mut warnings) = self
            .open_real(paths, |path| !narrow || self.allowed().locate(path.as_os_str().as_bytes()).is_some());
        if allowed.directories.is_empty() && narrow {
            warnings.push("no root of the client lies in a directory of this server".to_owned());
        }
        let is_usable = !allowed.directories.is_empty();
        let sandbox = Self { allowed: RwLock::new(Arc::new(allowed)), ground: Arc::clone(&self.ground) };
        (is_usable.then_some(sandbox), warnings)
    }

    fn open_real(&self, paths: &[PathBuf], is_wanted: impl Fn(&Path) -> bool) -> (Allowed, Vec<String>) {
        let real = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let real: Vec<PathBuf> = paths.iter().map(real).filter(|path| is_wanted(path)).collect();
        Allowed::open(&real, &self.ground.base, &self.ground.home)
    }

    /// The directories in force now.
    pub(super) fn allowed(&self) -> Arc<Allowed> {
        Arc::clone(&self.allowed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Heap bytes of the directories, without what sandboxes of one toolset share.
    pub(super) fn heap_bytes(&self) -> usize {
        let allowed = self.allowed();
        let spilled = allowed.directories.iter().filter(|directory| directory.path.spilled());
        size_of::<Allowed>()
            + allowed.directories.capacity() * size_of::<Directory>()
            + spilled.map(|directory| directory.path.capacity()).sum::<usize>()
    }

    /// Heap bytes of a toolset's own sandbox, and of what all of them share.
    pub(super) fn ground_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes() + size_of::<Ground>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.allowed().directories.is_empty()
    }

    /// Replaces all allowed directories by those of `paths` that are there; keeps them when none is.
    /// Whether they were replaced, and the warnings.
    pub(super) fn replace(&self, paths: &[PathBuf]) -> (bool, Vec<String>) {
        let (allowed, warnings) = self.open_real(paths, |_| true);
        if allowed.directories.is_empty() {
            return (false, warnings);
        }
        self.set(allowed);
        (true, warnings)
    }

    fn set(&self, allowed: Allowed) {
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(allowed);
    }

    /// Opens what a request means, links followed. On errors nothing is said of why: ask
    /// [`Sandbox::resolve`].
    ///
    /// # Errors
    /// [`FsError`] when the request is no path in here, the inner error when opening it this way fails.
    pub(super) fn open(&self, request: &str, flags: OFlags) -> Result<Result<OwnedFd, Errno>, FsError> {
        let allowed = self.allowed();
        let path = self.absolute(&allowed, request)?;
        let (directory, below) = allowed.locate(&path).ok_or_else(|| allowed.outside(&path))?;
        Ok(beneath::open(allowed.handle(directory), below, flags, Links::Followed))
    }

    /// What a request means, resolved through all links.
    ///
    /// # Errors
    /// In the reference's words: the path is outside, or leads there, or cannot be resolved.
    pub(super) fn resolve(&self, request: &str) -> Result<Target, FsError> {
        let mut allowed = self.allowed();
        if let Some(reopened) = allowed.reopened() {
            self.set(reopened);
            allowed = self.allowed();
        }
        let path = self.absolute(&allowed, request)?;
        resolve_in(allowed, &path)
    }

    /// Opens what a request means, with the reference's errors. `verb` is what errors call it.
    pub(super) fn open_resolved(
        &self,
        request: &str,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<(OwnedFd, Target), FsError> {
        let mut attempt = 0;
        loop {
            let target = self.resolve(request)?;
            attempt += 1;
            match target.open(flags) {
                Ok(opened) => return Ok((opened, target)),
                // What had no links has some now: somebody exchanges names right here.
                Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) if attempt < ATTEMPTS => {}
                Err(errno) => return Err(FsError::os(errno, verb, target.path())),
            }
        }
    }

    /// Holds off other writers of the file of that name in a directory.
    pub(super) fn lock(&self, file: FileKey) -> MutexGuard<'_, ()> {
        self.ground.locks[file.slot].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to lock for a name in a directory.
    pub(super) fn key(&self, parent: &OwnedFd, name: &[u8]) -> Result<FileKey, Errno> {
        let stat = rustix::fs::fstat(parent)?;
        let hash = self.ground.hasher.hash_one((stat.st_dev, stat.st_ino, name));
        Ok(FileKey { slot: hash as usize % LOCKS })
    }

    /// Where others left temporary files.
    pub(super) fn leftovers(&self) -> &Leftovers {
        &self.ground.leftovers
    }

    /// Removes what killed servers left in the allowed directories themselves.
    pub(super) fn clean_allowed(&self) {
        for directory in &self.allowed().directories {
            self.ground.leftovers.clean(&directory.handle);
        }
    }

    /// A number that nobody can guess, for names of temporary files.
    pub(super) fn random(&self, attempt: usize) -> u64 {
        let now = std::time::SystemTime::now();
        self.ground.hasher.hash_one((now, std::process::id(), attempt, std::thread::current().id()))
    }

    /// The absolute path that a request means, as text.
    pub(super) fn absolute(&self, allowed: &Allowed, request: &str) -> Result<PathBytes, FsError> {
        if let Some(rest) = lexical::below_home(request) {
            return Ok(lexical::joined(&self.ground.home, rest.trim_start_matches('/').as_bytes()));
        }
        if lexical::is_windows_drive(request) {
            return Err(FsError::WindowsPath { path: request.to_owned() });
        }
        let request = request.as_bytes();
        if request.starts_with(b"/") {
            return Ok(lexical::joined(b"/", request));
        }
        let mut first = None;
        for directory in &allowed.directories {
            let path = lexical::joined(&directory.path, request);
            if allowed.locate(&path).is_some() {
                return Ok(path);
            }
            first.get_or_insert(path);
        }
        Ok(first.unwrap_or_else(|| lexical::joined(&self.ground.base, request)))
    }
}

/// Resolves a path that is absolute and clean.
fn resolve_in(allowed: Arc<Allowed>, path: &[u8]) -> Result<Target, FsError> {
    if allowed.locate(path).is_none() {
        return Err(allowed.outside(path));
    }
    match real_path(path) {
        Ok(real) => target(allowed, real, true),
        Err(Errno::NOENT) => resolve_missing(allowed, path),
        Err(errno) => Err(FsError::os(errno, "realpath", path)),
    }
}

/// Stands for a file that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    slot: usize,
}

fn target(allowed: Arc<Allowed>, path: PathBytes, exists: bool) -> Result<Target, FsError> {
    match allowed.locate(&path) {
        Some((directory, below)) => {
            let below = path.len() - below.len();
            Ok(Target { allowed, directory, path, below, exists })
        }
        None => Err(allowed.link_outside(&path)),
    }
}

/// The system's answer to where a path leads. Only its words are used: what it names is opened below a
/// handle afterwards.
fn real_path(path: &[u8]) -> Result<PathBytes, Errno> {
    let real = std::fs::canonicalize(Path::new(OsStr::from_bytes(path))).map_err(|error| errno(&error))?;
    Ok(PathBytes::from_vec(real.into_os_string().into_vec()))
}

/// Resolves a path that does not exist as it is written: its names may be stored in another Unicode form,
/// or nothing is there yet.
fn resolve_missing(allowed: Arc<Allowed>, path: &[u8]) -> Result<Target, FsError> {
    let no_parent = || {
        let parent = lexical::split_last(path).map_or(path, |(parent, _)| parent);
        FsError::NoParent { path: if parent.is_empty() { "/".to_owned() } else { shown(parent) } }
    };
    let Some((directory, below)) = allowed.locate(path) else { return Err(allowed.outside(path)) };
    let real = |path: &[u8]| match real_path(path) {
        Ok(real) => Ok(real),
        Err(Errno::NOENT) => Err(no_parent()),
        Err(errno) => Err(FsError::os(errno, "realpath", path)),
    };
    let mut current = real(&allowed.directories[directory].path)?;
    let mut parts = below.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        let here = target(Arc::clone(&allowed), current.clone(), true)?;
        let parent = match here.open(OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return Err(no_parent()),
            Err(errno) => return Err(FsError::os(errno, "scandir", &current)),
        };
        if let Some(name) = stored_name(&parent, part, &current)? {
            current = real(&lexical::joined(&current, &name))?;
        } else {
            // Nothing is there from here on, so no link either.
            current = lexical::joined(&current, part);
            for part in parts {
                current = lexical::joined(&current, part);
            }
            return target(allowed, current, false);
        }
    }
    target(allowed, current, true)
}

/// The name in a directory that is, or is equivalent to, `wanted`.
fn stored_name(parent: &OwnedFd, wanted: &[u8], path: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
    if rustix::fs::statat(parent, wanted, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Ok(Some(wanted.to_vec()));
    }
    let Ok(text) = std::str::from_utf8(wanted) else { return Ok(None) };
    let mut equivalent = None;
    listing::each_name(parent, |name, _| {
        if std::str::from_utf8(name).is_ok_and(|name| name.nfc().eq(text.nfc())) {
            if equivalent.is_some() {
                return Err(FsError::AmbiguousName { name: text.to_owned() });
            }
            equivalent = Some(name.to_vec());
        }
        Ok(())
    })
    .map_err(|error| error.unwrap_or_else(|errno| FsError::os(errno, "scandir", path)))?;
    Ok(equivalent)
}
