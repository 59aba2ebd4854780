//! `search_files`: what matches a pattern in a directory and all below it.

use super::arguments::SearchFiles;
use super::context::Context;
use super::error::{FsError, Stop};
use super::glob::{Glob, GlobPath};
use super::listing::Kind;
use super::walk::{Step, Walk};
use crate::server::{CallContext, ToolError};

/// Asks now and then whether a long call is still wanted, and tells how far it is.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    entries: u64,
}

impl Pulse {
    /// Entries between two looks at the clock.
    const EVERY: u64 = 256;

    /// Counts an entry.
    ///
    /// # Errors
    /// When the call was cancelled.
    pub(super) fn beat(&mut self, call: &mut CallContext) -> Result<(), Stop> {
        self.entries += 1;
        if call.is_cancelled() {
            return Err(Stop::Fail(ToolError::Cancelled));
        }
        if self.entries.is_multiple_of(Self::EVERY) && call.wants_progress() {
            let message = format!("{} entries seen", self.entries);
            call.progress(self.entries as f64, None, Some(&message));
        }
        Ok(())
    }
}

/// `search_files`.
pub(super) fn search_files(
    arguments: &SearchFiles<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let pattern = Glob::new(arguments.pattern)?;
    let exclusions: Vec<Glob> =
        arguments.exclude_patterns.iter().map(|pattern| Glob::new(pattern)).collect::<Result<_, _>>()?;
    let target = context.sandbox.resolve(arguments.path)?;
    let limit_bytes = call.limits().max_reply_bytes;
    let mut walk = Walk::new(&target, limit_bytes)?;
    let mut found = String::new();
    let mut path = GlobPath::default();
    let mut pulse = Pulse::default();
    while let Some(step) = walk.step() {
        pulse.beat(call)?;
        let Step::Entry(kind) = step else { continue };
        path.set(walk.depth(), &String::from_utf8_lossy(walk.name()));
        if exclusions.iter().any(|exclusion| exclusion.matches(&path)) {
            continue;
        }
        // Links that lead outside or nowhere are left out.
        let leads_out = || kind == Kind::Link && target.follow(walk.path()).is_err();
        if pattern.matches(&path) && !leads_out() {
            if !found.is_empty() {
                found.push('\n');
            }
            found.push_str(&String::from_utf8_lossy(&walk.absolute()));
            if found.len() > limit_bytes {
                return Err(FsError::AnswerTooLarge { limit_bytes }.into());
            }
        }
        if kind == Kind::Directory {
            // What cannot be listed is passed over, as in the reference.
            let _ = walk.enter();
        }
    }
    call.text(if found.is_empty() { "No matches found" } else { &found });
    call.structured_from_text();
    Ok(())
}
