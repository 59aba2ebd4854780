//! Line ends: a text as if all its lines ended with `\n`, and the way back to the text as it is.
//!
//! Pure. A `\r` without a `\n` behind it is a character like any other. Invariant: what [`Splicer`] was not told
//! to replace comes out byte for byte, and walking a text is linear, however many places are replaced.

use memchr::{memchr, memmem, memrchr};
use std::borrow::Cow;
use std::iter::Peekable;
use std::ops::Range;

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    Newline,
    Pair,
}

impl LineEnd {
    /// How the line ends whose `\n` is at a place.
    fn at(text: &str, newline: usize) -> Self {
        match newline.checked_sub(1).map(|before| text.as_bytes()[before]) {
            Some(b'\r') => Self::Pair,
            _ => Self::Newline,
        }
    }

    /// How the first line of a text ends; `\n` where it does not.
    pub(crate) fn of(text: &str) -> Self {
        memchr(b'\n', text.as_bytes()).map_or(Self::Newline, |at| Self::at(text, at))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Newline => "\n",
            Self::Pair => "\r\n",
        }
    }
}

/// `\r\n` as `\n`; a text without any is not copied.
pub(crate) fn flat(text: &str) -> Cow<'_, str> {
    if memmem::find(text.as_bytes(), b"\r\n").is_some() {
        Cow::Owned(text.replace("\r\n", "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Replaces parts of a text that are named by their places in its flat form, from the first to the last.
pub(crate) struct Splicer<'t> {
    text: &'t str,
    out: String,
    /// What is before it was copied or replaced.
    at: usize,
    /// The pairs that no place asked for was behind yet, and how many there were before them.
    pairs: Peekable<memmem::FindIter<'t, 'static>>,
    passed: usize,
    /// How the last line ends that is in `out` as a whole.
    previous: Option<LineEnd>,
    /// The first `\n` behind some earlier `at`, once it was looked for; the text's length where there is none.
    next: Option<usize>,
}

impl<'t> Splicer<'t> {
    pub(crate) fn new(text: &'t str, capacity: usize) -> Self {
        let pairs = memmem::find_iter(text.as_bytes(), b"\r\n").peekable();
        let out = String::with_capacity(capacity);
        Self { text, out, at: 0, pairs, passed: 0, previous: None, next: None }
    }

    /// Puts `new`, which is flat, in the place of a part of the flat text. Lines that were there keep their ends
    /// in order; further ones take that of the line before them. `own` ends lines where the text has none.
    pub(crate) fn replace(&mut self, part: Range<usize>, new: &str, own: LineEnd) {
        let start = self.place(part.start);
        let kept = &self.text[self.at..start];
        if let Some(newline) = memrchr(b'\n', kept.as_bytes()) {
            self.previous = Some(LineEnd::at(kept, newline));
        }
        self.out.push_str(kept);
        self.at = start;
        let end = self.place(part.end);
        let old = &self.text[start..end];
        self.at = end;
        let mut ends = memchr::memchr_iter(b'\n', old.as_bytes()).map(|newline| LineEnd::at(old, newline));
        let mut last = None;
        for line in new.split_inclusive('\n') {
            let Some(line) = line.strip_suffix('\n') else {
                self.out.push_str(line);
                break;
            };
            let line_end = ends.next().or(last).unwrap_or_else(|| self.neighbour(new.ends_with('\n'), own));
            self.out.push_str(line);
            self.out.push_str(line_end.as_str());
            last = Some(line_end);
        }
        self.previous = last.or(self.previous);
    }

    /// The text with all that was replaced.
    pub(crate) fn finish(mut self) -> String {
        self.out.push_str(&self.text[self.at..]);
        self.out
    }

    /// The place of a place in the flat text, which is not before the one asked for last.
    fn place(&mut self, flat: usize) -> usize {
        // A `\n` at the place itself is behind it, and so is its `\r`.
        while self.pairs.next_if(|pair| pair - self.passed < flat).is_some() {
            self.passed += 1;
        }
        flat + self.passed
    }

    /// How the lines around `at` end: the one before, where whole lines are put in, or else the one that is split.
    fn neighbour(&mut self, whole_lines: bool, own: LineEnd) -> LineEnd {
        let next = match self.next.filter(|next| *next >= self.at) {
            Some(next) => next,
            None => memchr(b'\n', &self.text.as_bytes()[self.at..])
                .map_or(self.text.len(), |behind| self.at + behind),
        };
        self.next = Some(next);
        let next = (next < self.text.len()).then(|| LineEnd::at(self.text, next));
        let begins_line = self.out.is_empty() || self.out.ends_with('\n');
        let neighbour =
            if begins_line && whole_lines { self.previous.or(next) } else { next.or(self.previous) };
        neighbour.unwrap_or(own)
    }
}
