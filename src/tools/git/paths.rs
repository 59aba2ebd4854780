//! Where paths lead: through links, also where the end of a path is not there, and whether that lies in a directory.
//!
//! Everything here looks at names only, as git itself does afterwards: it cannot be given an open directory to stay in.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Links that one path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// The path that `path` leads to, with all links followed; what is not there stays as it is written.
///
/// `None` for links that lead in a circle.
pub(crate) fn resolve(path: &Path) -> Option<PathBuf> {
    follow(path, |_| ())
}

/// The same, and `pass` is called with each name on the way, links included.
fn follow(path: &Path, mut pass: impl FnMut(&Path)) -> Option<PathBuf> {
    let mut resolved = PathBuf::from("/");
    let mut left: Vec<OsString> = reversed(path);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        resolved.push(&name);
        pass(&resolved);
        let Ok(target) = std::fs::read_link(&resolved) else { continue };
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
        if target.is_absolute() {
            resolved = PathBuf::from("/");
        } else {
            resolved.pop();
        }
        left.extend(reversed(&target));
    }
    Some(resolved)
}

fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

/// The absolute path that a client's text means: below the home directory, or the working directory. Nothing is looked
/// up.
pub(crate) fn absolute(text: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let path = match text.strip_prefix('~') {
        Some("") => home(),
        Some(rest) if rest.starts_with('/') => home().map(|home| home.join(rest.trim_start_matches('/'))),
        _ => None,
    };
    let path = path.unwrap_or_else(|| PathBuf::from(text));
    lexical(&std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(path))
}

/// A path without `.` and `..`, as they are written.
pub(crate) fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// The directories that repositories may lie in.
///
/// The name of one may pass through another, where others may change names and so lead it elsewhere. Such a directory counts
/// only where it has to be by its [`Location`], as it does for the filesystem tools.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    directories: Vec<PathBuf>,
    /// Where each of them has to be, looked at once: for those of a client on the thread of its first call.
    locations: OnceLock<Vec<Location>>,
    /// Where they have to lie themselves, if they are those of a client.
    within: Option<Arc<Roots>>,
}

/// Where a directory has to be.
#[derive(Debug, PartialEq, Eq)]
enum Location {
    /// Wherever its name leads: no other directory lies on its way.
    Anywhere,
    /// Inside the directory of that index, as it was at first.
    Inside(usize),
    /// Where it was at first: its name passes through another directory, and out of it again.
    Exactly(PathBuf),
}

impl Roots {
    /// Directories of the user who runs the server.
    pub(crate) fn new(directories: Vec<PathBuf>) -> Self {
        let roots = Self::offered(directories);
        roots.locations();
        roots
    }

    /// Directories of a client, which may name any. Nothing is looked up.
    pub(crate) fn offered(directories: Vec<PathBuf>) -> Self {
        Self { directories, locations: OnceLock::new(), within: None }
    }

    /// Directories of a client, of which only those count that lie in these.
    pub(crate) fn narrowed(self: &Arc<Self>, directories: Vec<PathBuf>) -> Self {
        Self { within: Some(Arc::clone(self)), ..Self::offered(directories) }
    }

    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Whether one of them is there.
    pub(crate) fn are_usable(&self) -> bool {
        self.resolved().0.iter().any(|directory| directory.is_dir())
    }

    /// The directories as they are now, with all links followed.
    pub(crate) fn resolved(&self) -> ResolvedRoots {
        if let Some(within) = self.within.as_ref().map(|within| within.resolved()) {
            let all = self.directories.iter().filter_map(|directory| resolve(directory));
            return ResolvedRoots(all.filter(|directory| within.hold(directory)).collect());
        }
        ResolvedRoots((0..self.directories.len()).filter_map(|index| self.at(index)).collect())
    }

    /// Where a directory is now; `None` where it has not to be.
    fn at(&self, index: usize) -> Option<PathBuf> {
        let real = resolve(&self.directories[index])?;
        let is_there = match &self.locations()[index] {
            Location::Anywhere => true,
            Location::Inside(around) => self.at(*around).is_some_and(|around| is_inside(&real, &around)),
            Location::Exactly(first) => real == *first,
        };
        is_there.then_some(real)
    }

    fn locations(&self) -> &[Location] {
        self.locations.get_or_init(|| locations(&self.directories))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let paths: usize = self.directories.iter().map(|path| path.as_os_str().len()).sum();
        // Whether it was looked at or not: the session is charged before.
        let each = size_of::<PathBuf>() + size_of::<Location>();
        self.directories.capacity() * each + paths * 2
    }
}

fn locations(directories: &[PathBuf]) -> Vec<Location> {
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let mut ways = Vec::new();
    for (index, directory) in directories.iter().enumerate() {
        let mut steps = Vec::new();
        // A circle is nowhere, and must not lead anywhere later if others can change it.
        let real = follow(directory, |step| steps.push(step.to_owned())).unwrap_or_default();
        places.entry(real.clone()).or_insert(index);
        ways.push((real, steps));
    }
    // Of the directories that a path lies in and is not, the outermost.
    let around = |path: &Path| path.ancestors().skip(1).filter_map(|above| places.get(above)).last().copied();
    let location = |(real, steps): (PathBuf, Vec<PathBuf>)| {
        if !steps.iter().any(|step| around(step).is_some()) {
            return Location::Anywhere;
        }
        around(&real).map_or_else(|| Location::Exactly(real.clone()), Location::Inside)
    };
    ways.into_iter().map(location).collect()
}

/// Whether a path lies below another one, and is not the same.
fn is_inside(path: &Path, around: &Path) -> bool {
    path != around && path.starts_with(around)
}

/// The directories of one call.
#[derive(Debug)]
pub(crate) struct ResolvedRoots(Vec<PathBuf>);

impl ResolvedRoots {
    /// Whether a path without links lies in one of them.
    pub(crate) fn hold(&self, resolved: &Path) -> bool {
        self.0.iter().any(|root| resolved.starts_with(root))
    }

    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a name of a link, or of a directory, is one of those.
pub(crate) fn is_named(path: &Path, name: &str) -> bool {
    path.file_name() == Some(OsStr::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_as_far_as_there_is_something() {
        let outer = tempfile::tempdir().expect("a directory");
        let outer = outer.path().canonicalize().expect("a path");
        std::fs::create_dir_all(outer.join("a/b")).expect("directories");
        symlink("a/b", outer.join("relative")).expect("a link");
        symlink(outer.join("a"), outer.join("absolute")).expect("a link");
        symlink("missing/x", outer.join("dangling")).expect("a link");
        symlink("circle", outer.join("circle")).expect("a link");
        for (path, want) in [
            ("a/b", Some("a/b")),
            ("relative", Some("a/b")),
            ("relative/..", Some("a")),
            ("absolute/b/../new/../b", Some("a/b")),
            ("dangling", Some("missing/x")),
            ("dangling/../y", Some("missing/y")),
            ("missing/../a", Some("a")),
            ("circle", None),
            ("circle/x", None),
        ] {
            assert_eq!(resolve(&outer.join(path)), want.map(|want| outer.join(want)), "{path}");
        }
    }

    #[test]
    fn a_directory_with_the_same_beginning_is_another() {
        let outer = tempfile::tempdir().expect("a directory");
        let outer = outer.path().canonicalize().expect("a path");
        let roots = Roots::new(vec![outer.join("root")]).resolved();
        assert!(roots.hold(&outer.join("root")) && roots.hold(&outer.join("root/x")));
        assert!(!roots.hold(&outer.join("rootfoo")) && !roots.hold(&outer) && !roots.hold(Path::new("/")));
    }

    /// Each way in which one directory can lie on the way to another, as for the filesystem tools: by name, through a link,
    /// and through a link that leads out again.
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
            ("A/circle", "A/circle", "A/d/b"),
            ("A/later", "A/x", "A/d"),
        ];
        for (named, away, instead) in rows {
            for is_first in [false, true] {
                let base = tempfile::tempdir().expect("a directory");
                let base = base.path().canonicalize().expect("a path");
                for directory in ["A/x/b", "A/v1/sub", "A/d", "A/e", "elsewhere", "secret/b"] {
                    std::fs::create_dir_all(base.join(directory)).expect("directories");
                }
                for (target, link) in [
                    ("v1/sub", "A/current"),
                    ("circle", "A/circle"),
                    ("x/b", "A/later"),
                    ("A/v1/sub", "to_v1"),
                    ("../elsewhere", "A/out"),
                    ("A/out", "to_out"),
                ] {
                    symlink(target, base.join(link)).expect("a link");
                }
                for link in ["A/d/b", "A/e/sub"] {
                    symlink(base.join("secret"), base.join(link)).expect("a link");
                }
                let mut given = vec![base.join("A"), base.join(named)];
                if is_first {
                    given.reverse();
                }
                let roots = Roots::new(given);
                let before = roots.resolved().0.len();
                assert_eq!(before, if named == "A/circle" { 1 } else { 2 }, "{named}");
                std::fs::rename(base.join(away), base.join("A/gone")).expect("moved away");
                std::fs::rename(base.join(instead), base.join(away)).expect("put in its place");
                assert!(resolve(&base.join(named)).is_some_and(|real| real.starts_with(base.join("secret"))));
                assert_eq!(roots.resolved().0, [base.join("A")], "{named}, first: {is_first}");
            }
        }
    }

    #[test]
    fn a_directory_may_go_elsewhere_where_no_other_is_on_its_way() {
        let base = tempfile::tempdir().expect("a directory");
        let base = base.path().canonicalize().expect("a path");
        for directory in ["one", "two", "A/sub"] {
            std::fs::create_dir_all(base.join(directory)).expect("directories");
        }
        symlink("one", base.join("current")).expect("a link");
        let roots = Roots::new(vec![base.join("current"), base.join("A"), base.join("A/sub")]);
        std::fs::remove_file(base.join("current")).expect("removed");
        symlink("two", base.join("current")).expect("a link");
        std::fs::rename(base.join("A/sub"), base.join("A/old")).expect("moved");
        symlink("old", base.join("A/sub")).expect("a link");
        assert_eq!(roots.resolved().0, ["two", "A", "A/old"].map(|name| base.join(name)));
    }

    #[test]
    fn texts_of_clients_become_absolute() {
        let home = std::env::var("HOME").unwrap_or_default();
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(absolute("~/x/../y"), Path::new(&home).join("y"));
        assert_eq!(absolute("~user"), here.join("~user"));
        assert_eq!(absolute("/a/./b//c/.."), Path::new("/a/b"));
        assert_eq!(absolute(""), here);
        assert_eq!(absolute("/../.."), Path::new("/"));
    }
}
