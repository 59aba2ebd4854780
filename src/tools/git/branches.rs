//! The tools of branches: `git_branch`, `git_create_branch` and `git_checkout`.

use super::arguments::{Branch, Checkout, CreateBranch};
use super::command::GitCommand;
use super::context::{Context, Object};
use super::error::{GitFailure, refuse_option};
use crate::server::CallContext;

/// Characters of a commit's name that an answer shows.
const SHORT_ID: usize = 7;

pub(crate) fn list(
    arguments: &Branch<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let Branch { branch_type, contains, not_contains, .. } = *arguments;
    refuse_option("contains value", contains.unwrap_or_default())?;
    refuse_option("not_contains value", not_contains.unwrap_or_default())?;
    let mut command = GitCommand::reads(&["branch", "--no-color", "--no-column"]);
    let mut shown = "git branch".to_owned();
    match branch_type {
        "local" => command = command.arg("--list"),
        "remote" | "all" => {
            let option = if branch_type == "all" { "-a" } else { "-r" };
            command = command.arg(option);
            shown = format!("{shown} {option}");
        }
        other => return Err(GitFailure::InvalidBranchType(other.to_owned())),
    }
    for (option, value) in [("--contains", contains), ("--no-contains", not_contains)] {
        if let Some(value) = value {
            command = command.arg(format!("{option}={value}"));
            shown = format!("{shown} {option} {value}");
        }
    }
    context.answer(call, "", &command.shown_as(shown))
}

pub(crate) fn create(
    arguments: &CreateBranch<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let name = arguments.branch_name;
    let base = arguments.base_branch.filter(|base| !base.is_empty());
    refuse_option("branch name", name)?;
    refuse_option("base branch", base.unwrap_or_default())?;
    let (base, commit) = match base {
        Some(base) => (base.to_owned(), named_commit(base, context, call)?),
        None => current_commit(context, call)?,
    };
    if context.object(&format!("refs/heads/{name}"), call)?.is_some() {
        return Err(GitFailure::BranchExists { name: name.to_owned() });
    }
    let command = GitCommand::writes(&["branch", "--no-track", "--end-of-options", name, &commit.id])
        .shown_as(format!("git branch {name} {base}"));
    context.run(&command, call)?.checked(&command)?;
    call.text(&format!("Created branch '{name}' from '{base}'"));
    Ok(())
}

/// The commit of a branch or a tag; not of any other revision.
fn named_commit(base: &str, context: &Context, call: &CallContext) -> Result<Object, GitFailure> {
    if is_name(base) {
        for kind in ["heads", "remotes", "tags"] {
            if let Some(commit) = context.object(&format!("refs/{kind}/{base}^0"), call)? {
                return Ok(commit);
            }
        }
    }
    Err(GitFailure::UnknownBase(base.to_owned()))
}

/// Whether this is a name alone: a revision may say more, with signs that are in no name.
fn is_name(base: &str) -> bool {
    !base.contains(['~', '^', ':', '?', '*', '[', '\\', ' ']) && !base.contains("@{")
}

fn current_commit(context: &Context, call: &CallContext) -> Result<(String, Object), GitFailure> {
    let branch = context.head_branch(call)?.ok_or(GitFailure::Detached)?;
    let found = context.object(&format!("refs/heads/{branch}"), call)?;
    let commit = found.ok_or_else(|| GitFailure::UnknownRevision(branch.clone()))?;
    Ok((branch, commit))
}

pub(crate) fn checkout(
    arguments: &Checkout<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let name = arguments.branch_name;
    refuse_option("branch name", name)?;
    context.known_object(name, call)?;
    // After `--` there would be paths: so the name cannot be taken for one.
    let command = GitCommand::writes(&["checkout", "--quiet", "--no-recurse-submodules", name, "--"])
        .shown_as(format!("git checkout {name}"));
    context.run(&command, call)?.checked(&command)?;
    if let Some(branch) = context.head_branch(call)? {
        call.text(&format!("Switched to branch '{branch}'"));
    } else {
        let head = context.known_object("HEAD", call)?;
        call.text(&format!("HEAD is now detached at {}", head.id.get(..SHORT_ID).unwrap_or(&head.id)));
    }
    Ok(())
}
