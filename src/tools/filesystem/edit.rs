//! The tool `edit_file`: applies edits to a file, and answers with the diff.

use super::answer_space::AnswerSpace;
use super::arguments::EditFile;
use super::as_node::{diff, reference_edit};
use super::compat::Compat;
use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::open_file::OpenFile;
use super::sandbox::temporary::write_all;
use super::text_edit::apply;
use super::text_edit::budget::EditBudget;
use super::text_edit::line_ends::flat;
use super::write_target::WriteTarget;
use crate::server::{CallContext, CancellationToken};

/// `edit_file`.
pub(crate) fn edit_file(
    arguments: &EditFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let target = context.sandbox.resolve(arguments.path)?;
    // Opening it first gives the right error where there is no file, or none that can be edited.
    OpenFile::at(&target)?;
    let written = WriteTarget::of(target)?;
    let lock = written.lock(context.sandbox)?;
    let file = OpenFile::at(written.target())?;
    let limit_bytes = call.limits().max_reply_bytes;
    let path = shown(written.target().path());
    if file.bytes > limit_bytes as u64 {
        return Err(FsError::FileTooLarge { path, bytes: file.bytes, limit_bytes }.into());
    }
    let _memory = call
        .reserve_memory((file.bytes as usize).saturating_mul(COPIES))
        .map_err(|_| FsError::NoMemoryToEdit { path: path.clone() })?;
    let stored = match String::from_utf8(file.read_all(limit_bytes)?) {
        Ok(stored) => stored,
        Err(error) => {
            return Err(FsError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() }.into());
        }
    };
    let mut budget = EditBudget::new(call.limits().max_edit_scan_bytes, limit_bytes, context.cancellation);
    let edited = match context.compat {
        Compat::Default => apply::apply(&stored, &arguments.edits, arguments.replace_all, &mut budget)?,
        Compat::Reference => reference_edit::apply(&stored, &arguments.edits, &mut budget)?,
    };
    let diff = fenced_diff(&path, &stored, &edited, context.cancellation)?;
    // An edit is not made if the answer cannot show it, so all of the answer has its room before.
    let space = AnswerSpace::of(call.limits(), context.copies);
    let text_bytes = check_fits(&diff, space)?;
    call.text_with(|text| {
        text.make_room(space.answer_bytes(text_bytes));
        text.push_str(&diff);
    });
    if call.lacks_memory() {
        return Err(FsError::NoMemoryToEdit { path }.into());
    }
    if !arguments.dry_run {
        written.replace(context.sandbox, |new| write_all(new, edited.as_bytes()))?;
    }
    drop(lock);
    call.structured_from_text();
    Ok(())
}

/// How often an edit has the file in memory at most: as it is, as it will be, both with plain line ends, and the diff.
const COPIES: usize = 5;

/// The diff between two texts in a Markdown fence that none of its lines can close.
fn fenced_diff(
    path: &str,
    old: &str,
    new: &str,
    cancellation: &CancellationToken,
) -> Result<String, FsError> {
    let diff = diff::unified(path, &flat(old), &flat(new), cancellation)?;
    let longest = diff.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    Ok(format!("{fence}diff\n{diff}{fence}\n\n"))
}

/// More than the bytes that an answer has beside its text.
const ENVELOPE_BYTES: usize = 2 * 1024;

/// Checks that an answer can carry a text, which it has escaped, and returns the bytes of that.
///
/// # Errors
/// [`FsError::AnswerTooLarge`].
fn check_fits(text: &str, space: AnswerSpace) -> Result<usize, FsError> {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    let bytes: usize = text.bytes().map(escaped).sum();
    if bytes.saturating_add(ENVELOPE_BYTES) > space.text_bytes() {
        Err(space.answer_too_large())
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_is_longer_than_any_in_the_diff() {
        let fenced = |old: &str, new: &str| {
            fenced_diff("f", old, new, &CancellationToken::after(u64::MAX)).expect("a diff")
        };
        assert!(fenced("a\n", "````\n").starts_with("`````diff\nIndex: f\n"));
        assert!(fenced("a\n", "b\n").ends_with("\n-a\n+b\n```\n\n"));
    }
}
