//! The tool `git_show`: a commit with its changes, the content of a file, or the names in a directory.

use super::arguments::Show;
use super::command::GitCommand;
use super::context::{Context, Object};
use super::error::{GitFailure, refuse_option};
use super::patch::Patch;
use super::text::Text;
use crate::server::{CallContext, RequestContext};
use memchr::memchr;
use std::ops::ControlFlow;

/// Bytes of what stands before the name of an entry of a directory; git writes 53 or 77.
const MAX_MODE_BYTES: usize = 128;

/// Bytes of the fields of a commit that are no part of its message.
const MAX_FIELD_BYTES: usize = 4_096;

pub(crate) fn show(
    arguments: &Show<'_>,
    context: &Context,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let revision = arguments.revision;
    refuse_option("revision", revision)?;
    let object = context.known_object(revision, call)?;
    match &*object.kind {
        "blob" => context.write(call, |text, request| {
            let command = GitCommand::reads(&["cat-file", "blob", &object.id]);
            context.stream(&command, request, &mut |piece| text.push(piece))
        }),
        "tree" => context.write(call, |text, request| {
            let mut names = Names::default();
            let command = GitCommand::reads(&["ls-tree", "-z", &object.id]);
            context.stream(&command, request, &mut |piece| names.push(piece, text))
        }),
        "tag" => {
            let commit = context.known_object(&format!("{}^0", object.id), call)?;
            context.write(call, |text, request| commit_with_changes(context, &commit, text, request))
        }
        _ => context.write(call, |text, request| commit_with_changes(context, &object, text, request)),
    }
}

fn commit_with_changes(
    context: &Context,
    commit: &Object,
    text: &mut Text<'_, '_>,
    request: &mut RequestContext,
) -> Result<(), GitFailure> {
    let mut head = Head::default();
    let command = GitCommand::reads(&["log", "-1", "--no-show-signature", "--no-color", "--no-patch", "-z"])
        .arg("--format=tformat:%P%n%H%n%an%n%ae%n%ai%n%B")
        .arg(&commit.id)
        .arg("--");
    let mut is_cut = false;
    context.stream(&command, request, &mut |piece| {
        let flow = head.push(piece, text);
        is_cut = flow.is_break();
        flow
    })?;
    if is_cut || text.push_str("\n").is_break() {
        return Ok(());
    }
    let mut command = GitCommand::reads(&["diff-tree", "-r", "--no-commit-id", "--full-index", "-M", "-p"]);
    for option in ["--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--src-prefix=a/"] {
        command = command.arg(option);
    }
    command = command.arg("--dst-prefix=b/");
    command = match head.first_parent() {
        Some(parent) => command.arg(parent),
        None => command.arg("--root"),
    };
    let command = command.arg(&commit.id).arg("--");
    let mut patch = Patch::default();
    context.stream(&command, request, &mut |piece| patch.push(piece, &mut |part| text.push(part)))?;
    // What was cut off is said at the end of the text.
    let _ = patch.end(&mut |part| text.push(part));
    Ok(())
}

/// Turns the output of `git log` into the beginning of the answer. The fields are parents, hash, name, address, date
/// and message, the last one ended by a NUL.
#[derive(Debug, Default)]
struct Head {
    /// Fields that are complete.
    fields: usize,
    parents: Vec<u8>,
    field: Vec<u8>,
    /// Line ends of the message that are not written: those at its end never are.
    line_ends: usize,
}

impl Head {
    /// What stands before each field but the first, and after the last one.
    const AROUND: [&str; 5] = ["commit ", "\nAuthor: ", " <", ">\nDate:   ", "\n\n    "];

    fn first_parent(&self) -> Option<&str> {
        let parents = std::str::from_utf8(&self.parents).unwrap_or_default();
        parents.split(' ').next().filter(|parent| !parent.is_empty())
    }

    fn push(&mut self, mut piece: &[u8], text: &mut Text<'_, '_>) -> ControlFlow<()> {
        while !piece.is_empty() {
            if self.fields == Self::AROUND.len() {
                return self.push_message(&piece[..memchr(0, piece).unwrap_or(piece.len())], text);
            }
            let end = memchr(b'\n', piece);
            let part = &piece[..end.unwrap_or(piece.len())];
            let room = MAX_FIELD_BYTES - self.field.len();
            self.field.extend_from_slice(&part[..part.len().min(room)]);
            let Some(end) = end else { return ControlFlow::Continue(()) };
            piece = &piece[end + 1..];
            let field = std::mem::take(&mut self.field);
            if self.fields == 0 {
                self.parents = field;
            } else {
                text.push(&field)?;
            }
            text.push_str(Self::AROUND[self.fields])?;
            self.fields += 1;
        }
        ControlFlow::Continue(())
    }

    /// Each line is indented.
    fn push_message(&mut self, message: &[u8], text: &mut Text<'_, '_>) -> ControlFlow<()> {
        for (index, line) in message.split(|byte| *byte == b'\n').enumerate() {
            self.line_ends += usize::from(index > 0);
            if line.is_empty() {
                continue;
            }
            for _ in 0..std::mem::take(&mut self.line_ends) {
                text.push_str("\n    ")?;
            }
            text.push(line)?;
        }
        ControlFlow::Continue(())
    }
}

/// Turns the output of `git ls-tree` into names.
#[derive(Debug, Default)]
struct Names {
    mode: Vec<u8>,
    is_in_name: bool,
    has_name: bool,
}

impl Names {
    fn push(&mut self, mut piece: &[u8], text: &mut Text<'_, '_>) -> ControlFlow<()> {
        while !piece.is_empty() {
            let end = memchr(if self.is_in_name { 0 } else { b'\t' }, piece);
            let part = &piece[..end.unwrap_or(piece.len())];
            if self.is_in_name {
                text.push(part)?;
            } else {
                let room = MAX_MODE_BYTES - self.mode.len();
                self.mode.extend_from_slice(&part[..part.len().min(room)]);
            }
            let Some(end) = end else { return ControlFlow::Continue(()) };
            piece = &piece[end + 1..];
            self.is_in_name = !self.is_in_name;
            if self.is_in_name {
                if std::mem::replace(&mut self.has_name, true) {
                    text.push_str("\n")?;
                }
            } else if std::mem::take(&mut self.mode).split(|byte| *byte == b' ').nth(1) == Some(b"tree") {
                text.push_str("/")?;
            }
        }
        ControlFlow::Continue(())
    }
}
