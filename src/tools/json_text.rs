//! Answers that are JSON twice: as text for people and models, indented as the reference servers do it, and as the
//! structured answer.

use crate::server::{CallContext, TextBlock, ToolError};
use serde::Serialize;
use std::io;

/// Writes `value` as an indented text block and as the structured answer. Allocates nothing by itself.
///
/// # Errors
/// When the value cannot be serialised.
pub(crate) fn answer<T: Serialize>(call: &mut CallContext, value: &T) -> Result<(), ToolError> {
    call.text_with(|text| serde_json::to_writer_pretty(Pieces(text), value))
        .map_err(|error| ToolError::failed(error.to_string()))?;
    call.structured(value)
}

/// Takes the pieces that a serializer writes.
struct Pieces<'a, 'r>(&'a mut TextBlock<'r>);

impl io::Write for Pieces<'_, '_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(piece).map_err(io::Error::other)?;
        self.0.push_str(text);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
