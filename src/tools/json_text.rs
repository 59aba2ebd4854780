//! Answers that are JSON twice: as text for people and models, indented as the reference servers do it, and as the
//! structured answer.

use crate::server::{CallContext, TextBlock, ToolError};
use serde::Serialize;
use std::io::{self, Write as _};

/// Writes `value` as an indented text block and as the structured answer. Allocates nothing by itself.
///
/// # Errors
/// When the value cannot be serialised.
pub(crate) fn answer<T: Serialize>(call: &mut CallContext, value: &T) -> Result<(), ToolError> {
    call.text_with(|text| write_indented(text, value))
        .map_err(|error| ToolError::failed(error.to_string()))?;
    call.structured(value)
}

fn write_indented<T: Serialize>(text: &mut TextBlock<'_>, value: &T) -> io::Result<()> {
    let mut pieces = Pieces { text, held: [0; HELD_BYTES], len: 0 };
    serde_json::to_writer_pretty(&mut pieces, value)?;
    pieces.flush()
}

/// Bytes of the pieces that are written at once.
const HELD_BYTES: usize = 512;

/// Takes the pieces that a serializer writes. Most have a few bytes, and each write into a text goes through it for what has to
/// be escaped, so many of them are written at once.
struct Pieces<'a, 'r> {
    text: &'a mut TextBlock<'r>,
    held: [u8; HELD_BYTES],
    /// So many of them are held.
    len: usize,
}

impl io::Write for Pieces<'_, '_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > HELD_BYTES - self.len {
            self.flush()?;
        }
        if let Some(room) = self.held[self.len..].get_mut(..piece.len()) {
            room.copy_from_slice(piece);
            self.len += piece.len();
        } else {
            self.text.push_str(std::str::from_utf8(piece).map_err(io::Error::other)?);
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Each piece is text by itself, and so are several.
        let text = std::str::from_utf8(&self.held[..self.len]).map_err(io::Error::other)?;
        self.text.push_str(text);
        self.len = 0;
        Ok(())
    }
}
