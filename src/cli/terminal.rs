//! How wide a terminal is, and how many of its columns a text needs.

use std::io::{self, IsTerminal};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width of stdout in columns, at least `min`; `otherwise` if it is no terminal.
pub(super) fn width(stdout: &io::Stdout, min: usize, otherwise: usize) -> usize {
    if !stdout.is_terminal() {
        return otherwise;
    }
    match rustix::termios::tcgetwinsize(stdout) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).max(min),
        _ => otherwise,
    }
}

/// The columns that a text needs.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The beginning of a text that fits into `width` columns.
pub(super) fn cut(text: &str, width: usize) -> &str {
    let mut left = width;
    let fits = |(_, char): &(usize, char)| {
        let columns = char.width().unwrap_or_default();
        let fits = columns <= left;
        left = left.saturating_sub(columns);
        fits
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, char)| at + char.len_utf8());
    &text[..end]
}

/// Spaces that fill a text up to `width` columns.
pub(super) fn padding(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(columns(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice_and_accents_not_at_all() {
        // (text, columns, what fits into three)
        for (text, want, beginning) in
            [("abcd", 4, "abc"), ("漢字", 4, "漢"), ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"), ("", 0, "")]
        {
            assert_eq!((columns(text), cut(text, 3)), (want, beginning), "{text}");
            assert_eq!(padding(text, 5).len(), 5 - want);
        }
    }
}
