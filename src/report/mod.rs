//! Memory reports for readers: tables as text and Markdown, one HTML page, Prometheus metrics, the rules that find
//! what is wrong, and what other settings would save.
//!
//! Pure functions of a [`MemoryReport`](crate::memory::MemoryReport): nothing here asks a running server. Behind the
//! feature `report`.

mod advised;
mod alert_table;
mod capacity;
mod changes;
mod difference;
mod doctor;
mod exposition;
mod latency_table;
mod layout;
mod legend;
mod live_page;
mod moment;
mod overview;
mod page;
mod plan_table;
mod savings;
mod table;
mod trial;

#[cfg(feature = "cli")]
pub(crate) use layout::cut;

pub use capacity::{Bound, Capacity, CapacityRow, ClientMix, capacity};
pub use changes::{RecordChanges, SeriesChange, SeriesUnit, record_changes};
pub use difference::{Difference, FigureChange, FigureGroup, FigureUnit, SettingChange, difference};
pub use doctor::{Diagnosis, Finding, Severity, Unchecked, diagnose, diagnose_history};
pub use exposition::write_prometheus;
pub use legend::{LegendEntry, legend, meaning_of, write_legend};
pub use live_page::LivePage;
pub use moment::{MOMENT_SCHEMA, Moment};
pub use page::write_html;
pub use plan_table::write_plan;
pub use savings::{Change, Prices, Promise, Proposal, Terms, propose};
pub use table::{write_markdown, write_table};
pub use trial::{Trial, TrialVerdict};
