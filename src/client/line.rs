//! Reads lines of bounded length from a byte stream.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Bytes of buffer that a reader keeps between two lines.
const KEPT_BYTES: usize = 64 * 1024;

/// Reads lines and refuses those beyond a limit.
pub(super) struct LineReader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// Whether `line` was given out, so that the next line begins.
    is_done: bool,
    max_bytes: usize,
}

/// Why there is no further line.
#[derive(Debug)]
pub(super) enum LineError {
    /// The line is longer than `max_bytes`.
    TooLong,
    /// The stream failed.
    Io(std::io::Error),
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(input: R, max_bytes: usize) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), is_done: true, max_bytes }
    }

    /// Longest line accepted.
    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Drops what is buffered, so that reading continues within a line that was too long.
    pub(super) fn skip(&mut self) {
        let buffered = self.input.buffer().len();
        self.input.consume(buffered);
    }

    /// Reads the next line, without its line end; `None` at the end of the stream. A last line without a newline
    /// counts. Dropping the future loses nothing: the next call continues where it stopped.
    pub(super) async fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        if std::mem::take(&mut self.is_done) {
            self.line.clear();
            self.line.shrink_to(KEPT_BYTES);
        }
        loop {
            let available = self.input.fill_buf().await.map_err(LineError::Io)?;
            let newline = memchr::memchr(b'\n', available);
            let taken = newline.unwrap_or(available.len());
            if self.line.len() + taken > self.max_bytes {
                self.is_done = true;
                return Err(LineError::TooLong);
            }
            self.line.extend_from_slice(&available[..taken]);
            let at_end = available.is_empty();
            self.input.consume(newline.map_or(taken, |at| at + 1));
            if newline.is_some() || at_end {
                self.is_done = true;
                if at_end && self.line.is_empty() {
                    return Ok(None);
                }
                return Ok(Some(self.line.strip_suffix(b"\r").unwrap_or(&self.line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], max_bytes: usize) -> (Vec<String>, bool) {
        let mut reader = LineReader::new(input, max_bytes);
        let mut lines = Vec::new();
        loop {
            match reader.next_line().await {
                Ok(Some(line)) => lines.push(String::from_utf8_lossy(line).into_owned()),
                Ok(None) => return (lines, true),
                Err(_) => return (lines, false),
            }
        }
    }

    #[tokio::test]
    async fn lines_end_at_newlines_and_at_the_end() {
        for (input, want) in [
            ("", vec![]),
            ("\n", vec![""]),
            ("a\nb\r\n", vec!["a", "b"]),
            ("a\n\nlast", vec!["a", "", "last"]),
        ] {
            assert_eq!(
                lines(input.as_bytes(), 4).await,
                (want.iter().map(ToString::to_string).collect(), true)
            );
        }
    }

    #[tokio::test]
    async fn a_line_of_the_limit_passes_and_one_byte_more_does_not() {
        assert_eq!(lines(b"1234\n", 4).await, (vec!["1234".to_owned()], true));
        assert_eq!(lines(b"12345\n", 4).await, (vec![], false));
        // A line longer than the reader's own buffer arrives in parts.
        let long = "x".repeat(20_000);
        assert_eq!(lines(long.as_bytes(), 20_000).await, (vec![long.clone()], true));
        assert_eq!(lines(long.as_bytes(), 19_999).await, (vec![], false));
    }
}
