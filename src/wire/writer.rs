//! Text on its way into a reply, gathered on the stack.
//!
//! JSON is mostly short pieces: quotes, commas, keys, numbers. They are gathered in one array, so that room and limit are
//! checked once for many of them. Strings are copied and searched in one step, a word of eight bytes at a time: the word
//! is written whole, and only what is plain of it counts.
//!
//! Invariant: `filled` is within `chunk`. Whoever made a [`Writer`] calls [`Writer::hand_over`] at its end.

use super::scan::{WORD, plain_end, specials};
use super::text_pieces::HEX_DIGITS;

/// Bytes that are gathered.
const CHUNK_BYTES: usize = 512;
/// Plain bytes after which a string is searched in blocks and copied in one piece.
const COPIED_BY_WORDS: usize = 8 * WORD;
/// Bytes of the longest number: a sign and 39 digits.
pub(super) const NUMBER_BYTES: usize = 40;
/// Bytes that stand for nothing, and are plain, behind the end of a string that ends within a word.
const FILLER: u64 = 0x7878_7878_7878_7878;

/// Room for a word of which each byte is escaped, and for one that is stored behind it.
const WORD_ROOM: usize = 7 * WORD;

/// What stands for a byte that is not plain, and in the last place how long it is.
const ESCAPES: [u64; 128] = {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 0x20 {
        let (high, low) = (HEX_DIGITS[byte >> 4], HEX_DIGITS[byte & 15]);
        table[byte] = u64::from_le_bytes([b'\\', b'u', b'0', b'0', high, low, 0, 6]);
        byte += 1;
    }
    let short = [
        (b'"', b'"'),
        (b'\\', b'\\'),
        (b'\n', b'n'),
        (b'\r', b'r'),
        (b'\t', b't'),
        (0x08, b'b'),
        (0x0C, b'f'),
    ];
    let mut at = 0;
    while at < short.len() {
        table[short[at].0 as usize] = u64::from_le_bytes([b'\\', short[at].1, 0, 0, 0, 0, 0, 2]);
        at += 1;
    }
    table
};

/// Where the gathered text goes: a reply. One that is full ignores the rest.
pub(super) trait Target {
    /// Appends text that has no line breaks.
    fn append(&mut self, bytes: &[u8]);

    /// Appends JSON text, whose line breaks become spaces.
    fn append_line(&mut self, json: &[u8]);
}

/// Gathers what is written to its target.
pub(super) struct Writer<'r> {
    target: &'r mut dyn Target,
    chunk: [u8; CHUNK_BYTES],
    filled: usize,
}

impl<'r> Writer<'r> {
    #[inline]
    pub(super) fn new(target: &'r mut dyn Target) -> Self {
        Self { target, chunk: [0; CHUNK_BYTES], filled: 0 }
    }

    /// Writes what was gathered to the target.
    pub(super) fn hand_over(&mut self) {
        self.target.append(&self.chunk[..self.filled]);
        self.filled = 0;
    }

    /// Makes room for so many bytes in the chunk.
    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if CHUNK_BYTES - self.filled < bytes {
            self.hand_over();
        }
    }

    /// Writes one byte of ASCII.
    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.make_room(1);
        self.chunk[self.filled] = byte;
        self.filled += 1;
    }

    /// Writes a few bytes, such as a literal.
    #[inline]
    pub(super) fn short(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= NUMBER_BYTES);
        self.make_room(bytes.len());
        self.chunk[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Writes a number of at most [`NUMBER_BYTES`] by a function that puts it into a slice and gives its length.
    #[inline]
    pub(super) fn number(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        self.make_room(NUMBER_BYTES);
        self.filled += write(&mut self.chunk[self.filled..]);
    }

    /// Writes JSON text, on one line.
    pub(super) fn json(&mut self, json: &str) {
        self.hand_over();
        self.target.append_line(json.as_bytes());
    }

    /// Writes a string with its quotes.
    #[inline]
    pub(super) fn string(&mut self, text: &str) {
        self.byte(b'"');
        self.text(text.as_bytes());
        self.byte(b'"');
    }

    /// Writes a part of a string.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        let mut at = 0;
        while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk) {
            self.word(u64::from_le_bytes(*word), WORD);
            at += WORD;
            if at >= COPIED_BY_WORDS {
                return self.long_text(&text[at..]);
            }
        }
        self.end_of_text(text, at);
    }

    /// Writes a part of a string that is not short.
    #[inline(never)]
    fn long_text(&mut self, text: &[u8]) {
        let (mut at, mut plain) = (0, 0);
        while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk) {
            plain = if self.word(u64::from_le_bytes(*word), WORD) { plain + WORD } else { 0 };
            at += WORD;
            if plain >= COPIED_BY_WORDS {
                let end = plain_end(text, at);
                self.plain(&text[at..end]);
                (at, plain) = (end, 0);
            }
        }
        self.end_of_text(text, at);
    }

    /// Writes the last bytes of a text, of which fewer than a word are left.
    #[inline]
    fn end_of_text(&mut self, text: &[u8], at: usize) {
        if at < text.len() {
            self.word(last_word(text, at), text.len() - at);
        }
    }

    /// Writes the first `bytes` of a word, of which the rest is plain, with escapes. Gives whether there were none.
    ///
    /// The word is stored as a whole, and what of it is no part of the text is overwritten. Behind an escape the rest of it
    /// is stored again: where the next word is read does not wait for where this one ends.
    #[inline]
    fn word(&mut self, word: u64, bytes: usize) -> bool {
        self.make_room(WORD_ROOM);
        let hits = specials(word);
        self.store(word);
        if hits == 0 {
            self.filled += bytes;
            return true;
        }
        self.escaped_word(word, hits, bytes);
        false
    }

    #[inline]
    fn store(&mut self, word: u64) {
        self.chunk[self.filled..self.filled + WORD].copy_from_slice(&word.to_le_bytes());
    }

    /// Writes a word with at least one byte that is not plain. The word was stored once.
    #[inline]
    fn escaped_word(&mut self, mut word: u64, mut hits: u64, mut bytes: usize) {
        while hits != 0 {
            let plain_bits = hits.trailing_zeros() & !7;
            let plain = plain_bits as usize / 8;
            self.filled += plain;
            let escape = ESCAPES[(word >> plain_bits) as usize & 0x7F];
            self.store(escape);
            self.filled += (escape >> 56) as usize;
            // Two steps: a shift by a whole word is none.
            (word, hits) = (word >> plain_bits >> 8, hits >> plain_bits >> 8);
            bytes -= plain + 1;
            self.store(word);
        }
        self.filled += bytes;
    }

    /// Writes plain bytes.
    #[inline]
    fn plain(&mut self, bytes: &[u8]) {
        if bytes.len() > CHUNK_BYTES / 2 {
            self.hand_over();
            return self.target.append(bytes);
        }
        self.make_room(bytes.len());
        self.chunk[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }
}

/// The bytes from `at` to the end, fewer than a word and at least one, with filler behind them.
#[inline]
fn last_word(text: &[u8], at: usize) -> u64 {
    let rest = text.len() - at;
    let filler = FILLER << (rest * 8);
    if let Some(word) = text.last_chunk::<WORD>() {
        return u64::from_le_bytes(*word) >> ((WORD - rest) * 8) | filler;
    }
    let rest_of = &text[at..];
    if let (Some(first), Some(last)) = (rest_of.first_chunk::<4>(), rest_of.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << ((rest - 4) * 8) | filler;
    }
    rest_of.iter().rev().fold(filler >> (rest * 8), |word, byte| word << 8 | u64::from(*byte))
}
