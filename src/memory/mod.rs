//! Where the bytes are, how near the limit is, and how pools should be sized: the [`MemoryManager`] and its parts.
//!
//! Knows nothing of MCP: each holder of memory opens an account here.
//!
//! # Pressure
//! Each second the resident memory is compared with a limit: the setting `memory_limit_bytes`, or what the control group
//! allows, or half of the machine's memory ([`Ceiling`]). What each level does, and when:
//!
//! | level | entered at | left below | what is done |
//! | --- | --- | --- | --- |
//! | normal | | | nothing |
//! | elevated | `pressure_elevated_percent` of the limit, or PSI above 10 % | 10 percent points less, for 5 s | half of the idle buffers, arenas and messages is freed; delivered events are dropped down to half of `event_store_bytes`; the allocator returns pages |
//! | critical | `pressure_critical_percent` of the limit | 10 percent points less, for 5 s | the same with nothing left idle and no delivered event; new connections and large frames are answered 503 with `Retry-After` |
//!
//! Work in flight is never stopped. Each step counts the bytes that it freed: [`PressureReport::reclaimed`].

mod advice;
mod allocator;
mod balance;
mod black_box;
mod ceiling;
mod client_name;
mod heap_fall;
mod history;
mod incoming;
mod kernel;
mod latency_report;
mod ledger;
mod manager;
#[cfg(feature = "load")]
mod other_process;
mod plan;
mod pressure;
mod process;
mod record;
mod report;
mod sample;
mod timeline;

pub use advice::{Hysteresis, Plan, Policy, advise, fit_budget};
pub use allocator::{Allocator, AllocatorStats};
pub use ceiling::{Ceiling, LimitSource, LimitTooSmall};
pub(crate) use client_name::{ClientName, KIND_SHIFT, kind, name_tokens};
pub use history::{HISTORY_SCHEMA, History, HistoryReason, ReadHistoryError};
#[cfg(test)]
pub(crate) use incoming::IncomingRoom;
pub(crate) use incoming::{Growth, IncomingMessage, IncomingMessages};
pub use latency_report::{LatencyKind, LatencyReport, LatencyWindow};
pub(crate) use ledger::{Account, Entries};
pub use manager::MemoryManager;
pub(crate) use manager::{Expectation, MemoryConfig};
#[cfg(feature = "load")]
pub(crate) use other_process::ProcessFamily;
pub use plan::{CeilingPlan, Holder, ObjectPrices, PlanBasis, PlannedLoad, ProcessFacts, Term, Transfers};
pub use record::merge;
pub use report::{
    AdviceReport, AppliedChange, BudgetReport, ClientReport, ClientSpot, ConnectionSpot, CurvePoint,
    DemandReport, Evidence, Hotspots, KernelPart, KernelScope, MemoryReport, MemoryUsageReport,
    OperationReport, Part, PoolReport, PressureLevel, PressureReport, ReadReportError, ReclaimOutcome,
    ReclaimReport, SCHEMA, ServerFacts, SessionSpot, TimelinePoint, ToolSpot, Traffic,
};
pub use sample::{GroupEvents, GroupSample, MemoryStalls, Sample};

pub(crate) use mcpool_pools::lasting;
pub use mcpool_pools::set_lasting_switch;
