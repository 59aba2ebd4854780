//! Walks through a directory and all below it: depth first, names in byte order, links not followed.
//!
//! Every directory is opened again below the handle of its allowed directory, without links on the way: a walk holds
//! one directory open at a time, however deep it is, and names that change meanwhile cannot lead it outside. It keeps
//! the names that are still to come, level by level; all together are bounded by the bytes that an answer may have. It
//! does not recurse, so no depth overflows the stack.

use super::answer_space::AnswerSpace;
use super::compat::Compat;
use super::context::Context;
use super::error::FsError;
use super::held::HeldMemory;
use super::sandbox::lexical;
use super::sandbox::listing::{self, Entry, Kind, LIST};
use super::sandbox::target::Target;
use crate::server::{CallContext, Cancelled};
use std::vec::IntoIter;

/// A walk through a directory and all below it.
#[derive(Debug)]
pub(crate) struct Walk<'t> {
    target: &'t Target,
    context: &'t Context<'t>,
    /// Bounds the names of all levels together.
    space: AnswerSpace,
    /// Whether entries beyond that bound are left out; otherwise they end the walk.
    leaves_out: bool,
    left_out: u64,
    held: &'t HeldMemory,
    /// How many they are, and the bytes that they have.
    held_entries: usize,
    held_bytes: usize,
    levels: Vec<Level>,
    /// The path of the current entry below the first directory.
    path: Vec<u8>,
}

#[derive(Debug)]
struct Level {
    entries: IntoIter<Entry>,
    held_entries: usize,
    held_bytes: usize,
    /// Bytes of the path that lead to this directory.
    path_len: usize,
}

/// One step of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The walk is at an entry; [`Walk::path`] is its path.
    Entry(Kind),
    /// The walk leaves a directory that it had entered.
    Leave,
}

impl<'t> Walk<'t> {
    /// Begins a walk in a directory. It leaves out what has too many names, but for the reference; [`Walk::left_out`]
    /// counts them.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn new(
        target: &'t Target,
        context: &'t Context<'t>,
        space: AnswerSpace,
        held: &'t HeldMemory,
    ) -> Result<Self, FsError> {
        let mut walk = Self {
            target,
            context,
            space,
            leaves_out: context.compat == Compat::Default,
            left_out: 0,
            held,
            held_entries: 0,
            held_bytes: 0,
            levels: Vec::new(),
            path: Vec::new(),
        };
        walk.enter()?;
        Ok(walk)
    }

    /// Entries of directories that the walk does not come to, as they have too many names.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The next step; `None` when the first directory is done.
    pub(crate) fn step(&mut self) -> Option<Step> {
        let level = self.levels.last_mut()?;
        self.path.truncate(level.path_len);
        if let Some(entry) = level.entries.next() {
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&entry.name);
            return Some(Step::Entry(entry.kind));
        }
        self.held_bytes -= level.held_bytes;
        self.held_entries -= level.held_entries;
        self.levels.pop();
        (!self.levels.is_empty()).then_some(Step::Leave)
    }

    /// Goes into the current entry, a directory.
    ///
    /// # Errors
    /// When it cannot be listed; the walk continues after it.
    pub(crate) fn enter(&mut self) -> Result<(), FsError> {
        let directory = self
            .target
            .open_below(&self.path, LIST)
            .map_err(|errno| FsError::os(errno, "scandir", &self.absolute()))?;
        let goes_on = |entries, bytes| {
            self.context.cancellation.check()?;
            if !self.leaves_out {
                self.space.check_names(self.held_bytes + bytes)?;
            }
            self.held.hold_names(self.held_entries + entries, self.held_bytes + bytes)
        };
        let most_bytes = if self.leaves_out {
            self.space.names_bytes().saturating_sub(self.held_bytes)
        } else {
            usize::MAX
        };
        let (entries, left) = listing::first_while(&directory, most_bytes, goes_on, |errno| {
            FsError::os(errno, "scandir", &self.absolute())
        })?;
        self.left_out += left;
        let held_bytes = entries.iter().map(|entry| entry.name.len() + 1).sum();
        let held_entries = entries.len();
        self.held_bytes += held_bytes;
        self.held_entries += held_entries;
        let entries = entries.into_iter();
        self.levels.push(Level { entries, held_entries, held_bytes, path_len: self.path.len() });
        Ok(())
    }

    /// The path of the current entry below the first directory.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// How many directories lie between the first directory and the current entry.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The name of the current entry.
    pub(crate) fn name(&self) -> &[u8] {
        lexical::split_last(&self.path).map_or(&[], |(_, name)| name)
    }

    /// The absolute path of the current entry.
    pub(crate) fn absolute(&self) -> lexical::PathBytes {
        lexical::joined(self.target.path(), &self.path)
    }
}

/// Stops a long call when nobody waits for it, and reports its progress.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    entries: u64,
}

impl Progress {
    /// Entries between two reports.
    const EVERY: u64 = 256;

    /// Counts an entry.
    ///
    /// # Errors
    /// When nobody waits for the answer any more.
    pub(crate) fn count(&mut self, context: &Context<'_>, call: &mut CallContext) -> Result<(), Cancelled> {
        self.entries += 1;
        context.cancellation.check()?;
        if self.entries.is_multiple_of(Self::EVERY) && call.wants_progress() {
            let message = format!("{} entries seen", self.entries);
            call.progress(self.entries as f64, None, Some(&message));
        }
        Ok(())
    }
}
