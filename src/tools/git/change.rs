//! The tools that change the index and record it: `git_add`, `git_reset` and `git_commit`.

use super::arguments::{Add, Commit, OnlyRepository};
use super::command::{GitCommand, Programs};
use super::context::Context;
use super::error::GitFailure;
use super::paths;
use crate::server::CallContext;
use std::path::Path;

/// Files as error messages show them.
const MAX_SHOWN_FILES: usize = 20;

pub(crate) fn add(arguments: &Add<'_>, context: &Context, call: &mut CallContext) -> Result<(), GitFailure> {
    let top = &context.repository.top;
    for file in &arguments.files {
        check_file(file, top)?;
    }
    // Names without end need no room on a command line.
    let mut list = Vec::new();
    for file in &arguments.files {
        list.extend_from_slice(file.as_bytes());
        list.push(0);
    }
    let shown = &arguments.files[..arguments.files.len().min(MAX_SHOWN_FILES)];
    let command = GitCommand::writes(&["add", "--verbose", "--pathspec-from-file=-", "--pathspec-file-nul"])
        .input(list)
        .shown_as(format!("git add -- {}", shown.join(" ")));
    let output = context.run(&command, call)?.checked(&command)?;
    // It names each file that it staged, and nothing else.
    call.text(if output.stdout.is_empty() {
        "No changes were staged: the given paths had nothing new to stage. git_status shows what is modified or \
         untracked."
    } else {
        "Files staged successfully"
    });
    Ok(())
}

fn check_file(file: &str, top: &Path) -> Result<(), GitFailure> {
    if file.contains('\0') {
        return Err(GitFailure::NullByte);
    }
    let resolved = paths::resolve(&top.join(file)).ok_or_else(|| GitFailure::InvalidPath(file.to_owned()))?;
    if !resolved.starts_with(top) {
        return Err(GitFailure::FileOutside { path: file.to_owned(), repository: top.to_owned() });
    }
    Ok(())
}

pub(crate) fn reset(
    _: &OnlyRepository<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    // Paths, and so a merge goes on that is under way, as in the reference.
    let command = GitCommand::writes(&["reset", "--quiet", "--", ":/"]).shown_as("git reset".to_owned());
    context.run(&command, call)?.checked(&command)?;
    call.text("All staged changes reset");
    Ok(())
}

pub(crate) fn commit(
    arguments: &Commit<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let is_merge = context.repository.git_dir.join("MERGE_HEAD").exists();
    if !is_merge && !has_staged(context, call)? {
        return Err(GitFailure::NothingStaged);
    }
    let mut command =
        GitCommand::writes(&["commit", "--quiet", "--allow-empty-message", "--cleanup=verbatim"])
            .arg("--no-status")
            .arg("--no-gpg-sign")
            .shown_as("git commit".to_owned());
    if context.programs() == Programs::Refused {
        command = command.arg("--no-verify");
    }
    // With `--file`, a message may begin with a sign. An empty one needs no input.
    command = if arguments.message.is_empty() {
        command.arg("--message=")
    } else {
        command.arg("--file=-").input(arguments.message.as_bytes().to_vec())
    };
    let output = context.run(&command, call)?.checked(&command)?;
    let head = context.known_object("HEAD", call)?;
    let note = autostash_note(&String::from_utf8_lossy(&output.stderr));
    call.text(&format!("Changes committed successfully with hash {}{note}", head.id));
    Ok(())
}

fn has_staged(context: &Context, call: &CallContext) -> Result<bool, GitFailure> {
    let command = GitCommand::reads(&["diff", "--cached", "--quiet", "--no-ext-diff", "--no-textconv"])
        .arg("--ignore-submodules=dirty")
        .arg("--");
    let output = context.run(&command, call)?;
    if output.code() == Some(1) {
        return Ok(true);
    }
    output.checked(&command)?;
    Ok(false)
}

/// What became of the changes that `git merge --autostash` had put aside.
fn autostash_note(stderr: &str) -> &'static str {
    if stderr.contains("Applying autostash resulted in conflicts") {
        "\nApplying autostash resulted in conflicts. Your changes are safe in the stash; run \"git stash pop\" or \"git \
         stash drop\" at any time."
    } else if stderr.contains("Applied autostash") {
        "\nApplied autostash."
    } else {
        ""
    }
}
