//! Work on threads that may block: how it learns that its request was cancelled.

pub(crate) mod cancellation;
