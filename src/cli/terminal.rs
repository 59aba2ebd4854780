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

/// Columns of help where stdout is no terminal, and those that it has at least and at most where it is one.
const HELP_WIDTH: usize = 80;
const HELP_WIDTHS: std::ops::RangeInclusive<usize> = 40..=100;

/// The width of help. It is asked for at each start: the standard library's handle would have a buffer, which stays.
pub(super) fn help_width() -> usize {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 => {
            usize::from(size.ws_col).clamp(*HELP_WIDTHS.start(), *HELP_WIDTHS.end())
        }
        _ => HELP_WIDTH,
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

/// A text in lines of at most `width` columns, unless a single word is wider.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let options = textwrap::Options::new(width)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options).into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// Writes a text in lines of at most `width` columns, each after the same beginning.
pub(super) fn write_wrapped(
    before: &str,
    text: &str,
    width: usize,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let lines = wrap(text, width.saturating_sub(columns(before)));
    lines.iter().try_for_each(|line| writeln!(out, "{before}{line}"))
}

/// Spaces that fill a text up to `width` columns.
pub(super) fn padding(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(columns(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_and_options_too() {
        let lines = wrap("set --max-frame-bytes to 漢字漢字 more", 20);
        assert_eq!(lines, ["set", "--max-frame-bytes to", "漢字漢字 more"]);
        assert_eq!(wrap("a-very-long-single-word", 5), ["a-very-long-single-word"]);
        assert_eq!(wrap("", 5), [""]);
    }

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
