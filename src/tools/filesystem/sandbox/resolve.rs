//! Finding out what a path leads to, and saying what the reference server would where it leads nowhere.
//!
//! A path is walked by handles: each name is looked up once, in the directory that the names before it led
//! to. Links are read and followed here, at most [`MAX_LINKS`] of them. Where one leads out of its allowed
//! directory, the system is asked where it ends; if that is in an allowed directory again, the walk begins
//! anew there, below that one's handle. The number of steps is bounded by the length of the path, whatever
//! is on the disk.

use super::access::{Root, Sandbox, Target};
use super::beneath::{self, DIRECTORY_HANDLE, Links, MAX_LINKS};
use super::lexical;
use super::listing;
use crate::limits::MAX_PATH_DEPTH;
use crate::tools::filesystem::error::{FsError, shown};
use crate::tools::filesystem::list::LIST;
use rustix::fd::AsFd;
use rustix::io::Errno;
use unicode_normalization::UnicodeNormalization;

/// Names that are looked up on the way of one path, those of links included.
const MAX_STEPS: usize = 4 * MAX_PATH_DEPTH;

/// Names of directories that are looked through for another spelling, in one path.
const MAX_COMPARED: usize = 200_000;

/// Which names a name may stand for when nothing is called exactly so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Those that are the same text in another Unicode form.
    Stored,
    /// Also the only one with other blanks in their places: macOS writes U+202F into the names of
    /// screenshots, which nobody types.
    AnyBlanks,
}

/// What a clean, absolute path leads to.
///
/// # Errors
/// In the reference's words: the path is outside, or leads there, or cannot be resolved.
pub(crate) fn resolve(sandbox: &Sandbox, path: &[u8], spelling: Spelling) -> Result<Target, FsError> {
    let mut way = Way::new(sandbox, path, spelling)?;
    loop {
        if let Some(target) = way.step()? {
            return Ok(target);
        }
    }
}

/// The same for what is there, and its place: the allowed directory that it was found in, and its path
/// below that one, which has no links.
pub(crate) fn place(sandbox: &Sandbox, path: &[u8]) -> Result<(Target, usize, Vec<u8>), FsError> {
    let mut way = Way::new(sandbox, path, Spelling::Stored)?;
    loop {
        if let Some(target) = way.step()? {
            let below = way.below(target.remaining().1);
            return Ok((target, way.index, below));
        }
    }
}

/// The walk to what one path means.
#[derive(Debug)]
struct Way<'s> {
    sandbox: &'s Sandbox,
    /// The path that was asked for, absolute: what errors name.
    request: &'s [u8],
    spelling: Spelling,
    /// The allowed directory that the walk is in, and the path below it that it has come: no links.
    index: usize,
    here: Vec<u8>,
    handle: Root<'s>,
    /// What is still to be walked from [`Self::at`] on; what is before [`Self::linked`] is the words of
    /// links, the rest is the request's.
    pending: Vec<u8>,
    at: usize,
    linked: usize,
    links: usize,
    steps: usize,
    compared: usize,
}

impl<'s> Way<'s> {
    fn new(sandbox: &'s Sandbox, request: &'s [u8], spelling: Spelling) -> Result<Self, FsError> {
        let (index, below) = sandbox.locate(request).ok_or_else(|| sandbox.outside(request))?;
        let handle = sandbox.root(index).map_err(|errno| realpath(errno, request))?;
        let mut way = Self {
            sandbox,
            request,
            spelling,
            index,
            here: Vec::new(),
            handle,
            pending: below.to_vec(),
            at: 0,
            linked: 0,
            links: 0,
            steps: 0,
            compared: 0,
        };
        way.leap();
        Ok(way)
    }

    /// Goes to the directory that holds the last name at once, if there is no link on the way.
    fn leap(&mut self) {
        let Some((parent, _)) = lexical::split_last(&self.pending) else { return };
        if parent.is_empty() {
            return;
        }
        let opened = beneath::open(self.handle.as_fd(), parent, DIRECTORY_HANDLE, Links::Refused);
        if let Ok(opened) = opened {
            self.here = parent.to_vec();
            self.at = parent.len() + 1;
            self.handle = Root::Owned(opened);
        }
    }

    /// Walks one name; gives the target when that was the last.
    fn step(&mut self) -> Result<Option<Target>, FsError> {
        self.spend(1)?;
        let pending = &self.pending[self.at..];
        let len = pending.iter().position(|byte| *byte == b'/').unwrap_or(pending.len());
        let is_last = pending[len..].iter().all(|byte| *byte == b'/');
        match &pending[..len] {
            b"" if is_last => return self.arrived().map(Some),
            b"" | b"." => self.at = (self.at + len + 1).min(self.pending.len()),
            b".." => self.rise()?,
            name => {
                let name = name.to_vec();
                return self.look_up(&name, is_last);
            }
        }
        Ok(None)
    }

    fn spend(&mut self, steps: usize) -> Result<(), FsError> {
        self.steps += steps;
        if self.steps > MAX_STEPS || self.links > MAX_LINKS {
            return Err(realpath(Errno::LOOP, self.request));
        }
        self.sandbox.spend(steps)
    }

    fn look_up(&mut self, name: &[u8], is_last: bool) -> Result<Option<Target>, FsError> {
        if !is_last {
            match beneath::enter(self.handle.as_fd(), name) {
                Ok(opened) => {
                    self.handle = Root::Owned(opened);
                    push(&mut self.here, name);
                    self.at = (self.at + name.len() + 1).min(self.pending.len());
                    return Ok(None);
                }
                // A link, or no directory.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                Err(errno) => return Err(realpath(errno, self.request)),
            }
        }
        match beneath::link(self.handle.as_fd(), name) {
            Ok(Some(words)) => self.follow(&words, name.len()).map(|()| None),
            Ok(None) if is_last => self.target(name.to_vec(), true).map(Some),
            Ok(None) => Err(realpath(Errno::NOTDIR, self.request)),
            Err(Errno::NOENT) => self.missing(name),
            Err(errno) => Err(realpath(errno, self.request)),
        }
    }

    /// Puts a link's words in the place of its name.
    fn follow(&mut self, words: &[u8], name_len: usize) -> Result<(), FsError> {
        self.links += 1;
        let from = self.at + name_len;
        self.replace(words, from);
        if !words.starts_with(b"/") {
            return Ok(());
        }
        let has_dots = words.split(|byte| *byte == b'/').any(|name| name == b"..");
        let clean = lexical::joined(b"/", words);
        match self.sandbox.locate(&clean) {
            Some((index, below)) if !has_dots => self.begin_again(index, below, words.len()),
            _ => self.leave(),
        }
    }

    /// Puts words that come from a link in the place of what is pending before `from`.
    fn replace(&mut self, words: &[u8], from: usize) {
        let still_linked = self.linked.saturating_sub(from);
        let rest = self.pending.get(from..).unwrap_or_default();
        self.pending = [words, rest].concat();
        self.at = 0;
        self.linked = words.len() + still_linked;
    }

    /// Goes up: as far as the words say so in a row, so that each takes one step.
    fn rise(&mut self) -> Result<(), FsError> {
        while self.pending[self.at..].starts_with(b"../") || &self.pending[self.at..] == b".." {
            let Some((parent, _)) = lexical::split_last(&self.here) else { return self.leave() };
            let parent = parent.len();
            self.here.truncate(parent);
            self.at = (self.at + 3).min(self.pending.len());
        }
        self.spend(self.here.split(|byte| *byte == b'/').count())?;
        let root = self.root(self.index)?;
        let opened = beneath::open(root.as_fd(), &self.here, DIRECTORY_HANDLE, Links::Refused);
        self.handle = Root::Owned(opened.map_err(|errno| realpath(errno, self.request))?);
        Ok(())
    }

    /// A link leads out of this allowed directory: the system says where it ends.
    fn leave(&mut self) -> Result<(), FsError> {
        self.links += 1;
        self.spend(1)?;
        // The way up may have gone some steps already, which the handle has not.
        let root = self.root(self.index)?;
        let from = if self.here.is_empty() {
            root
        } else {
            let here = beneath::open(root.as_fd(), &self.here, DIRECTORY_HANDLE, Links::Refused);
            Root::Owned(here.map_err(|errno| realpath(errno, self.request))?)
        };
        let mut until = self.linked.max(self.at);
        let mut real = match beneath::whereabouts(from.as_fd(), &self.pending[self.at..until]) {
            Ok(real) => real,
            Err(errno) => return self.follow_words(&from, until, errno),
        };
        if self.sandbox.locate(&real).is_none() && until < self.pending.len() {
            // The names that are left may lead back in. If not, what is there is not for us to say.
            until = self.pending.len();
            let found = beneath::whereabouts(from.as_fd(), &self.pending[self.at..until]);
            real = found.map_err(|_| self.sandbox.link_outside(self.request))?;
        }
        match self.sandbox.locate(&real) {
            Some((index, below)) => self.begin_again(index, below, until),
            None => Err(self.sandbox.link_outside(self.request)),
        }
    }

    /// Goes where a link to nothing leads, by its words alone: what is there or not outside is not for us to say.
    #[cold]
    fn follow_words(&mut self, from: &Root<'_>, until: usize, errno: Errno) -> Result<(), FsError> {
        let words = &self.pending[self.at..until];
        let leads_to = lexical::joined(&beneath::place(from.as_fd()).unwrap_or_default(), words);
        match self.sandbox.locate(&leads_to) {
            // Going up again is not a matter of words.
            Some(_) if words.split(|byte| *byte == b'/').any(|name| name == b"..") => {
                Err(realpath(errno, self.request))
            }
            Some((index, below)) => {
                let below = below.to_vec();
                self.begin_again(index, &below, until)
            }
            None => Err(self.sandbox.link_outside(self.request)),
        }
    }

    /// Goes on in an allowed directory with the path below it, in the place of a link's words.
    fn begin_again(&mut self, index: usize, below: &[u8], words_len: usize) -> Result<(), FsError> {
        self.handle = self.root(index)?;
        self.index = index;
        self.here.clear();
        self.replace(below, words_len);
        Ok(())
    }

    fn root(&self, index: usize) -> Result<Root<'s>, FsError> {
        self.sandbox.root(index).map_err(|errno| realpath(errno, self.request))
    }

    /// Nothing has that name: it is stored in another spelling, or nothing is there from here on.
    fn missing(&mut self, name: &[u8]) -> Result<Option<Target>, FsError> {
        if self.at < self.linked {
            return Err(no_parent(self.request));
        }
        if let Some(stored) = self.stored_name(name)? {
            let from = self.at + name.len();
            self.replace(&stored, from);
            self.linked = 0;
            return Ok(None);
        }
        self.target(self.pending[self.at..].to_vec(), false).map(Some)
    }

    /// The walk ended in a directory, not at a name in one.
    fn arrived(&mut self) -> Result<Target, FsError> {
        let Some((parent, name)) = lexical::split_last(&self.here) else {
            return self.target(Vec::new(), true);
        };
        let (parent, name) = (parent.to_vec(), name.to_vec());
        let root = self.root(self.index)?;
        let opened = beneath::open(root.as_fd(), &parent, DIRECTORY_HANDLE, Links::Refused);
        self.handle = Root::Owned(opened.map_err(|errno| realpath(errno, self.request))?);
        self.here = parent;
        self.target(name, true)
    }

    /// The path below the allowed directory of names from here on.
    fn below(&self, rest: &[u8]) -> Vec<u8> {
        let mut below = self.here.clone();
        if !rest.is_empty() {
            push(&mut below, rest);
        }
        below
    }

    fn target(&mut self, rest: Vec<u8>, exists: bool) -> Result<Target, FsError> {
        let root = self.root(self.index)?;
        let path = lexical::joined(&self.sandbox.real_path(self.index, &root), &self.below(&rest));
        let base = std::mem::replace(&mut self.handle, root).into_owned();
        let base = base.map_err(|errno| realpath(errno, self.request))?;
        Ok(Target::new(self.sandbox, base, rest, path, exists))
    }

    /// The name in this directory that `wanted` stands for.
    fn stored_name(&mut self, wanted: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        let Ok(text) = std::str::from_utf8(wanted) else { return Ok(None) };
        let any_blanks = self.spelling == Spelling::AnyBlanks && text.contains(is_blank);
        // Few ASCII characters are another one's canonical form.
        if text.is_ascii() && !text.contains(['K', ';', '`']) && !any_blanks {
            return Ok(None);
        }
        let directory = beneath::reopen(self.handle.as_fd(), LIST).map_err(|errno| self.unlisted(errno))?;
        let (mut equivalent, mut alike) = (None, Vec::new());
        let (mut compared, mut is_enough) = (self.compared, false);
        let looked = listing::each_name(&directory, |name, _| {
            self.sandbox.spend(1)?;
            compared += 1;
            is_enough = compared > MAX_COMPARED || alike.len() > 1;
            if is_enough {
                return Err(FsError::TakesLong);
            }
            let Ok(name) = std::str::from_utf8(name) else { return Ok(()) };
            if name.nfc().eq(text.nfc()) {
                if equivalent.is_some() {
                    return Err(FsError::AmbiguousName { name: text.to_owned() });
                }
                equivalent = Some(name.to_owned());
            } else if any_blanks && plain(name).eq(plain(text)) {
                alike.push(name.to_owned());
            }
            Ok(())
        });
        self.compared = compared;
        match looked {
            Err(error) if !is_enough => {
                return Err(error.unwrap_or_else(|errno| self.unlisted(errno)));
            }
            _ => {}
        }
        alike.sort_unstable();
        match (equivalent, &alike[..]) {
            (Some(stored), _) => Ok(Some(stored.into_bytes())),
            (None, [only]) => Ok(Some(only.clone().into_bytes())),
            (None, [first, second, ..]) => Err(FsError::AmbiguousBlanks {
                name: text.to_owned(),
                first: first.clone(),
                second: second.clone(),
            }),
            (None, []) => Ok(None),
        }
    }

    fn unlisted(&self, errno: Errno) -> FsError {
        let parent = lexical::split_last(self.request).map_or(self.request, |(parent, _)| parent);
        FsError::os(errno, "scandir", parent)
    }
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Characters that look like a blank in a name.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\u{a0}' | '\u{202f}')
}

/// A text with one form of each character, and one kind of blank.
fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfc().map(|character| if is_blank(character) { ' ' } else { character })
}

/// The reference's words for a path that the system cannot resolve.
fn realpath(errno: Errno, path: &[u8]) -> FsError {
    match errno {
        Errno::NOENT => no_parent(path),
        errno => FsError::os(errno, "realpath", path),
    }
}

fn no_parent(path: &[u8]) -> FsError {
    let parent = lexical::split_last(path).map_or(path, |(parent, _)| parent);
    FsError::NoParent { path: if parent.is_empty() { "/".to_owned() } else { shown(parent) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::filesystem::sandbox::directories::Directories;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn directories(root: &Path) -> Directories {
        Directories::new(&[root.to_path_buf()]).0
    }

    /// Calls of the system that `work` makes on this thread.
    fn calls(work: impl FnOnce()) -> u64 {
        let before = beneath::CALLS.get();
        work();
        beneath::CALLS.get() - before
    }

    /// What a hostile request of size `n` looks like, and what must be on the disk for it.
    struct Row {
        what: &'static str,
        make: fn(&Path, usize),
        ask: fn(usize) -> String,
    }

    fn deep(root: &Path, n: usize) {
        std::fs::create_dir_all(root.join("d/".repeat(n))).expect("directories");
    }

    /// A link in each directory that leads to the next one.
    fn linked(root: &Path, n: usize) {
        let mut here = root.to_path_buf();
        for _ in 0..n.min(60) {
            std::fs::create_dir(here.join("d")).expect("a directory");
            symlink("d", here.join("l")).expect("a link");
            here.push("d");
        }
    }

    /// Links whose words go down and up again.
    fn winding(root: &Path, n: usize) {
        deep(root, n);
        for link in 0..50 {
            let words = format!("{}{}l{}", "d/".repeat(n), "../".repeat(n), link + 1);
            symlink(words, root.join(format!("l{link}"))).expect("a link");
        }
    }

    const ROWS: [Row; 9] = [
        Row { what: "missing from the start", make: |_, _| {}, ask: |n| "p/".repeat(n) },
        Row { what: "missing below what is there", make: deep, ask: |n| format!("{}x", "d/".repeat(n)) },
        Row { what: "all of it there", make: deep, ask: |n| "d/".repeat(n) },
        Row {
            what: "down and up as text",
            make: deep,
            ask: |n| format!("{}{}x", "d/".repeat(n), "../".repeat(n)),
        },
        Row { what: "an odd name below", make: deep, ask: |n| format!("{}\u{e9} x/y", "d/".repeat(n)) },
        Row { what: "links all the way", make: linked, ask: |n| "l/".repeat(n) },
        Row {
            what: "a file on the way",
            make: |root, n| {
                deep(root, n);
                std::fs::write(root.join("d/".repeat(n)).join("f"), "").expect("a file");
            },
            ask: |n| format!("{}f/x", "d/".repeat(n)),
        },
        Row { what: "links that wind", make: winding, ask: |_| "l0".to_owned() },
        Row { what: "links that wind, then nothing", make: winding, ask: |_| "l0/x/y".to_owned() },
    ];

    #[test]
    fn no_request_takes_steps_that_grow_faster_than_it() {
        for row in ROWS {
            let mut counts = Vec::new();
            for n in [25, 50, 100, 200] {
                let root = tempfile::tempdir().expect("a directory");
                (row.make)(root.path(), n);
                let directories = directories(root.path());
                let request = (row.ask)(n);
                counts.push(calls(|| {
                    let sandbox = directories.enter(None, None);
                    drop(sandbox.open(&request, LIST));
                    drop(sandbox.resolve(&request));
                    drop(sandbox.open_to_read(&request, LIST, "open"));
                }));
            }
            for (index, pair) in counts.windows(2).enumerate() {
                assert!(pair[1] <= 2 * pair[0] + 16, "{}: {counts:?} at {index}", row.what);
            }
            assert!(counts[3] <= 3 * 2 * MAX_STEPS as u64, "{}: {counts:?}", row.what);
        }
    }

    #[test]
    fn the_usual_requests_take_few_calls() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(root.path().join("a/b/c")).expect("directories");
        std::fs::write(root.path().join("a/b/c/f"), "").expect("a file");
        let directories = directories(root.path());
        let opened = calls(|| {
            let file = directories.enter(None, None).open("a/b/c/f", beneath::HANDLE).expect("a path");
            drop(file.expect("the file"));
        });
        assert_eq!(opened, 2, "the directory that is served, and the file");
        let resolved = calls(|| drop(directories.enter(None, None).resolve("a/b/c/f").expect("the file")));
        assert_eq!(resolved, 4, "that directory and where it is, the one of the file, and its name");
        let refused = calls(|| drop(directories.enter(None, None).resolve(&"p/".repeat(32_000))));
        assert_eq!(refused, 0, "what is too long is not looked for");
    }

    #[test]
    fn what_looks_at_many_names_is_not_done_where_others_wait() {
        let root = tempfile::tempdir().expect("a directory");
        for name in 0..300 {
            std::fs::write(root.path().join(format!("{name}")), "").expect("a file");
        }
        deep(root.path(), 300);
        let directories = directories(root.path());
        let inline = || directories.enter(Some(256), None);
        let list = |sandbox: &Sandbox, path: &str| {
            let (directory, target) = sandbox.open_resolved(path, LIST, "scandir")?;
            listing::sorted_while(&directory, target.path(), usize::MAX, || sandbox.spend(1)).map(drop)
        };
        assert!(matches!(list(&inline(), "."), Err(FsError::TakesLong)));
        assert!(list(&inline(), "d").is_ok());
        assert!(list(&directories.enter(None, None), ".").is_ok());
        // Another spelling is looked for among all names.
        assert!(matches!(inline().resolve("caf\u{e9}"), Err(FsError::TakesLong)));
        assert!(matches!(inline().resolve_to_read("a b"), Err(FsError::TakesLong)));
        assert!(inline().resolve("a b").is_ok_and(|target| !target.exists));
        assert!(directories.enter(None, None).resolve("caf\u{e9}").is_ok_and(|target| !target.exists));
        // Nobody waits any more: a listing ends.
        let stopped = directories.enter(None, Some(crate::server::CancellationToken::after(100)));
        assert!(matches!(list(&stopped, "."), Err(FsError::Cancelled(_))));
        // A long way name by name.
        symlink("d", root.path().join("l")).expect("a link");
        let way = format!("l/{}", "d/".repeat(290));
        assert!(matches!(inline().resolve(&way), Err(FsError::TakesLong)));
        assert!(directories.enter(None, None).resolve(&way).is_ok_and(|target| target.exists));
    }

    /// What is asked for among the links of that test.
    const WALKED: [&str; 30] = [
        "a/b/f",
        "down",
        "down/f",
        "through",
        "up",
        "up again",
        "up again/y",
        "around",
        "around/b/f",
        "around by link/f",
        "around and on",
        "absolute",
        "absolute dots",
        "absolute by link/f",
        "absolute on",
        "itself/a",
        "itself",
        "a/b/above",
        "a/b/above/down/above/x",
        "a/b/above and down",
        "around/../x/f",
        "loop",
        "loop/x",
        "out",
        "out/root",
        "nothing",
        "nothing/x",
        "a/b/f/x",
        "a/missing",
        "down/missing/x",
    ];

    #[test]
    fn links_are_walked_as_the_system_walks_them() {
        let outer = tempfile::tempdir().expect("a directory");
        let outer = outer.path().canonicalize().expect("a path");
        let root = outer.join("root");
        std::fs::create_dir_all(root.join("a/b")).expect("directories");
        std::fs::create_dir_all(root.join("x/y")).expect("directories");
        std::fs::write(root.join("a/b/f"), "").expect("a file");
        std::fs::write(root.join("x/f"), "").expect("a file");
        symlink("root", outer.join("other name")).expect("a link");
        let absolute = |path: &str| root.join(path).to_string_lossy().into_owned();
        for (name, words) in [
            ("down", "a/b".to_owned()),
            ("through", "down/f".to_owned()),
            ("up", "down/../../x/f".to_owned()),
            ("up again", "a/b/../b/../../x/".to_owned()),
            ("around", "../root/a".to_owned()),
            ("around by link", "../other name/a/b".to_owned()),
            ("around and on", "around/b/f".to_owned()),
            ("absolute", absolute("a/b/f")),
            ("absolute dots", absolute("x/../down/f")),
            ("absolute by link", outer.join("other name/x").to_string_lossy().into_owned()),
            ("absolute on", "absolute by link/y".to_owned()),
            ("itself", ".".to_owned()),
            ("a/b/above", "../..".to_owned()),
            ("a/b/above and down", "../../../root/x/./f".to_owned()),
            ("loop", "loop".to_owned()),
            ("out", "..".to_owned()),
            ("nothing", "a/none".to_owned()),
        ] {
            symlink(words, root.join(name)).expect("a link");
        }
        let directories = directories(&root);
        for path in WALKED {
            let resolved = directories.enter(None, None).resolve(path);
            let want = root.join(path).canonicalize();
            match (&resolved, want) {
                (Ok(target), Ok(want)) if want.starts_with(&root) => {
                    assert_eq!(target.path(), want.as_os_str().as_encoded_bytes(), "{path}");
                    assert!(target.exists && target.open(beneath::HANDLE).is_ok(), "{path}");
                }
                (Ok(target), Err(_)) => assert!(!target.exists, "{path}"),
                (Err(FsError::LinkOutside { .. }), Ok(want)) => assert!(!want.starts_with(&root), "{path}"),
                (Err(_), Err(_)) => {}
                (resolved, want) => panic!("{path}: {resolved:?}, not {want:?}"),
            }
        }
    }
}
