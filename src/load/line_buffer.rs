//! Finds lines in bytes that come in pieces of any size.

use thiserror::Error;

/// A line that does not end.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the server sent a line of more than {0} bytes")]
pub(super) struct LongLine(pub(super) usize);

/// What has come of a line whose end has not.
pub(super) struct LineBuffer {
    begun: Vec<u8>,
    max_bytes: usize,
}

impl LineBuffer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { begun: Vec::new(), max_bytes }
    }

    /// Bytes of room that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.begun.capacity()
    }

    /// Lets go of room that is not needed now.
    pub(super) fn shrink(&mut self) {
        self.begun.shrink_to_fit();
    }

    /// Forgets what has come.
    pub(super) fn reset(&mut self) {
        self.begun.clear();
    }

    /// Gives each line that ends in `bytes` to `on_line`, without its end. Lines within `bytes` are not copied.
    pub(super) fn feed(&mut self, bytes: &[u8], mut on_line: impl FnMut(&[u8])) -> Result<(), LongLine> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.begun.is_empty() {
                on_line(line.strip_suffix(b"\r").unwrap_or(line));
            } else {
                self.begun.extend_from_slice(line);
                on_line(self.begun.strip_suffix(b"\r").unwrap_or(&self.begun));
                self.begun.clear();
            }
            rest = after;
        }
        if self.begun.len() + rest.len() > self.max_bytes {
            return Err(LongLine(self.max_bytes));
        }
        self.begun.extend_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"one\r\n\ntwo two\nthree";
        for first in 0..=text.len() {
            let mut lines = Vec::new();
            let mut buffer = LineBuffer::new(16);
            for piece in [&text[..first], &text[first..], b"!\n"] {
                buffer
                    .feed(piece, |line| lines.push(String::from_utf8_lossy(line).into_owned()))
                    .expect("short");
            }
            assert_eq!(lines, ["one", "", "two two", "three!"], "cut at {first}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut buffer = LineBuffer::new(4);
        assert_eq!(buffer.feed(b"long\n1234", |_| ()), Ok(()));
        assert_eq!(buffer.feed(b"5", |_| ()), Err(LongLine(4)));
        buffer.reset();
        assert_eq!(buffer.feed(b"1234\n", |line| assert_eq!(line, b"1234")), Ok(()));
    }
}
