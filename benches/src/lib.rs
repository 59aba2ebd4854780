//! Shared parts of the criterion benches.

pub mod alloc_count;
pub mod frames;
