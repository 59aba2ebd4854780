//! What a client reads: envelopes, lists and content.

pub(crate) mod catalog;
pub(crate) mod content;
pub(crate) mod envelope;
#[cfg(feature = "validation")]
pub(crate) mod validation;
