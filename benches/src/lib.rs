//! Shared parts of the criterion benches.
