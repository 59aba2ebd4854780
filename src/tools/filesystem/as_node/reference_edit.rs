//! Edits a text as the reference server does.
//!
//! All line ends become `\n`. The first exact occurrence is replaced; an empty text occurs at the start. Without an
//! exact occurrence, the first run of lines that are equal once trimmed is replaced, and each new line is indented by
//! itself.

use crate::tools::filesystem::arguments::Edit;
use crate::tools::filesystem::error::FsError;
use crate::tools::filesystem::text_edit::budget::EditBudget;
use crate::tools::filesystem::text_edit::line_ends::{copied_bytes, flat};
use crate::tools::filesystem::text_edit::line_match::{Wanted, indentation, trim};

/// Applies all edits in order and gives the new text.
///
/// # Errors
/// [`FsError::NoMatch`] for the first edit whose old text does not occur.
pub(crate) fn apply(text: &str, edits: &[Edit<'_>], budget: &mut EditBudget<'_>) -> Result<String, FsError> {
    let longer: usize = edits.iter().map(|edit| edit.new_text.len()).sum();
    budget.make_room(text.len() + longer + copied_bytes(text))?;
    let flat_text = flat(text);
    // No edit moves the text for lack of room.
    let mut text = String::with_capacity(flat_text.len() + longer);
    text.push_str(&flat_text);
    drop(flat_text);
    for edit in edits {
        budget.spend(text.len())?;
        let old = flat(edit.old_text);
        let new = flat(edit.new_text);
        if let Some(at) = memchr::memmem::find(text.as_bytes(), old.as_bytes()) {
            budget.check_length(text.len() - old.len() + new.len())?;
            text.replace_range(at..at + old.len(), &new);
            continue;
        }
        budget.spend_on_lines(text.len())?;
        budget.make_room(text.capacity() + text.len() + new.len())?;
        match replace_lines(&text, &old, &new) {
            Some(replaced) => text = replaced,
            None => return Err(FsError::NoMatch { old_text: edit.old_text.to_owned(), hint: String::new() }),
        }
        budget.check_length(text.len())?;
    }
    Ok(text)
}

/// Replaces the first run of lines that are equal to those of `old` once trimmed.
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

/// Finds the first run of so many blank lines.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::CancellationToken;
    use proptest::prelude::*;

    fn edited(text: &str, old_text: &str, new_text: &str) -> Result<String, FsError> {
        let cancellation = CancellationToken::after(u64::MAX);
        let mut budget = EditBudget::new(usize::MAX, usize::MAX, &cancellation);
        apply(text, &[Edit { old_text, new_text, replace_all: None }], &mut budget)
    }

    #[test]
    fn a_long_old_text_costs_no_more_than_a_short_one() {
        let text = "a\n".repeat(1_000_000);
        let old = "a \n".repeat(400_000) + "b";
        assert!(edited(&text, &old, "").is_err());
    }

    #[test]
    fn edits_are_those_of_the_reference() {
        // (text, old, new, result)
        let rows = [
            ("a b a", "a", "$&c", "$&c b a"),
            ("abc", "", "x", "xabc"),
            ("", "", "x", "x"),
            ("a\r\nb", "a\nb", "c\r\nd", "c\nd"),
            ("  if x {\n    y\n  }\n", "if x {\ny\n}", "if z {\n  w\n}", "  if z {\n  w\n}\n"),
            (
                "\tif x {\n\t\ty\n\t}\n",
                "  if x {\n    y\n  }",
                "  if z {\n      w\n  }",
                "\tif z {\n\t  w\n\t}\n",
            ),
            ("    a\n    b", "  a\n  b", " a\n c", "    a\n    c"),
            ("  a\n", "a  \n", "b", "  b"),
            ("\u{feff}a", "a ", "b", "\u{feff}b"),
            ("\u{85}a", "a ", "b", "Could not find exact match for edit:\na "),
            ("a\nb", "b\na", "x", "Could not find exact match for edit:\nb\na"),
            ("a", "a\nb\nc", "x", "Could not find exact match for edit:\na\nb\nc"),
            ("x", "y\r\nz", "", "Could not find exact match for edit:\ny\r\nz"),
            ("a\n\n  \nb", " \n\t\nb", "c", "a\nc"),
            ("a\n  \nb\n\t\n \nc", " \n\t", "x", "a\n  \nb\n\tx\nc"),
        ];
        for (text, old, new, want) in rows {
            let edited = edited(text, old, new).unwrap_or_else(|error| error.to_string());
            assert_eq!(edited, want, "{text:?}: {old:?} -> {new:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// No text is too strange: an error, or a text.
        #[test]
        fn nothing_panics(
            text in "[ \ta\r\né\u{feff}\u{85}]{0,24}",
            old in "[ \ta\r\né\u{feff}]{0,10}",
            new in "[ \ta\r\né\u{a0}]{0,12}",
        ) {
            let _ = edited(&text, &old, &new).map_err(|error| error.to_string());
        }
    }
}
