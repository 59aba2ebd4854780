//! JSON strings as they are written, and JSON written piece by piece.
//!
//! Lines of the file stay text: a string is looked at where it stands, between its quotes, and copied into an answer
//! without being decoded where it has no escapes.

use crate::server::TextBlock;
use crate::wire::{HEX_DIGITS, Raw, Reply, escaped_bytes};
use std::fmt;

/// The inside of a string, as a line or a call has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    /// As it is written in JSON, without its quotes.
    Escaped(&'a str),
    /// As it is meant.
    Plain(&'a str),
}

/// A part of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Char(char),
    /// Half of a pair, which is no character: JavaScript writes it.
    Lone(u16),
}

/// The parts of an escaped string.
struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let plain = memchr::memchr(b'\\', self.rest.as_bytes()).unwrap_or(self.rest.len());
        if plain > 0 {
            let (text, rest) = self.rest.split_at(plain);
            self.rest = rest;
            return Some(Piece::Text(text));
        }
        let escape = *self.rest.as_bytes().get(1)?;
        let short = |letter| Piece::Char(char::from(letter));
        let (piece, length) = match escape {
            b'b' => (short(8), 2),
            b'f' => (short(12), 2),
            b'n' => (short(b'\n'), 2),
            b'r' => (short(b'\r'), 2),
            b't' => (short(b'\t'), 2),
            b'u' => self.unit(),
            other => (short(other), 2),
        };
        self.rest = self.rest.get(length..).unwrap_or_default();
        Some(piece)
    }
}

impl<'a> Pieces<'a> {
    /// What `\uXXXX` is, or two of them are together, and how long that is.
    fn unit(&self) -> (Piece<'a>, usize) {
        let unit = |at: usize| {
            let digits = self.rest.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let Some(first) = unit(0) else { return (Piece::Lone(0xfffd), self.rest.len()) };
        let pair = [first, unit(6).unwrap_or_default()];
        match char::decode_utf16(pair).next() {
            Some(Ok(character)) => (Piece::Char(character), if character.len_utf16() == 2 { 12 } else { 6 }),
            Some(Err(_)) | None => (Piece::Lone(first), 6),
        }
    }
}

impl<'a> Text<'a> {
    /// Gives the text to `take`, piece by piece.
    fn each_piece(self, mut take: impl FnMut(Piece<'a>)) {
        match self {
            Self::Plain(text) => take(Piece::Text(text)),
            Self::Escaped(text) => Pieces { rest: text }.for_each(take),
        }
    }

    /// The text itself, where it is there as such.
    fn as_it_is(self) -> Option<&'a str> {
        match self {
            Self::Escaped(text) if text.contains('\\') => None,
            Self::Escaped(text) | Self::Plain(text) => Some(text),
        }
    }

    /// The text; what has to be decoded for that goes to `scratch`.
    pub(crate) fn decoded<'s>(self, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if let Some(text) = self.as_it_is() {
            return text;
        }
        scratch.clear();
        self.push_to(scratch);
        scratch
    }

    /// Appends the text to `target`, with U+FFFD for what is no character.
    pub(crate) fn push_to(self, target: &mut impl fmt::Write) {
        // Nothing is written to but memory.
        let _ = self.write(target);
    }

    fn write(self, target: &mut impl fmt::Write) -> fmt::Result {
        let mut written = Ok(());
        self.each_piece(|piece| {
            let next = match piece {
                Piece::Text(text) => target.write_str(text),
                Piece::Char(character) => target.write_char(character),
                Piece::Lone(_) => target.write_char(char::REPLACEMENT_CHARACTER),
            };
            written = written.and(next);
        });
        written
    }

    /// Whether it means `other`.
    pub(crate) fn is(self, other: &str) -> bool {
        if let Some(text) = self.as_it_is() {
            return text == other;
        }
        let mut rest = Some(other);
        self.each_piece(|piece| {
            rest = rest.and_then(|rest| match piece {
                Piece::Text(text) => rest.strip_prefix(text),
                Piece::Char(character) => rest.strip_prefix(character),
                Piece::Lone(_) => rest.strip_prefix(char::REPLACEMENT_CHARACTER),
            });
        });
        rest == Some("")
    }

    /// Whether both mean the same.
    pub(crate) fn is_same(self, other: Text<'_>) -> bool {
        match (self, other) {
            (Self::Escaped(one), Text::Escaped(other)) if one == other => true,
            _ => self.is(other.decoded(&mut String::new())),
        }
    }
}

/// What JSON text is written to.
pub(crate) trait Sink {
    /// Whether what is no character is written as the reference writes it, or as U+FFFD, which every parser reads.
    const KEEPS_LONE: bool;

    /// Appends JSON text without line breaks outside of `layout`.
    fn put(&mut self, json: &str);

    /// Appends a line break or blanks between two tokens.
    fn layout(&mut self, blanks: &'static str) {
        self.put(blanks);
    }

    /// Whether there is no more room, so that going on is of no use.
    fn is_full(&self) -> bool {
        false
    }
}

impl Sink for String {
    const KEEPS_LONE: bool = true;

    fn put(&mut self, json: &str) {
        self.push_str(json);
    }
}

impl Sink for TextBlock<'_> {
    const KEEPS_LONE: bool = true;

    fn put(&mut self, json: &str) {
        self.push_str(json);
    }

    fn is_full(&self) -> bool {
        TextBlock::is_full(self)
    }
}

impl Sink for Reply {
    const KEEPS_LONE: bool = false;

    fn put(&mut self, json: &str) {
        self.raw(Raw::trusted(json));
    }

    fn is_full(&self) -> bool {
        Reply::is_full(self)
    }
}

/// Counts the bytes that JSON text has: inside of a string, and as it is.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) as_text: usize,
    pub(crate) as_json: usize,
}

impl Sink for Counted {
    const KEEPS_LONE: bool = true;

    fn put(&mut self, json: &str) {
        self.as_text += escaped_bytes(json.as_bytes());
        self.as_json += json.len();
    }

    fn layout(&mut self, blanks: &'static str) {
        self.as_text += escaped_bytes(blanks.as_bytes());
    }
}

/// Writes a string with its quotes, escaped as `JSON.stringify` does.
pub(crate) fn put_string<S: Sink>(sink: &mut S, text: Text<'_>) {
    sink.put("\"");
    match text {
        Text::Escaped(json) if !json.contains('\\') => sink.put(json),
        _ => text.each_piece(|piece| match piece {
            Piece::Text(run) => put_run(sink, run),
            Piece::Char(character) => put_run(sink, character.encode_utf8(&mut [0; 4])),
            Piece::Lone(unit) if S::KEEPS_LONE => put_unit(sink, unit),
            Piece::Lone(_) => sink.put("\u{fffd}"),
        }),
    }
    sink.put("\"");
}

fn put_run<S: Sink>(sink: &mut S, mut text: &str) {
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    while let Some(at) = text.as_bytes().iter().position(is_special) {
        sink.put(&text[..at]);
        match text.as_bytes()[at] {
            b'"' => sink.put("\\\""),
            b'\\' => sink.put("\\\\"),
            8 => sink.put("\\b"),
            12 => sink.put("\\f"),
            b'\n' => sink.put("\\n"),
            b'\r' => sink.put("\\r"),
            b'\t' => sink.put("\\t"),
            control => put_unit(sink, u16::from(control)),
        }
        text = &text[at + 1..];
    }
    sink.put(text);
}

fn put_unit<S: Sink>(sink: &mut S, unit: u16) {
    let digit = |shift: u16| HEX_DIGITS[usize::from(unit >> shift & 15)];
    let escape = [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)];
    sink.put(str::from_utf8(&escape).unwrap_or_default());
}

/// Writes lists and objects, in one line or as `JSON.stringify(value, null, 2)` does.
pub(crate) struct Json<'s, S> {
    pub(crate) sink: &'s mut S,
    is_pretty: bool,
    depth: usize,
    has_items: bool,
}

impl<'s, S: Sink> Json<'s, S> {
    pub(crate) fn new(sink: &'s mut S, is_pretty: bool) -> Self {
        Self { sink, is_pretty, depth: 0, has_items: false }
    }

    pub(crate) fn open(&mut self, bracket: &'static str) {
        self.sink.put(bracket);
        self.depth += 1;
        self.has_items = false;
    }

    pub(crate) fn close(&mut self, bracket: &'static str) {
        self.depth -= 1;
        if self.has_items {
            self.begin_line();
        }
        self.sink.put(bracket);
        self.has_items = true;
    }

    /// Begins the next element of a list.
    pub(crate) fn item(&mut self) {
        if self.has_items {
            self.sink.put(",");
        }
        self.has_items = true;
        self.begin_line();
    }

    /// Begins the next member of an object; `name` comes with its quotes and its colon.
    pub(crate) fn key(&mut self, name: &'static str) {
        self.item();
        self.sink.put(name);
        if self.is_pretty {
            self.sink.layout(" ");
        }
    }

    pub(crate) fn string(&mut self, text: Text<'_>) {
        put_string(self.sink, text);
    }

    fn begin_line(&mut self) {
        if self.is_pretty {
            self.sink.layout("\n");
            (0..self.depth).for_each(|_| self.sink.layout("  "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: Text<'_>) -> String {
        let mut json = String::new();
        put_string(&mut json, text);
        json
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        for text in ["", "plain", "a\"b\\c", "\u{1}\u{8}\u{c}\n\r\t\u{1f}\u{7f}", "é漢😀\u{2028}"] {
            let json = serde_json::to_string(text).expect("JSON");
            assert_eq!(written(Text::Plain(text)), json);
            let inside = &json[1..json.len() - 1];
            assert_eq!(written(Text::Escaped(inside)), json);
            assert!(Text::Escaped(inside).is(text), "{text}");
            assert_eq!(Text::Escaped(inside).decoded(&mut String::new()), text);
        }
    }

    #[test]
    fn escapes_become_those_of_the_reference() {
        assert_eq!(written(Text::Escaped(r"\u00e9\/\u0041\u000a\ud83d\ude00\u001F")), "\"é/A\\n😀\\u001f\"");
        let lone = Text::Escaped(r"a\uD800b\udc00");
        assert_eq!(written(lone), r#""a\ud800b\udc00""#);
        assert_eq!(lone.decoded(&mut String::new()), "a\u{fffd}b\u{fffd}");
        assert!(lone.is("a\u{fffd}b\u{fffd}"));
        assert!(!lone.is("a"));
    }
}
