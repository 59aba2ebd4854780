//! The budget for the patterns of one call: bytes for compiling them, steps for matching them.
//!
//! A pattern of a few bytes may stand for thousands (`{1..10000}`), and `!( )` looks ahead from each position in a
//! name. So everything is paid for before it is made, from one budget for all patterns of the call. The steps begin
//! anew with each name: a large tree costs no more for each name than a small one, and the walk can check between two
//! names whether anybody still waits for the answer.

use crate::limits::Limits;
use crate::tools::filesystem::error::FsError;
use std::cell::Cell;

/// The budget of one call.
#[derive(Debug)]
pub(crate) struct Budget {
    max_bytes: usize,
    /// Bytes for what stays until the call ends.
    bytes_left: usize,
    /// Bytes for what is freed once a pattern is compiled.
    scratch_left: usize,
    steps: Steps,
}

/// The steps for one name, or for compiling.
#[derive(Debug)]
pub(crate) struct Steps {
    max: usize,
    left: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let max_bytes = limits.max_pattern_bytes;
        let steps = Steps { max: limits.max_pattern_steps, left: Cell::new(limits.max_pattern_steps) };
        Self { max_bytes, bytes_left: max_bytes, scratch_left: max_bytes, steps }
    }

    /// Begins to compile a pattern: the temporary bytes of the one before are free again.
    pub(crate) fn begin_pattern(&mut self) {
        self.scratch_left = self.max_bytes;
    }

    /// Pays for bytes that are needed only while a pattern is compiled.
    ///
    /// # Errors
    /// [`FsError::PatternsTooLarge`].
    pub(crate) fn pay_scratch(&mut self, bytes: usize) -> Result<(), FsError> {
        Self::pay(&mut self.scratch_left, bytes, self.max_bytes)
    }

    /// Pays for bytes of a compiled pattern.
    ///
    /// # Errors
    /// [`FsError::PatternsTooLarge`].
    pub(crate) fn pay_bytes(&mut self, bytes: usize) -> Result<(), FsError> {
        Self::pay(&mut self.bytes_left, bytes, self.max_bytes)
    }

    /// Pays for characters that are read.
    ///
    /// # Errors
    /// [`FsError::PatternsTooSlow`].
    pub(crate) fn pay_steps(&self, steps: usize) -> Result<(), FsError> {
        self.steps.pay(steps);
        self.steps.check()
    }

    /// The steps for matching.
    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Bytes paid for what stays.
    pub(crate) fn used_bytes(&self) -> usize {
        self.max_bytes - self.bytes_left
    }

    /// Takes bytes back that were paid for patterns which are gone.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.bytes_left = self.max_bytes.min(self.bytes_left + bytes);
    }

    fn pay(left: &mut usize, bytes: usize, max_bytes: usize) -> Result<(), FsError> {
        *left = left.checked_sub(bytes).ok_or(FsError::PatternsTooLarge { max_bytes })?;
        Ok(())
    }
}

impl Steps {
    /// Begins a new name, with all steps.
    pub(crate) fn begin(&self) {
        self.left.set(self.max);
    }

    /// Pays for steps, and tells whether there were enough. Once there were too few, none are left.
    pub(crate) fn pay(&self, steps: usize) -> bool {
        // The last step is never spent, so none left means that there were too few.
        let left = self.left.get().saturating_sub(steps);
        self.left.set(left);
        left > 0
    }

    /// Fails if there were too few steps.
    ///
    /// # Errors
    /// [`FsError::PatternsTooSlow`].
    pub(crate) fn check(&self) -> Result<(), FsError> {
        if self.left.get() == 0 { Err(FsError::PatternsTooSlow { max_steps: self.max }) } else { Ok(()) }
    }

    /// Steps paid since the beginning.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.max - self.left.get()
    }
}
