//! Reads lines of bounded length from a descriptor, without a runtime.
//!
//! Invariants: `start <= scanned <= bytes.len()`, and there is no newline in `bytes[start..scanned]`.

use crate::wire::{Outline, Skim};
use memchr::memchr;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};
use std::io;
use std::os::fd::AsFd;

/// Bytes that are read at once, and that a buffer keeps between two lines.
const CHUNK_BYTES: usize = 16 * 1024;

/// A line of a peer, with its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// It was longer than allowed, and was skipped.
    TooLong(Outline),
}

/// The bytes that were read and not taken yet.
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    scanned: usize,
    max_bytes: usize,
    /// Whether a last line without a newline counts.
    completes_last: bool,
    /// Set while a line is skipped.
    skim: Option<Box<Skim>>,
    is_ended: bool,
}

impl LineBuffer {
    /// For a client, which may leave out its last newline.
    pub(super) fn of_client(max_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            scanned: 0,
            max_bytes,
            completes_last: true,
            skim: None,
            is_ended: false,
        }
    }

    /// For a server, of which half a line may come when it is killed.
    pub(super) fn of_server(max_bytes: usize) -> Self {
        Self { completes_last: false, ..Self::of_client(max_bytes) }
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The descriptor gives no more.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Reads once; a descriptor that has nothing is no error.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<()> {
        self.bytes.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve(self.bytes.len().max(CHUNK_BYTES));
        }
        match read(from, spare_capacity(&mut self.bytes)) {
            Ok(0) => self.is_ended = true,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The next line that has come whole; empty ones are left out.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = memchr(b'\n', &self.bytes[self.scanned..]).map(|at| self.scanned + at + 1);
            let Some(end) = found.or_else(|| self.complete_last()) else {
                self.wait_for_more();
                return None;
            };
            if let Some(line) = self.measure(end) {
                return Some(line);
            }
        }
    }

    /// Gives the last line its newline, and says where it ends.
    fn complete_last(&mut self) -> Option<usize> {
        if !(self.is_ended && self.completes_last) || (self.start == self.bytes.len() && self.skim.is_none())
        {
            return None;
        }
        self.bytes.push(b'\n');
        Some(self.bytes.len())
    }

    fn wait_for_more(&mut self) {
        if self.bytes.len() - self.start > self.max_bytes || self.skim.is_some() {
            self.skim.get_or_insert_with(|| Box::new(Skim::new())).feed(&self.bytes[self.start..]);
            self.bytes.clear();
            self.start = 0;
        }
        self.scanned = self.bytes.len();
    }

    /// Takes the line that ends at `end`, if there is anything in it.
    fn measure(&mut self, end: usize) -> Option<Line> {
        let inside = &self.bytes[self.start..end - 1];
        if self.skim.is_none() && inside.len() <= self.max_bytes {
            let is_empty = matches!(inside, [] | [b'\r']);
            let line = self.take(end);
            return (!is_empty).then_some(Line::Whole(line));
        }
        let mut skim = self.skim.take().unwrap_or_else(|| Box::new(Skim::new()));
        skim.feed(inside);
        self.take(end);
        Some(Line::TooLong(skim.outline()))
    }

    /// A long line takes the buffer with it, so that it is not copied.
    fn take(&mut self, end: usize) -> Vec<u8> {
        let line = if self.start == 0 && end >= CHUNK_BYTES {
            let rest = self.bytes.split_off(end);
            self.scanned = 0;
            std::mem::replace(&mut self.bytes, rest)
        } else {
            let line = self.bytes[self.start..end].to_vec();
            self.start = end;
            self.scanned = end;
            line
        };
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(CHUNK_BYTES);
            (self.start, self.scanned) = (0, 0);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// What a buffer makes of `input`, read in pieces of `piece` bytes.
    fn lines(input: &[u8], piece: usize, mut buffer: LineBuffer) -> Vec<String> {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let mut found = Vec::new();
        let mut collect = |buffer: &mut LineBuffer| {
            while let Some(line) = buffer.next_line() {
                found.push(match line {
                    Line::Whole(line) => String::from_utf8(line).expect("text"),
                    Line::TooLong(outline) => format!("too long: {:?}", outline.id),
                });
                assert!(buffer.start <= buffer.scanned && buffer.scanned <= buffer.bytes.len());
            }
        };
        for piece in input.chunks(piece) {
            theirs.write_all(piece).expect("written");
            buffer.fill(&ours).expect("read");
            collect(&mut buffer);
        }
        drop(theirs);
        while !buffer.is_ended() {
            buffer.fill(&ours).expect("read");
            collect(&mut buffer);
        }
        found
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end_however_they_come() {
        for (input, want) in [
            ("", vec![]),
            ("\n\r\n", vec![]),
            ("a\nb\r\n", vec!["a\n", "b\r\n"]),
            ("a\n\nlast", vec!["a\n", "last\n"]),
            (r#"{"id":7,"x":"123456789012345678"}"#, vec![r#"too long: Some("7")"#]),
            ("{\"id\":7,\"x\":\"1234567890123456\"}\nok\n", vec![r#"too long: Some("7")"#, "ok\n"]),
            ("x\n123456789012345678901\ny", vec!["x\n", "too long: None", "y\n"]),
        ] {
            for piece in 1..=input.len().max(1) {
                let lines = lines(input.as_bytes(), piece, LineBuffer::of_client(20));
                assert_eq!(lines, want, "{input:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn half_a_line_of_a_server_is_dropped() {
        for (input, want) in [("a\nhalf", vec!["a\n"]), ("half", vec![]), ("a\n", vec!["a\n"])] {
            for piece in 1..=input.len() {
                let lines = lines(input.as_bytes(), piece, LineBuffer::of_server(20));
                assert_eq!(lines, want, "{input:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_long_line_leaves_a_small_buffer() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let long = "x".repeat(1024 * 1024);
        let sent = format!("{long}\nshort\n");
        let writer = std::thread::spawn(move || (&theirs).write_all(sent.as_bytes()).expect("written"));
        let mut buffer = LineBuffer::of_server(2 * 1024 * 1024);
        let mut found = Vec::new();
        while found.len() < 2 {
            buffer.fill(&ours).expect("read");
            while let Some(Line::Whole(line)) = buffer.next_line() {
                found.push(line.len());
            }
        }
        writer.join().expect("written");
        assert_eq!(found, [long.len() + 1, "short\n".len()]);
        assert!(buffer.bytes.capacity() <= CHUNK_BYTES, "{}", buffer.bytes.capacity());
    }
}
