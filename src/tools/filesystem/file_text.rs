//! The text or the data of a large file, read while the answer is sent that carries it.
//!
//! The file is read by place: it stays open, and what is read for one copy changes nothing for the other. Only what it
//! had when it was counted is read, so that a file that grows is answered as it was. Each copy is checked against what
//! was counted: one that differs, or of which a part is of another moment, ends as an error.

use super::error::FsError;
use super::open_file::{CHUNK, OpenFile, Stamp};
use crate::server::{BlockSource, CancellationToken, Cursor, Filled, TextBlock};
use crate::wire::{BufferRoom, CountingRoom, LONGEST_UNIT, Room, base64_piece, escape_piece};
use std::ops::Range;

/// A part of a file, as text in JSON.
#[derive(Debug)]
pub(crate) struct FileText {
    file: OpenFile,
    range: Range<u64>,
    line_ends: LineEnds,
    /// The checksum of the part when it was counted.
    counted: Option<u32>,
}

/// The checksum of bytes behind others that have the checksum `before`. For changes that nobody hides: who writes a file
/// decides what is read in it.
pub(super) fn checksum(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

/// What becomes of line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnds {
    Kept,
    /// `\r\n` becomes `\n`.
    Short,
}

/// What became of a piece of a file.
struct Piece {
    read_bytes: usize,
    /// None where the room is too small, or where the file ends in the middle of a character.
    taken_bytes: usize,
}

impl FileText {
    pub(crate) fn new(file: OpenFile, range: Range<u64>, line_ends: LineEnds) -> Self {
        Self { file, range, line_ends, counted: None }
    }

    /// A part that was counted before, and had that checksum.
    pub(crate) fn counted(self, checksum: u32) -> Self {
        Self { counted: Some(checksum), ..self }
    }

    /// The checksum of the part, if it was counted.
    pub(crate) fn checksum(&self) -> u32 {
        self.counted.unwrap_or_default()
    }

    /// Reads it once, and returns the bytes that it has in JSON; `None` if those are more than `most_bytes`.
    ///
    /// # Errors
    /// Those of reading; when nobody waits for the answer any more.
    pub(crate) fn count(
        &mut self,
        most_bytes: usize,
        cancellation: &CancellationToken,
    ) -> Result<Option<usize>, FsError> {
        let mut room = CountingRoom::default();
        let mut cursor = Cursor::default();
        while cursor.at < self.bytes() {
            cancellation.check()?;
            let piece = self.step(&mut cursor, &mut room)?;
            if piece.taken_bytes == 0 {
                // It ends before its length, as files do that are no files on a disk.
                self.range.end = self.range.start + cursor.at + piece.read_bytes as u64;
            }
            if room.bytes > most_bytes {
                return Ok(None);
            }
        }
        self.counted = Some(cursor.checksum);
        Ok(Some(room.bytes))
    }

    /// Bytes of the part; known to be right once they were counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Writes it into a block, as far as there is space in the answer.
    ///
    /// # Errors
    /// Those of reading; when nobody waits for the answer any more.
    pub(crate) fn write(
        &self,
        block: &mut TextBlock<'_>,
        cancellation: &CancellationToken,
    ) -> Result<(), FsError> {
        write_text(&self.file, self.range.clone(), self.line_ends, block, cancellation)
    }

    /// The file, to read something else of it.
    pub(crate) fn into_file(self) -> OpenFile {
        self.file
    }

    /// Reads and writes the next piece.
    fn step(&self, cursor: &mut Cursor, room: &mut impl Room) -> Result<Piece, FsError> {
        let at = &mut cursor.at;
        let mut buffer = [0; CHUNK];
        // No more than has room, but enough for the longest character.
        let most = (room.left().clamp(LONGEST_UNIT, CHUNK) as u64).min(self.bytes() - *at);
        let piece = self.file.read_at(&mut buffer[..most as usize], self.range.start + *at)?;
        let is_last = *at + piece.len() as u64 == self.bytes();
        let taken_bytes = match self.line_ends {
            LineEnds::Kept => escape_piece(piece, is_last, room),
            LineEnds::Short => shorten_line_ends(piece, is_last, room),
        };
        *at += taken_bytes as u64;
        cursor.checksum = checksum(cursor.checksum, &piece[..taken_bytes]);
        Ok(Piece { read_bytes: piece.len(), taken_bytes })
    }
}

/// Writes a part of a file into a block, as far as there is space in the answer.
///
/// # Errors
/// Those of reading; when nobody waits for the answer any more.
pub(crate) fn write_text(
    file: &OpenFile,
    range: Range<u64>,
    line_ends: LineEnds,
    block: &mut TextBlock<'_>,
    cancellation: &CancellationToken,
) -> Result<(), FsError> {
    let (mut buffer, mut at, mut ends_in_return) = ([0; CHUNK], range.start, false);
    while at < range.end && !block.is_full() {
        cancellation.check()?;
        let most_bytes = (range.end - at).min(CHUNK as u64) as usize;
        let chunk = file.read_at(&mut buffer[..most_bytes], at)?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        match line_ends {
            LineEnds::Kept => block.push_lossy(chunk),
            LineEnds::Short => ends_in_return = push_short(chunk, ends_in_return, block),
        }
    }
    if ends_in_return {
        block.push_str("\r");
    }
    Ok(())
}

/// Writes a piece with `\r\n` as `\n`. A carriage return at its end is not written before it is known that no newline
/// follows it: tells whether there is one, and is told whether the piece before had one.
fn push_short(piece: &[u8], mut is_pending: bool, block: &mut TextBlock<'_>) -> bool {
    for part in piece.split_inclusive(|byte| *byte == b'\r') {
        if std::mem::take(&mut is_pending) && part[0] != b'\n' {
            block.push_str("\r");
        }
        match part.split_last() {
            Some((b'\r', line)) => {
                block.push_lossy(line);
                is_pending = true;
            }
            _ => block.push_lossy(part),
        }
    }
    is_pending
}

/// Writes a piece with `\r\n` as `\n`, and returns how many of its bytes were taken.
fn shorten_line_ends(piece: &[u8], is_last: bool, room: &mut impl Room) -> usize {
    let mut taken = 0;
    while taken < piece.len() {
        let rest = &piece[taken..];
        let Some(at) = memchr::memchr(b'\r', rest) else {
            return taken + escape_piece(rest, is_last, room);
        };
        // No character continues behind a carriage return.
        let before = escape_piece(&rest[..at], true, room);
        taken += before;
        if before < at {
            return taken;
        }
        taken += match rest.get(at + 1) {
            Some(b'\n') => 1,
            // Only the next piece tells whether a newline follows it.
            None if !is_last => return taken,
            _ => match escape_piece(b"\r", true, room) {
                0 => return taken,
                written => written,
            },
        };
    }
    taken
}

impl BlockSource for FileText {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        while cursor.at < self.bytes() {
            let piece = self.step(cursor, room).map_err(|error| error.to_string())?;
            if piece.taken_bytes > 0 {
                continue;
            }
            if piece.read_bytes > 0 && room.left() < LONGEST_UNIT {
                return Ok(Filled::Full);
            }
            return Err(FsError::Shrank.to_string());
        }
        if self.counted.is_some_and(|counted| counted != cursor.checksum) {
            return Err(FsError::Changed.to_string());
        }
        Ok(Filled::End)
    }
}

/// The bytes of a file as base64.
#[derive(Debug)]
pub(crate) struct FileData {
    file: OpenFile,
    range: Range<u64>,
    /// From before its first byte was read.
    stamp: Option<Stamp>,
}

impl FileData {
    pub(crate) fn new(file: OpenFile) -> Self {
        let range = 0..file.bytes;
        Self::part(file, range)
    }

    /// A part of a file.
    pub(crate) fn part(file: OpenFile, range: Range<u64>) -> Self {
        let stamp = file.stamp();
        Self { file, range, stamp }
    }

    /// Bytes of it in JSON.
    pub(crate) fn base64_bytes(&self) -> usize {
        (self.bytes() as usize).div_ceil(3) * 4
    }

    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The checksum of what it has now.
    fn checksum(&self) -> Result<u32, FsError> {
        let (mut buffer, mut at, mut sum) = ([0; CHUNK], 0, 0);
        while at < self.bytes() {
            let most = (self.bytes() - at).min(CHUNK as u64) as usize;
            let piece = self.file.read_at(&mut buffer[..most], self.range.start + at)?;
            if piece.is_empty() {
                return Err(FsError::Shrank);
            }
            at += piece.len() as u64;
            sum = checksum(sum, piece);
        }
        Ok(sum)
    }
}

impl BlockSource for FileData {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let at = &mut cursor.at;
        let mut buffer = [0; CHUNK];
        while *at < self.bytes() {
            let groups = room.left() / 4;
            if groups == 0 {
                return Ok(Filled::Full);
            }
            let most = ((3 * groups).min(CHUNK) as u64).min(self.bytes() - *at) as usize;
            let piece = self.file.read_at(&mut buffer[..most], self.range.start + *at);
            let piece = piece.map_err(|error| error.to_string())?;
            let is_last = *at + piece.len() as u64 == self.bytes();
            let taken = base64_piece(piece, is_last, room);
            if taken == 0 {
                return Err(FsError::Shrank.to_string());
            }
            *at += taken as u64;
            cursor.checksum = checksum(cursor.checksum, &piece[..taken]);
        }
        // What was appended, or touched, is as it was sent.
        if self.file.may_have_changed(self.stamp.as_ref())
            && self.checksum().map_err(|error| error.to_string())? != cursor.checksum
        {
            return Err(FsError::Changed.to_string());
        }
        Ok(Filled::End)
    }

    fn is_base64(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use proptest::prelude::*;

    /// Bytes full of carriage returns, escapes, and characters that begin and do not end.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            2 => "[a-z\"\u{1}]{1,9}".prop_map(String::into_bytes),
            3 => "[\r\n]{1,4}".prop_map(String::into_bytes),
            1 => "[\u{e9}\u{20ac}]{1,2}".prop_map(String::into_bytes),
            1 => Just(vec![0xE2, 0x82]),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn line_ends_are_shortened_in_pieces_and_rooms_of_any_size(
            bytes in bytes(),
            piece_bytes in LONGEST_UNIT..20,
            room_bytes in LONGEST_UNIT..20,
        ) {
            let (mut written, mut at) = (BytesMut::new(), 0);
            while at < bytes.len() {
                let end = bytes.len().min(at + piece_bytes);
                let mut part = BytesMut::new();
                let taken = shorten_line_ends(
                    &bytes[at..end],
                    end == bytes.len(),
                    &mut BufferRoom::new(&mut part, room_bytes),
                );
                prop_assert!(taken > 0 && part.len() <= room_bytes, "each step gets further");
                written.extend_from_slice(&part);
                at += taken;
            }
            let is_dropped = |at: usize| bytes[at..].starts_with(b"\r\n");
            let short: Vec<u8> =
                (0..bytes.len()).filter(|at| !is_dropped(*at)).map(|at| bytes[at]).collect();
            let want = serde_json::to_string(&String::from_utf8_lossy(&short)).expect("text");
            prop_assert_eq!(String::from_utf8_lossy(&written), &want[1..want.len() - 1]);
        }
    }
}
