//! How much of a file an answer has room for, and what to do where it has not.
//!
//! An answer carries a text twice: in `content`, and in `structuredContent` for clients that read that. So
//! half of `max_reply_bytes` is what a text may have, less what an answer has around it.

use super::error::FsError;
use crate::limits::{LimitOption, Limits};
use crate::server::TextBlock;
use std::fmt;

/// Bytes around the text: the envelope with the request's id, the names of members.
const AROUND_BYTES: usize = 512;

/// How much goes into one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    limit_bytes: usize,
}

/// What somebody may do who wanted more than fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    HeadOrTail,
    FewerLines,
    /// One line alone is too long.
    NoLines,
    /// There is less room beside others than alone.
    Alone,
    /// Only more room helps: so much.
    Raise(u64),
}

impl Remedy {
    pub(crate) fn of_head(lines: f64) -> Self {
        if lines > 1.0 { Self::FewerLines } else { Self::NoLines }
    }

    pub(crate) fn of_tail(lines: f64) -> Self {
        Self::of_head(lines)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeadOrTail => f.write_str("read a part of it with read_text_file and head or tail"),
            Self::FewerLines => f.write_str("ask for fewer lines"),
            Self::NoLines => f.write_str(
                "a single line of it is longer than that, so that asking for fewer lines does not help",
            ),
            Self::Alone => f.write_str("read it by itself, with read_text_file"),
            Self::Raise(bytes) => {
                let max = LimitOption::named("max_reply_bytes").map_or(0, |option| option.max);
                if *bytes > max as u64 {
                    f.write_str("no setting allows for that much")
                } else {
                    write!(f, "the operator would have to set max_reply_bytes to {bytes} or more")
                }
            }
        }
    }
}

impl Room {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { limit_bytes: limits.max_reply_bytes }
    }

    /// The longest text, as it is written in JSON.
    pub(crate) fn text_bytes(self) -> usize {
        self.limit_bytes.saturating_sub(AROUND_BYTES) / 2
    }

    /// The longest file that goes out as base64: four characters for three bytes.
    pub(crate) fn data_bytes(self) -> usize {
        self.text_bytes().saturating_sub(AROUND_BYTES) / 4 * 3
    }

    /// Whether what is written so far fits.
    pub(crate) fn holds(self, text: &TextBlock<'_>) -> bool {
        !text.is_full() && text.written_bytes() <= self.text_bytes()
    }

    /// What there still is room for.
    pub(crate) fn left_bytes(self, text: &TextBlock<'_>) -> usize {
        self.text_bytes().saturating_sub(text.written_bytes())
    }

    #[cold]
    pub(crate) fn text_too_large(self, path: &str, bytes: u64, remedy: Remedy) -> FsError {
        Self::too_large(path, bytes, self.text_bytes(), "its text twice", remedy)
    }

    #[cold]
    pub(crate) fn data_too_large(self, path: &str, bytes: u64) -> FsError {
        // Less would be enough by a few bytes; the advice must be.
        let needed = bytes.saturating_mul(8) / 3 + 4 * AROUND_BYTES as u64;
        Self::too_large(path, bytes, self.data_bytes(), "the data twice, as base64", Remedy::Raise(needed))
    }

    /// For one of several files, that have `left_bytes` for it.
    #[cold]
    pub(crate) fn one_too_large(self, path: &str, bytes: u64, left_bytes: usize) -> FsError {
        if bytes > self.text_bytes() as u64 {
            self.text_too_large(path, bytes, Remedy::HeadOrTail)
        } else {
            Self::too_large(path, bytes, left_bytes, "all texts twice", Remedy::Alone)
        }
    }

    fn too_large(
        path: &str,
        bytes: u64,
        fits_bytes: usize,
        carries: &'static str,
        remedy: Remedy,
    ) -> FsError {
        // Escapes make a text longer than its file.
        let grows = bytes <= fits_bytes as u64;
        FsError::FileDoesNotFit { path: path.to_owned(), bytes, grows, fits_bytes, carries, remedy }
    }
}
