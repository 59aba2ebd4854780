//! What the edits of one call may cost together, and how long their text may become.

use crate::server::CancellationToken;
use crate::tools::filesystem::error::FsError;

/// How much more a search for lines costs than one for bytes.
const LINE_COST: usize = 8;

/// Sets aside memory for so many bytes in all.
pub(crate) type MakeRoom<'c> = &'c dyn Fn(usize) -> Result<(), FsError>;

/// The budget of one call.
pub(crate) struct EditBudget<'c> {
    /// Bytes that may still be searched.
    left_bytes: usize,
    limit_bytes: usize,
    /// Bytes of the longest text that an edit may make.
    longest: usize,
    /// Says when nobody waits for the answer any more.
    cancellation: &'c CancellationToken,
    /// Who has the memory; nobody is asked where it is not counted.
    memory: Option<MakeRoom<'c>>,
}

impl<'c> EditBudget<'c> {
    pub(crate) fn new(limit_bytes: usize, longest: usize, cancellation: &'c CancellationToken) -> Self {
        Self { left_bytes: limit_bytes, limit_bytes, longest, cancellation, memory: None }
    }

    /// The same budget with memory to ask for.
    pub(crate) fn with_memory(self, memory: MakeRoom<'c>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Asks for the memory of so many bytes, which the edits hold together beside the text that they were given.
    ///
    /// # Errors
    /// [`FsError::NoMemoryToEdit`].
    pub(crate) fn make_room(&self, bytes: usize) -> Result<(), FsError> {
        self.memory.map_or(Ok(()), |make_room| make_room(bytes))
    }

    /// Pays for a search in so many bytes.
    ///
    /// # Errors
    /// [`FsError::EditsTooLong`]; [`FsError::Cancelled`] when nobody waits for the answer any more.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), FsError> {
        self.check_cancelled()?;
        let limit_bytes = self.limit_bytes;
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(FsError::EditsTooLong { limit_bytes })?;
        Ok(())
    }

    /// Pays for a search for lines.
    pub(crate) fn spend_on_lines(&mut self, bytes: usize) -> Result<(), FsError> {
        self.spend(bytes.saturating_mul(LINE_COST))
    }

    /// # Errors
    /// [`FsError::EditedTooLong`] for a text that could not be edited again.
    pub(crate) fn check_length(&self, bytes: usize) -> Result<(), FsError> {
        if bytes <= self.longest {
            return Ok(());
        }
        Err(FsError::EditedTooLong { bytes, limit_bytes: self.longest })
    }

    /// # Errors
    /// [`FsError::Cancelled`] when nobody waits for the answer any more.
    pub(crate) fn check_cancelled(&self) -> Result<(), FsError> {
        Ok(self.cancellation.check()?)
    }
}
