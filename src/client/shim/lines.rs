//! Reads the lines of the client, and writes lines to it.

use super::error::ShimError;
use crate::client::line::{LineError, LineReader};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Reads a line; `None` at the end. A line that is too long is logged and skipped.
pub(super) async fn next_line<R: AsyncRead + Unpin>(
    lines: &mut LineReader<R>,
) -> Result<Option<Vec<u8>>, ShimError> {
    loop {
        match lines.next_line().await {
            Ok(None) => return Ok(None),
            Ok(Some([])) => {}
            Ok(Some(line)) => return Ok(Some(line.to_vec())),
            Err(LineError::TooLong) => {
                tracing::warn!(limit_bytes = lines.max_bytes(), "a message of the client is too long");
                lines.skip();
            }
            Err(LineError::Io(error)) => return Err(error.into()),
        }
    }
}

/// Writes a line, and flushes.
pub(super) async fn write_line<W: AsyncWrite + Unpin>(output: &mut W, line: &[u8]) -> io::Result<()> {
    output.write_all(line).await?;
    output.write_all(b"\n").await?;
    output.flush().await
}
