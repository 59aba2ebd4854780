//! Decides whether a server does what it should, from what it measured.
//!
//! Decisions are functions of time and numbers, which know no clock, no socket and no server.

mod requirements;

pub use requirements::PerformanceRequirements;
