//! Lines of a file from a number on (`offset`, `limit`), in constant memory: what fits into an answer, and how many lines
//! are left.

use super::answer_space::AnswerSpace;
use super::context::Context;
use super::error::{FsError, Stop};
use super::file_text::{FileText, LineEnds};
use super::numbers::{are, counted, whole};
use super::open_file::{CHUNK, OpenFile};
use crate::limits::{Limits, price};
use crate::server::{BlockSource, CallContext, CancellationToken, Cursor, Filled};
use crate::wire::{BufferRoom, escape_piece, escaped_bytes};
use std::ops::Range;

/// Bytes of an answer that are kept for what is said at its end.
pub(super) const NOTE_BYTES: usize = 448;
/// Bytes behind a line's begin that are looked through for its end, only to say whether lines follow it: some milliseconds.
const LINE_END_BYTES: u64 = 16 << 20;
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

/// What a look for lines may take.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Bytes of the lines in JSON.
    space_bytes: usize,
    /// Bytes of the file that are looked through for lines that are not shown.
    scan_bytes: u64,
}

impl Bounds {
    fn of(limits: &Limits, context: &Context<'_>) -> Self {
        let space = AnswerSpace::of(limits, context.copies);
        Self { space_bytes: space.text_bytes().saturating_sub(NOTE_BYTES), scan_bytes: scan_bytes(limits) }
    }
}

/// Bytes of a file that are looked through for lines that are not shown. Never fewer than an answer has, so that the line
/// behind a first part is always found.
pub(super) fn scan_bytes(limits: &Limits) -> u64 {
    limits.max_line_scan_bytes.max(limits.max_reply_bytes) as u64
}

/// Where lines are in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    /// With the line end of the last line, so that parts join to the file.
    range: Range<u64>,
    shown: u64,
    /// Lines of the whole file; `None` where its end was not looked for, or is too far.
    total: Option<u64>,
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
    /// Goes through the file once, as far as its bounds allow.
    ///
    /// # Errors
    /// Those of reading; when the first line is too far behind the begin of the file.
    fn look(
        file: &OpenFile,
        lines: Lines,
        bounds: Bounds,
        rest: Rest,
        cancellation: &CancellationToken,
    ) -> Result<Self, FsError> {
        let mut found = Self::default();
        let (mut buffer, mut at, mut line) = ([0; CHUNK], 0, 1);
        let (mut line_bytes, mut line_escaped) = (0, 0);
        loop {
            cancellation.check()?;
            let chunk = file.read_at(&mut buffer, at)?;
            if chunk.is_empty() {
                break;
            }
            for piece in line_pieces(chunk) {
                at += piece.len() as u64;
                line_bytes += piece.len() as u64;
                if lines.hold(line) && !found.is_cut {
                    let left_bytes = bounds.space_bytes.saturating_sub(found.escaped + line_escaped);
                    line_escaped += escaped_bytes(piece);
                    found.is_cut = found.escaped + line_escaped > bounds.space_bytes;
                    if found.is_cut {
                        let fits = bytes_that_fit(piece.len(), left_bytes, |bytes| &piece[..bytes]);
                        let end = at - piece.len() as u64 + fits as u64;
                        found.begin = at - line_bytes..character_start(file, end)?;
                        if rest == Rest::Unseen {
                            return Ok(found);
                        }
                    }
                }
                if piece.ends_with(b"\n") {
                    found.end_line(lines, line, at - line_bytes..at, line_escaped);
                    (line, line_bytes, line_escaped) = (line + 1, 0, 0);
                    if rest == Rest::Unseen && !lines.hold(line) {
                        return Ok(found);
                    }
                }
            }
            let is_shown = lines.hold(line) && !found.is_cut;
            if at >= bounds.scan_bytes && !is_shown {
                return found.unless_too_far(lines, bounds.scan_bytes);
            }
        }
        if line_bytes > 0 {
            found.end_line(lines, line, at - line_bytes..at, line_escaped);
        }
        found.total = Some(if line_bytes > 0 { line } else { line - 1 });
        Ok(found)
    }

    fn end_line(&mut self, lines: Lines, line: u64, range: Range<u64>, escaped: usize) {
        if lines.hold(line) && !self.is_cut {
            self.range = if self.shown == 0 { range } else { self.range.start..range.end };
            self.shown += 1;
            self.escaped += escaped;
        }
    }

    /// What was found where no more is looked through.
    fn unless_too_far(self, lines: Lines, limit_bytes: u64) -> Result<Self, FsError> {
        if self.shown == 0 && !self.is_cut {
            return Err(FsError::LineTooFar { line: lines.first, limit_bytes });
        }
        Ok(self)
    }

    /// The lines, or the part of the first that fits into so many bytes, with a word behind them.
    fn shown(self, space_bytes: usize, note: String) -> Shown {
        let (range, escaped) = match self.shown {
            0 if self.is_cut => (self.begin, space_bytes),
            _ => (self.range, self.escaped),
        };
        Shown { range, line_ends: LineEnds::Kept, escaped, note }
    }

    /// What the answer says behind the lines; empty where the last line is the last of the file. It begins with the one line
    /// feed that is not of the file.
    ///
    /// # Errors
    /// Those of reading.
    fn note(
        &self,
        file: &OpenFile,
        lines: Lines,
        scan_bytes: u64,
        cancellation: &CancellationToken,
    ) -> Result<String, FsError> {
        let left = |end: u64| file.bytes.saturating_sub(end);
        if self.is_cut && self.shown == 0 {
            return self.note_of_cut_line(file, lines.first, scan_bytes, cancellation);
        }
        let (first, behind) = (lines.first, lines.first + self.shown);
        let last = behind - 1;
        Ok(match self.total {
            Some(total) if self.shown == 0 => {
                let lines = counted(total, "line", "lines");
                format!("[No line is shown: the file has {lines}, and the offset is {first}]")
            }
            Some(total) if total == last => String::new(),
            Some(total) if self.range.end <= scan_bytes => format!(
                "\n[Lines {first} to {last} of {total}; {} {} left, read on with offset {behind}]",
                total - last,
                are(total - last)
            ),
            _ if left(self.range.end) == 0 => String::new(),
            _ => {
                let (left, bytes) = (left(self.range.end), file.bytes);
                let how = if self.range.end <= scan_bytes {
                    format!("read on with offset {behind}")
                } else {
                    let end = self.range.end;
                    format!(
                        "too far for offset, which reaches {scan_bytes} (max_line_scan_bytes): byteOffset={end} of its \
                         resource (--file-resources) reads on"
                    )
                };
                let are = are(left);
                format!("\n[Lines {first} to {last}; {left} of {bytes} bytes of the file {are} left, {how}]")
            }
        })
    }

    /// What the answer says behind the begin of a line that does not fit, which ends as if it were a whole one: the line
    /// feed before the bracket is the only byte that is not of the file.
    fn note_of_cut_line(
        &self,
        file: &OpenFile,
        line: u64,
        scan_bytes: u64,
        cancellation: &CancellationToken,
    ) -> Result<String, FsError> {
        let Range { start, end } = self.begin;
        let (shown, left, next) = (end - start, file.bytes.saturating_sub(end), line + 1);
        let behind = match self.total {
            Some(total) if total > line => Behind::Line,
            Some(_) => Behind::Nothing,
            None => Behind::look(file, end, scan_bytes, cancellation)?,
        };
        let how = match behind {
            Behind::Line => format!(", the next line has offset {next}; more of this one takes"),
            Behind::Nothing => "; more of the line takes".to_owned(),
            Behind::Unseen => {
                format!(", more lines may follow: the next has offset {next}; more of this one takes")
            }
            Behind::TooFar => format!(
                ", more lines may follow, too far for offset, which reaches {scan_bytes} (max_line_scan_bytes); more of \
                 this one takes"
            ),
        };
        let are = are(left);
        Ok(format!(
            "\n[The first {shown} bytes of line {line}, which is too long for an answer; {left} of {} bytes of the file \
             {are} left{how} a greater max_reply_bytes, or byteOffset={end} of its resource (--file-resources)]",
            file.bytes
        ))
    }
}

/// The lines of a piece of a file with their ends; the first and the last may be parts of lines.
fn line_pieces(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = chunk;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What is behind a line that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Line,
    Nothing,
    /// Its end was not looked for any further.
    Unseen,
    /// If a line begins there, no offset reaches it.
    TooFar,
}

impl Behind {
    /// Looks for the end of the line that goes on at a place.
    ///
    /// # Errors
    /// Those of reading.
    fn look(
        file: &OpenFile,
        from: u64,
        scan_bytes: u64,
        cancellation: &CancellationToken,
    ) -> Result<Self, FsError> {
        let reach_bytes = scan_bytes.saturating_sub(from);
        let most_bytes = reach_bytes.min(LINE_END_BYTES);
        let (mut buffer, mut seen_bytes) = ([0; CHUNK], 0);
        while seen_bytes < most_bytes {
            cancellation.check()?;
            let piece_bytes = (most_bytes - seen_bytes).min(CHUNK as u64) as usize;
            let at = from + seen_bytes;
            let chunk = file.read_at(&mut buffer[..piece_bytes], at)?;
            if chunk.is_empty() {
                return Ok(Self::Nothing);
            }
            if let Some(newline) = memchr::memchr(b'\n', chunk) {
                let is_last = at + newline as u64 + 1 >= file.bytes;
                return Ok(if is_last { Self::Nothing } else { Self::Line });
            }
            seen_bytes += chunk.len() as u64;
        }
        let is_end = from + seen_bytes >= file.bytes;
        Ok(if is_end {
            Self::Nothing
        } else if reach_bytes > LINE_END_BYTES {
            Self::Unseen
        } else {
            Self::TooFar
        })
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
    read(file, lines, Rest::Unseen, context, call)
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
    // The space for the lines bounds the look for them.
    let bounds = Bounds { space_bytes, scan_bytes: u64::MAX };
    let found = Found::look(file, Lines::first(None), bounds, Rest::Unseen, cancellation)?;
    let bytes = if found.shown == 0 { found.begin.end } else { found.range.end };
    let note = match (found.shown, bytes) {
        (0, 0) => format!(
            "[{} left out, read_text_file shows them or their begin]",
            counted(file.bytes, "byte is", "bytes are")
        ),
        (0, _) => {
            let left = file.bytes.saturating_sub(bytes);
            format!(
                "\n[The first {bytes} bytes; {left} of {} {} left, read_text_file shows more of them]",
                file.bytes,
                are(left)
            )
        }
        (shown, _) => {
            let left = file.bytes.saturating_sub(bytes);
            format!(
                "\n[Lines 1 to {shown}; {left} of {} bytes of the file {} left, read on with read_text_file and offset {}]",
                file.bytes,
                are(left),
                shown + 1
            )
        }
    };
    Ok(Beginning { bytes, note })
}

/// Answers with lines of a file. Of a first line that does not fit, there are the characters that do.
///
/// # Errors
/// Those of reading; when the lines are too far behind the begin of the file.
pub(super) fn read_lines(
    file: OpenFile,
    lines: Lines,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    read(file, lines, Rest::Counted, context, call)
}

fn read(
    file: OpenFile,
    lines: Lines,
    rest: Rest,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let bounds = Bounds::of(call.limits(), context);
    let found = Found::look(&file, lines, bounds, rest, context.cancellation)?;
    let note = found.note(&file, lines, bounds.scan_bytes, context.cancellation)?;
    answer(file, found.shown(bounds.space_bytes, note), context, call)
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
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        if cursor.at < self.text.bytes() && self.text.fill(cursor, room)? == Filled::Full {
            return Ok(Filled::Full);
        }
        let written = (cursor.at - self.text.bytes()) as usize;
        let rest = self.note.as_bytes().get(written..).unwrap_or_default();
        let taken = escape_piece(rest, true, room);
        cursor.at += taken as u64;
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

    const WIDE: Bounds = Bounds { space_bytes: 1 << 20, scan_bytes: u64::MAX };

    proptest! {
        /// As `str::lines` has them, but with their ends.
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
            let found = Found::look(&file_of(text.as_bytes()), asked, WIDE, Rest::Counted, &cancellation).expect("read");
            let want: Vec<&str> =
                text.split_inclusive('\n').skip(first as usize - 1).take(most as usize).collect();
            prop_assert_eq!(found.total, Some(lines.len() as u64));
            prop_assert_eq!(found.shown, want.len() as u64);
            prop_assert_eq!(&text[found.range.start as usize..found.range.end as usize], want.concat());
            prop_assert!(!found.is_cut);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_next_call() {
        let file = file_of("12345\n".repeat(10).as_bytes());
        let cancellation = CancellationToken::after(u64::MAX);
        let asked = Lines { first: 3, most: 7 };
        let bounds = Bounds { space_bytes: 20, ..WIDE };
        let found = Found::look(&file, asked, bounds, Rest::Counted, &cancellation).expect("read");
        assert_eq!(
            (found.range.clone(), found.shown, found.total, found.is_cut),
            (12..24, 2, Some(10), true)
        );
        let note = found.note(&file, asked, bounds.scan_bytes, &cancellation).expect("read");
        assert_eq!(note, "\n[Lines 3 to 4 of 10; 6 are left, read on with offset 5]");
    }

    fn sparse() -> OpenFile {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        OpenFile::regular(file.into(), || Ok(String::new())).expect("a regular file")
    }

    #[test]
    fn a_long_look_ends_when_nobody_waits() {
        let cancellation = CancellationToken::after(3);
        let asked = Lines { first: 1, most: 1 };
        assert!(matches!(
            Found::look(&sparse(), asked, WIDE, Rest::Counted, &cancellation),
            Err(FsError::Cancelled(_))
        ));
        assert_eq!(cancellation.checked(), 4);
    }

    /// Neither for a line that is far away nor to count those behind is more looked through.
    #[test]
    fn a_look_ends_at_its_bound() {
        let bounds = Bounds { space_bytes: 1 << 10, scan_bytes: 1 << 20 };
        let most_steps = (1 << 20) / CHUNK as u64 + 2;
        let cancellation = CancellationToken::after(u64::MAX);
        let far = Lines { first: 2, most: 1 };
        let error = Found::look(&sparse(), far, bounds, Rest::Counted, &cancellation);
        assert!(matches!(error, Err(FsError::LineTooFar { line: 2, limit_bytes: 1_048_576 })), "{error:?}");
        assert!(cancellation.checked() <= most_steps, "{}", cancellation.checked());
        let near = Lines { first: 1, most: 1 };
        let cancellation = CancellationToken::after(u64::MAX);
        let found = Found::look(&sparse(), near, bounds, Rest::Counted, &cancellation).expect("read");
        assert_eq!((found.total, found.is_cut), (None, true));
        let note = found.note(&sparse(), near, bounds.scan_bytes, &cancellation).expect("read");
        let behind = " are left, more lines may follow, too far for offset, which reaches 1048576 (max_line_scan_bytes); more \
                      of this one takes a greater max_reply_bytes";
        assert!(note.contains(behind), "{note}");
        assert!(cancellation.checked() <= 2 * most_steps, "{}", cancellation.checked());
    }

    /// A part that ends before the bound says where the next begins, and that begin is found.
    #[test]
    fn no_offset_is_said_that_is_too_far() {
        let text = "12345\n".repeat(100_000);
        let file = file_of(text.as_bytes());
        let bounds = Bounds { space_bytes: 7_000, scan_bytes: 1 << 17 };
        let cancellation = CancellationToken::after(u64::MAX);
        let (mut offset, mut parts) = (1, 0);
        loop {
            let asked = Lines { first: offset, most: MAX_LINE };
            let found = Found::look(&file, asked, bounds, Rest::Counted, &cancellation).expect("near");
            assert_eq!((found.total, found.shown), (None, 1_000), "{found:?}");
            assert_eq!(found.range, 6 * (offset - 1)..6 * (offset + 999));
            let note = found.note(&file, asked, bounds.scan_bytes, &cancellation).expect("read");
            (offset, parts) = (offset + 1_000, parts + 1);
            if !note.ends_with(&format!("read on with offset {offset}]")) {
                assert!(note.contains("too far for offset") && parts == 22, "{parts}: {note}");
                let way =
                    format!("byteOffset={} of its resource (--file-resources) reads on]", 6 * (offset - 1));
                assert!(note.ends_with(&way), "{note}");
                break;
            }
        }
    }

    /// Whatever is behind a line that does not fit, and however far its end is, lines are said to be there, or not.
    #[test]
    fn what_is_behind_a_long_line_is_said() {
        const LONG: usize = LINE_END_BYTES as usize + 30_000;
        let cancellation = CancellationToken::after(u64::MAX);
        for (bytes, rest, scan_bytes, want) in [
            (9_000, "", u64::MAX, "; more of the line takes"),
            (9_000, "\n", u64::MAX, "; more of the line takes"),
            (9_000, "\nnext", u64::MAX, ", the next line has offset 2; more of this one takes"),
            // It begins at the bound, and one byte behind it.
            (9_000, "\nnext", 9_001, ", the next line has offset 2; more of this one takes"),
            (9_000, "\nnext", 9_000, ", more lines may follow, too far for offset, which reaches 9000 ("),
            (9_000, "", 9_000, "; more of the line takes"),
            (9_000, "", 8_999, ", more lines may follow, too far for offset, which reaches 8999 ("),
            (
                LONG,
                "\nnext",
                u64::MAX,
                ", more lines may follow: the next has offset 2; more of this one takes",
            ),
        ] {
            let file = file_of(("x".repeat(bytes) + rest).as_bytes());
            let lines = Lines::first(None);
            let bounds = Bounds { space_bytes: 1_000, scan_bytes };
            let found = Found::look(&file, lines, bounds, Rest::Unseen, &cancellation).expect("read");
            let note = found.note(&file, lines, scan_bytes, &cancellation).expect("read");
            assert!(note.starts_with("\n[The first 1000 bytes of line 1, ") && note.contains(want), "{note}");
        }
        // Who counts the lines has seen that there are more.
        let file = file_of(("x".repeat(LONG) + "\nnext").as_bytes());
        let lines = Lines::first(None);
        let bounds = Bounds { space_bytes: 1_000, ..WIDE };
        let found = Found::look(&file, lines, bounds, Rest::Counted, &cancellation).expect("read");
        let note = found.note(&file, lines, bounds.scan_bytes, &cancellation).expect("read");
        assert!(note.contains(", the next line has offset 2; more of this one takes"), "{note}");
    }

    #[test]
    fn the_longest_notes_have_space() {
        let cancellation = CancellationToken::after(u64::MAX);
        let mut file = file_of(b"x\n\n");
        file.bytes = 1 << 62;
        let lines = Lines { first: MAX_LINE - 1, most: 1 };
        let cut = |total| Found { is_cut: true, begin: 0..1, total, ..Found::default() };
        let shown = Found { shown: 1, range: 0..1 << 61, ..Found::default() };
        // Only the bound is short here, and what is shown of a cut line.
        for (found, scan_bytes, words, more_digits) in [
            (cut(Some(MAX_LINE)), u64::MAX, "the next line has offset 9007199254740992;", 2 * 19),
            (cut(None), 1, "too far for offset, which reaches 1 (max_line_scan_bytes);", 3 * 19),
            (shown, 1, "too far for offset, which reaches 1 (max_line_scan_bytes): byteOffset=", 19),
        ] {
            let note = found.note(&file, lines, scan_bytes, &cancellation).expect("read");
            assert!(note.contains(words), "{note}");
            assert!(escaped_bytes(note.as_bytes()) + more_digits <= NOTE_BYTES, "{}", note.len());
        }
    }
}
