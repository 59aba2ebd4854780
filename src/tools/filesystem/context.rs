//! What every file tool gets besides its arguments.

use super::compat::{Compat, Copies};
use super::error::Stop;
use super::sandbox::access::Sandbox;
use crate::server::{CallContext, CancellationToken};

/// What one call works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'s> {
    pub(crate) sandbox: &'s Sandbox,
    /// Whether the tool does exactly what the reference server does, also where that may do harm.
    pub(crate) compat: Compat,
    pub(crate) copies: Copies,
    /// Says when nobody waits for the answer any more; whatever may take long asks it before each piece of its work.
    pub(crate) cancellation: &'s CancellationToken,
    /// Bytes of the longest file that may be read while other requests wait; `None` on a thread that may block.
    pub(crate) inline_bytes: Option<u64>,
}

impl Context<'_> {
    /// Stops a call that would take long while other requests wait.
    ///
    /// # Errors
    /// [`Stop::Offload`]. The tool must not have changed anything before.
    pub(crate) fn check_inline(&self, bytes: u64) -> Result<(), Stop> {
        match self.inline_bytes {
            Some(limit) if bytes > limit => Err(Stop::Offload),
            _ => Ok(()),
        }
    }
}

/// Answers with one line, as text and as structured content.
pub(crate) fn answer_line(call: &mut CallContext, parts: &[&str]) {
    call.text_with(|text| parts.iter().for_each(|part| text.push_str(part)));
    call.structured_from_text();
}
