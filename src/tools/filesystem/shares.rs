//! How the space of one answer is shared among several files.
//!
//! A file that fits has the space that it needs. One that does not is begun with an equal share of what is left then, so
//! that those after it are shown, too. Of more files than the answer could have a note about, the first are shown, and
//! the answer says how many are left out.

use super::answer_space::AnswerSpace;
use super::compat::Compat;
use super::error::FsError;
use super::open_file::OpenFile;
use crate::wire::Strings;

/// What stands between two files.
pub(super) const SEPARATOR: &str = "\n---\n";
/// What stands between the path of a file and its error.
pub(super) const ERROR: &str = ": Error - ";
/// What stands between the path of a file and its text.
pub(super) const HEADING_END: &str = ":\n";
/// Bytes that are kept for what is said at the end about files that are left out.
const END_BYTES: usize = 256;

/// The space that is left for the files that are still to come.
#[derive(Debug)]
pub(super) struct Shares {
    space: AnswerSpace,
    compat: Compat,
    /// Files up to the current one.
    begun_files: usize,
    /// Files behind the current one.
    files: usize,
    /// Bytes that are kept for their errors and notes.
    reserved_bytes: usize,
    /// Whether there is space for a note about each.
    has_notes: bool,
}

/// Bytes that are reserved for the error of a file that cannot be shown: it has the path up to three times.
fn error_bytes(path: &str) -> usize {
    640 + 3 * path.len()
}

impl Shares {
    pub(super) fn new(paths: Strings<'_>, space: AnswerSpace, compat: Compat) -> Self {
        // Whatever one file takes, there is space left for the errors of those after it.
        let reserved_bytes = paths.iter().map(|path| error_bytes(&path)).sum();
        let has_notes = compat == Compat::Reference || reserved_bytes <= space.text_bytes() / 2;
        Self { space, compat, begun_files: 0, files: paths.iter().count(), reserved_bytes, has_notes }
    }

    /// Goes on to the next file.
    pub(super) fn begin(&mut self, path: &str) {
        self.begun_files += 1;
        self.files -= 1;
        self.reserved_bytes -= error_bytes(path);
    }

    /// Bytes that the text of the current file may have.
    pub(super) fn left_bytes(&self, written_bytes: usize) -> usize {
        let reserved_bytes = if self.has_notes { self.reserved_bytes } else { self.end_bytes() };
        self.space.text_bytes().saturating_sub(written_bytes).saturating_sub(reserved_bytes)
    }

    fn end_bytes(&self) -> usize {
        if self.compat == Compat::Default && self.files > 0 { END_BYTES } else { 0 }
    }

    /// Bytes for the beginning of the current file, which does not fit into `left_bytes`. `None` where it is left out, with
    /// all after it.
    ///
    /// # Errors
    /// For the reference, where such a file is not shown.
    pub(super) fn share_bytes(
        &self,
        path: &str,
        file: &OpenFile,
        left_bytes: usize,
    ) -> Result<Option<usize>, FsError> {
        match self.compat {
            Compat::Reference => Err(self.space.one_too_large(path, file.bytes, left_bytes)),
            Compat::Default if self.has_notes => Ok(Some(left_bytes / (self.files + 1))),
            Compat::Default => Ok((self.begun_files == 1).then_some(left_bytes)),
        }
    }

    /// Whether the current file can stay in an answer of so many bytes.
    pub(super) fn hold(&self, written_bytes: usize) -> bool {
        written_bytes.saturating_add(self.end_bytes()) <= self.space.text_bytes()
    }

    /// What is said in place of the current file, which cannot stay, and all after it. `None` where it is the first, and
    /// for the reference.
    pub(super) fn end_note(&self) -> Option<String> {
        let left = self.files + 1;
        (self.compat == Compat::Default && self.begun_files > 1).then(|| {
            let what = if left == 1 { "1 file is".to_owned() } else { format!("{left} files are") };
            format!("{SEPARATOR}[{what} left out, as the answer is full: ask for the last {left} of these paths again]")
        })
    }
}
