//! The directories that calls may reach: those of the server, or those of one session.

use super::access::Sandbox;
use super::allowed::{AllowedDirectories, Directory, Duplicates, Opening};
use super::beneath;
use super::lexical;
use super::listing::LIST;
use super::toolset_state::ToolsetState;
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_DEPTH};
use crate::server::{CancellationToken, SessionValues};
use rustix::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Names that are looked up for all roots of one client together, while other requests wait.
const ROOT_STEPS: usize = 4 * MAX_PATH_DEPTH;

/// The directories that calls may reach. All calls of a session share them; so do all sessions without roots of their
/// own.
#[derive(Debug)]
pub(crate) struct Directories {
    allowed: RwLock<Arc<AllowedDirectories>>,
    state: Arc<ToolsetState>,
}

/// The result of applying the roots that a client offers.
#[derive(Debug)]
pub(crate) struct AppliedRoots {
    /// The directories of its session; `None` when no root can be used.
    pub(crate) directories: Option<Directories>,
    /// The number of roots that are no directories on this machine, or do not lie in the server's.
    pub(crate) left_out: usize,
}

impl Directories {
    /// Takes the directories of `paths` that can be used, and gives a warning for each of the others.
    pub(crate) fn new(paths: &[PathBuf]) -> (Self, Vec<String>) {
        let state = Arc::new(ToolsetState::new());
        let (allowed, warnings) = AllowedDirectories::by_name(paths, Duplicates::Keep, &state);
        (Self { allowed: RwLock::new(Arc::new(allowed)), state }, warnings)
    }

    /// The directories of a session, if it has some of its own, or else these.
    pub(crate) fn of_session(self: &Arc<Self>, session: &SessionValues) -> Arc<Self> {
        session.find::<Self>().unwrap_or_else(|| Arc::clone(self))
    }

    /// Makes the sandbox of one call. `inline_names` is the number of names that it may look up while other requests
    /// wait; `None` on a thread that may block.
    pub(crate) fn enter(
        &self,
        inline_names: Option<usize>,
        cancellation: Option<CancellationToken>,
    ) -> Sandbox {
        Sandbox::new(self.allowed(), Arc::clone(&self.state), inline_names, cancellation)
    }

    /// The directories of a session whose client offers `paths`. With `narrow`, only those count that lie inside these
    /// directories.
    pub(crate) fn for_roots(&self, paths: &[PathBuf], narrow: bool) -> AppliedRoots {
        let usable = paths.iter().filter(|path| path.as_os_str().len() <= MAX_PATH_BYTES);
        let usable: Vec<PathBuf> = usable.cloned().collect();
        let (allowed, found) = if narrow {
            self.narrowed(&usable)
        } else {
            let (allowed, warnings) = AllowedDirectories::by_name(&usable, Duplicates::Drop, &self.state);
            (allowed, usable.len() - warnings.len())
        };
        let left_out = paths.len() - found;
        let is_usable = allowed.len() > 0;
        let directories = Self { allowed: RwLock::new(Arc::new(allowed)), state: Arc::clone(&self.state) };
        AppliedRoots { directories: is_usable.then_some(directories), left_out }
    }

    /// The directories of `paths` that lie inside these, each once, and the number of such paths.
    fn narrowed(&self, paths: &[PathBuf]) -> (AllowedDirectories, usize) {
        let server = self.allowed();
        let sandbox = self.enter(Some(ROOT_STEPS), None);
        let mut directories: Vec<Directory> = Vec::new();
        let mut found = 0;
        for path in paths {
            let path = lexical::joined(b"/", path.as_os_str().as_bytes());
            let Some((index, below)) = sandbox.locate_directory(&path) else { continue };
            found += 1;
            let name = lexical::joined(server.name(index), &below);
            let opening = Opening::Beneath { index, path: below };
            if directories.iter().all(|known| known.opening != opening && known.name[..] != name[..]) {
                directories.push(Directory { name: name[..].into(), opening });
            }
        }
        (AllowedDirectories::beneath(server, directories), found)
    }

    /// Removes the temporary files that killed servers left in the directories themselves.
    pub(crate) fn clean(&self) {
        let allowed = self.allowed();
        for index in 0..allowed.len() {
            let opened = allowed.open(index).and_then(|handle| beneath::reopen(handle.as_fd(), LIST));
            if let Ok(directory) = opened {
                self.state.leftovers.clean(&directory);
            }
        }
    }

    fn allowed(&self) -> Arc<AllowedDirectories> {
        Arc::clone(&self.allowed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Heap bytes of the directories, without the state that all sessions share.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.allowed().heap_bytes()
    }

    /// Heap bytes of the directories, and of the state that all sessions share.
    pub(crate) fn toolset_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes() + size_of::<ToolsetState>() + self.state.kept_texts.now()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allowed().len() == 0
    }

    /// Replaces all directories by those of `paths` that exist; changes nothing when none does. Gives a warning for
    /// each that is left out.
    pub(crate) fn replace(&self, paths: &[PathBuf]) -> Vec<String> {
        let (allowed, warnings) = AllowedDirectories::by_name(paths, Duplicates::Drop, &self.state);
        if allowed.len() > 0 {
            *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(allowed);
        }
        warnings
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::tools::filesystem::error::FsError;
    use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
    use rustix::io::Errno;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// How many of the files in a session are opened; all are inside.
    fn opened(session: &Directories) -> usize {
        let sandbox = session.enter(None, None);
        let opened = [
            sandbox.open("f", OFlags::RDONLY).and_then(|opened| opened.map_err(FsError::read)),
            sandbox.open_to_read("f", OFlags::RDONLY, "open").map(|(opened, _)| opened),
            sandbox.resolve("sub/f").and_then(|target| target.open(OFlags::RDONLY).map_err(FsError::read)),
        ];
        opened
            .into_iter()
            .flatten()
            .inspect(|file| {
                let file = file.try_clone().expect("a handle");
                let text = std::io::read_to_string(std::fs::File::from(file)).expect("text");
                assert_eq!(text, "inside");
            })
            .count()
    }

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
        let offered = [root.join("x"), root.join("x/sub")];
        let mut session = server.for_roots(&offered, true).directories.expect("they are there");
        // Later it is up to the scheduler whether a file is there.
        assert_eq!(opened(&session), 3, "while nobody renames, all are found");
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (real, link) = (root.join("x"), root.join("link"));
                while !is_done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).expect("exchanged");
                }
            });
            for round in 0..TRIES {
                if round % 16 == 0 {
                    session = server.for_roots(&offered, true).directories.unwrap_or(session);
                }
                opened(&session);
                let sandbox = session.enter(None, None);
                if let Ok(target) = sandbox.resolve("new")
                    && let Some((Ok(parent), name)) = target.open_parent()
                {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
                    rustix::fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR).expect("made inside");
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
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
