//! A walk through a directory and all below it: depth first, names in byte order, links not followed.
//!
//! Every directory is opened anew below the handle of its allowed directory, without links on the way: a
//! walk holds one directory open at a time, however deep it is, and cannot be led outside by names that
//! change under it. What it holds are the names that are still to come, level by level: all together as many as
//! an answer may have bytes. It has no stack to overflow, and ends in depth where paths end.

use super::context::Context;
use super::error::FsError;
use super::list::LIST;
use super::sandbox::access::Target;
use super::sandbox::lexical;
use super::sandbox::listing::{self, Entry, Kind};
use std::vec::IntoIter;

/// A walk below a directory.
#[derive(Debug)]
pub(crate) struct Walk<'t> {
    target: &'t Target,
    context: &'t Context<'t>,
    /// Bytes that the names of all levels may have together, and have.
    limit_bytes: usize,
    held_bytes: usize,
    levels: Vec<Level>,
    /// The current entry, relative to the beginning.
    path: Vec<u8>,
}

#[derive(Debug)]
struct Level {
    entries: IntoIter<Entry>,
    held_bytes: usize,
    /// How much of the path leads to this directory.
    path_len: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry; [`Walk::path`] is its path.
    Entry(Kind),
    /// A directory that was entered has no more entries.
    Leave,
}

impl<'t> Walk<'t> {
    /// Begins in a directory.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub(crate) fn new(
        target: &'t Target,
        context: &'t Context<'t>,
        limit_bytes: usize,
    ) -> Result<Self, FsError> {
        let (levels, path) = (Vec::new(), Vec::new());
        let mut walk = Self { target, context, limit_bytes, held_bytes: 0, levels, path };
        walk.enter()?;
        Ok(walk)
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
        self.levels.pop();
        (!self.levels.is_empty()).then_some(Step::Leave)
    }

    /// Goes into the current entry, a directory.
    ///
    /// # Errors
    /// When it cannot be listed; the walk goes on behind it.
    pub(crate) fn enter(&mut self) -> Result<(), FsError> {
        let directory = self
            .target
            .open_below(&self.path, LIST)
            .map_err(|errno| FsError::os(errno, "scandir", &self.absolute()))?;
        let left_bytes = self.limit_bytes - self.held_bytes;
        let goes_on = || self.context.cancellation.check().map_err(FsError::from);
        let entries = listing::sorted_while(&directory, &self.absolute(), left_bytes, goes_on)?;
        let held_bytes = entries.iter().map(|entry| entry.name.len() + 1).sum();
        self.held_bytes += held_bytes;
        self.levels.push(Level { entries: entries.into_iter(), held_bytes, path_len: self.path.len() });
        Ok(())
    }

    /// The current entry's path, relative to the beginning.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// How many directories the current entry is below the beginning.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The current entry's name.
    pub(crate) fn name(&self) -> &[u8] {
        lexical::split_last(&self.path).map_or(&[], |(_, name)| name)
    }

    /// The current entry's absolute path.
    pub(crate) fn absolute(&self) -> lexical::PathBytes {
        lexical::joined(self.target.path(), &self.path)
    }
}
