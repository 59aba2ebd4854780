//! How long messages, requests and calls take, by method and tool, over the last seconds to the last hour.
//!
//! Invariants: recording allocates nothing once a method or tool was used before; only what was used takes memory, and
//! tools beyond the first [`MAX_TOOLS`] share one histogram.

use crate::lock::lock;
use crate::memory::{LatencyKind, LatencyReport, LatencyWindow};
use crate::metrics::{LatencyWindows, Moment, SPAN_S, Sketch, WINDOWS_S, first_span};
use crate::protocol::Method;
use crate::server::state::call_state::{CallState, Failure};
use std::iter;
use std::sync::Mutex;

/// Most tools with a histogram of their own.
const MAX_TOOLS: usize = 64;
/// The name of all other tools.
const OTHER_TOOLS: &str = "_OTHER";

/// The latencies of a server.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// From the bytes of a message to its answer, or to where it has to wait.
    pub(crate) messages: LatencyWindows,
    /// From the bytes of a request to those of its answer.
    pub(crate) round_trips: LatencyWindows,
    /// Finding the request that something belongs to.
    correlation: LatencyWindows,
    /// By number of the method.
    methods: [LatencyWindows; Method::COUNT],
    /// By number of the tool; the last one may stand for many.
    tools: Box<[LatencyWindows]>,
    started: Moment,
    /// The span that is under way.
    span: Mutex<u64>,
}

impl Latencies {
    /// Of a server with so many tools, which starts now.
    pub(crate) fn new(tools: usize, now: Moment) -> Self {
        Self {
            messages: LatencyWindows::default(),
            round_trips: LatencyWindows::default(),
            correlation: LatencyWindows::default(),
            methods: std::array::from_fn(|_| LatencyWindows::default()),
            tools: (0..tools.min(MAX_TOOLS + 1)).map(|_| LatencyWindows::default()).collect(),
            started: now,
            span: Mutex::default(),
        }
    }

    /// Records that a request ended after `ns` nanoseconds.
    #[inline]
    pub(crate) fn note(&self, call: &CallState, ns: u64) {
        // An error says nothing about how long it takes to serve a request: most are quick.
        if call.failure().is_some_and(|failure| failure != Failure::Tool) {
            return;
        }
        let kind = match call.tool() {
            Some(tool) => self.tools.get(tool.min(MAX_TOOLS)),
            None => call.method_number().checked_sub(1).and_then(|method| self.methods.get(method)),
        };
        if let Some(kind) = kind {
            kind.record(ns);
        }
    }

    /// Finds the request that something belongs to with `find`, and records how long that takes.
    pub(crate) fn correlate<R>(&self, find: impl FnOnce() -> R) -> R {
        let begun = Moment::now();
        let found = find();
        self.correlation.record(Moment::now().ns_since(begun));
        found
    }

    /// Ends a span of all windows when it is time, and returns whether it did. To be called once a second.
    pub(crate) fn tick(&self, now: Moment) -> bool {
        let span = self.span_at(now);
        let mut under_way = lock(&self.span);
        let before = std::mem::replace(&mut *under_way, span);
        if span > before {
            self.all().for_each(|windows| windows.end_span(before, span));
        }
        span > before
    }

    fn span_at(&self, now: Moment) -> u64 {
        now.ns_since(self.started) / (SPAN_S * 1_000_000_000)
    }

    fn all(&self) -> impl Iterator<Item = &LatencyWindows> {
        let first = [&self.messages, &self.round_trips, &self.correlation];
        first.into_iter().chain(&self.methods).chain(&self.tools)
    }

    /// How many histograms are in use, and their bytes on the heap.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let used = self.all().filter(|windows| windows.is_used());
        let (count, bytes) = used.fold((0, 0), |(count, bytes), used| (count + 1, bytes + used.bytes()));
        (count, bytes + size_of_val(&*self.tools))
    }

    /// p50 and p99 of the messages of the last 10 to 20 seconds, in nanoseconds; nothing if none came.
    pub(crate) fn latest_messages(&self) -> Option<(u64, u64)> {
        let latest = self.messages.latest()?;
        (latest.count() > 0).then(|| (latest.quantile_ns(0.5), latest.quantile_ns(0.99)))
    }

    /// Shows each kind of latency, with the method or tool, and where it is recorded. `tools` lists all tools in the order
    /// of their definitions.
    pub(crate) fn each<'a>(
        &'a self,
        tools: impl Iterator<Item = &'a str>,
        mut see: impl FnMut(LatencyKind, &'a str, &[&'a LatencyWindows]),
    ) {
        see(LatencyKind::Message, "", &[&self.messages]);
        see(LatencyKind::Correlation, "", &[&self.correlation]);
        see(LatencyKind::RoundTrip, "", &[&self.round_trips]);
        let handshakes = [Method::Initialize, Method::Discover];
        see(LatencyKind::Negotiation, "", &handshakes.map(|method| &self.methods[method as usize]));
        for method in Method::ALL {
            see(LatencyKind::Method, method.as_str(), &[&self.methods[method as usize]]);
        }
        let names = tools.take(MAX_TOOLS).chain(iter::once(OTHER_TOOLS));
        for (name, windows) in names.zip(&self.tools) {
            see(LatencyKind::Tool, name, &[windows]);
        }
    }

    /// All latencies that were recorded.
    pub(crate) fn report<'a>(
        &'a self,
        tools: impl Iterator<Item = &'a str>,
        now: Moment,
    ) -> Vec<LatencyReport> {
        let mut reports = Vec::new();
        self.each(tools, |kind, name, all| reports.extend(self.report_of(kind, name, all, now)));
        reports
    }

    /// The report of what is recorded in several places; nothing if nothing was.
    fn report_of(
        &self,
        kind: LatencyKind,
        name: &str,
        all: &[&LatencyWindows],
        now: Moment,
    ) -> Option<LatencyReport> {
        if !all.iter().any(|windows| windows.is_used()) {
            return None;
        }
        let mut sketches = <[Sketch; WINDOWS_S.len()]>::default();
        for windows in all {
            windows.read(&mut sketches);
        }
        let span = *lock(&self.span);
        let age_ms = now.ns_since(self.started) / 1_000_000;
        let windows =
            sketches.iter().zip(WINDOWS_S).enumerate().map(|(at, (sketch, window_s))| LatencyWindow {
                window_s,
                covered_ms: age_ms.saturating_sub(first_span(at, span) * SPAN_S * 1_000),
                count: sketch.count(),
                p50_ns: sketch.quantile_ns(0.5),
                p95_ns: sketch.quantile_ns(0.95),
                p99_ns: sketch.quantile_ns(0.99),
                max_ns: sketch.highest_ns(),
            });
        let windows = windows.filter(|window| window.count > 0).collect();
        Some(LatencyReport { kind, name: name.to_owned(), windows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::call_state::Caller;

    const SECOND_NS: u64 = 1_000_000_000;

    fn moment(seconds: u64) -> Moment {
        Moment::from_ns((1 + seconds) * SECOND_NS).expect("a moment")
    }

    fn ended(latencies: &Latencies, method: Method, tool: Option<usize>, failure: Option<Failure>) {
        let call = CallState::default();
        call.begin(Caller::default());
        call.note_method(Some(method));
        call.note_tool(tool);
        if let Some(failure) = failure {
            call.fail(failure);
        }
        latencies.note(&call, 1_000_000);
    }

    #[test]
    fn calls_are_reported_by_tool_and_all_else_by_method() {
        let latencies = Latencies::new(100, moment(0));
        ended(&latencies, Method::Ping, None, None);
        ended(&latencies, Method::Initialize, None, None);
        ended(&latencies, Method::Initialize, None, Some(Failure::Code(-32600)));
        ended(&latencies, Method::Discover, None, None);
        ended(&latencies, Method::ToolsCall, Some(3), Some(Failure::Tool));
        ended(&latencies, Method::ToolsCall, Some(64), None);
        ended(&latencies, Method::ToolsCall, Some(99), None);
        latencies.messages.record(5_000);
        assert_eq!(latencies.correlate(|| 7), 7);
        let names: Vec<_> = (0..100).map(|tool| format!("tool {tool}")).collect();
        let reports = latencies.report(names.iter().map(String::as_str), moment(4));
        let told: Vec<_> = reports
            .iter()
            .map(|report| {
                (report.kind.name(), report.name.as_str(), report.windows.iter().map(|w| w.count).max())
            })
            .collect();
        let want = [
            ("message", "", Some(1)),
            ("correlation", "", Some(1)),
            ("negotiation", "", Some(2)),
            ("method", "initialize", Some(1)),
            ("method", "ping", Some(1)),
            ("method", "server/discover", Some(1)),
            ("tool", "tool 3", Some(1)),
            ("tool", "_OTHER", Some(2)),
        ];
        let mut sorted = told.clone();
        sorted.sort_unstable();
        let mut wanted = want.to_vec();
        wanted.sort_unstable();
        assert_eq!(sorted, wanted);
        let (p50, p99) = latencies.latest_messages().expect("a message");
        assert!(p50 == p99 && (4_900..=5_100).contains(&p50), "{p50} {p99}");
        let (used, bytes) = latencies.bytes();
        assert_eq!(used, 7);
        assert!((used * 8 * 1024..used * 13 * 1024 + 1024).contains(&bytes), "{bytes}");
    }

    #[test]
    fn windows_say_what_they_cover() {
        let latencies = Latencies::new(0, moment(0));
        for second in 1..=5_400 {
            ended(&latencies, Method::Ping, None, None);
            latencies.tick(moment(second));
        }
        let reports = latencies.report(iter::empty(), moment(5_400));
        let ping = reports.iter().find(|report| report.name == "ping").expect("pings");
        for (window, longest_s) in ping.windows.iter().zip([20, 60, 300, 3_600]) {
            assert_eq!(window.count * 1_000, window.covered_ms, "{window:?}");
            assert!((longest_s / 2..=longest_s).contains(&window.count), "{window:?}");
            assert!((990_000..=1_010_000).contains(&window.p95_ns), "{window:?}");
        }
        assert_eq!(ping.windows.len(), 4);
        // An hour later nothing is left but what nobody has asked for since.
        latencies.tick(moment(5_400 + 7_200));
        assert!(latencies.report(iter::empty(), moment(12_600))[0].windows.is_empty());
    }
}
