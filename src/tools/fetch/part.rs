//! The part of a page that an answer has, counted in characters as the client counts them.

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'t> {
    pub(crate) text: &'t str,
    /// The character that the next part begins with, if there is more.
    pub(crate) next: Option<usize>,
    /// Whether the text ends before the part begins.
    pub(crate) is_beyond: bool,
}

/// The part of `text` from the character `start` on: at most `max_chars`, and no more than `max_bytes` as JSON.
pub(crate) fn part(text: &str, start: usize, max_chars: usize, max_bytes: usize) -> Part<'_> {
    let Some((from, _)) = text.char_indices().nth(start) else {
        return Part { text: "", next: None, is_beyond: true };
    };
    let rest = &text[from..];
    let (mut chars, mut json_bytes) = (0, 0);
    for (at, sign) in rest.char_indices() {
        json_bytes += json_len(sign);
        // One always fits, so that each part leads on.
        if chars == max_chars || (json_bytes > max_bytes && chars > 0) {
            return Part { text: &rest[..at], next: Some(start + chars), is_beyond: false };
        }
        chars += 1;
    }
    Part { text: rest, next: None, is_beyond: false }
}

/// Bytes of a character in a JSON string, at most.
fn json_len(sign: char) -> usize {
    match sign {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\0'..' ' | '\u{7f}' => 6,
        _ => sign.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_in_characters() {
        let text = "a\u{e9}\u{1f600}d";
        for (start, max_chars, want, next, is_beyond) in [
            (0, 10, text, None, false),
            (0, 4, text, None, false),
            (0, 3, "a\u{e9}\u{1f600}", Some(3), false),
            (1, 1, "\u{e9}", Some(2), false),
            (3, 1, "d", None, false),
            (4, 1, "", None, true),
            (usize::MAX, 1, "", None, true),
        ] {
            let want = Part { text: want, next, is_beyond };
            assert_eq!(part(text, start, max_chars, usize::MAX), want, "{start} {max_chars}");
        }
        assert!(part("", 0, 5, 100).is_beyond);
    }

    #[test]
    fn the_parts_are_the_text_whatever_fits_in_one() {
        let text = "quote \" slash \\ line \n control \u{1} caf\u{e9} \u{1f600} end".repeat(20);
        for max_bytes in [0, 1, 7, 100, 10_000] {
            for max_chars in [1, 13, 999_999] {
                let (mut joined, mut start) = (String::new(), Some(0));
                while let Some(at) = start {
                    let part = part(&text, at, max_chars, max_bytes);
                    let json = serde_json::to_string(part.text).expect("JSON");
                    assert!(json.len() - 2 <= max_bytes.max(6), "{json}");
                    joined.push_str(part.text);
                    start = part.next;
                }
                assert_eq!(joined, text);
            }
        }
    }
}
