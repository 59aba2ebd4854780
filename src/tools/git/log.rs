//! The tool `git_log`: commits as the reference words them, written while git finds them.

use super::arguments::Log;
use super::command::GitCommand;
use super::context::Context;
use super::error::{GitFailure, refuse_option};
use super::text::Text;
use crate::server::CallContext;
use memchr::memchr;
use std::ops::ControlFlow;

/// Bytes of a date; git writes 25.
const MAX_DATE_BYTES: usize = 64;

pub(crate) fn log(arguments: &Log<'_>, context: &Context, call: &mut CallContext) -> Result<(), GitFailure> {
    let Log { max_count, start_timestamp, end_timestamp, .. } = *arguments;
    let (start, end) = (start_timestamp.unwrap_or_default(), end_timestamp.unwrap_or_default());
    refuse_option("start_timestamp", start)?;
    refuse_option("end_timestamp", end)?;
    let mut command = GitCommand::reads(&["log", "--no-show-signature", "--no-color", "--no-patch", "-z"])
        .arg("--format=tformat:%H%n%an%n%ai%n%B")
        .arg(format!("--max-count={max_count}"));
    let mut shown = format!("git rev-list --max-count={max_count}");
    for (option, timestamp) in [("since", start), ("until", end)] {
        if !timestamp.is_empty() {
            command = command.arg(format!("--{option}={timestamp}"));
            shown = format!("{shown} --{option}={timestamp}");
        }
    }
    let command = command.arg("HEAD").arg("--").shown_as(shown + " HEAD --");
    let logged = context.write(call, |text, request| {
        let mut entries = Entries::default();
        if text.push_str("Commit history:\n").is_break() {
            return Ok(());
        }
        context.stream(&command, request, &mut |piece| entries.push(piece, text))
    });
    // Only where it failed is it asked whether there is a commit.
    if matches!(logged, Err(GitFailure::Command(_))) && context.object("HEAD", call)?.is_none() {
        let branch = context.head_branch(call)?.unwrap_or_else(|| "HEAD".to_owned());
        return Err(GitFailure::NoCommitYet(format!("refs/heads/{branch}")));
    }
    logged
}

/// A field of a commit, in the order in which git writes them; the last one ends with a NUL, the others with a line end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Hash,
    Author,
    Date,
    Message,
}

/// Turns the output of `git log` into entries.
#[derive(Debug, Default)]
struct Entries {
    field: Field,
    /// A part of the current entry was written.
    is_begun: bool,
    /// An entry was written before.
    has_entry: bool,
    date: Vec<u8>,
}

impl Entries {
    fn push(&mut self, mut piece: &[u8], text: &mut Text<'_, '_>) -> ControlFlow<()> {
        while !piece.is_empty() {
            if !self.is_begun {
                text.push_str(if self.has_entry { "\nCommit: " } else { "Commit: " })?;
                self.is_begun = true;
            }
            let end = if self.field == Field::Message { 0 } else { b'\n' };
            let found = memchr(end, piece);
            let (part, rest) = piece.split_at(found.unwrap_or(piece.len()));
            if self.field == Field::Date {
                let room = MAX_DATE_BYTES - self.date.len();
                self.date.extend_from_slice(&part[..part.len().min(room)]);
            } else {
                text.push(part)?;
            }
            if found.is_some() {
                self.end_field(text)?;
            }
            piece = rest.get(1..).unwrap_or_default();
        }
        ControlFlow::Continue(())
    }

    fn end_field(&mut self, text: &mut Text<'_, '_>) -> ControlFlow<()> {
        match self.field {
            Field::Hash => {
                self.field = Field::Author;
                text.push_str("\nAuthor: ")
            }
            Field::Author => {
                self.field = Field::Date;
                text.push_str("\nDate: ")
            }
            Field::Date => {
                self.field = Field::Message;
                let date = with_colon(&std::mem::take(&mut self.date));
                text.push(&date)?;
                text.push_str("\nMessage: ")
            }
            Field::Message => {
                *self = Self { has_entry: true, ..Self::default() };
                text.push_str("\n")
            }
        }
    }
}

/// `2024-01-15 14:30:25 +0100` as `2024-01-15 14:30:25+01:00`.
fn with_colon(date: &[u8]) -> Vec<u8> {
    match date {
        [day_and_time @ .., b' ', sign, h, hh, m, mm] => {
            [day_and_time, &[*sign, *h, *hh, b':', *m, *mm]].concat()
        }
        other => other.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_get_a_colon() {
        assert_eq!(with_colon(b"2024-01-15 14:30:25 +0530"), b"2024-01-15 14:30:25+05:30");
        assert_eq!(with_colon(b"x"), b"x");
    }
}
