//! The tool `search_files`: finds what matches a pattern in a directory and all below it.

use super::answer_space::AnswerSpace;
use super::arguments::SearchFiles;
use super::as_node::budget::Budget;
use super::as_node::exclude::Exclusions;
use super::as_node::glob::{Depth, Glob, GlobPath};
use super::compat::Compat;
use super::context::Context;
use super::error::{FsError, Stop};
use super::held::HeldMemory;
use super::held_text::answer_text;
use super::sandbox::listing::Kind;
use super::walk::{Progress, Step, Walk};
use crate::server::CallContext;

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
    let mut path = GlobPath::default();
    let mut progress = Progress::default();
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
            if !found.is_empty() {
                found.push('\n');
            }
            found.push_str(&String::from_utf8_lossy(&walk.absolute()));
            space.check_text(found.len())?;
            held.hold_text(found.len())?;
        }
        if kind == Kind::Directory && !is_skipped {
            match walk.enter() {
                // As in the reference, a directory that cannot be listed is skipped.
                Ok(()) | Err(FsError::Os { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    if found.is_empty() {
        found.push_str("No matches found");
    }
    answer_text(found, space, held, &context.sandbox.state().kept_texts, call)
}
