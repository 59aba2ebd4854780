//! How much of a file fits into an answer, and the error where it does not fit.
//!
//! An answer carries a text twice: in `content`, and in `structuredContent` for clients that read that. So a text may
//! have half of `max_reply_bytes`, less what the answer has around it.

use super::error::{FsError, Remedy};
use crate::limits::Limits;
use crate::server::TextBlock;

/// Bytes around the text: the envelope with the id of the request, the names of members.
pub(crate) const AROUND_BYTES: usize = 512;

/// The space for texts and data in one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerSpace {
    limit_bytes: usize,
}

impl AnswerSpace {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { limit_bytes: limits.max_reply_bytes }
    }

    /// Bytes of the longest text, as it is written in JSON.
    pub(crate) fn text_bytes(self) -> usize {
        self.limit_bytes.saturating_sub(AROUND_BYTES) / 2
    }

    /// Bytes of the longest file that is sent as base64: four characters for three bytes.
    pub(crate) fn data_bytes(self) -> usize {
        self.text_bytes().saturating_sub(AROUND_BYTES) / 4 * 3
    }

    /// Tells whether what is written so far fits.
    pub(crate) fn holds(self, text: &TextBlock<'_>) -> bool {
        !text.is_full() && text.written_bytes() <= self.text_bytes()
    }

    /// Bytes that are still free.
    pub(crate) fn left_bytes(self, text: &TextBlock<'_>) -> usize {
        self.text_bytes().saturating_sub(text.written_bytes())
    }

    #[cold]
    pub(crate) fn text_too_large(self, path: &str, bytes: u64, remedy: Remedy) -> FsError {
        Self::too_large(path, bytes, self.text_bytes(), "its text twice", remedy)
    }

    #[cold]
    pub(crate) fn data_too_large(self, path: &str, bytes: u64) -> FsError {
        // A few bytes less would do, but the advice must not be too low.
        let needed = bytes.saturating_mul(8) / 3 + 4 * AROUND_BYTES as u64;
        Self::too_large(path, bytes, self.data_bytes(), "the data twice, as base64", Remedy::Raise(needed))
    }

    /// For one of several files, where `left_bytes` are left for it.
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
