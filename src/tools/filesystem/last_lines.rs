//! The last lines of a file (`tail`): where they begin, and those of them that fit where not all do.

use super::answer_space::AnswerSpace;
use super::context::Context;
use super::error::{FsError, Stop};
use super::file_text::LineEnds;
use super::line_range::{NOTE_BYTES, Shown, answer, bytes_that_fit, scan_bytes};
use super::numbers::counted;
use super::open_file::{CHUNK, OpenFile};
use crate::server::{CallContext, CancellationToken};
use crate::wire::escaped_bytes;

/// Bytes of the longest character.
const LONGEST: usize = 4;

/// The reference reads backwards in pieces of this many bytes, which shows when less than a line is asked for.
const PIECE: u64 = 1024;

/// Finds where the last lines begin: after the newline that is that many from the end. A newline at the end of the file
/// counts. `None` where the lines do not fit into an answer; what is before them is not read.
pub(super) fn tail_start(
    file: &OpenFile,
    lines: f64,
    space: AnswerSpace,
    cancellation: &CancellationToken,
) -> Result<Option<u64>, FsError> {
    if lines < 0.0 {
        return Ok(Some(file.bytes));
    }
    let mut wanted = lines.max(1.0) as u64;
    let mut buffer = [0; CHUNK];
    let mut end = file.bytes;
    while end > 0 {
        cancellation.check()?;
        if file.bytes - end > space.text_bytes() as u64 {
            return Ok(None);
        }
        let start = end.saturating_sub(CHUNK as u64);
        let chunk = file.read_at(&mut buffer[..(end - start) as usize], start)?;
        for at in memchr::memrchr_iter(b'\n', chunk) {
            wanted -= 1;
            if wanted == 0 {
                let newline = start + at as u64;
                let pieces = (file.bytes - newline).div_ceil(PIECE);
                let piece = file.bytes.saturating_sub(pieces * PIECE);
                return Ok(Some(if lines < 1.0 { piece } else { newline + 1 }));
            }
        }
        end = start;
    }
    Ok(Some(0))
}

/// The end of a file, as much of it as fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    start: u64,
    /// Lines from there on, as `tail` counts them: what is behind the last newline counts as one.
    lines: u64,
    /// Bytes of it in JSON, at most.
    escaped: usize,
    /// It begins within a line, which is too long for an answer.
    is_within_line: bool,
}

impl End {
    /// Goes back through a file that does not fit as a whole.
    fn look(file: &OpenFile, space_bytes: usize, cancellation: &CancellationToken) -> Result<Self, FsError> {
        let mut found = Self { start: file.bytes, lines: 0, escaped: 0, is_within_line: false };
        let (mut buffer, mut end, mut line_escaped) = ([0; CHUNK], file.bytes, 0);
        while end > 0 {
            cancellation.check()?;
            let begin = end.saturating_sub(CHUNK as u64);
            let chunk = file.read_at(&mut buffer[..(end - begin) as usize], begin)?;
            let mut piece_end = chunk.len();
            let line_starts = memchr::memrchr_iter(b'\n', chunk).map(|at| at + 1);
            for piece_start in line_starts.chain([0]) {
                let piece = &chunk[piece_start..piece_end];
                let left_bytes = space_bytes.saturating_sub(found.escaped + line_escaped);
                line_escaped += escaped_bytes(piece);
                if found.escaped + line_escaped > space_bytes {
                    if found.start == file.bytes {
                        let fits =
                            bytes_that_fit(piece.len(), left_bytes, |bytes| &piece[piece.len() - bytes..]);
                        let at = begin + (piece_end - fits) as u64;
                        found = found.within_line(next_character(file, at)?, space_bytes);
                    }
                    return Ok(found);
                }
                piece_end = piece_start;
                if piece_start > 0 {
                    found.start = begin + piece_start as u64;
                    found.lines += 1;
                    found.escaped += line_escaped;
                    line_escaped = 0;
                }
            }
            end = begin;
        }
        Ok(Self { start: 0, lines: found.lines + 1, escaped: found.escaped + line_escaped, ..found })
    }

    fn within_line(self, start: u64, escaped: usize) -> Self {
        Self { start, lines: self.lines + 1, escaped, is_within_line: true }
    }

    /// What the answer says behind it, where so many lines were asked for. `before` is what is before it; where that was
    /// not looked through, the bytes in which lines are found by their numbers.
    fn note(&self, wanted: u64, file_bytes: u64, before: Result<Before, u64>) -> String {
        let all = counted(wanted, "line", "lines");
        let shown_bytes = file_bytes.saturating_sub(self.start);
        let before = before.map_err(|scan_bytes| {
            let shown = if self.is_within_line {
                format!("The last {shown_bytes} bytes, as a line is too long for an answer")
            } else {
                format!("The last {} of {all}", self.lines)
            };
            let start = self.start;
            format!(
                "\n[{shown}; {start} of {file_bytes} bytes of the file are before them, offset and limit read the lines \
                 that begin in the first {scan_bytes} of those (max_line_scan_bytes), and byteOffset={scan_bytes} of its \
                 resource (--file-resources) what follows]"
            )
        });
        let before = match before {
            Ok(before) => before,
            Err(note) => return note,
        };
        let first = before.newlines + 1;
        let shown = if self.is_within_line {
            format!("The last {shown_bytes} bytes, as line {first} is too long for an answer")
        } else {
            format!("The last {} of {all}, from line {first} on", self.lines)
        };
        let left = wanted.saturating_sub(self.lines).min(before.newlines);
        // The begin of a line that is too long is shown with those before it.
        let limit = left + u64::from(self.is_within_line);
        if limit == 0 {
            return format!("\n[{shown}]");
        }
        let offset = first - left;
        let middle = if self.is_within_line {
            let (begin, bytes) = (before.line_start, self.start.saturating_sub(before.line_start));
            format!(
                "; what still lacks of it takes a greater max_reply_bytes, or byteOffset={begin}&byteLimit={bytes} of its \
                 resource (--file-resources)"
            )
        } else {
            String::new()
        };
        format!("\n[{shown}; read what is before it with offset {offset} and limit {limit}{middle}]")
    }
}

/// The place itself, or where the next character begins, if it is inside one.
fn next_character(file: &OpenFile, at: u64) -> Result<u64, FsError> {
    let mut buffer = [0; LONGEST];
    let bytes = file.read_at(&mut buffer, at)?;
    let inside = bytes.iter().take_while(|byte| **byte & 0xC0 == 0x80).count();
    // Where none begins, the text is no UTF-8.
    Ok(if inside < LONGEST { at + inside as u64 } else { at })
}

/// What a file has before a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Before {
    newlines: u64,
    /// Where the line begins that the place is in.
    line_start: u64,
}

/// What a file has before a place; `scan_bytes` itself where those are more bytes.
fn look_before(
    file: &OpenFile,
    end: u64,
    scan_bytes: u64,
    cancellation: &CancellationToken,
) -> Result<Result<Before, u64>, FsError> {
    if end > scan_bytes {
        return Ok(Err(scan_bytes));
    }
    let (mut buffer, mut at, mut before) = ([0; CHUNK], 0, Before { newlines: 0, line_start: 0 });
    while at < end {
        cancellation.check()?;
        let chunk = file.read_at(&mut buffer[..(end - at).min(CHUNK as u64) as usize], at)?;
        if chunk.is_empty() {
            break;
        }
        before.newlines += memchr::memchr_iter(b'\n', chunk).count() as u64;
        if let Some(newline) = memchr::memrchr(b'\n', chunk) {
            before.line_start = at + newline as u64 + 1;
        }
        at += chunk.len() as u64;
    }
    Ok(Ok(before))
}

/// Answers with those of the last lines that fit, and says where the others are. Of a last line that does not fit,
/// there are the characters that do.
///
/// # Errors
/// Those of reading.
pub(super) fn read_last(
    file: OpenFile,
    lines: f64,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    let end = End::look(&file, space.text_bytes().saturating_sub(NOTE_BYTES), context.cancellation)?;
    let before = look_before(&file, end.start, scan_bytes(call.limits()), context.cancellation)?;
    // The cast saturates.
    let note = end.note(lines.max(1.0) as u64, file.bytes, before);
    let range = end.start..file.bytes;
    let shown = Shown { range, line_ends: LineEnds::Short, escaped: end.escaped, note };
    answer(file, shown, context, call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::tools::filesystem::compat::Copies;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn file_of(bytes: &[u8]) -> OpenFile {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        OpenFile::regular(file.into(), || Ok(String::new())).expect("a regular file")
    }

    /// A character that is read in two pieces counts a few bytes more.
    const SLACK: usize = 64;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The end is the longest that fits and begins with a line, or, if no line fits, with a character.
        #[test]
        fn the_longest_end_that_fits_is_found(
            lines in prop::collection::vec("[a\u{e9}\u{20ac}\r\"]{0,30}", 0..1_000),
            ends in any::<bool>(),
            space_bytes in 64_usize..30_000,
        ) {
            let text = lines.join("\n") + if ends { "\n" } else { "" };
            let bytes = text.as_bytes();
            let cancellation = CancellationToken::after(u64::MAX);
            let file = file_of(bytes);
            let end = End::look(&file, space_bytes, &cancellation).expect("read");
            let shown = &bytes[end.start as usize..];
            prop_assert!(text.is_char_boundary(end.start as usize) && end.escaped <= space_bytes);
            prop_assert!(escaped_bytes(shown) <= end.escaped);
            if end.is_within_line {
                prop_assert!(!shown[..shown.len().saturating_sub(1)].contains(&b'\n'));
                let shown_bytes = escaped_bytes(shown);
                prop_assert!(shown_bytes + SLACK > space_bytes, "{shown_bytes} of {space_bytes}");
            } else {
                prop_assert!(end.start == 0 || bytes[end.start as usize - 1] == b'\n');
                prop_assert_eq!(end.lines, 1 + memchr::memchr_iter(b'\n', shown).count() as u64);
                let before = memchr::memrchr(b'\n', &bytes[..(end.start as usize).saturating_sub(1)]);
                let longer = &bytes[before.map_or(0, |at| at + 1)..];
                prop_assert!(end.start == 0 || escaped_bytes(longer) + SLACK > space_bytes);
            }
        }
    }

    #[test]
    fn what_is_left_out_is_where_the_note_says() {
        let file = file_of("12345\n".repeat(10).as_bytes());
        let cancellation = CancellationToken::after(u64::MAX);
        let end = End::look(&file, 20, &cancellation).expect("read");
        assert_eq!((end.start, end.lines), (48, 3));
        let before = look_before(&file, end.start, 48, &cancellation).expect("read");
        assert_eq!(before, Ok(Before { newlines: 8, line_start: 48 }));
        assert_eq!(
            end.note(6, file.bytes, before),
            "\n[The last 3 of 6 lines, from line 9 on; read what is before it with offset 6 and limit 3]"
        );
        // More than there are.
        assert_eq!(
            end.note(99, file.bytes, before),
            "\n[The last 3 of 99 lines, from line 9 on; read what is before it with offset 1 and limit 8]"
        );
        assert_eq!(
            look_before(&OpenFile::sparse(), 1 << 21, 1 << 20, &cancellation).expect("read"),
            Err(1 << 20)
        );
        assert_eq!(
            end.note(6, 60, Err(40)),
            "\n[The last 3 of 6 lines; 48 of 60 bytes of the file are before them, offset and limit read the lines that \
             begin in the first 40 of those (max_line_scan_bytes), and byteOffset=40 of its resource (--file-resources) what \
             follows]"
        );
    }

    #[test]
    fn the_longest_notes_have_space() {
        const MANY: u64 = 1 << 62;
        let end = End { start: MANY, lines: 1, escaped: 0, is_within_line: true };
        let before = Before { newlines: MANY, line_start: 0 };
        for (before, words) in [(Ok(before), "byteOffset=0&byteLimit="), (Err(MANY), "what follows]")] {
            let note = end.note(MANY, 2 * MANY, before);
            assert!(note.contains(words), "{note}");
            assert!(escaped_bytes(note.as_bytes()) + 19 <= NOTE_BYTES, "{}", note.len());
        }
    }

    #[test]
    fn the_way_back_through_a_file_ends_when_nobody_waits() {
        let cancellation = CancellationToken::after(3);
        let space = AnswerSpace::of(&Limits::default(), Copies::Twice);
        assert!(matches!(
            tail_start(&OpenFile::sparse(), 1.0, space, &cancellation),
            Err(FsError::Cancelled(_))
        ));
        assert_eq!(cancellation.checked(), 4);
    }

    #[test]
    fn the_way_back_through_a_file_is_no_longer_than_an_answer() {
        let cancellation = CancellationToken::after(u64::MAX);
        for max_reply_bytes in [1 << 10, 1 << 16, 1 << 24] {
            let space = AnswerSpace::of(&Limits { max_reply_bytes, ..Limits::default() }, Copies::Twice);
            let before = cancellation.checked();
            assert!(matches!(tail_start(&OpenFile::sparse(), 1.0, space, &cancellation), Ok(None)));
            let steps = cancellation.checked() - before;
            assert!(steps as usize <= max_reply_bytes / 2 / CHUNK + 2, "{steps} for {max_reply_bytes}");
        }
    }
}
