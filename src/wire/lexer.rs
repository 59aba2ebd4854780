//! JSON text, walked in one pass without allocating.
//!
//! ```text
//! skip white space; one byte decides what comes
//!   string: find the first byte that is not plain
//!     a quote      -> borrow what lies before it
//!     a backslash  -> copy plain parts and unescaped characters into the arena, up to the quote
//!   array, object: the caller walks into it, or skips it with one bit a level for what is open
//! ```
//!
//! Exceptions: UTF-8 is validated once for the whole frame, before the walk,
//! so that every borrow is a `&str` for free; how strings with escapes are unescaped is in `unescape.rs`.
//!
//! Measured on two cores of a virtual machine; `cargo bench -p mcpool-benches --bench decode` repeats it, with
//! allocations a frame. A whole call of a tool, envelope and arguments, in one pass:
//!
//! | frame | this | `serde_json` typed | `serde_json` tree | sonic-rs typed | sonic-rs tree | simd-json |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 400 B | 244 ns, 0 | 613 ns, 0 | 1,010 ns, 21 | 540 ns, 0 | 448 ns, 4 | 1,927 ns, 9 |
//! | plain string, GiB/s | 17.8, 0 | 2.7, 0 | 3.9, 19 | 5.2, 0 | 5.2, 5 | 0.3, 9 |
//! | escaped source, GiB/s | 1.6, 0 | 0.7, 17 | 1.2, 35 | 0.8, 17 | 2.0, 5 | 0.3, 9 |
//! | small objects to a `Vec`, GiB/s | 0.55, 13 | 0.13, 14 | 0.06, 138,109 | 0.13, 13 | 0.21, 17 | 0.07, 55,243 |
//! | the same folded into a sum, GiB/s | 0.66, 0 | | | | | |
//! | the same while walking, GiB/s | 0.31, 0 | | | | | |
//!
//! At another hour the same machine was up to half faster for all of them: compare the ratios.
//!
//! Invariant: `at` is on a character border and `depth` is the number of open arrays and objects.

use super::error::{DecodeError, DecodeFault, MAX_NESTING};
use super::scan::{SHORT_ESCAPES, plain_end};
use bumpalo::Bump;

type Result<T> = std::result::Result<T, DecodeError>;

/// The kind of a value, known from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are JSON's own")]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A position in a JSON text. A clone keeps the position.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::wire::Lexer;
///
/// let arena = Bump::new();
/// let text: &str = Lexer::from_text(r#""an \"escape\"""#).decode(&arena)?;
/// assert_eq!(text, r#"an "escape""#);
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lexer<'f> {
    pub(super) text: &'f str,
    pub(super) at: usize,
    depth: usize,
    /// The array or object was just entered: no comma is due.
    is_first: bool,
    /// Elements of lists that were handed out.
    pub(super) elements: usize,
    /// Whether the decoded value may have more memory of its own than is free.
    pub(super) has_owned: bool,
}

impl<'f> Lexer<'f> {
    /// Begins at the first byte, or after a byte order mark.
    ///
    /// # Errors
    /// When the bytes are not UTF-8.
    pub fn from_bytes(bytes: &'f [u8]) -> Result<Self> {
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Ok(Self::from_text(text)),
            Err(_) => Err(not_utf8(bytes)),
        }
    }

    /// Begins at the first character, or after a byte order mark.
    pub fn from_text(text: &'f str) -> Self {
        let at = if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        Self { text, at, depth: 0, is_first: false, elements: 0, has_owned: false }
    }

    /// Bytes before the current position.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The kind of the value that comes next.
    ///
    /// # Errors
    /// When no value comes.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind> {
        Ok(match self.peek() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => return Err(self.expected("a value")),
        })
    }

    /// Walks into an object; [`Lexer::next_key`] goes on.
    ///
    /// # Errors
    /// When no object comes, or it is nested too deeply.
    #[inline]
    pub fn enter_object(&mut self) -> Result<()> {
        self.enter(b'{', "an object")
    }

    /// Walks into an array; [`Lexer::next_element`] goes on.
    ///
    /// # Errors
    /// When no array comes, or it is nested too deeply.
    #[inline]
    pub fn enter_array(&mut self) -> Result<()> {
        self.enter(b'[', "an array")
    }

    /// The next key of the object; its value comes next. `None` after the object's end.
    ///
    /// # Errors
    /// When the text is malformed.
    #[inline]
    pub fn next_key(&mut self, arena: &'f Bump) -> Result<Option<&'f str>> {
        if self.next_member()? { self.key(arena).map(Some) } else { Ok(None) }
    }

    /// Whether another member of the object comes; its key then comes next. `false` after the object's end.
    ///
    /// # Errors
    /// When the text is malformed.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<bool> {
        self.go_on(b'}', "a comma or the end of the object")
    }

    /// The key of a member; its value comes next.
    ///
    /// # Errors
    /// When the text is malformed.
    #[inline]
    pub(crate) fn key(&mut self, arena: &'f Bump) -> Result<&'f str> {
        let key = self.string(arena)?;
        self.expect(b':', "a colon")?;
        Ok(key)
    }

    /// Walks over `spelling`, all of ASCII, if the text continues with exactly that and white space was skipped.
    ///
    /// One comparison of the whole costs less than reading a string: see `match_key`.
    #[expect(
        clippy::inline_always,
        reason = "the length of the spelling has to be known where it is compared"
    )]
    #[inline(always)]
    pub(crate) fn take(&mut self, spelling: &'static str) -> bool {
        debug_assert!(spelling.is_ascii());
        let is_next = self.bytes().get(self.at..self.at + spelling.len()) == Some(spelling.as_bytes());
        if is_next {
            self.at += spelling.len();
        }
        is_next
    }

    /// Whether an element of the array comes next; `false` after the array's end.
    ///
    /// # Errors
    /// When the text is malformed.
    #[inline]
    pub fn next_element(&mut self) -> Result<bool> {
        self.go_on(b']', "a comma or the end of the array")
    }

    /// A string: borrowed from the text if it is plain, else unescaped into the arena.
    ///
    /// # Errors
    /// When no string comes, or it has half of a surrogate pair.
    #[inline]
    pub fn string(&mut self, arena: &'f Bump) -> Result<&'f str> {
        self.expect(b'"', "a string")?;
        self.string_rest(arena)
    }

    /// The string whose opening quote was read.
    #[inline]
    fn string_rest(&mut self, arena: &'f Bump) -> Result<&'f str> {
        let (bytes, start) = (self.bytes(), self.at);
        let end = plain_end(bytes, start);
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(&self.text[start..end]);
        }
        self.other_string(arena, end)
    }

    /// The string that starts here and is plain up to `plain_end`, where it does not end.
    #[inline(never)]
    fn other_string(&mut self, arena: &'f Bump, plain_end: usize) -> Result<&'f str> {
        if self.bytes().get(plain_end) == Some(&b'\\') {
            return self.unescape(arena, plain_end);
        }
        self.at = plain_end;
        Err(self.expected("the end of the string, or an escaped control character"))
    }

    /// The string that comes next, of which the caller has seen the opening quote.
    #[inline]
    pub(super) fn seen_string(&mut self, arena: &'f Bump) -> Result<&'f str> {
        debug_assert_eq!(self.bytes().get(self.at), Some(&b'"'));
        self.at += 1;
        self.string_rest(arena)
    }

    /// Begins inside a string, which was checked.
    pub(super) fn from_inside(text: &'f str) -> Self {
        Self { text, at: 0, depth: 0, is_first: false, elements: 0, has_owned: false }
    }

    /// Skips a value, checking it, and gives its text.
    pub(super) fn value_text(&mut self) -> Result<&'f str> {
        self.skip_white_space();
        let start = self.at;
        self.skip_value()?;
        Ok(self.text_since(start))
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// When something is.
    pub fn finish(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the message")),
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &'f [u8] {
        self.text.as_bytes()
    }

    /// Goes to a character border ahead.
    #[inline]
    pub(super) fn move_to(&mut self, place: usize) {
        debug_assert!(self.at <= place && self.text.is_char_boundary(place), "{place} after {}", self.at);
        self.at = place;
    }

    #[inline]
    pub(super) fn text_since(&self, start: usize) -> &'f str {
        &self.text[start..self.at]
    }

    /// Skips white space and gives the byte after it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_white_space();
        self.bytes().get(self.at).copied()
    }

    #[inline]
    pub(crate) fn skip_white_space(&mut self) {
        // Most values have no white space before them: one comparison.
        if self.bytes().get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.skip_more_white_space();
        }
    }

    #[inline(never)]
    fn skip_more_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes().get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, name: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.expected(name));
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    pub(super) fn expected(&self, what: &'static str) -> DecodeError {
        DecodeError::syntax(self.at, what)
    }

    #[inline]
    fn enter(&mut self, bracket: u8, name: &'static str) -> Result<()> {
        self.expect(bracket, name)?;
        if self.depth >= MAX_NESTING {
            return Err(DecodeError::new(self.at, DecodeFault::TooDeep));
        }
        self.depth += 1;
        self.is_first = true;
        Ok(())
    }

    /// Walks over a comma, where one is due, or over the closing bracket.
    #[inline]
    fn go_on(&mut self, bracket: u8, expected: &'static str) -> Result<bool> {
        let is_first = std::mem::take(&mut self.is_first);
        match self.peek() {
            Some(byte) if byte == bracket => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(self.expected(expected)),
        }
    }

    /// Checks a value and walks over it. One bit a level tells what is open: 1 for an object.
    fn skip_value(&mut self) -> Result<()> {
        let (mut open, mut level) = (0_u128, 0_usize);
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'-' | b'0'..=b'9') => {
                    self.skip_number()?;
                }
                Some(b't' | b'f' | b'n') => self.skip_literal()?,
                Some(bracket @ (b'[' | b'{')) => {
                    self.at += 1;
                    if self.depth + level >= MAX_NESTING {
                        return Err(DecodeError::new(self.at, DecodeFault::TooDeep));
                    }
                    // In ASCII a closing bracket comes two after its opening one.
                    let (close, is_object) = (bracket + 2, bracket == b'{');
                    if self.peek() != Some(close) {
                        level += 1;
                        open = open << 1 | u128::from(is_object);
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                _ => return Err(self.expected("a value")),
            }
            if !self.leave_closed(&mut open, &mut level)? {
                return Ok(());
            }
        }
    }

    /// After a value: leaves what closes here, and walks over the comma before the next value. `false` when
    /// nothing is open any more.
    #[inline]
    fn leave_closed(&mut self, open: &mut u128, level: &mut usize) -> Result<bool> {
        while *level > 0 {
            let is_object = *open & 1 == 1;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if is_object {
                        self.skip_white_space();
                        self.skip_key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if is_object => {}
                Some(b']') if !is_object => {}
                _ => return Err(self.expected("a comma or the end of what is open")),
            }
            self.at += 1;
            *level -= 1;
            *open >>= 1;
        }
        Ok(false)
    }

    #[inline]
    fn skip_key(&mut self) -> Result<()> {
        if self.bytes().get(self.at) != Some(&b'"') {
            return Err(self.expected("a key"));
        }
        self.skip_string()?;
        self.expect(b':', "a colon")
    }

    #[inline]
    fn skip_string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            self.at = plain_end(self.bytes(), self.at);
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => match self.bytes().get(self.at + 1) {
                    Some(b'u') => {
                        self.hex_escape()?;
                    }
                    Some(escaped) if SHORT_ESCAPES[usize::from(*escaped)] != 0 => self.at += 2,
                    _ => return Err(self.expected("an escape of JSON")),
                },
                _ => return Err(self.expected("the end of the string, or an escaped control character")),
            }
        }
    }

    #[inline]
    pub(super) fn skip_literal(&mut self) -> Result<()> {
        let rest = &self.bytes()[self.at..];
        self.at += match rest.first_chunk() {
            Some(b"true" | b"null") => 4,
            Some(b"fals") if rest.get(4) == Some(&b'e') => 5,
            _ => return Err(self.expected("true, false or null")),
        };
        Ok(())
    }
}

#[cold]
fn not_utf8(bytes: &[u8]) -> DecodeError {
    let offset = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    DecodeError::new(offset, DecodeFault::Utf8)
}
