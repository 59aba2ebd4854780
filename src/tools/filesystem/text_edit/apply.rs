//! Applies the edits of a call to a text.
//!
//! An edit replaces the one place that it names, and no other byte changes: a `\n` in it matches any line end, and
//! lines keep theirs. Without an exact match it replaces the one run of lines that are equal once trimmed, and the new
//! lines are indented as a block to fit there (`shift.rs`). An edit that names no place, or several, is refused; the
//! error helps to name one.
//!
//! Invariant: an edit looks at each byte of its text a few times, whatever it searches for; [`EditBudget`] bounds what
//! all edits of a call search together, and is asked for the memory of each text before it is made.

use super::budget::EditBudget;
use super::line_ends::{LineEnd, Splicer, copied_bytes, flat};
use super::line_match::{Wanted, is_ended, line_number};
use super::shift::shifted;
use crate::tools::filesystem::arguments::Edit;
use crate::tools::filesystem::error::FsError;
use memchr::memmem;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

/// The most places that an error names.
const NAMED_PLACES: usize = 10;

/// The most bytes and lines of a text that an error quotes.
const QUOTED_BYTES: usize = 2_000;
const QUOTED_LINES: usize = 20;

/// The hint for a text that would match any line of blanks.
const ONLY_BLANKS: &str = "\n\nIt has nothing but blanks, which are looked for as they stand.";

/// Applies all edits in order and gives the new text.
///
/// # Errors
/// That of the first edit that names no place of the text, or several.
pub(crate) fn apply(
    text: &str,
    edits: &[Edit<'_>],
    replace_all: bool,
    budget: &mut EditBudget<'_>,
) -> Result<String, FsError> {
    // The first edit reads the text where it is.
    let mut text = Cow::Borrowed(text);
    for edit in edits {
        let replace_all = edit.replace_all.unwrap_or(replace_all);
        let held_bytes = if let Cow::Owned(text) = &text { text.capacity() } else { 0 };
        text = Cow::Owned(apply_one(&text, edit, replace_all, held_bytes, budget)?);
    }
    Ok(text.into_owned())
}

/// Applies one edit; `held_bytes` are those of the text if it was made for an edit before.
fn apply_one(
    text: &str,
    edit: &Edit<'_>,
    replace_all: bool,
    held_bytes: usize,
    budget: &mut EditBudget<'_>,
) -> Result<String, FsError> {
    if edit.old_text.is_empty() {
        return Err(FsError::EmptyOldText);
    }
    budget.spend(text.len())?;
    let held_bytes = held_bytes + copied_bytes(text);
    budget.make_room(held_bytes)?;
    let flat_text = flat(text);
    let (old, new) = (flat(edit.old_text), flat(edit.new_text));
    let finder = memmem::Finder::new(old.as_bytes());
    let exact = Places::of(&flat_text, &finder, replace_all);
    if exact.count == 0 {
        budget.spend_on_lines(text.len())?;
        let lines = Lines { text, flat_text: &flat_text, held_bytes, old: &old, new: &new, edit };
        return lines.replaced(replace_all, budget);
    }
    exact.check_unambiguous(&flat_text, edit, replace_all)?;
    let length = exact.length_after(text.len(), old.len(), new.len());
    budget.check_length(length)?;
    let own = LineEnd::of(edit.new_text);
    // A line end that is put in may have a byte more than the one that is given.
    let longer_ends =
        if copied_bytes(text) > 0 || own == LineEnd::Pair { exact.count * new.len() } else { 0 };
    let capacity = length + longer_ends.min(text.len());
    budget.make_room(held_bytes + capacity)?;
    let mut splicer = Splicer::new(text, capacity);
    for start in finder.find_iter(flat_text.as_bytes()) {
        splice(&mut splicer, &flat_text, start..start + old.len(), &new, own);
    }
    let edited = splicer.finish();
    budget.check_length(edited.len())?;
    Ok(edited)
}

/// An edit of lines that differ from the text only in blanks.
struct Lines<'t> {
    text: &'t str,
    flat_text: &'t str,
    /// Of the text and its flat form, those that were made.
    held_bytes: usize,
    old: &'t str,
    new: &'t str,
    edit: &'t Edit<'t>,
}

impl Lines<'_> {
    fn replaced(&self, replace_all: bool, budget: &EditBudget<'_>) -> Result<String, FsError> {
        let flat_text = self.flat_text;
        // If the last line is given with its line end, the line that it matches must have one, too.
        let takes_end = self.old.ends_with('\n');
        let lines = self.old.strip_suffix('\n').unwrap_or(self.old);
        let wanted = Wanted::new(lines).ok_or_else(|| self.no_match(ONLY_BLANKS.to_owned()))?;
        let places = || wanted.places(flat_text).filter(|place| !takes_end || is_ended(flat_text, place.end));
        let mut found = Places::default();
        places().for_each(|place| found.note(place.start));
        if found.count == 0 {
            let near = wanted.nearest(flat_text);
            return Err(self.no_match(near.map_or_else(String::new, |near| nearest(flat_text, &near))));
        }
        found.check_unambiguous(flat_text, self.edit, replace_all)?;
        let mut splicer = Splicer::new(self.text, self.text.len() + self.new.len());
        let mut longer = 0;
        for place in places() {
            budget.check_cancelled()?;
            let (before, behind) = (&flat_text[..place.start], &flat_text[place.end..]);
            let block = shifted(lines, &flat_text[place.clone()], self.new, before, behind);
            let block = block.ok_or_else(|| self.no_match(untold(flat_text, &place)))?;
            longer += block.len();
            budget.check_length(longer)?;
            budget.make_room(self.held_bytes + self.text.len() + longer)?;
            let part = place.start..place.end + usize::from(takes_end);
            splice(&mut splicer, flat_text, part, &block, LineEnd::of(self.edit.new_text));
        }
        let edited = splicer.finish();
        budget.check_length(edited.len())?;
        Ok(edited)
    }

    fn no_match(&self, hint: String) -> FsError {
        FsError::NoMatch { old_text: quoted(self.edit.old_text), hint }
    }
}

/// Replaces what differs in a part: a common beginning and end stay as they are, with their line ends.
fn splice(splicer: &mut Splicer<'_>, flat_text: &str, part: Range<usize>, new: &str, own: LineEnd) {
    let old = &flat_text[part.clone()];
    let same = |pair: &(u8, u8)| pair.0 == pair.1;
    let front = old.bytes().zip(new.bytes()).take_while(same).count();
    let front = old.floor_char_boundary(front);
    let (old, new) = (&old[front..], &new[front..]);
    let back = old.bytes().rev().zip(new.bytes().rev()).take_while(same).count();
    // The common end begins with the same byte in both texts: it is the first of a character in both, or in neither.
    let back = old.len() - old.ceil_char_boundary(old.len() - back);
    splicer.replace(part.start + front..part.end - back, &new[..new.len() - back], own);
}

/// The places in a text that are to be replaced.
#[derive(Debug, Default)]
struct Places {
    count: usize,
    /// The first of them, for the error.
    named: Vec<usize>,
}

impl Places {
    /// Finds the places from left to right. Places that overlap count if only one may be replaced.
    fn of(text: &str, finder: &memmem::Finder<'_>, replace_all: bool) -> Self {
        let mut found = Self::default();
        finder.find_iter(text.as_bytes()).for_each(|place| found.note(place));
        if !replace_all && found.count == 1 {
            let behind = found.named[0] + 1;
            if let Some(place) = finder.find(&text.as_bytes()[behind..]) {
                found.note(behind + place);
            }
        }
        found
    }

    fn note(&mut self, place: usize) {
        self.count += 1;
        if self.named.len() < NAMED_PLACES {
            self.named.push(place);
        }
    }

    fn length_after(&self, text: usize, old: usize, new: usize) -> usize {
        // The line ends that are put in may be twice as long; the finished text is checked again.
        text.saturating_sub(self.count.saturating_mul(old)).saturating_add(self.count.saturating_mul(new))
    }

    /// # Errors
    /// [`FsError::Ambiguous`] when there are several places and only one may be replaced.
    fn check_unambiguous(&self, text: &str, edit: &Edit<'_>, replace_all: bool) -> Result<(), FsError> {
        if self.count <= 1 || replace_all {
            return Ok(());
        }
        let mut lines = String::new();
        let (mut at, mut line) = (0, 1);
        for place in &self.named {
            line += line_number(&text[at..], place - at) - 1;
            at = *place;
            let separator = if lines.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(lines, "{separator}{line}");
        }
        if self.count > self.named.len() {
            lines.push_str(", …");
        }
        Err(FsError::Ambiguous { count: self.count, lines, old_text: quoted(edit.old_text) })
    }
}

/// The start of a text, as far as an error quotes it.
fn quoted(text: &str) -> String {
    let lines = memchr::memchr_iter(b'\n', text.as_bytes()).nth(QUOTED_LINES - 1).unwrap_or(text.len());
    let end = text.floor_char_boundary(lines.min(QUOTED_BYTES));
    if end == text.len() { text.to_owned() } else { format!("{}…", &text[..end]) }
}

fn nearest(text: &str, near: &Range<usize>) -> String {
    let line = line_number(text, near.start);
    format!("\n\nThe nearest text, from line {line} on:\n{}", quoted(&text[near.clone()]))
}

fn untold(text: &str, place: &Range<usize>) -> String {
    let line = line_number(text, place.start);
    format!(
        "\n\nThe text from line {line} on differs in blanks only, but how the new lines are to be indented there \
         cannot be told from it; copy oldText as it stands there:\n{}",
        quoted(&text[place.clone()])
    )
}

#[cfg(test)]
mod tests;
