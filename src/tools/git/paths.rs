//! Where paths lead: through links, also where the end of a path is not there, and whether that lies in a directory.
//!
//! Everything here looks at names only, as git itself does afterwards: it cannot be given an open directory to stay in.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Links that one path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// The path that `path` leads to, with all links followed; what is not there stays as it is written.
///
/// `None` for links that lead in a circle.
pub(crate) fn resolve(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::from("/");
    let mut left: Vec<OsString> = reversed(path);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        resolved.push(&name);
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots {
    directories: Vec<PathBuf>,
    /// Where they have to lie themselves, if they are those of a client.
    within: Option<Arc<Roots>>,
}

impl Roots {
    pub(crate) fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories, within: None }
    }

    /// Directories of a client, of which only those count that lie in these.
    pub(crate) fn narrowed(self: &Arc<Self>, directories: Vec<PathBuf>) -> Self {
        Self { directories, within: Some(Arc::clone(self)) }
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
        let all = self.directories.iter().filter_map(|directory| resolve(directory));
        match self.within.as_ref().map(|within| within.resolved()) {
            Some(within) => ResolvedRoots(all.filter(|directory| within.hold(directory)).collect()),
            None => ResolvedRoots(all.collect()),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let paths: usize = self.directories.iter().map(|path| path.as_os_str().len()).sum();
        self.directories.capacity() * size_of::<PathBuf>() + paths
    }
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
