//! Sorts names for people, as `localeCompare` of Node.js does (the root collation of ICU): `_ - , ; : …`, digits,
//! `a A b B`, accents after the plain letter.
//!
//! The order is exact for ASCII and for Latin letters with accents. Other letters come after Latin ones, and other
//! symbols before digits, each by code point: the whole table of the Unicode Collation Algorithm would be larger than
//! all file tools together.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The characters before the digits and letters, in order.
const BEFORE_LETTERS: &str = "\t\n\u{b}\u{c}\r\u{85} _-,;:!¡?¿.·'\"«»()[]{}§¶@*/\\&#%`´^¯¨¸°©®+±÷×<=>¬|¦~";
/// Currencies and digits. Other symbols come before these.
const DIGITS: &str = "¤¢$£¥0123456789";
/// The accents in order; others follow.
const ACCENTS: &str = "\u{34f}\u{332}\u{313}\u{314}\u{301}\u{300}\u{306}\u{302}\u{30c}\u{30a}\u{308}\u{30b}\u{303}\u{307}\u{338}\u{327}\u{328}\u{304}";

/// The sort key of a name: letters first, then accents, then case. The caller breaks ties.
pub(crate) fn key(name: &str) -> (Vec<u32>, Vec<u16>, Vec<u8>) {
    // Of one size, as a directory of many names has all their keys in memory at once.
    let with_room = name.len();
    let (mut letters, mut accents, mut cases) =
        (Vec::with_capacity(with_room), Vec::with_capacity(with_room), Vec::with_capacity(with_room));
    for char in name.nfd() {
        if canonical_combining_class(char) != 0 {
            let rank = ACCENTS.chars().position(|accent| accent == char);
            accents.push(rank.map_or(char as u16, |rank| 2 + rank as u16));
            continue;
        }
        let Some((letter, case)) = weight(char) else { continue };
        letters.push(letter);
        accents.push(1);
        cases.push(case);
    }
    (letters, accents, cases)
}

/// The rank of a character, and of its variant; `None` for characters that do not count.
fn weight(char: char) -> Option<(u32, u8)> {
    const SYMBOLS: u32 = 0x1_0000;
    const DIGIT: u32 = 0x20_0000;
    const LATIN: u32 = 0x30_0000;
    const OTHER: u32 = 0x40_0000;
    if let Some(at) = BEFORE_LETTERS.chars().position(|listed| listed == char) {
        return Some((at as u32, 0));
    }
    if let Some(at) = DIGITS.chars().position(|listed| listed == char) {
        return Some((DIGIT + at as u32, 0));
    }
    match char {
        'a'..='z' => Some((LATIN + 4 * (u32::from(char) - u32::from('a')), 0)),
        'A'..='Z' => Some((LATIN + 4 * (u32::from(char) - u32::from('A')), 1)),
        // Letters that are no plain letter with an accent come right after their neighbours.
        'ª' => Some((LATIN, 2)),
        'º' => Some((LATIN + 4 * 14, 2)),
        'æ' => Some((LATIN + 1, 0)),
        'Æ' => Some((LATIN + 1, 1)),
        'đ' => Some((LATIN + 4 * 3 + 1, 0)),
        'Đ' => Some((LATIN + 4 * 3 + 1, 1)),
        'ð' => Some((LATIN + 4 * 3 + 2, 0)),
        'Ð' => Some((LATIN + 4 * 3 + 2, 1)),
        'ı' => Some((LATIN + 4 * 8 + 1, 0)),
        'ł' => Some((LATIN + 4 * 11 + 1, 0)),
        'Ł' => Some((LATIN + 4 * 11 + 1, 1)),
        'ø' => Some((LATIN + 4 * 14 + 1, 0)),
        'Ø' => Some((LATIN + 4 * 14 + 1, 1)),
        'œ' => Some((LATIN + 4 * 14 + 2, 0)),
        'Œ' => Some((LATIN + 4 * 14 + 2, 1)),
        'ß' => Some((LATIN + 4 * 18 + 1, 0)),
        'þ' => Some((LATIN + 4 * 25 + 1, 0)),
        'Þ' => Some((LATIN + 4 * 25 + 1, 1)),
        '¹' => Some((DIGIT + 6, 1)),
        '²' => Some((DIGIT + 7, 1)),
        '³' => Some((DIGIT + 8, 1)),
        _ if char.is_control() || matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{feff}') => None,
        _ if char.is_alphanumeric() => Some((OTHER + u32::from(char), 0)),
        _ => Some((SYMBOLS + u32::from(char), 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists as Node.js 20 sorts them with `localeCompare`.
    #[test]
    fn names_are_in_the_order_of_the_reference() {
        let recorded: Vec<Vec<String>> =
            serde_json::from_str(include_str!("../../../../tests/fixtures/reference/filesystem/names.json"))
                .expect("the fixture is readable");
        assert!(recorded.len() >= 100, "only {} lists", recorded.len());
        for want in recorded {
            let mut names = want.clone();
            names.sort();
            names.sort_by_cached_key(|name| key(name));
            assert_eq!(names, want);
        }
    }
}
