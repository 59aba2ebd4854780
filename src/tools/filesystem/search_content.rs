//! The tool `search_content`: finds lines of files in a directory and all below it.
//!
//! A walk as that of `search_files`; each file is opened below the handle of its allowed directory, without links on the
//! way, and goes through one buffer. A file that begins with text and has a zero byte later is
//! searched up to there; one with a zero byte near its begin is binary, and counts as not searched.

use super::answer_space::AnswerSpace;
use super::arguments::SearchContent;
use super::as_node::budget::Budget;
use super::as_node::exclude::Exclusions;
use super::as_node::glob::{Depth, Glob, GlobPath};
use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::found_lines::{FoundLines, Page};
use super::held::HeldMemory;
use super::held_text::answer_text;
use super::ignore_files::IgnoreFiles;
use super::line_pattern::{LinePattern, Reading};
use super::numbers::whole;
use super::open_file::{OpenFile, READ};
use super::sandbox::listing::Kind;
use super::sandbox::target::Target;
use super::walk::{Step, Walk};
use crate::server::{CallContext, Cancelled};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use rustix::io::Errno;
use std::io;

/// The longest line that is searched: the buffer of a search grows up to this.
const LINE_BYTES: usize = 256 * 1024;
/// What a search holds beside its pattern and its answer: its buffer, and one to decode UTF-16.
const BUFFER_BYTES: usize = 2 * LINE_BYTES + 16 * 1024;
const MAX_CONTEXT: u64 = 100;
const DEFAULT_MATCHES: u64 = 100;
const MAX_MATCHES: u64 = 10_000;

/// `search_content`.
pub(crate) fn search_content(
    arguments: &SearchContent<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    HeldMemory::with(call, |held, call| search(arguments, context, held, call))
}

fn search(
    arguments: &SearchContent<'_>,
    context: &Context<'_>,
    held: &HeldMemory,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let mut searcher = searcher(arguments)?;
    let page = Page {
        offset: whole("offset", arguments.offset, 0, 1 << 53)?.unwrap_or(0),
        most: whole("maxMatches", arguments.max_matches, 1, MAX_MATCHES)?.unwrap_or(DEFAULT_MATCHES),
    };
    let reading = Reading { is_literal: arguments.literal, ignores_case: arguments.ignore_case };
    let target = context.sandbox.resolve(arguments.path)?;
    let pattern = LinePattern::new(arguments.pattern, reading, call.limits(), held, BUFFER_BYTES)?;
    let space = AnswerSpace::of(call.limits(), context.copies);
    let mut search = Search {
        searcher: &mut searcher,
        pattern: &pattern,
        found: FoundLines::new(page, space, held),
        progress: Progress { context, call, entries: 0, bytes: 0, told: 0 },
    };
    match OpenFile::at(&target) {
        Ok(file) => search.file(&file, target.path())?,
        Err(FsError::Os { errno: Errno::ISDIR, .. }) => search.directory(arguments, &target, space, held)?,
        Err(error) => return Err(error.into()),
    }
    let text = search.found.into_text()?;
    answer_text(text, space, held, &context.sandbox.state().kept_texts, call)
}

fn searcher(arguments: &SearchContent<'_>) -> Result<Searcher, FsError> {
    let before = whole("contextBefore", arguments.context_before, 0, MAX_CONTEXT)?;
    let after = whole("contextAfter", arguments.context_after, 0, MAX_CONTEXT)?;
    let mut builder = SearcherBuilder::new();
    builder
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(LINE_BYTES))
        .before_context(before.unwrap_or(0) as usize)
        .after_context(after.unwrap_or(0) as usize);
    Ok(builder.build())
}

/// A search that goes on.
struct Search<'s> {
    searcher: &'s mut Searcher,
    pattern: &'s LinePattern,
    found: FoundLines<'s>,
    progress: Progress<'s>,
}

impl Search<'_> {
    fn directory(
        &mut self,
        arguments: &SearchContent<'_>,
        target: &Target,
        space: AnswerSpace,
        held: &HeldMemory,
    ) -> Result<(), Stop> {
        let context = self.progress.context;
        let limits = self.progress.call.limits();
        let mut ignored =
            (!arguments.include_ignored).then(|| IgnoreFiles::new(context.sandbox, target, limits));
        let mut chosen = Chosen::new(arguments, Budget::new(limits))?;
        let mut walk = Walk::new(target, context, space, held)?;
        while let Some(step) = walk.step() {
            self.progress.entry()?;
            let Step::Entry(kind) = step else {
                ignored.iter_mut().for_each(IgnoreFiles::leave);
                continue;
            };
            let name = String::from_utf8_lossy(walk.name());
            let is_directory = kind == Kind::Directory;
            let is_ignored = ignored
                .as_mut()
                .is_some_and(|ignored| name == ".git" || ignored.ignore(walk.depth(), &name, is_directory));
            if is_ignored || kind == Kind::Link || !chosen.takes(walk.depth(), &name, is_directory)? {
                continue;
            }
            if is_directory {
                match walk.enter() {
                    Ok(()) => ignored.iter_mut().for_each(|ignored| ignored.enter(target, walk.path())),
                    Err(FsError::Os { .. }) => self.found.unread.directories.add(&walk.absolute()),
                    Err(error) => return Err(error.into()),
                }
            } else {
                self.entry(target, &walk)?;
            }
        }
        self.found.unread.entries = walk.left_out();
        self.found.unread.ignore_files = ignored.map_or(0, |ignored| ignored.left_out());
        Ok(())
    }

    fn entry(&mut self, target: &Target, walk: &Walk<'_>) -> Result<(), Stop> {
        let opened = target.open_below(walk.path(), READ).map_err(FsError::read);
        match opened.and_then(|handle| OpenFile::regular(handle, || Ok(shown(walk.path())))) {
            Ok(file) => self.file(&file, &walk.absolute()),
            // Pipes, sockets and devices have no lines, and what is a link by now is not followed.
            Err(
                FsError::NotRegular { .. }
                | FsError::Os { errno: Errno::NXIO | Errno::LOOP | Errno::NOENT, .. },
            ) => Ok(()),
            Err(_) => {
                self.found.unread.files.add(&walk.absolute());
                Ok(())
            }
        }
    }

    fn file(&mut self, file: &OpenFile, path: &[u8]) -> Result<(), Stop> {
        let mut reader = FileReader { file, at: 0, progress: &mut self.progress, failed: None };
        let mut lines = self.found.in_file(path, self.pattern);
        let searched = self.searcher.search_reader(self.pattern, &mut reader, &mut lines);
        if let Some(error) = lines.failure() {
            return Err(error.into());
        }
        match (searched, reader.failed) {
            (Ok(()), _) => {}
            (Err(_), Some(Failed::Cancelled(stopped))) => return Err(stopped.into()),
            (Err(_), Some(Failed::Reading)) => self.found.unread.files.add(path),
            // Nothing else fails than the buffer that may not grow.
            (Err(_), None) => self.found.unread.long_lines.add(path),
        }
        Ok(())
    }
}

/// Which entries are searched, by the patterns of the call.
struct Chosen {
    budget: Budget,
    path: GlobPath,
    included: Vec<Glob>,
    excluded: Exclusions,
}

impl Chosen {
    fn new(arguments: &SearchContent<'_>, mut budget: Budget) -> Result<Self, FsError> {
        let excluded = Exclusions::new(arguments.exclude_patterns.iter(), &mut budget)?;
        let included: Result<Vec<Glob>, FsError> = arguments
            .include_patterns
            .iter()
            .map(|pattern| Glob::new(&pattern, Depth::Any, &mut budget))
            .collect();
        Ok(Self { included: included?, excluded, budget, path: GlobPath::default() })
    }

    /// Whether an entry is searched, or a directory entered.
    fn takes(&mut self, depth: usize, name: &str, is_directory: bool) -> Result<bool, FsError> {
        self.path.set(depth, name);
        let (path, steps) = (&self.path, self.budget.steps());
        steps.begin();
        let is_taken = !self.excluded.match_entry(path, is_directory, steps)
            && if is_directory {
                !self.excluded.match_contents(path, steps)
            } else {
                self.included.is_empty() || self.included.iter().any(|glob| glob.matches(path, steps))
            };
        steps.check()?;
        Ok(is_taken)
    }
}

/// Stops a search when nobody waits for it, and reports how far it is.
struct Progress<'s> {
    context: &'s Context<'s>,
    call: &'s mut CallContext,
    entries: u64,
    bytes: u64,
    told: u64,
}

impl Progress<'_> {
    /// A report is due after so many entries, or so many pieces of a mebibyte.
    const EVERY: u64 = 256;
    const PIECE_BYTES: u64 = 1 << 20;

    fn entry(&mut self) -> Result<(), Cancelled> {
        self.entries += 1;
        self.report()
    }

    fn report(&mut self) -> Result<(), Cancelled> {
        self.context.cancellation.check()?;
        let units = self.entries + self.bytes / Self::PIECE_BYTES;
        if units >= self.told + Self::EVERY && self.call.wants_progress() {
            self.told = units;
            let message =
                format!("{} entries seen, {} MiB read", self.entries, self.bytes / Self::PIECE_BYTES);
            self.call.progress(units as f64, None, Some(&message));
        }
        Ok(())
    }
}

/// Reads a file for a search.
struct FileReader<'r, 's> {
    file: &'r OpenFile,
    at: u64,
    progress: &'r mut Progress<'s>,
    failed: Option<Failed>,
}

enum Failed {
    Cancelled(Cancelled),
    Reading,
}

impl io::Read for FileReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Err(stopped) = self.progress.report() {
            self.failed = Some(Failed::Cancelled(stopped));
            return Err(io::Error::other("cancelled"));
        }
        match self.file.read_at(buffer, self.at) {
            Ok(piece) => {
                let bytes = piece.len();
                self.at += bytes as u64;
                self.progress.bytes += bytes as u64;
                Ok(bytes)
            }
            Err(error) => {
                self.failed = Some(Failed::Reading);
                Err(io::Error::other(error.to_string()))
            }
        }
    }
}
