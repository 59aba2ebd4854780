//! The entries of a server in the memory ledger, and the memory that it can free under pressure.
//!
//! The size of a map is that of its entries and of the blocks that their types own. Tools report their own state.

use crate::memory::{Account, ClientName, ClientSpot, Entries, SessionSpot};
use crate::metrics::Moment;
use crate::protocol::ToolDefinition;
use crate::server::handler::tool::{Toolset, UNNAMED_STATE};
use crate::server::serving::core::Core;
use crate::server::shared::Shared;
use crate::server::state::call_state::CallState;
use crate::server::state::sessions::SESSION_BYTES;

/// Bytes of the two counters of an `Arc`, and of its entry in a map or list.
const SHARED_BYTES: usize = 16 + 32;

impl<T: Toolset> Account for Core<T> {
    fn enter(&self, entries: &mut Entries) {
        let mut unnamed = self.shared.sessions.value_bytes();
        self.toolset.report_state(&mut |name, bytes| match name {
            UNNAMED_STATE => unnamed += bytes,
            name => entries.enter(name, bytes, 1),
        });
        entries.enter(UNNAMED_STATE, unnamed, 1);
    }
}

impl Shared {
    /// Leased buffers that are not only of messages on their way: those of events, and what has not come of a message.
    fn enter_buffers(&self, entries: &mut Entries) {
        entries.enter_leased("event stores", self.events.bytes(), self.events.events());
        let announced_bytes = self.pools.announced.used_bytes();
        if announced_bytes > 0 {
            entries.enter_leased("buffers, announced", announced_bytes, 0);
        }
    }

    /// Each session, and what the clients did that have them.
    fn enter_sessions(&self, entries: &mut Entries) {
        let observer = self.requests.get();
        let spots = self.sessions.idle_times(std::time::Instant::now());
        let mut bytes_of_clients = Vec::with_capacity(spots.len());
        entries.sessions.extend(spots.into_iter().map(|(number, idle_ms, client)| {
            let bytes = (SESSION_BYTES + self.events.session_bytes(number)) as u64;
            bytes_of_clients.push((client, bytes));
            let name = observer.and_then(|observer| observer.name_of(client));
            SessionSpot { number, client: name.unwrap_or_default().to_owned(), bytes, idle_ms }
        }));
        entries
            .client_activity
            .extend(observer.map(|observer| observer.report(&bytes_of_clients)).into_iter().flatten());
    }

    /// What watches the requests, and writes them down.
    fn enter_observers(&self, entries: &mut Entries) {
        let (histograms, histogram_bytes) = self.latencies.bytes();
        entries.enter("monitor", histogram_bytes + self.performance.bytes(), histograms);
        if let Some(recorder) = self.traffic.get() {
            entries.enter("traffic record", recorder.bytes(), 1);
        }
        if let Some(observer) = self.requests.get() {
            entries.enter("names of clients", size_of_val(&**observer) + observer.bytes(), 1);
        }
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.traces.get() {
            let (bytes, spans) = exporter.waiting();
            entries.enter("spans", bytes, spans);
        }
    }
}

impl Account for Shared {
    fn enter(&self, entries: &mut Entries) {
        let sessions = self.sessions.len();
        entries.enter("sessions", self.sessions.bytes(), sessions);
        self.enter_buffers(entries);
        let waiting = self.client_requests.waiting();
        entries.enter("pending requests", waiting * (size_of::<CallState>() + SHARED_BYTES), waiting);
        let (subscriptions, subscription_bytes) = self.changes.bytes();
        entries.enter("subscriptions", subscription_bytes, subscriptions);
        entries.enter("tasks", self.tasks.bytes(), self.tasks.len());
        entries.enter("catalog", self.catalog.load().bytes(), 1);
        self.enter_observers(entries);
        let metrics = &self.metrics;
        let traffic = &mut entries.traffic;
        traffic.frames += metrics.frames.total();
        traffic.one_pass += metrics.one_pass_messages.total();
        traffic.two_pass += metrics.two_pass_messages.total();
        traffic.owned += metrics.owned_messages.total();
        traffic.parked += metrics.parked_requests.total();
        traffic.in_flight += metrics.requests_in_flight.now();
        traffic.cancelled += metrics.cancelled_requests.total();
        traffic.protocol_errors += metrics.protocol_errors.total();
        traffic.tool_errors += metrics.tool_errors.total();
        traffic.dropped_notifications += metrics.dropped_notifications.total();
        traffic.sessions += sessions as u64;
        traffic.sessions_opened += metrics.sessions_opened.total();
        traffic.sessions_expired += metrics.sessions_expired.total();
        traffic.subscriptions += subscriptions as u64;
        traffic.tasks += self.tasks.len() as u64;
        let (returns, latest_return_ms) = self.events.returns();
        traffic.returns += returns;
        traffic.latest_return_ms = traffic.latest_return_ms.max(latest_return_ms);
        if !entries.is_detailed {
            entries.latest_latencies = self.latencies.latest_messages();
            return;
        }
        let (unread, unread_bytes) = self.events.unread();
        entries.traffic.unread_answers += unread as u64;
        entries.traffic.unread_bytes += unread_bytes as u64;
        entries.operations = self.operations.report();
        let tools = self.description.tools.all();
        let names = tools.iter().map(ToolDefinition::name);
        entries.latencies.extend(self.latencies.report(names, Moment::coarse()));
        entries.alerts.extend(self.performance.alerts());
        entries.session_durations = self.operations.report_sessions();
        let names = tools.iter().map(ToolDefinition::name);
        entries.tools.extend(self.tool_usage.spots(names));
        let kept = self.pools.lasting.shares();
        entries.clients.extend(kept.of_clients().into_iter().map(|(key, bytes)| ClientSpot {
            client: ClientName(key).to_string(),
            bytes: bytes as u64,
            room_bytes: kept.max_bytes() as u64,
        }));
        self.enter_sessions(entries);
    }

    fn pack(&self) {
        self.events.pack();
    }

    fn reclaim(&self, is_critical: bool) -> Vec<(&'static str, u64)> {
        let keep = if is_critical { 0 } else { self.limits.event_store_bytes() / 2 };
        vec![("delivered events", self.events.shrink_to(keep) as u64)]
    }
}
