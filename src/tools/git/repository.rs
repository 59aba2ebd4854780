//! Which repository a call means, and whether all of it lies in the allowed directories.
//!
//! A repository may keep its parts elsewhere: the `.git` of a worktree or a submodule is a file that names a directory,
//! that directory may name another one which all worktrees share, objects may be borrowed from other repositories
//! (alternates), and anything may be a link. All of these are followed here before git runs. Between this check and
//! git's own look at the files somebody who may write there can exchange them: that somebody could put the foreign
//! content there as well.

use super::error::{Allowed, GitFailure};
use super::paths::{self, ResolvedRoots, Roots};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Bytes that are read of a file that names directories.
const MAX_POINTER_BYTES: u64 = 64 * 1024;

/// Repositories that lend each other objects, one behind the other; git follows as many.
const MAX_ALTERNATES: usize = 5;

/// Entries of a repository's directories that are checked for links, with the lines that name directories of objects.
const MAX_ENTRIES: usize = 200_000;

/// Entries after which a check looks whether it is to go on.
const ENTRIES_BETWEEN_LOOKS: usize = 64;

/// Files of a work tree that git reads for its own use.
const READ_BY_GIT: [&str; 4] = [".gitattributes", ".gitignore", ".gitmodules", ".mailmap"];

/// How deep directories of a repository lie in each other.
const MAX_DEPTH: usize = 128;

/// Bytes of paths that a check holds at once.
const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;

/// The parts of a repository, without links.
#[derive(Debug)]
pub(crate) struct Repository {
    /// Where git runs: the top of the work tree, or a repository that has none.
    pub(crate) top: PathBuf,
    pub(crate) has_work_tree: bool,
    /// What belongs to this work tree: `HEAD` and the index.
    pub(crate) git_dir: PathBuf,
    /// What all worktrees share: objects, branches and configuration.
    pub(crate) common_dir: PathBuf,
}

/// Fails once nobody waits for a check any more, or it takes too long.
pub(crate) type GoOn<'g> = &'g dyn Fn() -> Result<(), GitFailure>;

impl Repository {
    /// Finds the repository that a client means, and checks where all of it lies.
    ///
    /// # Errors
    /// What is wrong with the path or the repository.
    pub(crate) fn open(repo_path: &str, roots: &Roots, go_on: GoOn<'_>) -> Result<Self, GitFailure> {
        if repo_path.contains('\0') {
            return Err(GitFailure::NullByte);
        }
        let repo_path = if repo_path.is_empty() { "." } else { repo_path };
        let resolved_roots = roots.resolved();
        if resolved_roots.is_empty() {
            return Err(GitFailure::NothingAllowed { path: repo_path.to_owned() });
        }
        let absolute = paths::absolute(repo_path);
        let real = paths::resolve(&absolute).ok_or_else(|| GitFailure::InvalidPath(repo_path.to_owned()))?;
        if !resolved_roots.hold(&real) {
            return Err(GitFailure::Outside { path: repo_path.to_owned(), allowed: allowed(roots) });
        }
        if fs::symlink_metadata(&real).is_err() {
            return Err(GitFailure::NoSuchPath(absolute));
        }
        let repository = Self::at(&real).ok_or(GitFailure::NotARepository(absolute))?;
        let mut check = Check::new(&repository, roots, &resolved_roots, go_on);
        check.all()?;
        Ok(repository)
    }

    /// The repository whose top, or whose `.git`, is this directory.
    pub(crate) fn at(directory: &Path) -> Option<Self> {
        let dot_git = directory.join(".git");
        let git_dir = match fs::metadata(&dot_git) {
            Ok(found) if found.is_dir() => paths::resolve(&dot_git),
            Ok(_) => pointed_to(&dot_git, b"gitdir: ", directory),
            Err(_) => None,
        };
        if let Some(git_dir) = git_dir.filter(|git_dir| is_git_dir(git_dir)) {
            return Some(Self::of(directory.to_owned(), true, git_dir));
        }
        if !is_git_dir(directory) {
            return None;
        }
        let git_dir = directory.to_owned();
        match directory.parent() {
            Some(top) if paths::is_named(directory, ".git") => Some(Self::of(top.to_owned(), true, git_dir)),
            _ => Some(Self::of(git_dir.clone(), false, git_dir)),
        }
    }

    fn of(top: PathBuf, has_work_tree: bool, git_dir: PathBuf) -> Self {
        let shared = pointed_to(&git_dir.join("commondir"), b"", &git_dir);
        let common_dir = shared.unwrap_or_else(|| git_dir.clone());
        Self { top, has_work_tree, git_dir, common_dir }
    }
}

/// Whether this part of a git directory is not looked into here: objects have a check of their own, submodules are
/// repositories of their own, and no hook runs that is not allowed to run anyway.
fn is_apart(name: &OsStr) -> bool {
    name == "objects" || name == "modules" || name == "hooks"
}

/// Whether git would wait in a file of this kind, or read from it without end. It waits in no socket, and has one of its
/// own.
fn is_endless(kind: fs::FileType) -> bool {
    kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
}

fn refuse_endless(path: &Path) -> Result<(), GitFailure> {
    match fs::symlink_metadata(path) {
        Ok(found) if is_endless(found.file_type()) => Err(GitFailure::NoFile(path.to_owned())),
        _ => Ok(()),
    }
}

fn is_git_dir(directory: &Path) -> bool {
    let has = |name: &str| fs::symlink_metadata(directory.join(name)).is_ok();
    has("HEAD") && (has("objects") && has("refs") || has("commondir"))
}

/// The directory that a file names, after `prefix`, relative to `base`. It is read as git reads it: line ends are left out
/// behind it, and nothing else. Git would end it at a NUL, which is no name that anybody wrote.
fn pointed_to(file: &Path, prefix: &[u8], base: &Path) -> Option<PathBuf> {
    let text = read_start(file)?;
    let mut named = text.strip_prefix(prefix)?;
    while let Some((b'\n' | b'\r', before)) = named.split_last() {
        named = before;
    }
    if named.is_empty() || named.contains(&0) || text.len() as u64 == MAX_POINTER_BYTES {
        return None;
    }
    paths::resolve(&base.join(OsStr::from_bytes(named)))
}

fn read_start(file: &Path) -> Option<Vec<u8>> {
    // A pipe would have the call wait.
    if !fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    File::open(file).ok()?.take(MAX_POINTER_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

fn allowed(roots: &Roots) -> Allowed {
    Allowed(roots.directories().to_vec())
}

/// The check of one repository.
struct Check<'r> {
    roots: &'r Roots,
    resolved_roots: &'r ResolvedRoots,
    repository: &'r Repository,
    go_on: GoOn<'r>,
    /// What was looked at so far.
    entries: usize,
    /// Directories that are still to be looked at, and how deep they lie.
    waiting: Vec<(PathBuf, usize)>,
    /// Where links led: each is looked at once.
    seen: HashSet<PathBuf>,
    /// Bytes of the paths in both.
    held: usize,
}

impl<'r> Check<'r> {
    fn new(
        repository: &'r Repository,
        roots: &'r Roots,
        resolved_roots: &'r ResolvedRoots,
        go_on: GoOn<'r>,
    ) -> Self {
        let (waiting, seen) = (Vec::new(), HashSet::new());
        Self { roots, resolved_roots, repository, go_on, entries: 0, waiting, seen, held: 0 }
    }

    fn all(&mut self) -> Result<(), GitFailure> {
        let Repository { top, git_dir, common_dir, .. } = self.repository;
        self.inside(top)?;
        self.leads_inside(&top.join(".git"))?;
        self.inside(git_dir)?;
        self.inside(common_dir)?;
        let pointer = git_dir.join("commondir");
        if git_dir == common_dir && fs::symlink_metadata(&pointer).is_ok() {
            return Err(GitFailure::BadPointer(pointer));
        }
        self.wait(git_dir.clone(), 0)?;
        if common_dir != git_dir {
            self.wait(common_dir.clone(), 0)?;
        }
        self.links()?;
        for name in READ_BY_GIT {
            // Git follows no link there.
            refuse_endless(&top.join(name))?;
        }
        self.objects(&common_dir.join("objects"), 0)
    }

    /// A directory of objects, and those that it borrows from.
    fn objects(&mut self, objects: &Path, depth: usize) -> Result<(), GitFailure> {
        let objects = paths::resolve(objects).ok_or_else(|| self.uses_outside(objects))?;
        self.inside(&objects)?;
        if self.seen.insert(objects.clone()) {
            self.held += objects.as_os_str().len();
            self.wait(objects.clone(), 1)?;
            self.links()?;
        }
        let Some(text) = read_start(&objects.join("info/alternates")) else { return Ok(()) };
        if text.len() as u64 == MAX_POINTER_BYTES || depth == MAX_ALTERNATES {
            return Err(self.too_many("alternates"));
        }
        for line in
            text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        {
            self.count()?;
            // Git takes a line that begins so for a string with escapes, and a NUL for the end.
            if line.starts_with(b"\"") || line.contains(&0) {
                return Err(self.uses_outside(Path::new(OsStr::from_bytes(line))));
            }
            // Git takes `..` back by name, before it looks where links lead.
            let named = objects.join(OsStr::from_bytes(line));
            self.leads_inside(&named)?;
            self.objects(&paths::lexical(&named), depth + 1)?;
        }
        Ok(())
    }

    /// The links in the directories that wait, and in all below them. Without recursion: a repository is as deep as who
    /// wrote it wants.
    fn links(&mut self) -> Result<(), GitFailure> {
        while let Some((directory, depth)) = self.waiting.pop() {
            self.held -= directory.as_os_str().len();
            self.count()?;
            let Ok(list) = fs::read_dir(&directory) else { continue };
            for entry in list.flatten() {
                self.count()?;
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_symlink() {
                    self.link(&entry.path(), depth)?;
                } else if kind.is_dir() && !(depth == 0 && is_apart(&entry.file_name())) {
                    self.wait(entry.path(), depth + 1)?;
                } else if is_endless(kind) {
                    return Err(GitFailure::NoFile(entry.path()));
                }
            }
        }
        Ok(())
    }

    /// A link, and what lies where it leads.
    fn link(&mut self, link: &Path, depth: usize) -> Result<(), GitFailure> {
        let target = self.leads_inside(link)?;
        refuse_endless(&target)?;
        let is_apart = depth == 0 && link.file_name().is_some_and(is_apart);
        if !is_apart && target.is_dir() && self.seen.insert(target.clone()) {
            // It stays in the set.
            self.held += target.as_os_str().len();
            self.wait(target, depth + 1)?;
        }
        Ok(())
    }

    fn wait(&mut self, directory: PathBuf, depth: usize) -> Result<(), GitFailure> {
        self.held += directory.as_os_str().len();
        if depth > MAX_DEPTH || self.held > MAX_HELD_BYTES {
            return Err(self.too_many("directories"));
        }
        self.waiting.push((directory, depth));
        Ok(())
    }

    fn count(&mut self) -> Result<(), GitFailure> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(self.too_many("files"));
        }
        if self.entries.is_multiple_of(ENTRIES_BETWEEN_LOOKS) {
            (self.go_on)()?;
        }
        Ok(())
    }

    /// Where a path leads.
    fn leads_inside(&self, path: &Path) -> Result<PathBuf, GitFailure> {
        let resolved = paths::resolve(path).ok_or_else(|| self.uses_outside(path))?;
        self.inside(&resolved)?;
        Ok(resolved)
    }

    fn inside(&self, resolved: &Path) -> Result<(), GitFailure> {
        if self.resolved_roots.hold(resolved) { Ok(()) } else { Err(self.uses_outside(resolved)) }
    }

    fn uses_outside(&self, used: &Path) -> GitFailure {
        let repository = self.repository.top.clone();
        GitFailure::UsesOutside { repository, used: used.to_owned(), allowed: allowed(self.roots) }
    }

    fn too_many(&self, what: &'static str) -> GitFailure {
        GitFailure::TooMany { repository: self.repository.top.clone(), what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// Directories `in/repo` (a repository, as far as this module looks) and `out/repo`; `in` is allowed.
    fn scene() -> (TempDir, PathBuf) {
        let outer = tempfile::tempdir().expect("a directory");
        let path = outer.path().canonicalize().expect("a path");
        for repository in ["in/repo", "out/repo"] {
            let git_dir = path.join(repository).join(".git");
            for name in ["objects/info", "objects/pack", "refs/heads", "info"] {
                fs::create_dir_all(git_dir.join(name)).expect("directories");
            }
            fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n").expect("a file");
        }
        (outer, path)
    }

    fn open(path: &Path, repo_path: &str) -> Result<Repository, String> {
        let repo_path = path.join(repo_path);
        let roots = Roots::new(vec![path.join("in")]);
        let opened = Repository::open(&repo_path.to_string_lossy(), &roots, &|| Ok(()));
        opened.map_err(|error| error.to_string().replace(&*path.to_string_lossy(), "OUTER"))
    }

    #[test]
    fn the_top_and_its_git_directory_are_one_repository() {
        let (_outer, path) = scene();
        for repo_path in ["in/repo", "in/repo/", "in/repo/.git", "in/other/../repo"] {
            let repository = open(&path, repo_path).expect("a repository");
            assert_eq!(repository.top, path.join("in/repo"), "{repo_path}");
            assert!(repository.has_work_tree && repository.git_dir == path.join("in/repo/.git"));
        }
        fs::create_dir(path.join("in/repo/sub")).expect("a directory");
        assert_eq!(open(&path, "in/repo/sub").unwrap_err(), "OUTER/in/repo/sub");
        assert_eq!(open(&path, "in/missing").unwrap_err(), "OUTER/in/missing");
        assert_eq!(
            open(&path, "out/repo").unwrap_err(),
            "Repository path 'OUTER/out/repo' is outside the allowed repository 'OUTER/in'"
        );
        let none =
            Repository::open(&path.to_string_lossy(), &Roots::default(), &|| Ok(())).unwrap_err().to_string();
        assert!(none.contains("no directory is allowed"), "{none}");
    }

    /// Changes a repository, whose git directory is given, and one outside.
    type Change = fn(&Path, &Path);

    /// Ways to keep a part of a repository elsewhere.
    fn parts_elsewhere() -> [(&'static str, Change); 12] {
        [
            ("the git directory", |git_dir, out| {
                fs::remove_dir_all(git_dir).expect("removed");
                symlink(out, git_dir).expect("a link");
            }),
            ("a file that names it", |git_dir, out| {
                fs::remove_dir_all(git_dir).expect("removed");
                fs::write(git_dir, format!("gitdir: {}\n", out.display())).expect("a file");
            }),
            ("the shared directory", |git_dir, out| {
                fs::write(git_dir.join("commondir"), out.as_os_str().as_bytes()).expect("a file");
            }),
            ("objects", |git_dir, out| replace(&git_dir.join("objects"), &out.join("objects"))),
            ("packs", |git_dir, out| replace(&git_dir.join("objects/pack"), &out.join("objects"))),
            ("a pack", |git_dir, _| {
                symlink("/etc/passwd", git_dir.join("objects/pack/pack-1.pack")).expect("a link");
            }),
            ("branches", |git_dir, out| replace(&git_dir.join("refs/heads"), &out.join("refs"))),
            ("a branch", |git_dir, _| {
                fs::create_dir(git_dir.join("refs/heads/x")).expect("a directory");
                symlink("/etc/passwd", git_dir.join("refs/heads/x/main")).expect("a link");
            }),
            ("the configuration", |git_dir, _| {
                symlink("/etc/passwd", git_dir.join("config")).expect("a link");
            }),
            ("attributes", |git_dir, _| {
                symlink("/etc/passwd", git_dir.join("info/attributes")).expect("a link");
            }),
            ("the state of a rebase", |git_dir, _| {
                fs::create_dir(git_dir.join("rebase-merge")).expect("a directory");
                symlink("/etc/passwd", git_dir.join("rebase-merge/head-name")).expect("a link");
            }),
            ("a link behind a link", |git_dir, _| {
                let behind = git_dir.join("../behind");
                fs::create_dir(&behind).expect("a directory");
                symlink("/etc/passwd", behind.join("head-name")).expect("a link");
                symlink("../behind", git_dir.join("rebase-merge")).expect("a link");
            }),
        ]
    }

    /// Ways to borrow objects from elsewhere.
    fn objects_elsewhere() -> [(&'static str, Change); 4] {
        [
            ("borrowed objects", |git_dir, out| {
                let text = format!("# here\n{}\n", out.join("objects").display());
                fs::write(git_dir.join("objects/info/alternates"), text).expect("a file");
            }),
            ("borrowed objects, relative, behind others", |git_dir, _| {
                let other = git_dir.join("other");
                fs::create_dir_all(other.join("info")).expect("directories");
                fs::write(other.join("info/alternates"), "../../../../out/repo/.git/objects")
                    .expect("a file");
                fs::write(git_dir.join("objects/info/alternates"), "../other\n").expect("a file");
            }),
            ("borrowed objects, by name and not by link", |git_dir, _| {
                let inside = git_dir.join("a/b/c/d/e/f/out/repo/.git/objects");
                fs::create_dir_all(&inside).expect("directories");
                symlink("a/b/c/d/e/f/g/h/i", git_dir.join("link")).expect("a link");
                fs::create_dir_all(git_dir.join("a/b/c/d/e/f/g/h/i")).expect("directories");
                fs::write(
                    git_dir.join("objects/info/alternates"),
                    "../link/../../../../out/repo/.git/objects\n",
                )
                .expect("a file");
            }),
            ("borrowed objects before a NUL", |git_dir, out| {
                let text = format!("{}\0/../../../../in\n", out.join("objects").display());
                fs::write(git_dir.join("objects/info/alternates"), text).expect("a file");
            }),
        ]
    }

    #[test]
    fn no_part_of_a_repository_may_lie_outside() {
        for (name, change) in parts_elsewhere().into_iter().chain(objects_elsewhere()) {
            let (_outer, path) = scene();
            change(&path.join("in/repo/.git"), &path.join("out/repo/.git"));
            let refused = open(&path, "in/repo").expect_err(name);
            let begin = "The repository 'OUTER/in/repo' uses '";
            assert!(refused.starts_with(begin), "{name}: {refused}");
            assert!(refused.contains("outside the allowed repository 'OUTER/in'"), "{name}: {refused}");
        }
    }

    fn replace(directory: &Path, target: &Path) {
        fs::remove_dir_all(directory).expect("removed");
        symlink(target, directory).expect("a link");
    }

    #[test]
    fn links_and_names_that_stay_inside_are_followed() {
        let (_outer, path) = scene();
        let git_dir = path.join("in/repo/.git");
        fs::rename(&git_dir, path.join("in/data")).expect("moved");
        fs::write(&git_dir, "gitdir: ../data\n").expect("a file");
        assert_eq!(open(&path, "in/repo").expect("a repository").git_dir, path.join("in/data"));
        fs::remove_file(&git_dir).expect("removed");
        symlink("../data", &git_dir).expect("a link");
        fs::create_dir_all(path.join("in/lent")).expect("a directory");
        fs::write(path.join("in/data/objects/info/alternates"), "../../lent\n").expect("a file");
        assert_eq!(open(&path, "in/repo").expect("a repository").git_dir, path.join("in/data"));
        let bare = open(&path, "in/data").expect("a repository");
        assert!(!bare.has_work_tree && bare.top == path.join("in/data"));
    }

    #[test]
    fn names_of_directories_are_read_as_git_reads_them() {
        let (_outer, path) = scene();
        let git_dir = path.join("in/repo/.git");
        for text in ["../x\0y\n", "\n", ""] {
            fs::write(git_dir.join("commondir"), text).expect("a file");
            assert!(open(&path, "in/repo").unwrap_err().contains("does not name a directory"), "{text:?}");
        }
        // A blank is a part of the name.
        symlink(path.join("out/repo/.git"), git_dir.join("shared ")).expect("a link");
        fs::create_dir(git_dir.join("shared")).expect("a directory");
        fs::write(git_dir.join("commondir"), "shared \r\n").expect("a file");
        assert!(open(&path, "in/repo").unwrap_err().contains("OUTER/out/repo/.git"));
    }

    #[test]
    fn deep_and_endless_repositories_are_refused_and_a_check_can_be_stopped() {
        let (_outer, path) = scene();
        let git_dir = path.join("in/repo/.git");
        let deep = git_dir.join("refs/heads").join("a/".repeat(300));
        fs::create_dir_all(deep).expect("directories");
        assert!(open(&path, "in/repo").unwrap_err().contains("too many directories"));

        let (_outer, path) = scene();
        let objects = path.join("in/repo/.git/objects");
        fs::write(objects.join("info/alternates"), "../o1\n".repeat(17)).expect("a file");
        for level in 1..5 {
            let info = objects.join(format!("../o{level}/info"));
            fs::create_dir_all(&info).expect("directories");
            let lines =
                if level < 4 { format!("../o{}\n", level + 1).repeat(17) } else { "n\n".repeat(30_000) };
            fs::write(info.join("alternates"), lines).expect("a file");
        }
        assert!(open(&path, "in/repo").unwrap_err().contains("too many files"));
        let roots = Roots::new(vec![path.join("in")]);
        let repo_path = path.join("in/repo").to_string_lossy().into_owned();
        let stopped = Repository::open(&repo_path, &roots, &|| Err(GitFailure::Cancelled));
        assert!(matches!(stopped, Err(GitFailure::Cancelled)));
    }

    #[test]
    fn pipes_that_git_would_wait_in_are_refused() {
        let (_outer, path) = scene();
        let pipe = path.join("in/pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no mkfifo");
            return;
        }
        // A pipe that git does not read is none of its business.
        assert!(open(&path, "in/repo").is_ok());
        for name in [".git/info/exclude", ".git/objects/info/packs", ".git/refs/heads/main", ".gitignore"] {
            let file = path.join("in/repo").join(name);
            symlink(&pipe, &file).expect("a link");
            let is_followed = name != ".gitignore";
            let refused = open(&path, "in/repo").is_err_and(|error| error.contains("is a pipe or a device"));
            assert_eq!(refused, is_followed, "a link at {name}");
            fs::remove_file(&file).expect("removed");
            fs::rename(&pipe, &file).expect("moved");
            assert!(open(&path, "in/repo").unwrap_err().contains("is a pipe or a device"), "{name}");
            fs::rename(&file, &pipe).expect("moved");
        }
        assert!(open(&path, "in/repo").is_ok());
    }

    #[test]
    fn links_in_a_circle_end() {
        let (_outer, path) = scene();
        symlink("..", path.join("in/repo/.git/refs/up")).expect("a link");
        assert!(open(&path, "in/repo").is_ok());
    }

    #[test]
    fn alternates_in_a_circle_end() {
        let (_outer, path) = scene();
        let alternates = path.join("in/repo/.git/objects/info/alternates");
        fs::write(&alternates, ".\n").expect("a file");
        assert!(
            open(&path, "in/repo").unwrap_err().ends_with("too many alternates to check where they lead")
        );
        fs::write(&alternates, "\"/etc\"\n").expect("a file");
        assert!(open(&path, "in/repo").unwrap_err().contains("uses '\"/etc\"'"));
    }
}
