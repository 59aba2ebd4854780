//! Finds where a head ends, line by line as it arrives.
//!
//! New bytes are searched once, however small the pieces. Some heads are refused before they are
//! complete: a line that does not end in exactly CR LF (some parsers are lenient there, and a difference
//! between two of them lets a request pass unseen), a folded line, and a head beyond its limits.
//!
//! `line_start <= scanned <= bytes`, and every line before `line_start` is whole and was checked.

use super::head_error::HeadError;
use super::words::HeadLimits;
use memchr::memchr2;
use std::ops::Range;

/// Empty lines that old clients send after a body and that RFC 9112 2.2 says to skip.
const MAX_BLANK_LINES: u8 = 2;

/// How far a head has been searched.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeadEnd {
    scanned: u32,
    line_start: u32,
    /// Whole lines so far, the request line included.
    lines: u16,
    blank_lines: u8,
    /// The first byte of the request line, once it is known to be one.
    request_line: Option<u32>,
}

impl HeadEnd {
    /// Whether there is more than empty lines.
    pub(super) fn has_begun(&self) -> bool {
        self.request_line.is_some()
    }

    /// The range from the request line to the end of the empty line, once that has arrived. `bytes` begins where it
    /// began at the last call.
    pub(super) fn find(
        &mut self,
        bytes: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<Range<usize>>, HeadError> {
        let seen = &bytes[..bytes.len().min(limits.max_header_bytes)];
        loop {
            self.begin_request_line(seen)?;
            let from = self.scanned as usize;
            let Some(at) = memchr2(b'\r', b'\n', &seen[from..]).map(|found| from + found) else {
                self.scanned = seen.len() as u32;
                break;
            };
            self.scanned = at as u32;
            match (seen[at], seen.get(at + 1)) {
                (b'\n', _) => return Err(HeadError::BareLineFeed),
                (_, None) => break,
                (_, Some(b'\n')) => {}
                (_, Some(_)) => return Err(HeadError::BareCarriageReturn),
            }
            if let Some(head) = self.end_line(seen, at, limits)? {
                return Ok(Some(head));
            }
        }
        if bytes.len() <= limits.max_header_bytes {
            return Ok(None);
        }
        let limit_bytes = limits.max_header_bytes;
        match self.lines {
            0 => Err(HeadError::TargetTooLong { limit_bytes }),
            _ => Err(HeadError::TooLong { limit_bytes }),
        }
    }

    /// A handshake of TLS, or other noise, is refused at its first byte and not at the time-out.
    fn begin_request_line(&mut self, seen: &[u8]) -> Result<(), HeadError> {
        if self.request_line.is_some() {
            return Ok(());
        }
        match seen.get(self.line_start as usize) {
            None | Some(b'\r' | b'\n') => {}
            Some(byte) if byte.is_ascii_graphic() => self.request_line = Some(self.line_start),
            Some(_) => return Err(HeadError::RequestLine),
        }
        Ok(())
    }

    /// Takes the line whose CR LF is at `at`.
    fn end_line(
        &mut self,
        seen: &[u8],
        at: usize,
        limits: HeadLimits,
    ) -> Result<Option<Range<usize>>, HeadError> {
        let line = &seen[self.line_start as usize..at];
        self.scanned = at as u32 + 2;
        self.line_start = self.scanned;
        match (line.first(), self.request_line) {
            (None, None) => {
                self.blank_lines += 1;
                let limit = usize::from(MAX_BLANK_LINES);
                if self.blank_lines > MAX_BLANK_LINES {
                    return Err(HeadError::BlankLines { limit });
                }
            }
            (None, Some(start)) => return Ok(Some(start as usize..self.scanned as usize)),
            (Some(b' ' | b'\t'), _) => return Err(HeadError::FoldedHeader),
            (Some(_), _) => {
                self.lines += 1;
                if usize::from(self.lines) > limits.max_headers + 1 {
                    return Err(HeadError::TooManyHeaders { limit: limits.max_headers });
                }
            }
        }
        Ok(None)
    }
}
