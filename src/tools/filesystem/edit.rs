//! The tool `edit_file`: applies edits to a file, and answers with the diff.

use super::answer_space::AnswerSpace;
use super::arguments::{Edit, EditFile};
use super::as_node::diff::Diff;
use super::as_node::reference_edit;
use super::compat::Compat;
use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::open_file::OpenFile;
use super::sandbox::temporary::write_all;
use super::text_edit::apply;
use super::text_edit::budget::EditBudget;
use super::write_target::WriteTarget;
use crate::server::CallContext;
use crate::wire::MemoryLack;
use mcpool_pools::Reservation;
use std::cell::RefCell;

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
    let (limit_bytes, max_scan_bytes) = (call.limits().max_reply_bytes, call.limits().max_edit_scan_bytes);
    let path = shown(written.target().path());
    if file.bytes > limit_bytes as u64 {
        return Err(FsError::FileTooLarge { path, bytes: file.bytes, limit_bytes }.into());
    }
    let new_bytes: usize = arguments.edits.iter().map(|edit| edit.new_text.len()).sum();
    let memory = RefCell::new(EditMemory { call, path: &path, held: Vec::new(), bytes: 0 });
    let make_room = |bytes| memory.borrow_mut().make_room(bytes);
    // Of the message twice its bytes are set aside; short edits take more than that.
    let edit_bytes = arguments.edits.capacity() * size_of::<Edit<'_>>();
    make_room((file.bytes as usize).saturating_mul(TEXTS).saturating_add(new_bytes + edit_bytes))?;
    let stored = match String::from_utf8(file.read_all(limit_bytes)?) {
        Ok(stored) => stored,
        Err(error) => {
            return Err(FsError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() }.into());
        }
    };
    // The file stays in memory for the diff, whatever else there is.
    let make_room = |bytes| make_room(stored.capacity() + bytes);
    let mut budget =
        EditBudget::new(max_scan_bytes, limit_bytes, context.cancellation).with_memory(&make_room);
    let edited = match context.compat {
        Compat::Default => apply::apply(&stored, &arguments.edits, arguments.replace_all, &mut budget)?,
        Compat::Reference => reference_edit::apply(&stored, &arguments.edits, &mut budget)?,
    };
    let diff = Diff::of(&path, &stored, &edited, context.cancellation, |bytes| {
        make_room(edited.capacity() + bytes)
    })?;
    let EditMemory { call, held, .. } = memory.into_inner();
    // An edit is not made if the answer cannot show it, so all of the answer has its room before.
    write_answer(&diff, AnswerSpace::of(call.limits(), context.copies), call)?;
    if let Some(lack) = call.memory_lack() {
        return Err(FsError::NoMemoryToEdit { path, lack }.into());
    }
    if !arguments.dry_run {
        written.replace(context.sandbox, |new| write_all(new, edited.as_bytes()))?;
    }
    drop((lock, held));
    call.structured_from_text();
    Ok(())
}

/// The texts that an edit has in memory to its end: the file as it is, and as it will be.
const TEXTS: usize = 2;

/// The memory of one edit, set aside before it is taken: the file and the new text once each, and for as long as it is there
/// what is made of them on the way.
struct EditMemory<'c> {
    call: &'c mut CallContext,
    path: &'c str,
    held: Vec<Reservation>,
    bytes: usize,
}

impl EditMemory<'_> {
    /// Sets aside so many bytes in all.
    fn make_room(&mut self, bytes: usize) -> Result<(), FsError> {
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        let reserved = self.call.reserve_memory(more).map_err(|spent| {
            let lack = self.call.memory_lack().filter(|_| bytes <= spent.limit_bytes);
            FsError::NoMemoryToEdit { path: self.path.to_owned(), lack: lack.unwrap_or(MemoryLack::Always) }
        })?;
        // What is small is not counted, unless more comes to it.
        if let Some(reservation) = reserved {
            self.held.push(reservation);
            self.bytes = bytes;
        }
        Ok(())
    }
}

/// Answers with the diff in a Markdown fence that none of its lines can close.
///
/// # Errors
/// [`FsError::AnswerTooLarge`], before anything is written.
fn write_answer(diff: &Diff<'_>, space: AnswerSpace, call: &mut CallContext) -> Result<(), FsError> {
    let mut size = DiffSize::default();
    diff.write(|piece| size.add(piece));
    let fence = size.fence();
    for piece in [&fence, "diff\n", &fence, "\n\n"] {
        size.add(piece);
    }
    check_fits(size.escaped_bytes, space)?;
    call.text_with(|text| {
        text.make_room(space.answer_bytes(size.escaped_bytes));
        text.push_str(&fence);
        text.push_str("diff\n");
        diff.write(|piece| text.push_str(piece));
        text.push_str(&fence);
        text.push_str("\n\n");
    });
    Ok(())
}

/// What a diff takes in an answer.
#[derive(Default)]
struct DiffSize {
    /// Its bytes as it is written in JSON.
    escaped_bytes: usize,
    /// Backticks at its end, and the most in a row.
    backticks: usize,
    longest: usize,
}

impl DiffSize {
    fn add(&mut self, piece: &str) {
        for byte in piece.bytes() {
            self.escaped_bytes += match byte {
                b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
                0..0x20 => 6,
                _ => 1,
            };
            self.backticks = if byte == b'`' { self.backticks + 1 } else { 0 };
            self.longest = self.longest.max(self.backticks);
        }
    }

    /// A Markdown fence that none of its lines can close.
    fn fence(&self) -> String {
        "`".repeat(3.max(self.longest + 1))
    }
}

/// More than the bytes that an answer has beside its text.
const ENVELOPE_BYTES: usize = 2 * 1024;

/// Checks that an answer can carry so many bytes of text, as it is written in JSON.
///
/// # Errors
/// [`FsError::AnswerTooLarge`].
fn check_fits(escaped_bytes: usize, space: AnswerSpace) -> Result<(), FsError> {
    if escaped_bytes.saturating_add(ENVELOPE_BYTES) > space.text_bytes() {
        return Err(space.answer_too_large());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_is_longer_than_any_in_the_diff() {
        let fence = |pieces: &[&str]| {
            let mut size = DiffSize::default();
            for piece in pieces {
                size.add(piece);
            }
            size.fence()
        };
        assert_eq!(fence(&["+", "````", "\n", "-", "``\n"]), "`````");
        assert_eq!(fence(&["``", "``", " ```"]), "`````", "in pieces");
        assert_eq!(fence(&["-", "a", "\n"]), "```");
    }
}
