//! How much of a file fits into an answer, and the error where it does not fit.
//!
//! An answer carries a text twice: in `content`, and in `structuredContent` for clients that read that. So a text may
//! have half of `max_reply_bytes`, less what the answer has around it; where it is sent once, it may have all of that.

use super::compat::Copies;
use super::error::{FsError, Remedy};
use crate::limits::Limits;
use crate::limits::price::{self, AROUND_BYTES};
use crate::server::TextBlock;

/// The space for texts and data in one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerSpace {
    limit_bytes: usize,
    copies: Copies,
}

impl AnswerSpace {
    pub(crate) fn of(limits: &Limits, copies: Copies) -> Self {
        Self { limit_bytes: limits.max_reply_bytes, copies }
    }

    /// Bytes of a whole answer that carries so many bytes of text, as it is written in JSON.
    pub(crate) fn answer_bytes(self, text_bytes: usize) -> usize {
        price::answer_bytes(text_bytes, self.copies.count())
    }

    /// Checks that so many bytes of text are no longer than all answers.
    ///
    /// # Errors
    /// [`FsError::AnswerTooLarge`].
    pub(crate) fn check_text(self, bytes: usize) -> Result<(), FsError> {
        if bytes > self.limit_bytes / self.copies.count() { Err(self.answer_too_large()) } else { Ok(()) }
    }

    /// Checks that the names that are held for an answer are no longer than the answer may be.
    ///
    /// # Errors
    /// [`FsError::AnswerTooLarge`].
    pub(crate) fn check_names(self, bytes: usize) -> Result<(), FsError> {
        if bytes > self.limit_bytes { Err(self.answer_too_large()) } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn answer_too_large(self) -> FsError {
        FsError::AnswerTooLarge { limit_bytes: self.limit_bytes, copies: self.copies }
    }

    /// Bytes of the longest text, as it is written in JSON.
    pub(crate) fn text_bytes(self) -> usize {
        self.limit_bytes.saturating_sub(AROUND_BYTES) / self.copies.count()
    }

    /// Bytes of all names that may be held for an answer.
    pub(crate) fn names_bytes(self) -> usize {
        self.limit_bytes
    }

    /// Bytes of the longest file that is sent as base64: four characters for three bytes.
    pub(crate) fn data_bytes(self) -> usize {
        self.text_bytes().saturating_sub(AROUND_BYTES) / 4 * 3
    }

    /// Tells whether what is written so far fits.
    pub(crate) fn holds(self, text: &TextBlock<'_>) -> bool {
        !text.is_full() && text.written_bytes() <= self.text_bytes()
    }

    #[cold]
    pub(crate) fn text_too_large(self, path: &str, bytes: u64, remedy: Remedy) -> FsError {
        self.too_large(path, bytes, self.text_bytes(), "its text", remedy)
    }

    #[cold]
    pub(crate) fn data_too_large(self, path: &str, bytes: u64) -> FsError {
        // A few bytes less would do, but the advice must not be too low.
        let needed = bytes.saturating_mul(4 * self.copies.count() as u64) / 3 + 4 * AROUND_BYTES as u64;
        self.too_large(path, bytes, self.data_bytes(), "the base64 of the data", Remedy::Raise(needed))
    }

    /// For one of several files, where `left_bytes` are left for it.
    #[cold]
    pub(crate) fn one_too_large(self, path: &str, bytes: u64, left_bytes: usize) -> FsError {
        if bytes > self.text_bytes() as u64 {
            self.text_too_large(path, bytes, Remedy::HeadOrTail)
        } else {
            self.too_large(path, bytes, left_bytes, "all texts", Remedy::Alone)
        }
    }

    fn too_large(
        self,
        path: &str,
        bytes: u64,
        fits_bytes: usize,
        carries: &'static str,
        remedy: Remedy,
    ) -> FsError {
        // Escapes make a text longer than its file.
        let grows = bytes <= fits_bytes as u64;
        let (path, copies) = (path.to_owned(), self.copies);
        FsError::FileDoesNotFit { path, bytes, grows, fits_bytes, carries, copies, remedy }
    }
}
