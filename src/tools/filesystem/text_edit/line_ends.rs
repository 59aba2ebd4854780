//! Line ends: searches a text as if all its lines ended with `\n`, and replaces parts of the text as it is.
//!
//! A `\r` without a following `\n` is an ordinary character. Invariants: a [`Splicer`] keeps all that it does not
//! replace byte for byte, and its cost is linear in the text, however many places it replaces.

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
    /// The end of the line whose `\n` is at a position.
    fn at(text: &str, newline: usize) -> Self {
        match newline.checked_sub(1).map(|before| text.as_bytes()[before]) {
            Some(b'\r') => Self::Pair,
            _ => Self::Newline,
        }
    }

    /// The end of the first line of a text; `\n` if it has none.
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

/// The flat form of a text: each `\r\n` becomes `\n`. A text without any is not copied.
pub(crate) fn flat(text: &str) -> Cow<'_, str> {
    if copied_bytes(text) == 0 {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for pair in memmem::find_iter(text.as_bytes(), b"\r\n") {
        out.push_str(&text[at..pair]);
        at = pair + 1;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Bytes of the copy that [`flat`] makes.
pub(crate) fn copied_bytes(text: &str) -> usize {
    memmem::find(text.as_bytes(), b"\r\n").map_or(0, |_| text.len())
}

/// Replaces parts of a text, from the first to the last. Positions are those in the flat form of the text.
pub(crate) struct Splicer<'t> {
    text: &'t str,
    out: String,
    /// The text before this position was copied or replaced.
    at: usize,
    /// The `\r\n` after the last position, and how many came before.
    pairs: Peekable<memmem::FindIter<'t, 'static>>,
    passed: usize,
    /// The end of the last complete line in `out`.
    previous: Option<LineEnd>,
    /// The first `\n` after an earlier `at`, once it was searched for; the length of the text where there is none.
    next: Option<usize>,
}

impl<'t> Splicer<'t> {
    pub(crate) fn new(text: &'t str, capacity: usize) -> Self {
        let pairs = memmem::find_iter(text.as_bytes(), b"\r\n").peekable();
        let out = String::with_capacity(capacity);
        Self { text, out, at: 0, pairs, passed: 0, previous: None, next: None }
    }

    /// Replaces a part of the flat text by `new`, which is flat. The new lines get the line ends of the replaced ones
    /// in order; further lines get that of the line before. `own` is used where the text has no line end.
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

    /// The text with all replacements.
    pub(crate) fn finish(mut self) -> String {
        self.out.push_str(&self.text[self.at..]);
        self.out
    }

    /// The position in the text of a position in the flat text. Positions must not go backwards.
    fn place(&mut self, flat: usize) -> usize {
        // A `\n` at the position itself comes after it, and so does its `\r`.
        while self.pairs.next_if(|pair| pair - self.passed < flat).is_some() {
            self.passed += 1;
        }
        flat + self.passed
    }

    /// The line end around `at`: that of the line before if whole lines are inserted, otherwise that of the line that
    /// is split.
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
