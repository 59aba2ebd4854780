//! The tools that show what changed: `git_status` and the three diffs.

use super::arguments::{Diff, DiffOfIndex, OnlyRepository};
use super::command::{GitCommand, Programs};
use super::context::Context;
use super::error::{GitFailure, refuse_option};
use crate::server::CallContext;

/// Submodules are compared by the commit that they are at: git looks into their work trees with their own
/// configuration otherwise.
const NO_SUBMODULES: &str = "--ignore-submodules=dirty";

pub(crate) fn status(
    _: &OnlyRepository<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let command = GitCommand::reads(&["status", NO_SUBMODULES]).shown_as("git status".to_owned());
    context.answer(call, "Repository status:\n", &command)
}

pub(crate) fn unstaged(
    arguments: &DiffOfIndex<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let lines = arguments.context_lines;
    let command = diff(lines, context).arg("--").shown_as(format!("git diff --unified={lines}"));
    context.answer(call, "Unstaged changes:\n", &command)
}

pub(crate) fn staged(
    arguments: &DiffOfIndex<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let lines = arguments.context_lines;
    let command = diff(lines, context).arg("--cached").arg("--");
    context.answer(
        call,
        "Staged changes:\n",
        &command.shown_as(format!("git diff --unified={lines} --cached")),
    )
}

pub(crate) fn with_target(
    arguments: &Diff<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let Diff { target, context_lines: lines, .. } = *arguments;
    refuse_option("target", target)?;
    context.known_object(target, call)?;
    let command = diff(lines, context).arg("--end-of-options").arg(target).arg("--");
    let command = command.shown_as(format!("git diff --unified={lines} {target}"));
    context.answer(call, &format!("Diff with {target}:\n"), &command)
}

fn diff(context_lines: i64, context: &Context) -> GitCommand {
    let command = GitCommand::reads(&["diff", "--no-color", "--submodule=short", NO_SUBMODULES]);
    let command = match context.programs() {
        Programs::Refused => command.arg("--no-ext-diff").arg("--no-textconv"),
        Programs::Allowed => command,
    };
    command.arg(format!("--unified={context_lines}"))
}
