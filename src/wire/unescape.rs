//! Strings with escapes, unescaped into the arena.
//!
//! A short one is put together on the stack in one step. Of a longer one the closing quote is found first, so that one
//! allocation of the right size is enough; its short plain parts are copied while they are searched, word by word, since
//! a `memcpy` each costs as much as the search.

use super::error::{DecodeError, DecodeFault};
use super::lexer::Lexer;
use super::scan::{SHORT_ESCAPES, WORD, first_special, plain_end};
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use memchr::memchr;

/// Plain bytes after which a string with escapes is searched in blocks and copied in one piece.
const COPIED_BY_WORDS: usize = 16 * WORD;

/// Bytes of an unescaped string that is put together on the stack.
const SHORT_BYTES: usize = 256;

type Result<T> = std::result::Result<T, DecodeError>;

/// The word at `at`. Zeros follow the end of the text: control characters, which no string has. The last string of a
/// message is nearly always closer to its end than a word.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> [u8; WORD] {
    let rest = &bytes[at..];
    if let Some(word) = rest.first_chunk() {
        return *word;
    }
    let mut word = [0; WORD];
    word[..rest.len()].copy_from_slice(rest);
    word
}

/// The arena is at the limit that was set for it.
#[cold]
fn no_room(offset: usize) -> DecodeError {
    DecodeError::new(offset, DecodeFault::NoRoom)
}

impl<'f> Lexer<'f> {
    /// Unescapes a string whose first backslash is at `backslash`; `self.at` is after the opening quote.
    ///
    /// Most strings are short: one is unescaped on the stack, word by word, and copied to the arena when its length is
    /// known. A word is copied whole, and what is copied too much is overwritten.
    pub(super) fn unescape(&mut self, arena: &'f Bump, backslash: usize) -> Result<&'f str> {
        let (bytes, start) = (self.bytes(), self.at);
        let mut filled = backslash - start;
        if filled > SHORT_BYTES - 2 * WORD {
            return self.unescape_long(arena, backslash);
        }
        let mut short = [0; SHORT_BYTES];
        short[..filled].copy_from_slice(&bytes[start..backslash]);
        self.at = backslash;
        while filled <= SHORT_BYTES - 2 * WORD {
            let word = word_at(bytes, self.at);
            short[filled..filled + WORD].copy_from_slice(&word);
            let plain = first_special(&word).unwrap_or(WORD);
            self.at += plain;
            filled += plain;
            match word.get(plain) {
                None => {}
                Some(b'\\') => match self.escape(&mut short[filled..]) {
                    Ok(written) => filled += written,
                    Err(_) => break,
                },
                Some(b'"') => {
                    self.at += 1;
                    return match simdutf8::basic::from_utf8(&short[..filled]) {
                        Ok(text) => {
                            arena.try_alloc_str(text).map_or_else(|_| Err(no_room(start)), |text| Ok(&*text))
                        }
                        Err(_) => Err(DecodeError::new(start, DecodeFault::Utf8)),
                    };
                }
                Some(_) => break,
            }
        }
        // A string that is not short, or one with a fault: it is told the other way, which knows whether there is an end.
        self.at = start;
        self.unescape_long(arena, backslash)
    }

    /// Writes the character of an escape, from its backslash on, and gives how many bytes it has.
    #[inline]
    fn escape(&mut self, to: &mut [u8]) -> Result<usize> {
        let escaped = self.bytes().get(self.at + 1);
        match escaped.map_or(0, |escaped| SHORT_ESCAPES[usize::from(*escaped)]) {
            0 => Ok(self.unicode_escape()?.encode_utf8(to).len()),
            character => {
                to[0] = character;
                self.at += 2;
                Ok(1)
            }
        }
    }

    /// Unescapes a string that is not short.
    ///
    /// Plain parts are copied in words, whole ones, while they are searched, and what is copied too much is cut off
    /// again. An unescaped string is never longer than its escaped form.
    #[inline(never)]
    fn unescape_long(&mut self, arena: &'f Bump, backslash: usize) -> Result<&'f str> {
        let (bytes, start) = (self.bytes(), self.at);
        let close = self.closing_quote(backslash)?;
        let mut unescaped = BumpVec::new_in(arena);
        unescaped.try_reserve_exact(close - start + WORD).map_err(|_| no_room(start))?;
        unescaped.extend_from_slice_copy(&bytes[start..backslash]);
        self.at = backslash;
        while self.at < close {
            if bytes[self.at] != b'\\' {
                return Err(self.expected("an escape instead of a control character"));
            }
            // A byte follows the backslash: the closing quote is no part of an escape.
            match SHORT_ESCAPES[usize::from(bytes[self.at + 1])] {
                0 => {
                    let character = self.unicode_escape()?;
                    unescaped.extend_from_slice_copy(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                character => {
                    unescaped.push(character);
                    self.at += 2;
                }
            }
            self.copy_plain(close, &mut unescaped);
        }
        self.at = close + 1;
        // Whole characters and whole plain parts; the check costs a hundredth of what unescaping does.
        let unescaped = unescaped.into_bump_slice();
        simdutf8::basic::from_utf8(unescaped).map_err(|_| DecodeError::new(start, DecodeFault::Utf8))
    }

    /// Walks over plain bytes, which end at `end` at the latest, and copies them.
    #[inline]
    fn copy_plain(&mut self, end: usize, copy: &mut BumpVec<'f, u8>) {
        let (bytes, start) = (self.bytes(), self.at);
        while self.at - start < COPIED_BY_WORDS {
            let Some(word) = bytes.get(self.at..self.at + WORD) else { break };
            copy.extend_from_slice_copy(word);
            if let Some(offset) = first_special(word) {
                self.at += offset;
                return copy.truncate(copy.len() + offset - WORD);
            }
            self.at += WORD;
        }
        let rest = self.at;
        self.at = plain_end(&bytes[..end], rest);
        copy.extend_from_slice_copy(&bytes[rest..self.at]);
    }

    /// The string that comes next, with its quotes, as it is written. It is one that [`Lexer::string`] accepts.
    pub(super) fn seen_written_string(&mut self) -> Result<&'f str> {
        let (bytes, start) = (self.bytes(), self.at);
        self.at = plain_end(bytes, start + 1);
        let backslash = self.at;
        while bytes.get(self.at) != Some(&b'"') {
            if let Err(error) = self.pass_escape(backslash) {
                // A string without an end has that fault before any other.
                if bytes.get(backslash) == Some(&b'\\') {
                    self.closing_quote(backslash)?;
                }
                return Err(error);
            }
            self.at = plain_end(bytes, self.at);
        }
        self.at += 1;
        Ok(self.text_since(start))
    }

    /// Walks over one escape of a string whose first one is at `backslash`.
    fn pass_escape(&mut self, backslash: usize) -> Result<()> {
        if self.bytes().get(self.at) != Some(&b'\\') {
            return Err(self.expected(if self.at == backslash {
                "the end of the string, or an escaped control character"
            } else {
                "an escape instead of a control character"
            }));
        }
        match self.bytes().get(self.at + 1) {
            Some(escaped) if SHORT_ESCAPES[usize::from(*escaped)] != 0 => self.at += 2,
            _ => {
                self.unicode_escape()?;
            }
        }
        Ok(())
    }

    /// Unescapes as much of what follows as `room` holds, and tells how much that is: 0 at the end.
    pub(super) fn unescape_some(&mut self, room: &mut [u8]) -> Result<usize> {
        let bytes = self.bytes();
        let mut filled = 0;
        while let Some(byte) = bytes.get(self.at) {
            let left = room.len() - filled;
            if *byte != b'\\' {
                let start = self.at;
                self.at = plain_end(&bytes[..bytes.len().min(start + left)], start);
                let plain = &bytes[start..self.at];
                room[filled..filled + plain.len()].copy_from_slice(plain);
                filled += plain.len();
                if plain.is_empty() {
                    break;
                }
                continue;
            }
            // The longest character has four bytes.
            if left < 4 {
                break;
            }
            match bytes.get(self.at + 1).map_or(0, |escaped| SHORT_ESCAPES[usize::from(*escaped)]) {
                0 => filled += self.unicode_escape()?.encode_utf8(&mut room[filled..]).len(),
                character => {
                    room[filled] = character;
                    filled += 1;
                    self.at += 2;
                }
            }
        }
        Ok(filled)
    }

    /// The quote that ends the string: the first one after an even number of backslashes.
    fn closing_quote(&self, from: usize) -> Result<usize> {
        let mut at = from;
        loop {
            let Some(offset) = memchr(b'"', &self.bytes()[at..]) else {
                return Err(DecodeError::syntax(self.text.len(), "the end of the string"));
            };
            let quote = at + offset;
            let backslashes =
                self.bytes()[from..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                return Ok(quote);
            }
            at = quote + 1;
        }
    }

    /// The character of `\uXXXX`, or of two of them that are a surrogate pair, from the backslash on.
    #[inline(never)]
    fn unicode_escape(&mut self) -> Result<char> {
        let start = self.at;
        if self.bytes().get(start + 1) != Some(&b'u') {
            return Err(self.expected("an escape of JSON"));
        }
        let first = self.hex_escape()?;
        let lone = || DecodeError::new(start, DecodeFault::LoneSurrogate);
        if !(0xD800..0xE000).contains(&first) {
            return char::from_u32(first).ok_or_else(lone);
        }
        if first >= 0xDC00 || !self.bytes()[self.at..].starts_with(b"\\u") {
            return Err(lone());
        }
        let second = self.hex_escape()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(lone());
        }
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(lone)
    }

    /// The value of `\uXXXX`, from its backslash on.
    pub(super) fn hex_escape(&mut self) -> Result<u32> {
        let mut value = 0;
        for place in self.at + 2..self.at + 6 {
            let digit = self.bytes().get(place).and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(DecodeError::syntax(place, "four hexadecimal digits"));
            };
            value = value << 4 | digit;
        }
        self.at += 6;
        Ok(value)
    }
}
