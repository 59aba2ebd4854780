//! What the patterns of one call may cost: bytes while they are compiled, steps whenever they are looked at.
//!
//! A pattern of a few bytes may stand for thousands (`{1..10000}`), and `!( )` looks ahead as often as there
//! are places in a name. Everything is paid for before it is made, out of one purse for all patterns of the
//! call; steps begin anew with each name, so that a large tree costs no more a name than a small one, and
//! whoever walks it may ask between two names whether anybody still waits.

use crate::limits::Limits;
use crate::tools::filesystem::error::FsError;
use std::cell::Cell;

/// The purse of one call.
#[derive(Debug)]
pub(crate) struct Budget {
    max_bytes: usize,
    /// For what stays until the call ends.
    bytes_left: usize,
    /// For what is gone once a pattern is compiled.
    scratch_left: usize,
    steps: Steps,
}

/// The steps of one name, or of compiling.
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

    /// Another pattern is compiled: what the one before it needed only meanwhile is free again.
    pub(crate) fn begin_pattern(&mut self) {
        self.scratch_left = self.max_bytes;
    }

    /// Pays for bytes that are needed while a pattern is compiled.
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

    /// Pays for letters that are looked at.
    ///
    /// # Errors
    /// [`FsError::PatternsTooSlow`].
    pub(crate) fn pay_steps(&self, steps: usize) -> Result<(), FsError> {
        self.steps.pay(steps);
        self.steps.check()
    }

    /// The steps of what is matched now.
    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Bytes paid for what stays.
    #[cfg(test)]
    pub(crate) fn used_bytes(&self) -> usize {
        self.max_bytes - self.bytes_left
    }

    fn pay(left: &mut usize, bytes: usize, max_bytes: usize) -> Result<(), FsError> {
        *left = left.checked_sub(bytes).ok_or(FsError::PatternsTooLarge { max_bytes })?;
        Ok(())
    }
}

impl Steps {
    /// Another name is looked at.
    pub(crate) fn begin(&self) {
        self.left.set(self.max);
    }

    /// Pays for steps; whether there were enough. Once there were not, there are none.
    pub(crate) fn pay(&self, steps: usize) -> bool {
        // The last one is never spent: none left means that there were too few.
        let left = self.left.get().saturating_sub(steps);
        self.left.set(left);
        left > 0
    }

    /// Fails once there were too few.
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
