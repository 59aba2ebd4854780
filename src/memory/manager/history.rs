//! The black box of a manager: what is recorded each second, and the last hour of it for who asks.

use super::{MemoryManager, State};
#[cfg(feature = "webhook")]
use crate::memory::ServerFacts;
use crate::memory::kernel::ShortageReading;
use crate::memory::ledger::Entries;
use crate::memory::pressure::Measurement;
use crate::memory::process;
use crate::memory::sample::{Reading, Totals};
use crate::memory::{HISTORY_SCHEMA, History, HistoryReason};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What the first record covers, as no other came before it.
const FIRST_SPAN_MS: u64 = 1_000;

impl MemoryManager {
    /// Records a second.
    pub(super) fn record(
        &self,
        state: &mut State,
        entries: &Entries,
        measurement: Measurement,
        heap_bytes: Option<u64>,
        shortage: &ShortageReading,
    ) {
        let traffic = &entries.traffic;
        let reading = Reading {
            at_unix_ms: unix_ms(),
            span_ms: FIRST_SPAN_MS,
            rss_bytes: measurement.rss_bytes,
            heap_bytes,
            connections: traffic.connections,
            sessions: traffic.sessions,
            in_flight: traffic.in_flight,
            latencies: entries.latest_latencies,
            pressure: self.pressure(),
            machine: shortage.machine,
            group_bytes: shortage.group_bytes,
            group: shortage.group,
            totals: Totals {
                messages: traffic.frames,
                errors: traffic.protocol_errors + traffic.tool_errors,
                refused: self.refused(),
                cpu_ms: process::cpu_time_ms(),
                events: shortage.events,
            },
            lines: &entries.lines,
        };
        state.black_box.record(reading);
    }

    /// The server that this belongs to.
    #[cfg(feature = "webhook")]
    pub(crate) fn facts(&self) -> &ServerFacts {
        &self.shared.facts
    }

    /// How often work was refused because memory was short.
    fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// How many of these refusals the black box has recorded.
    pub(crate) fn recorded_refusals(&self) -> u64 {
        self.state().black_box.refused()
    }

    /// What the black box recorded: each of the last 18 minutes' seconds, and the last hour in tens of seconds. It is
    /// filled by [`Server::maintain`](crate::Server::maintain), where the system tells what is resident.
    ///
    /// ```
    /// use mcpool::memory::HistoryReason;
    ///
    /// let server = mcpool::Server::builder("demo", "1.0.0").build()?;
    /// server.maintain();
    /// let history = server.memory().history(HistoryReason::Asked);
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(history.samples.len(), 1);
    /// # Ok::<(), mcpool::BuildError>(())
    /// ```
    pub fn history(&self, reason: HistoryReason) -> History {
        let now = Instant::now();
        let state = self.state();
        let parts = state.black_box.names().iter().map(|name| (*name).to_owned()).collect();
        let samples = state.black_box.samples();
        drop(state);
        History {
            schema: HISTORY_SCHEMA.to_owned(),
            taken_unix_ms: unix_ms(),
            reason,
            uptime_ms: now.saturating_duration_since(self.shared.started).as_millis() as u64,
            server: self.shared.facts.clone(),
            limit_bytes: self.shared.ceiling.limit_bytes,
            parts,
            samples,
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
