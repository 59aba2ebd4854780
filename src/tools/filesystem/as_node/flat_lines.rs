//! The lines of a text as they are compared: `\n` and `\r\n` are one line end, and the text is not copied for it.

use memchr::{memchr_iter, memrchr_iter};
use std::hash::{BuildHasher, RandomState};

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Line<'t> {
    pub(super) text: &'t str,
    /// The last line of a text may have no end.
    pub(super) is_ended: bool,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Self {
        match line.strip_suffix('\n') {
            Some(text) => Self { text: text.strip_suffix('\r').unwrap_or(text), is_ended: true },
            None => Self { text: line, is_ended: false },
        }
    }
}

/// The lines of a text, from either end.
pub(super) fn lines(text: &str) -> impl DoubleEndedIterator<Item = Line<'_>> {
    text.split_inclusive('\n').map(Line::of)
}

/// How many lines a text has.
pub(super) fn count_lines(text: &str) -> usize {
    let is_ended = text.is_empty() || text.ends_with('\n');
    memchr_iter(b'\n', text.as_bytes()).count() + usize::from(!is_ended)
}

/// What follows so many lines, which all have an end.
pub(super) fn after_lines(text: &str, count: usize) -> &str {
    let last = count.checked_sub(1).and_then(|last| memchr_iter(b'\n', text.as_bytes()).nth(last));
    &text[last.map_or(0, |newline| newline + 1)..]
}

/// What comes before the last lines.
pub(super) fn before_lines(text: &str, count: usize) -> &str {
    let Some(last) = count.checked_sub(1) else { return text };
    let end = memrchr_iter(b'\n', text.as_bytes()).nth(last + usize::from(text.ends_with('\n')));
    &text[..end.map_or(0, |newline| newline + 1)]
}

/// The lines of a text by their numbers.
///
/// A line takes [`Lines::BYTES_EACH`]: where it starts, and a hash that tells most lines apart without a look at them.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<u32>,
    hashes: Vec<u32>,
}

impl<'t> Lines<'t> {
    /// Bytes that each line takes beside the text.
    pub(super) const BYTES_EACH: usize = 2 * size_of::<u32>();
    /// The longest text that has such lines.
    pub(super) const MAX_TEXT_BYTES: usize = u32::MAX as usize;

    /// The `count` lines of a text, hashed with the keys of `hashing`: two texts that are compared have the same.
    pub(super) fn new(text: &'t str, count: usize, hashing: &RandomState) -> Self {
        debug_assert!(text.len() <= Self::MAX_TEXT_BYTES, "{} bytes", text.len());
        let (mut starts, mut hashes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            starts.push(start as u32);
            start += line.len();
            hashes.push(hashing.hash_one(Line::of(line)) as u32);
        }
        Self { text, starts, hashes }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The line of that number, from 0.
    pub(super) fn line(&self, number: usize) -> Line<'t> {
        let end = self.starts.get(number + 1).map_or(self.text.len(), |next| *next as usize);
        Line::of(&self.text[self.starts[number] as usize..end])
    }

    /// How many lines are equal from that number on, and from a number of another text.
    pub(super) fn equal_from(&self, number: usize, other: &Self, other_number: usize) -> usize {
        let most = (self.len() - number).min(other.len() - other_number);
        (0..most).take_while(|step| self.is_equal(number + step, other, other_number + step)).count()
    }

    /// How many of the last lines are equal, of those from these numbers on.
    pub(super) fn equal_to_end(&self, number: usize, other: &Self, other_number: usize) -> usize {
        let most = (self.len() - number).min(other.len() - other_number);
        let (end, other_end) = (self.len(), other.len());
        (1..=most).take_while(|step| self.is_equal(end - step, other, other_end - step)).count()
    }

    fn is_equal(&self, number: usize, other: &Self, other_number: usize) -> bool {
        self.hashes[number] == other.hashes[other_number] && self.line(number) == other.line(other_number)
    }
}
