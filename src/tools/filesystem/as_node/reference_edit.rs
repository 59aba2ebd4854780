//! Edits as the reference server makes them, for those who need each answer as it is there: all line ends become
//! `\n`; the first exact occurrence wins, and nothing occurs before everything; without one, the first run of
//! lines that are equal once trimmed, each new line indented by itself.

use crate::tools::filesystem::arguments::Edit;
use crate::tools::filesystem::error::FsError;
use crate::tools::filesystem::text_edit::apply::Work;
use crate::tools::filesystem::text_edit::line_ends::flat;
use crate::tools::filesystem::text_edit::line_match::{Wanted, indentation, trim};

/// The text after all edits, in order.
///
/// # Errors
/// [`FsError::NoMatch`] for the first edit whose old text is not there.
pub(crate) fn apply(text: &str, edits: &[Edit<'_>], work: &mut Work<'_>) -> Result<String, FsError> {
    let mut text = flat(text).into_owned();
    for edit in edits {
        work.spend(text.len())?;
        let old = flat(edit.old_text);
        let new = flat(edit.new_text);
        if let Some(at) = memchr::memmem::find(text.as_bytes(), old.as_bytes()) {
            work.check_length(text.len() - old.len() + new.len())?;
            text.replace_range(at..at + old.len(), &new);
            continue;
        }
        work.spend_on_lines(text.len())?;
        match replace_lines(&text, &old, &new) {
            Some(replaced) => text = replaced,
            None => return Err(FsError::NoMatch { old_text: edit.old_text.to_owned(), hint: String::new() }),
        }
        work.check_length(text.len())?;
    }
    Ok(text)
}

/// Replaces the first run of lines equal to those of `old`, blanks around each not counted.
fn replace_lines(text: &str, old: &str, new: &str) -> Option<String> {
    let place = match Wanted::new(old) {
        Some(wanted) => wanted.places(text).next(),
        None => blank_lines(text, old.split('\n').count()),
    }?;
    let indent = indentation(text[place.clone()].split('\n').next().unwrap_or_default());
    let mut wanted = old.split('\n');
    let mut out = String::with_capacity(text.len() + new.len());
    out.push_str(&text[..place.start]);
    for (number, line) in new.split('\n').enumerate() {
        let own = indentation(line);
        let replaced = wanted.next().map_or("", indentation);
        if number == 0 {
            out.push_str(indent);
            out.push_str(&line[own.len()..]);
            continue;
        }
        out.push('\n');
        if own.is_empty() || replaced.is_empty() {
            out.push_str(line);
        } else {
            let deeper = own.chars().count().saturating_sub(replaced.chars().count());
            out.push_str(indent);
            out.extend(std::iter::repeat_n(' ', deeper));
            out.push_str(&line[own.len()..]);
        }
    }
    out.push_str(&text[place.end..]);
    Some(out)
}

/// The first run of so many lines of blanks.
fn blank_lines(text: &str, count: usize) -> Option<std::ops::Range<usize>> {
    let (mut at, mut run) = (0, 0);
    let mut starts = std::collections::VecDeque::new();
    for line in text.split('\n') {
        run = if trim(line).is_empty() { run + 1 } else { 0 };
        starts.push_back(at);
        if starts.len() > count {
            starts.pop_front();
        }
        let end = at + line.len();
        if run >= count {
            return Some(starts.front().copied().unwrap_or(at)..end);
        }
        at = end + 1;
    }
    None
}
