//! The lines that `search_content` found: one page of them as text, and a count of them all.
//!
//! Matching lines are `12:text`, lines around them `13-text`, below the path of their file; `--` stands where lines
//! between are left out. All matches are counted, also those before and behind the page, so that the answer can say how
//! many are left and where they begin.

use super::answer_space::AnswerSpace;
use super::error::FsError;
use super::held::HeldMemory;
use super::line_pattern::LinePattern;
use super::numbers::are;
use super::unread::Unread;
use crate::wire::escaped_bytes;
use grep_searcher::{Searcher, Sink, SinkContext, SinkContextKind, SinkFinish, SinkMatch};
use std::fmt::Write as _;
use std::io;

/// Bytes of a line that are shown.
const SHOWN_BYTES: usize = 1000;
/// Bytes before the match that are shown of a line that is longer.
const BEFORE_BYTES: usize = 200;
/// Bytes of an answer that are kept for what is said at its end.
const END_BYTES: usize = 1536;
/// A file that has a zero byte before that is binary.
const BINARY_BYTES: u64 = 64 * 1024;

/// Which matches are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// How many come before the first.
    pub(super) offset: u64,
    pub(super) most: u64,
}

/// The lines that were found so far.
#[derive(Debug)]
pub(super) struct FoundLines<'h> {
    page: Page,
    space: AnswerSpace,
    held: &'h HeldMemory,
    text: String,
    /// Bytes of the text in JSON, at most.
    escaped: usize,
    /// What was found in all files.
    count: Count,
    /// What was not searched.
    pub(super) unread: Unread,
    /// Set once a line had no space; no later one is shown.
    is_full: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    matches: u64,
    files: u64,
    shown: u64,
}

impl<'h> FoundLines<'h> {
    pub(super) fn new(page: Page, space: AnswerSpace, held: &'h HeldMemory) -> Self {
        let (text, count) = (String::new(), Count::default());
        Self { page, space, held, text, escaped: 0, count, unread: Unread::default(), is_full: false }
    }

    /// What is found in one file, of that path.
    pub(super) fn in_file<'f>(&'f mut self, path: &'f [u8], pattern: &'f LinePattern) -> FileLines<'f, 'h> {
        let before = (self.text.len(), self.escaped, self.count, self.is_full);
        FileLines {
            found: self,
            path,
            pattern,
            before,
            is_named: false,
            has_gap: false,
            last_is_shown: false,
            failed: None,
        }
    }

    fn shows_next(&self) -> bool {
        !self.is_full && self.count.matches >= self.page.offset && self.count.shown < self.page.most
    }

    /// The text with what there is to say about it and about what was not searched.
    ///
    /// # Errors
    /// When the answer has no space for a single match.
    pub(super) fn into_text(mut self) -> Result<String, FsError> {
        let Count { matches, files, shown } = self.count;
        let offset = self.page.offset;
        if self.is_full && shown == 0 {
            return Err(self.space.answer_too_large());
        }
        let mut end = String::new();
        // Writing to a string does not fail.
        let _ = match (matches, shown) {
            (0, _) => write!(end, "No matches found"),
            (_, 0) if self.page.most > 0 => {
                write!(
                    end,
                    "[None is shown: {} in {}, and the offset is {offset}]",
                    lines(matches),
                    of(files)
                )
            }
            _ if shown == matches => Ok(()),
            _ => {
                let left = matches.saturating_sub(offset + shown);
                let next = offset + shown;
                let first = if shown == 0 { next } else { offset + 1 };
                let mut written = write!(end, "[{first} to {next} of {} in {}", lines(matches), of(files));
                if left > 0 {
                    let them = if left == 1 { "it" } else { "them" };
                    let are = are(left);
                    written = written
                        .and_then(|()| write!(end, "; {left} {are} left, ask for {them} with offset {next}"));
                }
                written.and_then(|()| write!(end, "]"))
            }
        };
        let notes = self.unread.notes();
        for part in [&*end, &*notes] {
            if !part.is_empty() {
                self.text.push_str(if self.text.is_empty() { "" } else { "\n\n" });
                self.text.push_str(part);
            }
        }
        self.held.hold_text(self.text.len())?;
        Ok(self.text)
    }
}

fn lines(matches: u64) -> String {
    if matches == 1 { "1 matching line".to_owned() } else { format!("{matches} matching lines") }
}

fn of(files: u64) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

/// The lines of one file.
#[derive(Debug)]
pub(super) struct FileLines<'f, 'h> {
    found: &'f mut FoundLines<'h>,
    path: &'f [u8],
    pattern: &'f LinePattern,
    /// What there was before this file.
    before: (usize, usize, Count, bool),
    is_named: bool,
    /// Whether lines were left out since the last one that is shown.
    has_gap: bool,
    last_is_shown: bool,
    failed: Option<FsError>,
}

impl FileLines<'_, '_> {
    /// The error that ended the search of the file, of this side.
    pub(super) fn failure(&mut self) -> Option<FsError> {
        self.failed.take()
    }

    /// Appends a line; tells whether there was space for it.
    fn push(&mut self, number: u64, mark: char, line: &[u8], focus: usize) -> bool {
        let mut piece = String::new();
        if !self.is_named {
            piece.push_str(if self.found.text.is_empty() { "" } else { "\n\n" });
            piece.push_str(&String::from_utf8_lossy(self.path));
        } else if self.has_gap {
            piece.push_str("\n--");
        }
        // Writing to a string does not fail.
        let _ = write!(piece, "\n{number}{mark}");
        push_shortened(&mut piece, line, focus);
        let escaped = self.found.escaped + escaped_bytes(piece.as_bytes());
        if escaped + END_BYTES > self.found.space.text_bytes() {
            return false;
        }
        if let Err(error) = self.found.held.hold_text(self.found.text.len() + piece.len() + END_BYTES) {
            self.failed = Some(error);
            return false;
        }
        self.found.text.push_str(&piece);
        self.found.escaped = escaped;
        (self.is_named, self.has_gap) = (true, false);
        true
    }
}

/// Writes a line without its end; of a long one, what is around `focus`, and how much was left out.
fn push_shortened(text: &mut String, line: &[u8], focus: usize) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= SHOWN_BYTES {
        text.push_str(&String::from_utf8_lossy(line));
        return;
    }
    let is_inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let mut begin = focus.saturating_sub(BEFORE_BYTES).min(line.len() - SHOWN_BYTES);
    let mut end = begin + SHOWN_BYTES;
    // Three bytes at most continue a character.
    for _ in 0..3 {
        begin += usize::from(begin > 0 && is_inside(begin));
        end -= usize::from(is_inside(end));
    }
    // Writing to a string does not fail.
    if begin > 0 {
        let _ = write!(text, "[{begin} bytes left out] ");
    }
    text.push_str(&String::from_utf8_lossy(&line[begin..end]));
    if end < line.len() {
        let _ = write!(text, " [{} bytes left out]", line.len() - end);
    }
}

impl Sink for FileLines<'_, '_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        self.last_is_shown = self.found.shows_next();
        self.found.count.matches += 1;
        if self.found.count.matches == self.before.2.matches + 1 {
            self.found.count.files += 1;
        }
        if self.last_is_shown {
            let line = found.bytes();
            let focus = if line.len() > SHOWN_BYTES { self.pattern.first_in(line) } else { 0 };
            if self.push(found.line_number().unwrap_or(0), ':', line, focus) {
                self.found.count.shown += 1;
            } else {
                (self.found.is_full, self.last_is_shown) = (true, false);
            }
        }
        Ok(self.failed.is_none())
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> Result<bool, io::Error> {
        let is_shown = match context.kind() {
            SinkContextKind::Before => self.found.shows_next(),
            SinkContextKind::After | SinkContextKind::Other => self.last_is_shown,
        };
        // Where there is no space for a line around a match, there may still be some for a shorter match.
        if is_shown {
            self.push(context.line_number().unwrap_or(0), '-', context.bytes(), 0);
        }
        Ok(self.failed.is_none())
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        self.has_gap = true;
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finished: &SinkFinish) -> Result<(), io::Error> {
        let zero = finished.binary_byte_offset();
        if zero.is_some_and(|at| at >= BINARY_BYTES) {
            self.found.unread.late_zeros.add(self.path);
        } else if zero.is_some() {
            let (text_bytes, escaped, count, is_full) = self.before;
            self.found.text.truncate(text_bytes);
            (self.found.escaped, self.found.count, self.found.is_full) = (escaped, count, is_full);
            self.found.unread.binary_files.add(self.path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(line: &[u8], focus: usize) -> String {
        let mut text = String::new();
        push_shortened(&mut text, line, focus);
        text
    }

    #[test]
    fn long_lines_are_cut_around_their_match_and_between_characters() {
        assert_eq!(shortened(b"short\r\n", 0), "short");
        assert_eq!(shortened(b"\xff\n", 0), "\u{fffd}");
        let long = format!("{}needle{}\n", "a".repeat(5_000), "b".repeat(5_000));
        let cut = shortened(long.as_bytes(), 5_000);
        assert!(cut.starts_with("[4800 bytes left out] aaa") && cut.contains("needle"), "{cut}");
        assert!(cut.ends_with("bbb [4206 bytes left out]"), "{cut}");
        let cut = shortened(long.as_bytes(), 0);
        assert!(cut.starts_with("aaa") && cut.ends_with("[9006 bytes left out]"), "{cut}");
        for at in 0..12 {
            let wide = format!("{}{}", "x".repeat(at), "\u{20ac}".repeat(1_000));
            let cut = shortened(wide.as_bytes(), 1_500);
            assert!(!cut.contains('\u{fffd}') && cut.matches('\u{20ac}').count() > 320, "{at}: {cut}");
        }
    }
}
