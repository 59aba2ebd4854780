//! Reads two members of a message that is skipped because it is too long: `id` and `method`.
//!
//! The bytes are walked as they come, in constant memory; most of them are only searched for the end of a string. Below
//! the outermost object only brackets and strings are tracked, so a nested key of the same name is never taken for one
//! of the members. This does not validate the message: errors further inside go unnoticed. Invariant: `depth` is the
//! number of open arrays and objects.

use super::lexer::Lexer;
use bumpalo::Bump;
use memchr::memchr2;

/// Bytes of a key that are kept: `"method"` with each of its letters escaped.
const KEY_BYTES: usize = 2 + 6 * 6;

/// The members that were read of a skipped message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The JSON text of the member `id`: only if it came once, in an object that is whole, and is neither an object
    /// nor an array nor longer than [`Outline::MAX_ID_BYTES`].
    pub id: Option<Box<str>>,
    /// Whether the object has a member `method`.
    pub has_method: bool,
}

impl Outline {
    /// The outline of a message that is here, with or without its newline.
    #[cfg(feature = "client")]
    pub(crate) fn of(message: &[u8]) -> Self {
        let mut skim = Skim::new();
        skim.feed(message.trim_ascii_end());
        skim.outline()
    }

    /// The longest `id` that is kept, in bytes of its JSON text.
    pub const MAX_ID_BYTES: usize = 256;
}

/// A member of the outermost object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Id,
    Method,
    Other,
}

/// Where the walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the first byte that is no white space.
    Start,
    /// Before a key of the outermost object, or its end.
    Key,
    InKey,
    Colon,
    /// Before the value of a member.
    Value,
    /// In a number or a word.
    Scalar,
    /// In a string that is no key of the outermost object.
    Text,
    /// In an array or object within the outermost one.
    Inside,
    /// After the value of a member.
    AfterMember,
    /// After the outermost object.
    End,
    /// It is no object, or none that makes sense.
    Lost,
}

/// The walk over a message that is skipped.
#[derive(Debug)]
pub(crate) struct Skim {
    position: Position,
    depth: usize,
    member: Member,
    /// The byte before was a backslash that escapes.
    is_escaped: bool,
    /// The key or the `id` that is being read, if it is short.
    kept: Vec<u8>,
    /// What is being read is longer than what is kept.
    is_cut: bool,
    ids: usize,
    id: Option<Box<str>>,
    has_method: bool,
    seen_bytes: usize,
}

impl Skim {
    pub(crate) fn new() -> Self {
        Self {
            position: Position::Start,
            depth: 0,
            member: Member::Other,
            is_escaped: false,
            kept: Vec::new(),
            is_cut: false,
            ids: 0,
            id: None,
            has_method: false,
            seen_bytes: 0,
        }
    }

    /// Bytes that were walked over.
    pub(crate) fn seen_bytes(&self) -> usize {
        self.seen_bytes
    }

    /// The members, once the message has ended.
    pub(crate) fn outline(self) -> Outline {
        if self.position != Position::End {
            return Outline::default();
        }
        Outline { id: self.id.filter(|_| self.ids == 1), has_method: self.has_method }
    }

    /// Walks over the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.seen_bytes += bytes.len();
        let mut rest = bytes;
        while let [byte, behind @ ..] = rest {
            rest = match self.position {
                Position::Lost => return,
                Position::Text | Position::InKey => self.walk_string(rest),
                _ => {
                    self.step(*byte);
                    behind
                }
            };
        }
    }

    /// Walks to the end of a string, and returns the bytes after it.
    fn walk_string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut at = 0;
        loop {
            if std::mem::take(&mut self.is_escaped) {
                // An escaped byte never ends the string.
                at += usize::from(at < bytes.len());
            }
            let Some(found) = memchr2(b'"', b'\\', &bytes[at..]).map(|found| at + found) else {
                self.keep(bytes);
                return &[];
            };
            at = found + 1;
            if bytes[found] == b'"' {
                self.keep(&bytes[..at]);
                self.end_string();
                return &bytes[at..];
            }
            self.is_escaped = true;
            if at == bytes.len() {
                self.keep(bytes);
                return &[];
            }
        }
    }

    fn end_string(&mut self) {
        if self.position == Position::InKey {
            self.member = self.key();
            self.position = Position::Colon;
        } else if self.depth > 1 {
            self.position = Position::Inside;
        } else {
            self.end_value();
            self.position = Position::AfterMember;
        }
    }

    /// Takes one byte outside of strings.
    fn step(&mut self, byte: u8) {
        let is_white = matches!(byte, b' ' | b'\t' | b'\r');
        match (self.position, byte) {
            (Position::Scalar, b',' | b'}' | b' ' | b'\t' | b'\r') => {
                self.end_value();
                self.position = Position::AfterMember;
                self.step(byte);
            }
            (Position::Scalar, _) => self.keep(&[byte]),
            (Position::Inside, b'"') => self.position = Position::Text,
            (Position::Inside, b'{' | b'[') => self.depth += 1,
            (Position::Inside, b'}' | b']') => {
                self.depth -= 1;
                if self.depth == 1 {
                    self.position = Position::AfterMember;
                }
            }
            // What is neither bracket nor string, or a byte order mark.
            (Position::Inside, _) | (Position::Start, 0xEF | 0xBB | 0xBF) => {}
            (_, _) if is_white => {}
            (Position::Start, b'{') => {
                self.depth = 1;
                self.position = Position::Key;
            }
            (Position::Key, b'"') => {
                self.begin(Position::InKey);
                self.keep(&[byte]);
            }
            (Position::Key | Position::AfterMember, b'}') => {
                self.depth = 0;
                self.position = Position::End;
            }
            (Position::Colon, b':') => self.position = Position::Value,
            (Position::Value, _) => self.begin_value(byte),
            (Position::AfterMember, b',') => self.position = Position::Key,
            _ => self.position = Position::Lost,
        }
    }

    fn begin_value(&mut self, byte: u8) {
        self.ids += usize::from(self.member == Member::Id);
        self.has_method |= self.member == Member::Method;
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.position = Position::Inside;
            }
            b'"' => {
                self.begin(Position::Text);
                self.keep(&[byte]);
            }
            b',' | b'}' | b']' | b':' => self.position = Position::Lost,
            _ => {
                self.begin(Position::Scalar);
                self.keep(&[byte]);
            }
        }
    }

    fn begin(&mut self, place: Position) {
        self.position = place;
        self.kept.clear();
        self.is_cut = false;
    }

    /// Keeps bytes of a key or of the `id`, up to their limit.
    fn keep(&mut self, bytes: &[u8]) {
        let room = match (self.position, self.member) {
            (Position::InKey, _) => KEY_BYTES,
            (Position::Scalar | Position::Text, Member::Id) if self.depth == 1 => Outline::MAX_ID_BYTES,
            _ => return,
        };
        if self.kept.len() + bytes.len() > room {
            self.is_cut = true;
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    /// Which member the key names that was read.
    fn key(&self) -> Member {
        let arena = Bump::new();
        let key = Lexer::from_bytes(&self.kept).ok().and_then(|mut lexer| lexer.string(&arena).ok());
        match key {
            Some("id") if !self.is_cut => Member::Id,
            Some("method") if !self.is_cut => Member::Method,
            _ => Member::Other,
        }
    }

    /// Records the value that was read.
    fn end_value(&mut self) {
        if self.member == Member::Id && !self.is_cut {
            self.id = std::str::from_utf8(&self.kept).ok().map(Box::from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skim<'b>(chunks: impl IntoIterator<Item = &'b [u8]>) -> Outline {
        let mut skim = Skim::new();
        chunks.into_iter().for_each(|chunk| skim.feed(chunk));
        skim.outline()
    }

    /// Wherever the bytes are cut, the outline is the same.
    fn outline(text: &[u8]) -> Outline {
        let whole = skim([text]);
        assert_eq!(skim(text.chunks(1)), whole, "byte by byte: {}", String::from_utf8_lossy(text));
        for cut in 0..text.len() {
            assert_eq!(skim([&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        let rows: &[(&str, Option<&str>)] = &[
            (r#"{"id":1,"method":"m","params":{"x":"long"}}"#, Some("1")),
            (r#"{"method":"m","params":{"x":"long"},"id":"a\"b"}"#, Some(r#""a\"b""#)),
            (r#"  { "params" : [ { } , [ ] ] , "id" : -7 , "method" : "m" }  "#, Some("-7")),
            (r#"{"method":"m","\u0069d":5}"#, Some("5")),
            (r#"{"method":"m","params":{"id":2,"a":{"id":3}},"id":4}"#, Some("4")),
            (r#"{"method":"m","params":{"id":2}}"#, None),
            (r#"{"method":"m","x":"\",\"id\":9,\"","y":"\\","id":6}"#, Some("6")),
            (r#"{"method":"m","x":"\\\",\"id\":9"}"#, None),
            (r#"{"method":"m","x":"}","id":8}"#, Some("8")),
            (r#"{"method":"m","x":["}",{"]":"["}],"id":8}"#, Some("8")),
            (r#"{"method":"m","id":1,"id":2}"#, None),
            (r#"{"method":"m","id":{"id":1}}"#, None),
            (r#"{"method":"m","id":[1]}"#, None),
            (r#"{"method":"m","id":null}"#, Some("null")),
            (r#"{"method":"m","id":1e3}"#, Some("1e3")),
            (r#"{"method":"m","identity":1}"#, None),
            (r#"{"method":"m","":1,"ID":2}"#, None),
            (r#"[{"method":"m","id":1}]"#, None),
            (r#"{"method":"m","id":1}{"#, None),
            (r#"{"method":"m","id":1"#, None),
            (r#"{"method":"m" "id":1}"#, None),
            (r#"{"method":"m","id"1}"#, None),
            (r#"{"method":"m","id":}"#, None),
            (r#""id""#, None),
            ("", None),
        ];
        for (text, id) in rows {
            let found = outline(text.as_bytes());
            assert_eq!(found.id.as_deref(), *id, "{text}");
            assert!(found.has_method || id.is_none(), "{text}");
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn a_line_has_the_outline_of_its_message() {
        for end in ["", "\n", "\r\n"] {
            let line = format!("{{\"id\":1,\"method\":\"m\"}}{end}");
            let outline = Outline::of(line.as_bytes());
            assert_eq!((outline.id.as_deref(), outline.has_method), (Some("1"), true), "{end:?}");
        }
    }

    #[test]
    fn what_has_no_method_is_no_request() {
        assert!(!outline(br#"{"id":1,"result":{"method":"x"}}"#).has_method);
        assert!(outline(br#"{"id":1,"m\u0065thod":"x"}"#).has_method);
        assert!(outline(b"\xEF\xBB\xBF{\"method\":\"x\",\"id\":1}\r").has_method);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for (bytes, is_kept) in [(Outline::MAX_ID_BYTES - 2, true), (Outline::MAX_ID_BYTES - 1, false)] {
            let id = format!("\"{}\"", "x".repeat(bytes));
            let text = format!("{{\"method\":\"m\",\"id\":{id}}}");
            assert_eq!(skim([text.as_bytes()]).id.as_deref(), is_kept.then_some(&*id));
            assert_eq!(skim(text.as_bytes().chunks(7)).id.as_deref(), is_kept.then_some(&*id));
        }
        let mut skim = Skim::new();
        skim.feed(b"{\"");
        for _ in 0..1_000 {
            skim.feed(&[b'x'; 1_000]);
        }
        skim.feed(b"\":[");
        for _ in 0..1_000 {
            skim.feed(&[b'['; 1_000]);
        }
        assert!(skim.kept.capacity() <= 2 * Outline::MAX_ID_BYTES, "{}", skim.kept.capacity());
    }
}
