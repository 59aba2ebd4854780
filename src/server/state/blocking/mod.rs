//! Work on threads that may block: who may use one, and how such work learns that its request was cancelled.

pub(crate) mod cancellation;
pub(crate) mod permits;
