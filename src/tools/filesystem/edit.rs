//! Edits of a text: what `edit_file` replaces, and how it shows it.
//!
//! Pure: text in, text out. The rules are those of the reference server, seen from its answers: line ends
//! become `\n`; the first exact occurrence wins; without one, the first run of lines that are equal once
//! trimmed, whose indentation the new lines take on.

use super::arguments::Edit;
use super::diff;
use super::error::FsError;
use std::borrow::Cow;

/// `\r\n` as `\n`; a text without any is not copied.
pub(super) fn with_unix_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

/// The text after all edits, in order.
///
/// # Errors
/// [`FsError::NoMatch`] for the first edit whose old text is not there.
pub(super) fn apply(text: &str, edits: &[Edit<'_>]) -> Result<String, FsError> {
    let mut text = text.to_owned();
    for edit in edits {
        let old = with_unix_line_ends(edit.old_text);
        let new = with_unix_line_ends(edit.new_text);
        if let Some(at) = text.find(&*old) {
            text.replace_range(at..at + old.len(), &new);
        } else if let Some(replaced) = replace_lines(&text, &old, &new) {
            text = replaced;
        } else {
            return Err(FsError::NoMatch { old_text: edit.old_text.to_owned() });
        }
    }
    Ok(text)
}

/// The diff between two texts in a Markdown fence that no line of it can close.
pub(super) fn fenced_diff(path: &str, old: &str, new: &str) -> String {
    let diff = diff::unified(path, &with_unix_line_ends(old), &with_unix_line_ends(new));
    let longest = diff.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}diff\n{diff}{fence}\n\n")
}

/// Replaces the first run of lines equal to those of `old`, blanks around each not counted.
fn replace_lines(text: &str, old: &str, new: &str) -> Option<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let wanted: Vec<&str> = old.split('\n').collect();
    let at = lines
        .windows(wanted.len())
        .position(|run| run.iter().zip(&wanted).all(|(line, wanted)| trim(line) == trim(wanted)))?;
    let indent = indentation(lines[at]);
    let replacement = new.split('\n').enumerate().map(|(number, line)| {
        let own = indentation(line);
        let rest = &line[own.len()..];
        let replaced = wanted.get(number).copied().map_or("", indentation);
        if number == 0 {
            format!("{indent}{rest}")
        } else if own.is_empty() || replaced.is_empty() {
            line.to_owned()
        } else {
            let deeper = own.chars().count().saturating_sub(replaced.chars().count());
            format!("{indent}{}{rest}", " ".repeat(deeper))
        }
    });
    let before = lines[..at].iter().map(|line| Cow::Borrowed(*line));
    let after = lines[at + wanted.len()..].iter().map(|line| Cow::Borrowed(*line));
    let all: Vec<Cow<'_, str>> = before.chain(replacement.map(Cow::Owned)).chain(after).collect();
    Some(all.join("\n"))
}

/// What ECMAScript counts as white space: Unicode's, less U+0085, and the byte order mark.
fn is_blank(c: char) -> bool {
    c == '\u{feff}' || (c != '\u{85}' && c.is_whitespace())
}

fn trim(line: &str) -> &str {
    line.trim_matches(is_blank)
}

fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches(is_blank).len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, old_text: &str, new_text: &str) -> String {
        apply(text, &[Edit { old_text, new_text }]).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn edits_follow_the_rules() {
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
        ];
        for (text, old, new, want) in rows {
            // The first row's line ends are made uniform by the caller.
            assert_eq!(edited(&with_unix_line_ends(text), old, new), want, "{text:?}: {old:?} -> {new:?}");
        }
    }

    #[test]
    fn later_edits_see_earlier_ones_and_a_failure_spoils_all() {
        let first = Edit { old_text: "a", new_text: "b" };
        let second = Edit { old_text: "b", new_text: "c" };
        assert_eq!(apply("a", &[first, second]).expect("both match"), "c");
        assert!(apply("a", &[first, Edit { old_text: "a", new_text: "" }]).is_err());
    }

    #[test]
    fn the_fence_is_longer_than_any_in_the_diff() {
        assert!(fenced_diff("f", "a\n", "````\n").starts_with("`````diff\nIndex: f\n"));
        assert!(fenced_diff("f", "a\n", "b\n").ends_with("\n-a\n+b\n```\n\n"));
    }
}
