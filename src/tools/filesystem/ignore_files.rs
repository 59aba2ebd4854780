//! What ignore files (`.gitignore`, `.ignore`) say of the entries of a walk, by the rules of git.
//!
//! Those of the directories above count as far as the allowed directory. Exclusions that a repository keeps elsewhere
//! (`.git/info/exclude`, a file of the user) are not read. What patterns take of memory and steps is bounded as for the
//! patterns of a call; a file that is too long, or beyond the bound, is left out and counted.

use super::as_node::budget::Budget;
use super::as_node::glob::{Depth, Glob, GlobPath};
use super::open_file::{OpenFile, READ};
use super::sandbox::access::Sandbox;
use super::sandbox::target::Target;
use crate::limits::Limits;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// The names of ignore files; what a later one says counts more.
const NAMES: [&[u8]; 2] = [b".gitignore", b".ignore"];
/// The longest ignore file that is read.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// The ignore files on the way to the current entry of a walk.
#[derive(Debug)]
pub(super) struct IgnoreFiles {
    levels: Vec<Level>,
    /// The path of the current entry from the allowed directory on.
    path: GlobPath,
    /// Names between the allowed directory and the one in which the walk begins.
    above: usize,
    budget: Budget,
    /// Files that are not respected, as they are too long or cost too much.
    left_out: usize,
}

#[derive(Debug, Default)]
struct Level {
    /// Names of its directory, from the allowed directory on.
    depth: usize,
    lines: Vec<Line>,
    paid_bytes: usize,
}

/// A line of an ignore file.
#[derive(Debug)]
struct Line {
    glob: Glob,
    /// Entries that match it are not ignored, whatever lines before it say.
    is_exception: bool,
    of_directories: bool,
}

impl IgnoreFiles {
    /// The files of the directory in which a walk begins, and of those above it.
    pub(super) fn new(sandbox: &Sandbox, target: &Target, limits: &Limits) -> Self {
        let (levels, path, budget) = (Vec::new(), GlobPath::default(), Budget::new(limits));
        let mut files = Self { levels, path, above: 0, budget, left_out: 0 };
        let above = sandbox.directories().locate(target.path()).and_then(|(_, below)| {
            let root = &target.path()[..target.path().len() - below.len()];
            Some((std::str::from_utf8(root).ok()?, std::str::from_utf8(below).ok()?))
        });
        if let Some((root, below)) = above.filter(|(_, below)| !below.is_empty()) {
            let mut directory = root.trim_end_matches('/').to_owned();
            for (depth, name) in below.split('/').enumerate() {
                files.push(depth, |file| {
                    let path = [directory.as_bytes(), file].join(&b'/');
                    let path = String::from_utf8_lossy(&path);
                    sandbox.open(&path, READ).unwrap_or(Err(Errno::NOENT))
                });
                files.path.set(depth, name);
                directory = format!("{directory}/{name}");
                files.above = depth + 1;
            }
        }
        files.enter(target, b"");
        files
    }

    /// Reads the files of a directory that the walk enters: `path` is its own below the first.
    pub(super) fn enter(&mut self, target: &Target, path: &[u8]) {
        let names = if path.is_empty() { 0 } else { memchr::memchr_iter(b'/', path).count() + 1 };
        self.push(self.above + names, |file| {
            let path = if path.is_empty() { file.to_vec() } else { [path, file].join(&b'/') };
            target.open_below(&path, READ)
        });
    }

    /// The walk leaves the directory that it entered last.
    pub(super) fn leave(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.budget.give_back(level.paid_bytes);
        }
    }

    /// Whether the entry of that name, in a directory so deep below the first, is ignored.
    pub(super) fn ignore(&mut self, depth: usize, name: &str, is_directory: bool) -> bool {
        self.path.set(self.above + depth, name);
        let steps = self.budget.steps();
        steps.begin();
        let lines = self
            .levels
            .iter()
            .rev()
            .flat_map(|level| level.lines.iter().rev().map(move |line| (level, line)));
        for (level, line) in lines {
            if (is_directory || !line.of_directories)
                && line.glob.matches_from(&self.path, level.depth, steps)
            {
                return !line.is_exception;
            }
        }
        false
    }

    /// Files that are not respected.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    fn push(&mut self, depth: usize, open: impl Fn(&[u8]) -> Result<OwnedFd, Errno>) {
        let mut level = Level { depth, ..Level::default() };
        for name in NAMES {
            let Ok(file) = open(name) else { continue };
            // What is no regular file says nothing, as for git.
            let Ok(file) = OpenFile::regular(file, || Ok(String::new())) else { continue };
            let before = self.budget.used_bytes();
            let lines = if file.bytes > MAX_FILE_BYTES as u64 {
                None
            } else {
                file.read_all(MAX_FILE_BYTES).ok().and_then(|text| self.lines(&text))
            };
            if let Some(lines) = lines {
                level.lines.extend(lines);
                level.paid_bytes += self.budget.used_bytes() - before;
            } else {
                self.budget.give_back(self.budget.used_bytes() - before);
                self.left_out += 1;
            }
        }
        self.levels.push(level);
    }

    /// The lines of a file; `None` where they cost too much.
    fn lines(&mut self, text: &[u8]) -> Option<Vec<Line>> {
        let text = String::from_utf8_lossy(text);
        let mut lines = Vec::new();
        self.budget.steps().begin();
        for line in text.trim_start_matches('\u{feff}').lines() {
            if let Some(pattern) = Pattern::read(line) {
                self.budget.pay_bytes(size_of::<Line>()).ok()?;
                let glob = Glob::new(&pattern.glob, pattern.depth, &mut self.budget).ok()?;
                let (is_exception, of_directories) = (pattern.is_exception, pattern.of_directories);
                lines.push(Line { glob, is_exception, of_directories });
            }
        }
        Some(lines)
    }
}

/// A line of an ignore file as a pattern of this crate.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    glob: String,
    depth: Depth,
    is_exception: bool,
    of_directories: bool,
}

impl Pattern {
    /// `None` for an empty line and a comment.
    fn read(line: &str) -> Option<Self> {
        let mut line = line.trim_end_matches('\r');
        while let Some(shorter) = line.strip_suffix([' ', '\t']) {
            if shorter.ends_with('\\') {
                break;
            }
            line = shorter;
        }
        if line.starts_with('#') {
            return None;
        }
        let (line, is_exception) = line.strip_prefix('!').map_or((line, false), |rest| (rest, true));
        let (line, of_directories) = line.strip_suffix('/').map_or((line, false), |rest| (rest, true));
        // A slash at the beginning or in the middle ties the pattern to the directory of the file.
        let depth = if line.contains('/') { Depth::Top } else { Depth::Any };
        let line = line.trim_start_matches('/');
        if line.is_empty() {
            return None;
        }
        // Braces and groups are ordinary characters here.
        let mut glob = String::with_capacity(line.len() + 4);
        let mut is_escaped = false;
        for char in line.chars() {
            if !is_escaped && (matches!(char, '{' | '}' | '(') || char == '!' && glob.is_empty()) {
                glob.push('\\');
            }
            is_escaped = char == '\\' && !is_escaped;
            glob.push(char);
        }
        Some(Self { glob, depth, is_exception, of_directories })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(levels: &[(usize, &str)]) -> IgnoreFiles {
        let budget = Budget::new(&Limits::default());
        let (levels_of, path) = (Vec::new(), GlobPath::default());
        let mut files = IgnoreFiles { levels: levels_of, path, above: 0, budget, left_out: 0 };
        for (depth, text) in levels {
            let lines = files.lines(text.as_bytes()).expect("few lines");
            files.levels.push(Level { depth: *depth, lines, paid_bytes: 0 });
        }
        files
    }

    fn is_ignored(files: &mut IgnoreFiles, path: &str, is_directory: bool) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        let mut ignored = false;
        for (depth, name) in names.iter().enumerate() {
            ignored = files.ignore(depth, name, is_directory || depth + 1 < names.len());
        }
        ignored
    }

    #[test]
    fn lines_mean_what_they_mean_to_git() {
        // (file, path, is a directory, ignored)
        let rows = [
            ("*.log", "a/b.log", false, true),
            ("*.log", "b.logs", false, false),
            ("# *.log\n\n  \n", "b.log", false, false),
            ("\\#x", "#x", false, true),
            ("\\!x", "!x", false, true),
            ("x\\ ", "x ", false, true),
            ("x  \r", "x", false, true),
            ("target/", "target", true, true),
            ("target/", "target", false, false),
            ("target/", "a/target", true, true),
            ("/target", "target", false, true),
            ("/target", "a/target", false, false),
            ("a/b", "a/b", false, true),
            ("a/b", "c/a/b", false, false),
            ("**/b", "c/a/b", false, true),
            ("a/**/b", "a/b", false, true),
            ("a/**/b", "a/x/y/b", false, true),
            ("a/**", "a/x/y", false, true),
            ("a/**", "a", true, false),
            ("*.log\n!keep.log", "keep.log", false, false),
            ("!keep.log\n*.log", "keep.log", false, true),
            ("a{b,c}", "ab", false, false),
            ("a{b,c}", "a{b,c}", false, true),
            ("+(a)", "aa", false, false),
            ("[a-c]?.x", "bz.x", false, true),
            ("[!a-c].x", "z.x", false, true),
            ("\u{feff}x", "x", false, true),
        ];
        for (text, path, is_directory, want) in rows {
            let mut files = files(&[(0, text)]);
            assert_eq!(is_ignored(&mut files, path, is_directory), want, "{text:?} {path}");
        }
    }

    #[test]
    fn deeper_files_count_more_and_begin_at_their_directory() {
        let mut files = files(&[(0, "*.log\n/x"), (1, "!keep.log\n/x")]);
        assert!(is_ignored(&mut files, "a/b.log", false));
        assert!(!is_ignored(&mut files, "a/keep.log", false));
        assert!(is_ignored(&mut files, "a/x", false));
        assert!(!is_ignored(&mut files, "a/b/x", false));
    }

    #[test]
    fn lines_that_cost_too_much_are_left_out_and_cost_nothing_afterwards() {
        let mut files = files(&[]);
        assert!(files.lines("[a-z]*[!b]?\n".repeat(50_000).as_bytes()).is_none());
        let used = files.budget.used_bytes();
        files.budget.give_back(used);
        assert_eq!(files.budget.used_bytes(), 0);
        assert_eq!(files.lines(b"*.o\n").expect("few").len(), 1);
    }
}
