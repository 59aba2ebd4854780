//! What every file tool is given besides its arguments.

use super::Compat;
use super::error::Stop;
use super::sandbox::access::Sandbox;
use crate::server::CancellationToken;

/// The surroundings of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'s> {
    pub(crate) sandbox: &'s Sandbox,
    /// Whether the reference server's behaviour is kept where it may do harm.
    pub(crate) compat: Compat,
    /// Says when nobody waits any more; whatever may last asks it once for each piece of its work.
    pub(crate) cancellation: &'s CancellationToken,
    /// The longest file that may be read here, where other requests wait meanwhile; `None` on a thread
    /// that may block.
    pub(crate) inline_bytes: Option<u64>,
}

impl Context<'_> {
    /// Stops a call that would take long and belongs on a thread that may block.
    ///
    /// # Errors
    /// [`Stop::Offload`]; nothing may have been changed before.
    pub(crate) fn check_inline(&self, bytes: u64) -> Result<(), Stop> {
        match self.inline_bytes {
            Some(limit) if bytes > limit => Err(Stop::Offload),
            _ => Ok(()),
        }
    }
}
