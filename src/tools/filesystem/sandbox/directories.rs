//! The directories that may be reached, by name: those of the server, or those of one session.
//!
//! **Invariant: nothing is remembered of a directory but how to get at it.** Each call opens it anew, so that
//! one that was moved away, made again, or is a link that leads elsewhere by now is the one that it is now,
//! and no descriptor is held between calls, however many sessions bring however many roots. Only two kinds
//! of directory are there: one that is opened by its name, because whoever runs this server named it, or a
//! client that may name any; and one below such a directory, which is opened beneath that one's handle, so
//! that nobody who may change names there can turn it into a link that leads out. The way to a directory of
//! the first kind may lead through one that is served, itself included; then those who may change names there could
//! turn it elsewhere, so that what was opened is held to a [`Fence`].

use super::access::Sandbox;
use super::beneath::{self, DIRECTORY_HANDLE, Links};
use super::leftovers::Leftovers;
use super::lexical::{self, PathBytes};
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_DEPTH};
use crate::server::CancellationToken;
use crate::tools::filesystem::error::shown;
use crate::tools::filesystem::list::LIST;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Locks for files that are being written: enough that two files seldom share one.
const LOCKS: usize = 64;

/// Steps on the way to all roots of one client, which others wait for.
const ROOT_STEPS: usize = 4 * MAX_PATH_DEPTH;

/// A directory that may be reached.
#[derive(Debug)]
struct Directory {
    /// As it was given, absolute and clean.
    name: Box<[u8]>,
    place: Place,
}

/// How a directory is opened.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// By its name, links followed.
    Named(Fence),
    /// Beneath a directory of the server, links refused.
    Below { index: usize, path: Box<[u8]> },
}

/// Where a directory that is opened by its name has to be. Judged by the handle, so that nothing that happens to
/// names meanwhile matters.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fence {
    /// Wherever the name leads: no directory that is served lies on its way.
    Anywhere,
    /// Inside the directory of that index, as it was at the start.
    Within(usize),
    /// Where it was at the start: its way leads through a directory that is served, and out of it again.
    Exactly(Box<[u8]>),
}

/// What becomes of a directory that is named again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    /// It is listed as often as whoever runs this server named it, as in the reference.
    Listed,
    /// A client may name one thousands of times.
    Dropped,
}

/// The directories at one time, in the order in which they are listed.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    directories: Vec<Directory>,
    /// What directories of [`Place::Below`] are below.
    server: Option<Arc<Self>>,
}

impl Allowed {
    /// Those of `paths` that can be opened by name, and what is wrong with the others.
    fn named(paths: &[PathBuf], repeated: Repeated, ground: &Ground) -> (Self, Vec<String>) {
        let mut allowed = Self::default();
        let mut places: Vec<PathBytes> = Vec::new();
        let mut warnings = Vec::new();
        for path in paths {
            let path = path.as_os_str().as_bytes();
            let name = match std::str::from_utf8(path).ok().and_then(lexical::below_home) {
                Some(rest) => lexical::joined(&ground.home, rest.trim_start_matches('/').as_bytes()),
                None => lexical::joined(&ground.base, path),
            };
            match beneath::by_name(&name) {
                Ok(handle) => {
                    let real = beneath::place(handle.as_fd()).unwrap_or_else(|| name.clone());
                    // Another name of a directory that is there already is no repetition.
                    let is_known = || {
                        allowed.names().any(|known| known == &name[..])
                            || (real == name && places.contains(&real))
                    };
                    if repeated == Repeated::Dropped && is_known() {
                        continue;
                    }
                    places.push(real);
                    let place = Place::Named(Fence::Anywhere);
                    allowed.directories.push(Directory { name: name[..].into(), place });
                }
                Err(Errno::NOTDIR) => warnings.push(format!("{} is not a directory, skipping", shown(&name))),
                Err(_) => warnings.push(format!("Cannot access directory {}, skipping", shown(&name))),
            }
        }
        allowed.fence(&places);
        (allowed, warnings)
    }

    /// Holds each directory whose way leads through one of them to where it is now.
    fn fence(&mut self, places: &[PathBytes]) {
        for (directory, real) in self.directories.iter_mut().zip(places) {
            let way = beneath::way(&directory.name);
            let is_passed = |place: &PathBytes| way.iter().any(|step| is_inside(step, place));
            if !places.iter().any(is_passed) {
                continue;
            }
            // The outermost one has no fence of this kind itself: none is around it.
            let around = places.iter().enumerate().filter(|(_, place)| is_inside(real, place));
            directory.place = Place::Named(match around.min_by_key(|(_, place)| place.len()) {
                Some((index, _)) => Fence::Within(index),
                None => Fence::Exactly(real[..].into()),
            });
        }
    }

    /// Whether what was opened is where it has to be.
    fn is_in_place(&self, opened: &OwnedFd, fence: &Fence) -> Result<bool, Errno> {
        let place = |handle: &OwnedFd| beneath::place(handle.as_fd()).ok_or(Errno::NOENT);
        Ok(match fence {
            Fence::Anywhere => true,
            Fence::Within(index) => is_inside(&place(opened)?, &place(&self.open(*index)?)?),
            Fence::Exactly(known) => place(opened)?[..] == known[..],
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.directories.len()
    }

    /// Their names as they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.directories.iter().map(|directory| &directory.name[..])
    }

    /// The name of one.
    pub(crate) fn name(&self, index: usize) -> &[u8] {
        &self.directories[index].name
    }

    /// Opens what a directory is now.
    pub(crate) fn open(&self, index: usize) -> Result<OwnedFd, Errno> {
        let directory = &self.directories[index];
        match (&directory.place, &self.server) {
            (Place::Below { index, path }, Some(server)) => {
                let above = server.open(*index)?;
                beneath::open(above.as_fd(), path, DIRECTORY_HANDLE, Links::Refused)
            }
            (Place::Named(fence), _) => {
                let opened = beneath::by_name(&directory.name)?;
                if self.is_in_place(&opened, fence)? { Ok(opened) } else { Err(Errno::NOENT) }
            }
            (Place::Below { .. }, None) => Err(Errno::NOENT),
        }
    }

    fn heap_bytes(&self) -> usize {
        let texts = self.directories.iter().map(|directory| {
            let below = if let Place::Below { path, .. } = &directory.place { path.len() } else { 0 };
            directory.name.len() + below
        });
        size_of::<Self>() + self.directories.capacity() * size_of::<Directory>() + texts.sum::<usize>()
    }
}

/// Whether a path is below another one, and not the same.
fn is_inside(path: &[u8], around: &[u8]) -> bool {
    lexical::below(path, around).is_some_and(|below| !below.is_empty())
}

/// What all directories of one toolset stand on: whoever writes a file waits for all others, whatever their roots.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where relative directories of the command line begin.
    pub(crate) base: PathBytes,
    pub(crate) home: PathBytes,
    pub(crate) locks: [Mutex<()>; LOCKS],
    pub(crate) leftovers: Leftovers,
    pub(crate) hasher: RandomState,
}

/// The directories that calls may reach. Shared by all calls of a session, or of all that brought no roots.
#[derive(Debug)]
pub(crate) struct Directories {
    allowed: RwLock<Arc<Allowed>>,
    ground: Arc<Ground>,
}

/// What became of the roots that a client offered.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The directories of its session; `None` when no root can be used.
    pub(crate) directories: Option<Directories>,
    /// Roots that are no directories here, or not in the server's.
    pub(crate) left_out: usize,
}

impl Directories {
    /// Those of `paths` that can be used, and a warning for each that cannot.
    pub(crate) fn new(paths: &[PathBuf]) -> (Self, Vec<String>) {
        let bytes = |path: PathBuf| PathBytes::from_vec(path.into_os_string().into_vec());
        let base = std::env::current_dir().map_or_else(|_| PathBytes::from_slice(b"/"), bytes);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let home = home.map_or_else(|| PathBytes::from_slice(b"/"), |home| bytes(home.into()));
        let locks = std::array::from_fn(|_| Mutex::new(()));
        let (leftovers, hasher) = (Leftovers::default(), RandomState::new());
        let ground = Arc::new(Ground { base, home, locks, leftovers, hasher });
        let (allowed, warnings) = Allowed::named(paths, Repeated::Listed, &ground);
        (Self { allowed: RwLock::new(Arc::new(allowed)), ground }, warnings)
    }

    /// What one call sees of them. `inline_names` is how many names it may look at where other requests
    /// wait meanwhile; `None` on a thread that may block.
    pub(crate) fn enter(
        &self,
        inline_names: Option<usize>,
        cancellation: Option<CancellationToken>,
    ) -> Sandbox {
        Sandbox::new(self.allowed(), Arc::clone(&self.ground), inline_names, cancellation)
    }

    /// The directories of a session that offers `paths`. With `narrow` only those inside the directories
    /// here count.
    pub(crate) fn for_roots(&self, paths: &[PathBuf], narrow: bool) -> Taken {
        let usable = paths.iter().filter(|path| path.as_os_str().len() <= MAX_PATH_BYTES);
        let usable: Vec<PathBuf> = usable.cloned().collect();
        let (allowed, found) = if narrow {
            self.narrowed(&usable)
        } else {
            let (allowed, warnings) = Allowed::named(&usable, Repeated::Dropped, &self.ground);
            (allowed, usable.len() - warnings.len())
        };
        let left_out = paths.len() - found;
        let is_usable = allowed.len() > 0;
        let directories = Self { allowed: RwLock::new(Arc::new(allowed)), ground: Arc::clone(&self.ground) };
        Taken { directories: is_usable.then_some(directories), left_out }
    }

    /// Those of `paths` that are directories in here, each once, and how many were.
    fn narrowed(&self, paths: &[PathBuf]) -> (Allowed, usize) {
        let server = self.allowed();
        let sandbox = self.enter(Some(ROOT_STEPS), None);
        let mut directories: Vec<Directory> = Vec::new();
        let mut found = 0;
        for path in paths {
            let path = lexical::joined(b"/", path.as_os_str().as_bytes());
            let Some((index, below)) = sandbox.directory(&path) else { continue };
            found += 1;
            let name = lexical::joined(server.name(index), &below);
            let place = Place::Below { index, path: below };
            if directories.iter().all(|known| known.place != place && known.name[..] != name[..]) {
                directories.push(Directory { name: name[..].into(), place });
            }
        }
        (Allowed { directories, server: Some(server) }, found)
    }

    /// Removes what killed servers left in the directories themselves.
    pub(crate) fn clean(&self) {
        let allowed = self.allowed();
        for index in 0..allowed.len() {
            let opened = allowed.open(index).and_then(|handle| beneath::reopen(handle.as_fd(), LIST));
            if let Ok(directory) = opened {
                self.ground.leftovers.clean(&directory);
            }
        }
    }

    fn allowed(&self) -> Arc<Allowed> {
        Arc::clone(&self.allowed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Heap bytes of the directories, without what those of one toolset share.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.allowed().heap_bytes()
    }

    /// Heap bytes of a toolset's own directories, and of what all of them share.
    pub(crate) fn ground_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes() + size_of::<Ground>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allowed().len() == 0
    }

    /// Replaces all directories by those of `paths` that are there; keeps them when none is. A warning for
    /// each that is left out.
    pub(crate) fn replace(&self, paths: &[PathBuf]) -> Vec<String> {
        let (allowed, warnings) = Allowed::named(paths, Repeated::Dropped, &self.ground);
        if allowed.len() > 0 {
            *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(allowed);
        }
        warnings
    }
}

impl Ground {
    /// The lock of a name in a directory.
    pub(crate) fn slot(&self, device: u64, inode: u64, name: &[u8]) -> usize {
        self.hasher.hash_one((device, inode, name)) as usize % LOCKS
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::tools::filesystem::error::FsError;
    use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Thousands of tries to get out through a root that is now a directory and now a link.
    #[test]
    fn a_root_that_becomes_a_link_never_leads_out() {
        const TRIES: usize = 2_000;
        let outer = tempfile::tempdir().expect("a directory");
        let (root, secret) = (outer.path().join("root"), outer.path().join("secret"));
        std::fs::create_dir_all(root.join("x/sub")).expect("directories");
        std::fs::create_dir_all(secret.join("sub")).expect("directories");
        for directory in [&root.join("x"), &root.join("x/sub"), &secret, &secret.join("sub")] {
            let inside = directory.starts_with(&root);
            std::fs::write(directory.join("f"), if inside { "inside" } else { "outside" }).expect("a file");
        }
        symlink(&secret, root.join("link")).expect("a link");
        let (server, _) = Directories::new(std::slice::from_ref(&root));
        let is_done = AtomicBool::new(false);
        let mut seen = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (real, link) = (root.join("x"), root.join("link"));
                while !is_done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).expect("exchanged");
                }
            });
            let mut session = None;
            for round in 0..TRIES {
                if round % 16 == 0 {
                    let offered = [root.join("x"), root.join("x/sub")];
                    session = server.for_roots(&offered, true).directories.or(session);
                }
                let Some(session) = &session else { continue };
                let sandbox = session.enter(None, None);
                for opened in [
                    sandbox.open("f", OFlags::RDONLY).and_then(|opened| opened.map_err(FsError::read)),
                    sandbox.open_to_read("f", OFlags::RDONLY, "open").map(|(opened, _)| opened),
                    sandbox
                        .resolve("sub/f")
                        .and_then(|target| target.open(OFlags::RDONLY).map_err(FsError::read)),
                ] {
                    let Ok(file) = opened else { continue };
                    let text = std::io::read_to_string(std::fs::File::from(file)).expect("text");
                    assert_eq!(text, "inside", "round {round}");
                    seen += 1;
                }
                if let Ok(target) = sandbox.resolve("new")
                    && let Some((Ok(parent), name)) = target.open_parent()
                {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
                    rustix::fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR).expect("made inside");
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert!(seen > 0, "the files were never there");
        let mut names: Vec<_> = secret
            .read_dir()
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["f", "sub"], "something was made outside");
    }

    /// Each way in which one directory can lie on the way to another: by name, through a link, and through a link that
    /// leads out again. Whoever may rename things in the outer one must not turn the inner one elsewhere.
    #[test]
    fn a_directory_on_the_way_to_another_does_not_lead_it_out() {
        // (the other directory as it is named, what is renamed away, what takes its place)
        let rows = [
            ("A/x/b", "A/x", "A/d"),
            ("A/x/b", "A/x/b", "A/d/b"),
            ("A/current", "A/v1", "A/e"),
            ("A/current", "A/current", "A/d/b"),
            ("to_v1", "A/v1", "A/e"),
            ("A/out", "A/out", "A/d/b"),
            ("to_out", "A/out", "A/d/b"),
            ("A/x/itself", "A/x", "A/d"),
        ];
        for (named, away, instead) in rows {
            for is_first in [false, true] {
                let base = tempfile::tempdir().expect("a directory");
                let base = base.path().canonicalize().expect("a path");
                for directory in ["A/x/b", "A/v1/sub", "A/d", "A/e", "elsewhere", "secret/b"] {
                    std::fs::create_dir_all(base.join(directory)).expect("directories");
                }
                std::fs::write(base.join("secret/f"), "outside").expect("a file");
                for (target, link) in [
                    ("v1/sub", "A/current"),
                    ("../secret", "A/d/b"),
                    ("../../secret", "A/d/b2"),
                    ("../secret", "A/e/sub"),
                    ("A/v1/sub", "to_v1"),
                    ("../elsewhere", "A/out"),
                    ("A/out", "to_out"),
                    ("../../A", "A/x/itself"),
                    ("../../secret", "A/d/itself"),
                ] {
                    let leads_to =
                        if target.ends_with("secret") { base.join("secret") } else { target.into() };
                    symlink(leads_to, base.join(link)).expect("a link");
                }
                let mut given = vec![base.join("A"), base.join(named)];
                if is_first {
                    given.reverse();
                }
                let (server, warnings) = Directories::new(&given);
                assert!(warnings.is_empty(), "{warnings:?}");
                let allowed = server.allowed();
                let is_named = |name: &[u8]| name == base.join(named).as_os_str().as_bytes();
                let index = allowed.names().position(is_named).expect("it is served");
                assert!(allowed.open(index).is_ok(), "{named}, before");
                std::fs::rename(base.join(away), base.join("A/gone")).expect("moved away");
                std::fs::rename(base.join(instead), base.join(away)).expect("put in its place");
                assert!(base.join(named).join("f").exists(), "{named} leads out by its name");
                assert_eq!(allowed.open(index).err(), Some(Errno::NOENT), "{named}, first: {is_first}");
                let request = base.join(named).join("f");
                let request = request.to_str().expect("a name");
                let sandbox = server.enter(None, None);
                assert!(!matches!(sandbox.open(request, OFlags::RDONLY), Ok(Ok(_))), "{named}");
                assert!(sandbox.open_to_read(request, OFlags::RDONLY, "open").is_err(), "{named}");
                let mut others = (0..allowed.len()).filter(|other| *other != index);
                assert!(others.all(|other| allowed.open(other).is_ok()), "the outer one is as it was");
            }
        }
    }

    #[test]
    fn what_is_offered_twice_is_there_once() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path().canonicalize().expect("a path");
        std::fs::create_dir_all(root.join("a/b")).expect("directories");
        std::fs::write(root.join("f"), "").expect("a file");
        symlink("a", root.join("l")).expect("a link");
        let (server, _) = Directories::new(std::slice::from_ref(&root));
        let names = |offered: &[&str], narrow| {
            let offered: Vec<_> = offered.iter().map(|name| root.join(name)).collect();
            let taken = server.for_roots(&offered, narrow);
            let names = taken.directories.map(|directories| {
                let allowed = directories.allowed();
                let name = |name: &[u8]| String::from_utf8_lossy(name).replace(&*root.to_string_lossy(), "");
                allowed.names().map(name).collect::<Vec<_>>()
            });
            (names.unwrap_or_default(), taken.left_out)
        };
        assert_eq!(names(&["a", "a", "a/", "a/../a"], true), (vec!["/a".to_owned()], 0));
        assert_eq!(names(&["a", "a/b", "l", "l/b"], true), (vec!["/a".to_owned(), "/a/b".to_owned()], 0));
        assert_eq!(names(&["a", "a", "f", "missing", "../elsewhere"], false), (vec!["/a".to_owned()], 3));
        assert_eq!(names(&["f", "missing", "..", "/"], true), (vec![], 4));
        let long = "x/".repeat(3_000);
        assert_eq!(names(&[&long, "a"], true), (vec!["/a".to_owned()], 1));
    }
}
