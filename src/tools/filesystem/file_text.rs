//! The text or the data of a large file, read while the answer is sent that carries it.
//!
//! The file is read by place: it stays open, and what is read for one copy changes nothing for the other. Only what it
//! had when it was counted is read, so that a file that grows is answered as it was.

use super::error::FsError;
use super::open_file::{CHUNK, OpenFile};
use crate::server::{BlockSource, CancellationToken, Filled};
use crate::wire::{BufferRoom, CountingRoom, LONGEST_UNIT, Room, base64_piece, escape_piece};

/// The first bytes of a file, as text in JSON.
#[derive(Debug)]
pub(crate) struct FileText {
    file: OpenFile,
    /// Bytes of the file.
    bytes: u64,
}

/// What became of a piece of a file.
struct Piece {
    read_bytes: usize,
    /// None where the room is too small, or where the file ends in the middle of a character.
    taken_bytes: usize,
}

impl FileText {
    /// Reads the file once, and returns its text and the bytes that this has in JSON; `None` if those are more than
    /// `most_bytes`.
    ///
    /// # Errors
    /// Those of reading; when nobody waits for the answer any more.
    pub(crate) fn count(
        file: OpenFile,
        most_bytes: usize,
        cancellation: &CancellationToken,
    ) -> Result<Option<(Self, usize)>, FsError> {
        let mut text = Self { bytes: file.bytes, file };
        let mut room = CountingRoom::default();
        let mut at = 0;
        while at < text.bytes {
            cancellation.check()?;
            let piece = text.step(&mut at, &mut room)?;
            if piece.taken_bytes == 0 {
                // It ends before its length, as files do that are no files on a disk.
                text.bytes = at + piece.read_bytes as u64;
            }
            if room.bytes > most_bytes {
                return Ok(None);
            }
        }
        Ok(Some((text, room.bytes)))
    }

    /// Reads and writes the next piece.
    fn step(&self, at: &mut u64, room: &mut impl Room) -> Result<Piece, FsError> {
        let mut buffer = [0; CHUNK];
        // No more than has room, but enough for the longest character.
        let most = room.left().clamp(LONGEST_UNIT, CHUNK).min((self.bytes - *at) as usize);
        let piece = self.file.read_at(&mut buffer[..most], *at)?;
        let is_last = *at + piece.len() as u64 == self.bytes;
        let taken_bytes = escape_piece(piece, is_last, room);
        *at += taken_bytes as u64;
        Ok(Piece { read_bytes: piece.len(), taken_bytes })
    }
}

impl BlockSource for FileText {
    fn fill(&self, at: &mut u64, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        while *at < self.bytes {
            let piece = self.step(at, room).map_err(|error| error.to_string())?;
            if piece.taken_bytes > 0 {
                continue;
            }
            if piece.read_bytes > 0 && room.left() < LONGEST_UNIT {
                return Ok(Filled::Full);
            }
            return Err(FsError::Shrank.to_string());
        }
        Ok(Filled::End)
    }
}

/// The bytes of a file as base64.
#[derive(Debug)]
pub(crate) struct FileData {
    file: OpenFile,
}

impl FileData {
    pub(crate) fn new(file: OpenFile) -> Self {
        Self { file }
    }

    /// Bytes of it in JSON.
    pub(crate) fn base64_bytes(&self) -> usize {
        (self.file.bytes as usize).div_ceil(3) * 4
    }
}

impl BlockSource for FileData {
    fn fill(&self, at: &mut u64, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let mut buffer = [0; CHUNK];
        while *at < self.file.bytes {
            let groups = room.left() / 4;
            if groups == 0 {
                return Ok(Filled::Full);
            }
            let most = (3 * groups).min(CHUNK).min((self.file.bytes - *at) as usize);
            let piece = self.file.read_at(&mut buffer[..most], *at).map_err(|error| error.to_string())?;
            let is_last = *at + piece.len() as u64 == self.file.bytes;
            let taken = base64_piece(piece, is_last, room);
            if taken == 0 {
                return Err(FsError::Shrank.to_string());
            }
            *at += taken as u64;
        }
        Ok(Filled::End)
    }
}
