//! Where the bytes are: sums, levels of pressure, advice, and the `MemoryManager` that goes round them.
//!
//! Knows nothing of MCP: what holds memory enters itself here.

mod advice;
mod allocator;
mod doctor;
mod exposition;
mod layout;
mod ledger;
mod manager;
mod page;
mod pressure;
mod process;
mod report;
mod table;
mod timeline;

pub use advice::{Plan, Policy, Steady, advise};
pub use allocator::{Allocator, AllocatorStats};
pub use doctor::{Diagnosis, Finding, Severity, Unchecked, diagnose};
pub use exposition::write_prometheus;
pub(crate) use ledger::{Account, Entries};
pub(crate) use manager::Managed;
pub use manager::MemoryManager;
pub use page::write_html;
pub use report::{
    AdviceReport, AppliedChange, BudgetReport, ConnectionSpot, CurvePoint, DemandReport, Evidence, Hotspots,
    MemoryReport, MemoryUsageReport, OperationReport, Part, PoolReport, PressureLevel, PressureReport,
    ReadReportError, ReclaimReport, SCHEMA, ServerFacts, SessionSpot, TimelinePoint, ToolSpot, Traffic,
};
pub use table::{write_markdown, write_table};
