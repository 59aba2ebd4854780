//! Repositories that git was asked about, for as long as nothing has changed that its answers come from.
//!
//! Before it works, a call asks git which repository it finds, and which settings are in force: two processes of three. Both
//! answers come from few files: `.git`, `HEAD`, the configuration of the repository, and that of the user and the machine.
//! Where these are what they were, so are the answers.
//!
//! Invariant: what is known was asked between two looks at a [`State`] that was the same in both, and at rest: none of its
//! files had changed for [`AT_REST`]. A change within one tick of a file system's clock leaves the times as they are, so what
//! has just changed tells nothing (git calls such entries of its index racy). The time of the last change of an inode (ctime)
//! is the kernel's: nobody sets it back, and a rename sets it too, so that a directory that was exchanged and put back is
//! seen. Each directory that somebody may exchange who writes in the allowed directories is part of the state.

use super::own_files::Known;
use super::paths::ResolvedRoots;
use super::programs::Settings;
use super::repository::Repository;
use crate::lock::lock;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Repositories that are known at once; of more, the one that was used least recently is asked about again.
const MAX_KNOWN: usize = 16;

/// Bytes of settings that are kept for one of them.
const MAX_SETTINGS_BYTES: usize = 16 * 1024;

/// No file system that git is used on tells times less exactly.
const AT_REST: Duration = Duration::from_secs(2);

/// Files that git's answers come from, below the directory of a work tree.
const OF_WORK_TREE: [&str; 4] = ["HEAD", "commondir", "config.worktree", "gitdir"];

/// What tells one state of a file from another: its device, number, mode, owner, length, and the times of its last changes,
/// in seconds and nanoseconds. Without length and times it tells a directory from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64, u32, u32),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino(), found.mode(), found.uid()),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    fn is_at_rest(&self, now: Duration) -> bool {
        let is_past = |(seconds, ns): (i64, i64)| {
            let at = u64::try_from(seconds).ok().zip(u32::try_from(ns).ok());
            at.is_some_and(|(seconds, ns)| Duration::new(seconds, ns) + AT_REST <= now)
        };
        is_past(self.modified) && is_past(self.changed)
    }
}

/// What the answers of git about a repository come from.
#[derive(Debug, Clone)]
pub(crate) struct State {
    directories: [PathBuf; 3],
    /// Of the same files in the same order for the same directories; `None` for what is not there.
    stamps: Vec<Option<Stamp>>,
    /// The settings of the user and the machine: another one as soon as one of their files has changed.
    own: Arc<Known>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.directories == other.directories
            && self.stamps == other.stamps
            && Arc::ptr_eq(&self.own, &other.own)
    }
}

impl State {
    /// The state of a repository; `None` where it is not at rest, or a link is part of it, which tells little of what it
    /// leads to.
    pub(crate) fn of(
        repository: &Repository,
        roots: &ResolvedRoots,
        own: &Arc<Known>,
        now: SystemTime,
    ) -> Option<Self> {
        if !own.is_complete() {
            return None;
        }
        let Repository { top, git_dir, common_dir, .. } = repository;
        let mut look = Look { now: now.duration_since(UNIX_EPOCH).ok()?, stamps: Vec::new() };
        for directory in [top, git_dir, common_dir] {
            look.at_directory(directory)?;
            for around in directory.ancestors() {
                // Who writes in the allowed directories may exchange what lies in one of them.
                if !around.parent().is_some_and(|parent| roots.hold(parent)) {
                    break;
                }
                look.at(around)?;
            }
        }
        look.at(&top.join(".git"))?;
        for name in OF_WORK_TREE {
            look.at(&git_dir.join(name))?;
        }
        look.at(&common_dir.join("config"))?;
        look.at_directory(&common_dir.join("objects"))?;
        look.at_directory(&common_dir.join("refs"))?;
        let directories = [top, git_dir, common_dir].map(Clone::clone);
        Some(Self { directories, stamps: look.stamps, own: Arc::clone(own) })
    }

    fn heap_bytes(&self) -> usize {
        let names: usize = self.directories.iter().map(|path| path.as_os_str().len()).sum();
        names + self.stamps.capacity() * size_of::<Option<Stamp>>()
    }
}

/// A look at the files of a state.
struct Look {
    now: Duration,
    stamps: Vec<Option<Stamp>>,
}

impl Look {
    fn at(&mut self, path: &Path) -> Option<()> {
        let stamp = found(path).ok()?.as_ref().map(Stamp::of);
        if stamp.is_some_and(|stamp| !stamp.is_at_rest(self.now)) {
            return None;
        }
        self.stamps.push(stamp);
        Some(())
    }

    /// Looks which directory it is: what comes and goes in it is of no interest.
    fn at_directory(&mut self, path: &Path) -> Option<()> {
        let stamp = found(path).ok()?.as_ref().map(Stamp::of);
        let (bytes, time) = (0, (0, 0));
        self.stamps.push(stamp.map(|stamp| Stamp { bytes, modified: time, changed: time, ..stamp }));
        Some(())
    }
}

/// What is at a path, if anything.
///
/// # Errors
/// When it cannot be looked at, or is a link.
fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_symlink() => Err(ErrorKind::InvalidInput.into()),
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What git said of a repository that it finds.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    /// Its settings, where they were asked for.
    pub(crate) settings: Option<Arc<Settings>>,
}

#[derive(Debug)]
struct Entry {
    state: State,
    answers: Answers,
}

/// Repositories that git was asked about. The one that was used last stands last.
#[derive(Debug, Default)]
pub(crate) struct KnownRepositories {
    entries: Mutex<Vec<Entry>>,
}

impl KnownRepositories {
    /// What git said of a repository in this state, if it was asked.
    pub(crate) fn find(&self, state: &State) -> Option<Answers> {
        let mut entries = lock(&self.entries);
        let at = entries.iter().position(|entry| entry.state == *state)?;
        let entry = entries.remove(at);
        let answers = entry.answers.clone();
        entries.push(entry);
        Some(answers)
    }

    /// Keeps what git said of a repository that was in this state before and after.
    pub(crate) fn keep(&self, state: State, mut answers: Answers) {
        let is_kept =
            |settings: &Arc<Settings>| settings.bytes() <= MAX_SETTINGS_BYTES && !settings.include_others();
        answers.settings = answers.settings.filter(is_kept);
        let mut entries = lock(&self.entries);
        entries.retain(|entry| entry.state.directories != state.directories);
        if entries.len() == MAX_KNOWN {
            entries.remove(0);
        }
        entries.push(Entry { state, answers });
    }

    /// Heap bytes of what is known.
    pub(crate) fn heap_bytes(&self) -> usize {
        let entries = lock(&self.entries);
        let of_entry = |entry: &Entry| {
            let settings = entry
                .answers
                .settings
                .as_ref()
                .map_or(0, |settings| size_of::<Settings>() + settings.bytes());
            entry.state.heap_bytes() + settings
        };
        entries.capacity() * size_of::<Entry>() + entries.iter().map(of_entry).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::paths::Roots;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    /// Longer than a tick of the clock that files are stamped by.
    const TICK: Duration = Duration::from_millis(50);

    struct Scene {
        _outer: TempDir,
        path: PathBuf,
        own: Arc<Known>,
    }

    /// A repository in `in/a/repo`, as far as a state looks; `in` is allowed.
    fn scene() -> Scene {
        let outer = tempfile::tempdir().expect("a directory");
        let path = outer.path().canonicalize().expect("a path");
        let scene = Scene { _outer: outer, path, own: Arc::default() };
        for directory in [".git/objects", ".git/refs"] {
            fs::create_dir_all(scene.top().join(directory)).expect("directories");
        }
        fs::write(scene.git("HEAD"), "ref: refs/heads/main\n").expect("a file");
        fs::write(scene.git("config"), "[core]\n\tbare = false\n").expect("a file");
        std::thread::sleep(TICK);
        scene
    }

    impl Scene {
        fn top(&self) -> PathBuf {
            self.path.join("in/a/repo")
        }

        fn git(&self, name: &str) -> PathBuf {
            self.top().join(".git").join(name)
        }

        fn state_at(&self, now: SystemTime) -> Option<State> {
            let (top, git_dir) = (self.top(), self.git(""));
            let git_dir = git_dir.components().collect::<PathBuf>();
            let repository = Repository { top, has_work_tree: true, common_dir: git_dir.clone(), git_dir };
            let roots = Roots::new(vec![self.path.join("in")]).resolved();
            State::of(&repository, &roots, &self.own, now)
        }

        /// The state as it is when all has been at rest for long.
        fn state(&self) -> Option<State> {
            self.state_at(SystemTime::now() + Duration::from_mins(1))
        }
    }

    #[test]
    fn a_state_that_has_just_changed_tells_nothing() {
        let scene = scene();
        assert!(scene.state_at(SystemTime::now()).is_none(), "it was made a moment ago");
        assert!(scene.state().is_some_and(|state| Some(state) == scene.state()));
        assert!(scene.state_at(UNIX_EPOCH).is_none(), "a clock that stands");
    }

    /// What may change which repository git finds, or which settings are in force, changes the state.
    #[test]
    fn each_change_that_matters_is_another_state() {
        type Change<'c> = (&'static str, &'c dyn Fn(&Scene));
        let rename = |from: &Path, to: &Path| fs::rename(from, to).expect("renamed");
        let changes: [Change<'_>; 11] = [
            ("settings of the same length", &|scene| {
                fs::write(scene.git("config"), "[core]\n\tbare = FALSE\n").expect("a file");
            }),
            ("a time of the settings that was set back", &|scene| {
                let file = fs::File::options().write(true).open(scene.git("config")).expect("a file");
                let before = file.metadata().and_then(|found| found.modified()).expect("a time");
                fs::write(scene.git("config"), "[core]\n\tbare = FALSE\n").expect("a file");
                file.set_modified(before).expect("set");
            }),
            ("settings of the work tree", &|scene| {
                fs::write(scene.git("config.worktree"), "").expect("a file");
            }),
            ("another branch", &|scene| {
                fs::write(scene.git("HEAD"), "ref: refs/heads/mine\n").expect("a file");
            }),
            ("a directory that is shared", &|scene| {
                fs::write(scene.git("commondir"), "x\n").expect("a file");
            }),
            ("no objects", &|scene| rename(&scene.git("objects"), &scene.git("gone"))),
            ("other rights", &|scene| {
                fs::set_permissions(scene.git(""), PermissionsExt::from_mode(0o777)).expect("set");
            }),
            ("a link in the place of the settings", &|scene| {
                rename(&scene.git("config"), &scene.git("real"));
                symlink("real", scene.git("config")).expect("a link");
            }),
            ("a git directory that was exchanged and put back", &|scene| {
                rename(&scene.git(""), &scene.top().join("away"));
                rename(&scene.top().join("away"), &scene.top().join(".git"));
            }),
            ("a repository that was exchanged and put back", &|scene| {
                rename(&scene.top(), &scene.path.join("in/away"));
                rename(&scene.path.join("in/away"), &scene.top());
            }),
            ("a directory around it that was exchanged and put back", &|scene| {
                rename(&scene.path.join("in/a"), &scene.path.join("in/away"));
                rename(&scene.path.join("in/away"), &scene.path.join("in/a"));
            }),
        ];
        for (what, change) in changes {
            let scene = scene();
            let before = scene.state().expect("a state");
            change(&scene);
            assert!(scene.state() != Some(before), "{what}");
        }
    }

    #[test]
    fn files_of_the_work_tree_and_of_objects_are_no_part_of_a_state() {
        let scene = scene();
        fs::create_dir(scene.top().join("src")).expect("a directory");
        std::thread::sleep(TICK);
        let before = scene.state().expect("a state");
        fs::write(scene.top().join("src/file"), "x").expect("a file");
        fs::write(scene.git("objects/x"), "x").expect("a file");
        fs::write(scene.path.join("in/beside"), "x").expect("a file");
        assert!(scene.state() == Some(before));
    }

    #[test]
    fn what_is_known_is_bounded_and_the_last_used_stay() {
        let (scene, known) = (scene(), KnownRepositories::default());
        let state = scene.state().expect("a state");
        let of = |number: usize| {
            let mut state = state.clone();
            state.directories[0] = PathBuf::from(format!("/repository/{number}"));
            state
        };
        let answers = |list: &str| {
            let list = list.replace(' ', "\0").into_bytes();
            Answers { settings: Some(Arc::new(Settings::from_list(list))) }
        };
        let has_settings = |state: &State| known.find(state).map(|answers| answers.settings.is_some());
        assert!(known.find(&of(0)).is_none());
        for number in 0..100 {
            known.keep(of(number), answers("local core.bare "));
            assert_eq!(has_settings(&of(0)), Some(true), "{number}");
        }
        assert_eq!((0..100).filter(|number| known.find(&of(*number)).is_some()).count(), MAX_KNOWN);
        assert!(known.heap_bytes() < MAX_KNOWN * 4_096, "{} B", known.heap_bytes());
        // Another state of a known one takes its place.
        let other = State { own: Arc::default(), ..of(0) };
        known.keep(other.clone(), Answers { settings: None });
        assert_eq!([has_settings(&of(0)), has_settings(&other)], [None, Some(false)]);
        // Settings that come from other files are asked for each time, and so are those without end.
        let long = format!("local {} ", "x".repeat(MAX_SETTINGS_BYTES));
        for list in
            ["local include.path ", "local includeif.gitdir:x.path ", "worktree include.path ", &*long]
        {
            known.keep(of(1), answers(list));
            assert_eq!(has_settings(&of(1)), Some(false), "{list:.40}");
        }
        known.keep(of(1), answers("global include.path local user.name "));
        assert_eq!(has_settings(&of(1)), Some(true), "those of the user are followed");
    }
}
