//! The list of characters that do not show, and texts in which they are escapes.

use std::fmt::{self, Write as _};

/// Tells whether a character shows as itself: it is no control character, no end of a line and of no private meaning,
/// and does not turn, hide or forge the characters around it.
pub(crate) fn is_visible(char: char) -> bool {
    if char.is_ascii() {
        return matches!(char, ' '..='~');
    }
    let hides = matches!(char,
        // The characters of format of Unicode, its separators of lines and paragraphs, and letters that show nothing.
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        // For private use.
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !char.is_control() && !hides
}

/// Whether each character of a text shows as itself; quick for what most texts are.
#[cfg(any(feature = "client", feature = "load", feature = "report"))]
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_visible)
}

/// Writes a character as it is, or as an escape.
pub(crate) fn write_char(out: &mut impl fmt::Write, char: char) -> fmt::Result {
    if is_visible(char) {
        return out.write_char(char);
    }
    char.escape_default().try_for_each(|char| out.write_char(char))
}

/// A text on one line.
#[cfg(any(feature = "client", feature = "load", feature = "report"))]
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// A text with its lines.
#[cfg(feature = "cli")]
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |char| char == '\n')
}

/// The text of an answer for people: with its lines and tabs, and what joins letters and pictures.
#[cfg(feature = "cli")]
pub(crate) fn prose(text: &str) -> String {
    escaped(&text.replace("\r\n", "\n"), |char| matches!(char, '\n' | '\t' | '\u{200c}' | '\u{200d}'))
}

#[cfg(any(feature = "client", feature = "load", feature = "report"))]
fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if stays(char) {
            shown.push(char);
        } else {
            // Writing to a string does not fail.
            let _ = write_char(&mut shown, char);
        }
    }
    shown
}

/// A text between quotation marks, on one line.
pub(crate) struct Quoted<'t>(pub(crate) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            if matches!(char, '"' | '\\') {
                f.write_char('\\')?;
            }
            write_char(f, char)?;
        }
        f.write_char('"')
    }
}

/// What tests put where a peer may put a text: each kind of character that must not come through.
#[cfg(all(test, feature = "cli"))]
pub(crate) const HOSTILE: [&str; 14] = [
    "a\nb\r\nc",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{9b}31mred",
    "\u{90}q\u{9c}\u{9d}0;title\u{9c}",
    "next\u{85}{\"time\":\"forged\"}",
    "line\u{2028}separator\u{2029}",
    "abc\u{202e}gpj.exe",
    "\u{2066}left\u{2069}\u{200e}\u{200f}\u{61c}",
    "\0\u{8}\t\u{b}\u{c}\u{7f}",
    "zero\u{200b}width\u{200c}\u{200d}\u{2060}\u{feff}",
    "tag\u{e0041}\u{e007f}",
    "own\u{e000}\u{f8ff}\u{10fffd}",
    "soft\u{ad}hyphen\u{3164}filler",
    "\u{fff9}note\u{fffb}",
];

/// Whether a text is fit for a terminal, but for its lines.
#[cfg(all(test, feature = "cli"))]
pub(crate) fn is_harmless(text: &str) -> bool {
    text.chars().all(|char| char == '\n' || is_visible(char))
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_comes_through_and_the_rest_stays() {
        for text in HOSTILE {
            let shown = line(text);
            assert!(shown.chars().all(is_visible), "{shown:?}");
            assert_ne!(shown, text, "each of them has something hostile");
            assert_eq!(line(&shown), shown, "a second time changes nothing");
        }
        for text in ["", "plain text, of ~ASCII!", "caf\u{e9} \u{6f22}\u{5b57} \u{1f600}\u{fe0f} e\u{301}"] {
            assert_eq!(line(text), text);
        }
        assert_eq!(line("a\n\u{85}\u{9b}1m\u{202e}\u{2028}"), "a\\n\\u{85}\\u{9b}1m\\u{202e}\\u{2028}");
        assert_eq!(Quoted("a \"b\" \\\n").to_string(), r#""a \"b\" \\\n""#);
    }

    #[test]
    fn lines_and_tabs_stay_where_a_text_has_lines() {
        assert_eq!(lines("a\nb\tc\r\u{202e}"), "a\nb\\tc\\r\\u{202e}");
        for (text, want) in [
            ("a\tb\nc\r\n", "a\tb\nc\n"),
            ("red \x1b[31malert\x07\r", "red \\u{1b}[31malert\\u{7}\\r"),
            ("\u{9b}1m", "\\u{9b}1m"),
            ("abc\u{202e}gpj", "abc\\u{202e}gpj"),
            ("e\u{301} \u{200d} \u{6f22}", "e\u{301} \u{200d} \u{6f22}"),
        ] {
            assert_eq!(prose(text), want);
        }
    }
}
