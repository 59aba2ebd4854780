//! What a client reads: envelopes, lists and content.

pub(crate) mod catalog;
mod chosen_tools;
pub(crate) mod content;
pub(crate) mod definitions;
pub(crate) mod envelope;
pub(crate) mod outcome;
mod page_cursor;
pub(crate) mod tool_error;
#[cfg(feature = "validation")]
pub(crate) mod validation;
