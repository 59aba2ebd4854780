//! A string as it is written in JSON: checked, and unescaped piece by piece by whoever passes its text on.
//!
//! A string with escapes takes as much memory again once it is unescaped. What goes to a file or a socket needs a piece
//! of it at a time. **Invariant:** the pieces together are what [`Lexer::string`] gives, and what that refuses is refused
//! here, in the same words and before there is a first piece.

use super::de::ESCAPED_TOKEN;
use super::lexer::Lexer;
use memchr::memchr;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A string that was checked and not unescaped. As a field of a decoded struct it takes what `&str` takes.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::wire::{EscapedText, Lexer};
///
/// let arena = Bump::new();
/// let text: EscapedText<'_> = Lexer::from_text(r#""a long \"text\"""#).decode(&arena)?;
/// let mut out = Vec::new();
/// let written = text.each_piece(&mut [0; 4], |piece| {
///     out.extend_from_slice(piece);
///     Ok::<(), std::io::Error>(())
/// });
/// assert!(written.is_ok());
/// assert_eq!(out, b"a long \"text\"");
/// assert_eq!(arena.allocated_bytes(), 0);
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EscapedText<'f> {
    /// What is between the quotes.
    text: &'f str,
    has_escapes: bool,
}

impl<'f> EscapedText<'f> {
    /// A string as it is written, with its quotes.
    pub(super) fn from_written(written: &'f str) -> Self {
        let text = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        Self { text, has_escapes: memchr(b'\\', text.as_bytes()).is_some() }
    }

    /// The text: borrowed where it is plain.
    pub(super) fn to_text(self) -> Cow<'f, str> {
        if !self.has_escapes {
            return Cow::Borrowed(self.text);
        }
        // An unescaped string is no longer than its escaped form, and the last character needs room as if it were the longest.
        let mut room = vec![0; self.text.len() + Self::LEAST_ROOM];
        // An error cannot be: the string was checked as a whole.
        let filled = Lexer::from_inside(self.text).unescape_some(&mut room).unwrap_or_default();
        room.truncate(filled);
        Cow::Owned(String::from_utf8(room).unwrap_or_default())
    }

    /// The least room for a piece: that of the longest character.
    const LEAST_ROOM: usize = 4;

    /// Calls `each` with the text, piece by piece: with all of it where it is plain, else with as much as `room` holds.
    /// A piece may end within a character.
    ///
    /// # Panics
    /// When `room` has not four bytes.
    ///
    /// # Errors
    /// The first error of `each`.
    pub fn each_piece<E>(
        &self,
        room: &mut [u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(room.len() >= Self::LEAST_ROOM, "a piece needs four bytes of room");
        if !self.has_escapes {
            return each(self.text.as_bytes());
        }
        let mut lexer = Lexer::from_inside(self.text);
        loop {
            // An error cannot be: the string was checked as a whole.
            let filled = lexer.unescape_some(room).unwrap_or_default();
            if filled == 0 {
                return Ok(());
            }
            each(&room[..filled])?;
        }
    }
}

impl<'de: 'f, 'f> Deserialize<'de> for EscapedText<'f> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written<'f>(PhantomData<&'f ()>);
        impl<'de: 'f, 'f> Visitor<'de> for Written<'f> {
            type Value = EscapedText<'f>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a borrowed string")
            }

            /// The string as it is written, with its quotes, from this crate's decoder.
            fn visit_borrowed_str<E: Error>(self, written: &'de str) -> Result<EscapedText<'f>, E> {
                Ok(EscapedText::from_written(written))
            }

            /// A string from any other decoder, which has unescaped it.
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                value: D,
            ) -> Result<EscapedText<'f>, D::Error> {
                let text = <&'de str>::deserialize(value)?;
                Ok(EscapedText { text, has_escapes: false })
            }
        }
        deserializer.deserialize_newtype_struct(ESCAPED_TOKEN, Written(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;
    use proptest::prelude::*;

    /// Parts of a JSON string, whole and broken.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[ -~]{0,40}".prop_map(|text| text.replace(['"', '\\'], "")),
            2 => any::<char>().prop_map(String::from),
            4 => prop::sample::select(vec![
                r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u00e9", r"\u0000", r"\uFFFF",
                r"\ud83d\ude00", r"\uD83D\uDE00",
            ]).prop_map(String::from),
            1 => prop::sample::select(vec![
                r"\ud83d", r"\ude00", r"\ud83d\n", r"\ud83d\ud83d", r"\x", r"\u12", r"\u12g4", r"\", "\u{1}", "\n", "\"",
            ]).prop_map(String::from),
        ]
    }

    fn pieces(text: EscapedText<'_>, room: usize) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut room = vec![0; room];
        let each = |piece: &[u8]| {
            pieces.push(piece.to_vec());
            Ok::<(), ()>(())
        };
        text.each_piece(&mut room, each).expect("nothing fails");
        pieces
    }

    proptest! {
        #[test]
        fn pieces_are_the_whole_and_faults_are_those_of_the_whole(
            parts in prop::collection::vec(part(), 0..30),
            room in 4..70_usize,
            is_closed in prop::bool::weighted(0.95),
        ) {
            let end = if is_closed { "\"" } else { "" };
            let written = format!("\"{}{end}", parts.concat());
            let arena = Bump::new();
            let mut whole = Lexer::from_text(&written);
            let mut split = Lexer::from_text(&written);
            let want = whole.decode::<&str>(&arena);
            let got = split.decode::<EscapedText<'_>>(&arena);
            prop_assert_eq!(got.as_ref().err(), want.as_ref().err());
            if let (Ok(text), Ok(want)) = (got, want) {
                prop_assert_eq!(whole.offset(), split.offset());
                let pieces = pieces(text, room);
                prop_assert_eq!(pieces.concat(), want.as_bytes());
                // A plain string is one piece; of others each is as long as there is room for.
                let short = pieces.iter().rev().skip(1).all(|piece| piece.len() + 4 > room);
                prop_assert!(short || !text.has_escapes);
            }
        }
    }

    #[test]
    fn a_pair_of_surrogates_on_the_border_of_two_pieces_is_one_character() {
        for before in 0..12 {
            let written = format!("\"{}{}\"", "x".repeat(before), r"\ud83d\ude00".repeat(3));
            let arena = Bump::new();
            let text = Lexer::from_text(&written).decode::<EscapedText<'_>>(&arena).expect("a string");
            for room in 4..9 {
                let whole = format!("{}{}", "x".repeat(before), "\u{1f600}".repeat(3));
                assert_eq!(pieces(text, room).concat(), whole.as_bytes(), "{before} {room}");
            }
        }
    }

    #[test]
    fn what_is_no_string_is_refused_as_for_a_borrowed_one() {
        for written in ["7", "null", "[\"x\"]", "{}", "tru", ""] {
            let arena = Bump::new();
            let want = Lexer::from_text(written).decode::<&str>(&arena).map(drop);
            let got = Lexer::from_text(written).decode::<EscapedText<'_>>(&arena).map(drop);
            assert_eq!(got, want, "{written}");
        }
    }

    #[test]
    fn another_decoder_has_unescaped_it() {
        let text: EscapedText<'_> = serde_json::from_str(r#""plain""#).expect("a string");
        assert_eq!(pieces(text, 4), [b"plain".to_vec()]);
        assert!(serde_json::from_str::<EscapedText<'_>>("5").is_err());
    }
}
