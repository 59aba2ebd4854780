//! The tool `search_files`: finds what matches a pattern in a directory and all below it.

use super::answer_space::AnswerSpace;
use super::arguments::SearchFiles;
use super::as_node::budget::Budget;
use super::as_node::exclude::Exclusions;
use super::as_node::glob::{Depth, Glob, GlobPath};
use super::compat::Compat;
use super::context::Context;
use super::cut::Cut;
use super::error::{FsError, Stop};
use super::held::HeldMemory;
use super::held_text::answer_text;
use super::numbers::{self, counted};
use super::sandbox::listing::Kind;
use super::walk::{Progress, Step, Walk};
use crate::server::CallContext;
use crate::wire::escaped_bytes;
use rustix::io::Errno;
use std::fmt::Write as _;

/// What is left; empty where nothing is.
fn note(matches: u64, unseen: u64, unlisted: u64) -> String {
    let mut note = String::new();
    if matches > 0 {
        // Writing to a string does not fail.
        let _ = write!(
            note,
            "\n\n[{} left, as an answer may have no more bytes (max_reply_bytes): search a \
             directory below this one, or with a narrower pattern]",
            counted(matches, "more match is", "more matches are")
        );
    }
    if unseen > 0 {
        let _ = write!(
            note,
            "\n\n[Not searched: {} more names than are held for an answer (max_reply_bytes)]",
            numbers::unseen(unseen)
        );
    }
    if unlisted > 0 {
        let directories = if unlisted == 1 { "directory" } else { "directories" };
        let _ = write!(note, "\n\n[Not searched: {unlisted} {directories} that cannot be listed]");
    }
    note
}

/// `search_files`.
pub(crate) fn search_files(
    arguments: &SearchFiles<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    HeldMemory::with(call, |held, call| search(arguments, context, held, call))
}

fn search(
    arguments: &SearchFiles<'_>,
    context: &Context<'_>,
    held: &HeldMemory,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let mut budget = Budget::new(call.limits());
    let depth = match context.compat {
        Compat::Default => Depth::Any,
        Compat::Reference => Depth::Top,
    };
    let pattern = Glob::new(arguments.pattern, depth, &mut budget)?;
    let exclusions = Exclusions::of_search(arguments.exclude_patterns.iter(), context.compat, &mut budget)?;
    let target = context.sandbox.resolve(arguments.path)?;
    let space = AnswerSpace::of(call.limits(), context.copies);
    let mut walk = Walk::new(&target, context, space, held)?;
    let mut found = String::new();
    let mut cut = Cut::new(space, context.compat);
    let mut path = GlobPath::default();
    let mut progress = Progress::default();
    let mut unlisted = 0;
    let steps = budget.steps();
    while let Some(step) = walk.step() {
        progress.count(context, call)?;
        let Step::Entry(kind) = step else { continue };
        path.set(walk.depth(), &String::from_utf8_lossy(walk.name()));
        steps.begin();
        if exclusions.match_entry(&path, kind == Kind::Directory, steps) {
            steps.check()?;
            continue;
        }
        let is_match = pattern.matches(&path, steps);
        let is_skipped = kind == Kind::Directory && exclusions.match_contents(&path, steps);
        steps.check()?;
        // Links that lead outside or nowhere are left out.
        let leads_out = || kind == Kind::Link && context.sandbox.follow(&target, walk.path()).is_err();
        if is_match && !leads_out() {
            let absolute = walk.absolute();
            let path = String::from_utf8_lossy(&absolute);
            if cut.takes(found.len(), escaped_bytes(path.as_bytes()) + escaped_bytes(b"\n"), 0) {
                if !found.is_empty() {
                    found.push('\n');
                }
                found.push_str(&path);
                space.check_text(found.len())?;
                held.hold_text(found.len())?;
            }
        }
        if kind == Kind::Directory && !is_skipped {
            unlisted += u64::from(!enter(&mut walk, context.compat)?);
        }
    }
    let found = ended(found, cut, walk.left_out(), unlisted);
    answer_text(found, space, held, &context.sandbox.state().kept_texts, call)
}

/// Enters the current entry of a walk. Returns whether its entries are searched, or it is not said that they are not: a
/// directory that is gone has none, and the reference skips what cannot be listed.
fn enter(walk: &mut Walk<'_>, compat: Compat) -> Result<bool, FsError> {
    match walk.enter() {
        Ok(()) | Err(FsError::Os { errno: Errno::NOENT, .. }) => Ok(true),
        Err(FsError::Os { .. }) => Ok(compat == Compat::Reference),
        Err(error) => Err(error),
    }
}

/// The text that was found up to where it is cut, and what is left.
fn ended(mut found: String, mut cut: Cut<usize>, left_out: u64, unlisted: u64) -> String {
    cut.with_note(left_out > 0 || unlisted > 0);
    let left = cut.at().map_or(0, |(end, left)| {
        found.truncate(end);
        left
    });
    if found.is_empty() && left == 0 {
        found.push_str("No matches found");
    }
    found.push_str(&note(left, left_out, unlisted));
    found
}
