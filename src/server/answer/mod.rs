//! What a client reads: envelopes, lists and content.

pub(crate) mod catalog;
pub(crate) mod content;
pub(crate) mod envelope;
pub(crate) mod outcome;
pub(crate) mod tool_error;
#[cfg(feature = "validation")]
pub(crate) mod validation;
