//! Lines of a file from a number on (`offset`, `limit`), in constant memory: what fits into an answer, and how many lines
//! are left.

use super::answer_space::AnswerSpace;
use super::context::Context;
use super::error::{FsError, Stop};
use super::file_text::{FileText, LineEnds};
use super::numbers::whole;
use super::open_file::{CHUNK, OpenFile};
use crate::limits::price;
use crate::server::{BlockSource, CallContext, CancellationToken, Filled};
use crate::wire::{BufferRoom, escape_piece, escaped_bytes};
use std::ops::Range;

/// Bytes of an answer that are kept for what is said at its end.
pub(super) const NOTE_BYTES: usize = 256;
/// The last number that a JSON number tells from the next.
const MAX_LINE: u64 = 1 << 53;

/// Which lines are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines {
    /// The number of the first; the first line of a file has the number 1.
    first: u64,
    most: u64,
}

impl Lines {
    /// `None` where neither is given.
    ///
    /// # Errors
    /// When one is no number of lines.
    pub(super) fn of(offset: Option<f64>, limit: Option<f64>) -> Result<Option<Self>, FsError> {
        let first = whole("offset", offset, 1, MAX_LINE)?;
        let most = whole("limit", limit, 1, MAX_LINE)?;
        let is_given = first.is_some() || most.is_some();
        Ok(is_given.then(|| Self { first: first.unwrap_or(1), most: most.unwrap_or(MAX_LINE) }))
    }

    /// The first lines, or all.
    pub(super) fn first(most: Option<f64>) -> Self {
        // The cast saturates.
        Self { first: 1, most: most.map_or(MAX_LINE, |most| most.ceil() as u64) }
    }

    fn hold(self, line: u64) -> bool {
        line >= self.first && line - self.first < self.most
    }
}

/// Where lines are in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    /// Without the line end of the last line.
    range: Range<u64>,
    shown: u64,
    /// Lines of the whole file.
    total: u64,
    /// Bytes of what is shown in JSON, at most.
    escaped: usize,
    /// One of the lines does not fit any more.
    is_cut: bool,
    /// The part of the first line that fits, where no more does.
    begin: Range<u64>,
}

/// What is looked at behind the last line that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// All lines, to count them.
    Counted,
    /// Nothing: so a file of any length costs no more than its answer.
    Unseen,
}

impl Found {
    /// Goes through the whole file once.
    fn look(
        file: &OpenFile,
        lines: Lines,
        space_bytes: usize,
        rest: Rest,
        cancellation: &CancellationToken,
    ) -> Result<Self, FsError> {
        let mut found = Self::default();
        let (mut buffer, mut at, mut line) = ([0; CHUNK], 0, 1);
        let mut line_bytes = 0;
        let mut line_escaped = 0;
        loop {
            cancellation.check()?;
            let chunk = file.read_at(&mut buffer, at)?;
            if chunk.is_empty() {
                break;
            }
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                at += piece.len() as u64;
                line_bytes += piece.len() as u64;
                if lines.hold(line) && !found.is_cut {
                    let escaped_before = found.escaped + line_escaped;
                    line_escaped += escaped_bytes(piece);
                    found.is_cut = found.escaped + line_escaped > space_bytes;
                    if found.is_cut {
                        let left_bytes = space_bytes.saturating_sub(escaped_before);
                        let fits = bytes_that_fit(piece.len(), left_bytes, |bytes| &piece[..bytes]);
                        let end = at - piece.len() as u64 + fits as u64;
                        found.begin = at - line_bytes..character_start(file, end)?;
                        if rest == Rest::Unseen {
                            return Ok(found);
                        }
                    }
                }
                if piece.ends_with(b"\n") {
                    found.end_line(lines, line, at - line_bytes..at - 1, line_escaped);
                    (line, line_bytes, line_escaped) = (line + 1, 0, 0);
                    if rest == Rest::Unseen && !lines.hold(line) {
                        return Ok(found);
                    }
                }
            }
        }
        if line_bytes > 0 {
            found.end_line(lines, line, at - line_bytes..at, line_escaped);
        }
        Ok(found)
    }

    fn end_line(&mut self, lines: Lines, line: u64, range: Range<u64>, escaped: usize) {
        self.total = line;
        if lines.hold(line) && !self.is_cut {
            self.range = if self.shown == 0 { range } else { self.range.start..range.end };
            self.shown += 1;
            self.escaped += escaped;
        }
    }

    /// The lines, or the part of the first that fits into so many bytes, with a word behind them.
    fn shown(self, space_bytes: usize, note: String) -> Shown {
        let (range, escaped) = match self.shown {
            0 if self.is_cut => (self.begin, space_bytes),
            _ => (self.range, self.escaped),
        };
        Shown { range, line_ends: LineEnds::Kept, escaped, note }
    }

    /// What the answer says where the first lines fit, or not one, and those behind them were not looked at.
    fn note_of_first(&self, file_bytes: u64) -> String {
        let left = |end: u64| file_bytes.saturating_sub(end);
        if self.shown == 0 {
            let end = self.begin.end;
            return format!(
                "\n\n[The first {end} bytes of line 1, which is too long for an answer; {} of {file_bytes} bytes of the \
                 file are left, read on behind this line with offset 2]",
                left(end)
            );
        }
        format!(
            "\n\n[Lines 1 to {}; {} of {file_bytes} bytes of the file are left, read on with offset {}]",
            self.shown,
            left(self.range.end + 1),
            self.shown + 1
        )
    }

    /// What the answer says behind the lines; empty where the last line is the last of the file.
    fn note(&self, lines: Lines) -> String {
        if self.is_cut && self.shown == 0 {
            return format!(
                "\n\n[The first {} bytes of line {} of {}, which is too long for an answer; read on behind this line with \
                 offset {}]",
                self.begin.end - self.begin.start,
                lines.first,
                self.total,
                lines.first + 1
            );
        }
        if self.shown == 0 {
            return format!(
                "[No line is shown: the file has {} lines, and the offset is {}]",
                self.total, lines.first
            );
        }
        let last = lines.first + self.shown - 1;
        match self.total - last {
            0 => String::new(),
            left => format!(
                "\n\n[Lines {} to {last} of {}; {left} are left, read on with offset {}]",
                lines.first,
                self.total,
                last + 1
            ),
        }
    }
}

/// The most bytes of a piece that fit into so many of JSON; `part` are so many bytes of it.
pub(super) fn bytes_that_fit<'p>(
    piece_bytes: usize,
    space_bytes: usize,
    part: impl Fn(usize) -> &'p [u8],
) -> usize {
    let (mut fits, mut too_many) = (0, piece_bytes + 1);
    while fits + 1 < too_many {
        let bytes = fits.midpoint(too_many);
        if escaped_bytes(part(bytes)) <= space_bytes {
            fits = bytes;
        } else {
            too_many = bytes;
        }
    }
    fits
}

/// The place itself, or where the character begins that it is in.
fn character_start(file: &OpenFile, at: u64) -> Result<u64, FsError> {
    const LONGEST: u64 = 4;
    let start = at.saturating_sub(LONGEST - 1);
    let mut buffer = [0; LONGEST as usize];
    let bytes = file.read_at(&mut buffer, start)?;
    let is_start = |place: &u64| bytes.get((place - start) as usize).is_none_or(|byte| byte & 0xC0 != 0x80);
    // Where none begins, the text is no UTF-8.
    Ok((start..=at).rev().find(is_start).unwrap_or(at))
}

/// Answers with the first lines of a file that fit, and the bytes that are left. Of a first line that does not fit,
/// there are the characters that do.
///
/// # Errors
/// Those of reading.
pub(super) fn read_first(
    file: OpenFile,
    lines: Lines,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    let space_bytes = space.text_bytes().saturating_sub(NOTE_BYTES);
    let found = Found::look(&file, lines, space_bytes, Rest::Unseen, context.cancellation)?;
    let note = found.note_of_first(file.bytes);
    answer(file, found.shown(space_bytes, note), context, call)
}

/// The first bytes of one of several files, and what is said behind them.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) bytes: u64,
    pub(super) note: String,
}

/// As much of the begin of a file as fits into a part of an answer together with a word about the rest.
///
/// # Errors
/// Those of reading.
pub(super) fn beginning(
    file: &OpenFile,
    space_bytes: usize,
    cancellation: &CancellationToken,
) -> Result<Beginning, FsError> {
    let space_bytes = space_bytes.saturating_sub(NOTE_BYTES);
    let found = Found::look(file, Lines::first(None), space_bytes, Rest::Unseen, cancellation)?;
    let bytes = if found.shown == 0 { found.begin.end } else { found.range.end };
    let note = match (found.shown, bytes) {
        (0, 0) => format!("[{} bytes are left out, read them with read_text_file]", file.bytes),
        (0, _) => {
            let left = file.bytes.saturating_sub(bytes);
            format!(
                "\n\n[The first {bytes} bytes; {left} of {} are left, read them with read_text_file]",
                file.bytes
            )
        }
        (shown, _) => {
            let left = file.bytes.saturating_sub(bytes + 1);
            format!(
                "\n\n[Lines 1 to {shown}; {left} of {} bytes of the file are left, read on with read_text_file and offset {}]",
                file.bytes,
                shown + 1
            )
        }
    };
    Ok(Beginning { bytes, note })
}

/// Answers with lines of a file. Of a first line that does not fit, there are the characters that do.
///
/// # Errors
/// Those of reading.
pub(super) fn read_lines(
    file: OpenFile,
    lines: Lines,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    let space_bytes = space.text_bytes().saturating_sub(NOTE_BYTES);
    let found = Found::look(&file, lines, space_bytes, Rest::Counted, context.cancellation)?;
    let note = found.note(lines);
    answer(file, found.shown(space_bytes, note), context, call)
}

/// A part of a file that fits into an answer, and what is said behind it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) range: Range<u64>,
    pub(super) line_ends: LineEnds,
    /// Bytes of the part in JSON, at most.
    pub(super) escaped: usize,
    pub(super) note: String,
}

/// Answers with a part of a file.
///
/// # Errors
/// Those of reading.
pub(super) fn answer(
    file: OpenFile,
    shown: Shown,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    let space_bytes = space.text_bytes().saturating_sub(NOTE_BYTES);
    let Shown { range, line_ends, escaped, note } = shown;
    let is_large = range.end - range.start > price::LARGE_BYTES as u64;
    let mut text = FileText::new(file, range, line_ends);
    if is_large && call.may_stream() {
        // It may have changed since it was looked through.
        let counted = text.count(space_bytes, context.cancellation)?.ok_or(FsError::Shrank)?;
        let bytes = counted + escaped_bytes(note.as_bytes());
        call.stream_text(NotedText { text, note }, bytes);
    } else {
        call.text_with(|block| {
            if escaped > price::LARGE_BYTES {
                block.make_room(space.answer_bytes(escaped));
            }
            text.write(block, context.cancellation)?;
            block.push_str(&note);
            Ok::<_, FsError>(())
        })?;
    }
    if let Some(lack) = call.memory_lack() {
        return Err(FsError::OutOfMemory(lack).into());
    }
    call.structured_from_text();
    Ok(())
}

/// A part of a file, and a word behind it.
#[derive(Debug)]
struct NotedText {
    text: FileText,
    note: String,
}

impl BlockSource for NotedText {
    fn fill(&self, at: &mut u64, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        if *at < self.text.bytes() && self.text.fill(at, room)? == Filled::Full {
            return Ok(Filled::Full);
        }
        let written = (*at - self.text.bytes()) as usize;
        let rest = self.note.as_bytes().get(written..).unwrap_or_default();
        let taken = escape_piece(rest, true, room);
        *at += taken as u64;
        Ok(if taken < rest.len() { Filled::Full } else { Filled::End })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn file_of(bytes: &[u8]) -> OpenFile {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        OpenFile::regular(file.into(), || Ok(String::new())).expect("a regular file")
    }

    proptest! {
        /// As `str::lines` has them, but for carriage returns, which stay.
        #[test]
        fn lines_are_found_where_they_are(
            text in prop::collection::vec("[a\r\"]{0,9}", 0..30),
            ends in any::<bool>(),
            first in 1..35_u64,
            most in 1..35_u64,
        ) {
            let text = text.join("\n") + if ends { "\n" } else { "" };
            let lines: Vec<&str> = text.split_terminator('\n').collect();
            let cancellation = CancellationToken::after(u64::MAX);
            let asked = Lines { first, most };
            let found = Found::look(&file_of(text.as_bytes()), asked, 1 << 20, Rest::Counted, &cancellation).expect("read");
            let want: Vec<&str> =
                lines.iter().copied().skip(first as usize - 1).take(most as usize).collect();
            prop_assert_eq!(found.total, lines.len() as u64);
            prop_assert_eq!(found.shown, want.len() as u64);
            prop_assert_eq!(&text[found.range.start as usize..found.range.end as usize], want.join("\n"));
            prop_assert!(!found.is_cut);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_next_call() {
        let file = file_of("12345\n".repeat(10).as_bytes());
        let cancellation = CancellationToken::after(u64::MAX);
        let asked = Lines { first: 3, most: 7 };
        let found = Found::look(&file, asked, 20, Rest::Counted, &cancellation).expect("read");
        assert_eq!((found.range.clone(), found.shown, found.total, found.is_cut), (12..23, 2, 10, true));
        assert_eq!(found.note(asked), "\n\n[Lines 3 to 4 of 10; 6 are left, read on with offset 5]");
    }

    #[test]
    fn a_long_look_ends_when_nobody_waits() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        let file = OpenFile::regular(file.into(), || Ok(String::new())).expect("a regular file");
        let cancellation = CancellationToken::after(3);
        let asked = Lines { first: 1, most: 1 };
        assert!(matches!(
            Found::look(&file, asked, 1 << 16, Rest::Counted, &cancellation),
            Err(FsError::Cancelled(_))
        ));
        assert_eq!(cancellation.checked(), 4);
    }
}
