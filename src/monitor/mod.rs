//! Decides whether a server does what it should, from what it measured.
//!
//! Decisions are functions of time and numbers, which know no clock, no socket and no server.

mod alert;
mod alerts;
mod baseline;
mod burn;
mod change_points;
mod performance_monitor;
mod regression;
mod requirements;
mod robust;

pub use alert::{Alert, AlertKind, Severity};
pub use baseline::BandBaseline;
pub use burn::OverLimit;
pub use change_points::{ChangePoint, ChangeTerms, change_points};
pub use performance_monitor::{Observation, PerformanceMonitor, SavedBaseline, SavedSubject, Subject};
pub use requirements::PerformanceRequirements;
