//! The report as metrics in the text format of Prometheus (0.0.4).
//!
//! Names: `process_*` are those that every Prometheus client library has; pool metrics are named as those of well-known
//! connection pools and as OpenTelemetry's `db.client.connection.*`; `mcp_server_*` are the metrics of OpenTelemetry's
//! semantic conventions for MCP, spelt as its exporter for Prometheus spells them. Invariant: each metric is one block
//! with one head, and no series comes twice, whatever the names in the report are; counters end in `_total`.
//! Hotspots are left out: the ten largest change, and a counter must not disappear.

use crate::memory::{KernelScope, MemoryReport, OperationReport, PoolReport, PressureLevel};
use crate::metrics::DURATION_BOUNDS_S;
use crate::visible;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;

/// Writes the report as metrics.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::write_prometheus;
///
/// let report = Server::builder("demo", "1.0.0").build()?.memory().report();
/// let mut text = Vec::new();
/// write_prometheus(&report, &mut text)?;
/// assert!(!text.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When `out` cannot be written.
pub fn write_prometheus(report: &MemoryReport, out: &mut impl io::Write) -> io::Result<()> {
    let mut metrics = Metrics::default();
    process(&mut metrics, report);
    memory(&mut metrics, report);
    kernel(&mut metrics, report);
    pressure(&mut metrics, report);
    pools(&mut metrics, report);
    pool_windows(&mut metrics, report);
    traffic(&mut metrics, report);
    durations(&mut metrics, report);
    latencies(&mut metrics, report);
    alerts(&mut metrics, report);
    out.write_all(metrics.text.as_bytes())
}

/// A value of a sample.
#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// The text so far.
#[derive(Default)]
struct Metrics {
    text: String,
}

/// One block: its head is written with the first sample.
struct Metric<'m> {
    text: &'m mut String,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Series that were written.
    seen: HashSet<String>,
}

impl Metrics {
    fn gauge(&mut self, name: &'static str, help: &'static str) -> Metric<'_> {
        Metric { text: &mut self.text, name, kind: "gauge", help, seen: HashSet::new() }
    }

    fn histogram(&mut self, name: &'static str, help: &'static str) -> Metric<'_> {
        Metric { text: &mut self.text, name, kind: "histogram", help, seen: HashSet::new() }
    }

    fn counter(&mut self, name: &'static str, help: &'static str) -> Metric<'_> {
        debug_assert!(name.ends_with("_total"), "{name}");
        Metric { text: &mut self.text, name, kind: "counter", help, seen: HashSet::new() }
    }
}

impl Metric<'_> {
    /// The one sample of a metric without labels.
    fn one(mut self, value: impl Into<Value>) {
        self.sample(&[], value);
    }

    /// The one sample of a metric without labels, if the value is known.
    fn if_known(self, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.one(value);
        }
    }

    /// One sample of every pool that has a value.
    fn of_pools<V: Into<Value>>(mut self, report: &MemoryReport, value: impl Fn(&PoolReport) -> Option<V>) {
        for pool in &report.pools {
            if let Some(value) = value(pool) {
                self.sample(&[("pool", &pool.name)], value);
            }
        }
    }

    /// Adds the buckets of one histogram, which are cumulative here, its sum and its count.
    fn buckets(&mut self, labels: &[(&str, &str)], operation: &OperationReport) {
        let mut below = 0_u64;
        let ends = DURATION_BOUNDS_S.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (end, count) in ends.zip(&operation.counts) {
            below = below.saturating_add(*count);
            let labels: Vec<_> = labels.iter().copied().chain([("le", end.as_str())]).collect();
            self.sample_of("_bucket", &labels, below);
        }
        self.sample_of("_sum", labels, operation.sum_s);
        self.sample_of("_count", labels, below);
    }

    /// Adds a sample; a second one of the same labels is left out, as Prometheus would refuse the whole page.
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        self.sample_of("", labels, value);
    }

    /// The same for a part of the metric, whose name ends in `ending`.
    fn sample_of(&mut self, ending: &str, labels: &[(&str, &str)], value: impl Into<Value>) {
        let series = format!("{}{ending}{}", self.name, label_set(labels));
        if self.seen.is_empty() {
            let _ = writeln!(self.text, "# HELP {} {}", self.name, escape(self.help, false));
            let _ = writeln!(self.text, "# TYPE {} {}", self.name, self.kind);
        }
        if !self.seen.insert(series.clone()) {
            return;
        }
        let _ = match value.into() {
            Value::Whole(value) => writeln!(self.text, "{series} {value}"),
            Value::Real(value) if value.is_infinite() => {
                let sign = if value > 0.0 { '+' } else { '-' };
                writeln!(self.text, "{series} {sign}Inf")
            }
            Value::Real(value) => writeln!(self.text, "{series} {value}"),
        };
    }
}

/// `{a="b",c="d"}`, or nothing.
fn label_set(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (at, (name, value)) in labels.iter().enumerate() {
        let before = if at == 0 { '{' } else { ',' };
        let _ = write!(text, "{before}{name}=\"{}\"", escape(&visible::line(value), true));
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// What the format asks for: backslash and line feed, in labels the quotation mark as well.
fn escape(text: &str, is_label: bool) -> String {
    let text = text.replace('\\', r"\\").replace('\n', r"\n");
    if is_label { text.replace('"', "\\\"") } else { text }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// The metrics that every Prometheus client library has. The size of the address space is not in the report.
fn process(metrics: &mut Metrics, report: &MemoryReport) {
    let usage = &report.usage;
    metrics
        .gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
        .if_known(usage.rss_bytes);
    metrics
        .counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
        .if_known(usage.cpu_ms.map(seconds));
    metrics.gauge("process_open_fds", "Number of open file descriptors.").if_known(usage.open_descriptors);
    metrics
        .gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
        .one(seconds(report.taken_unix_ms.saturating_sub(report.uptime_ms)));
    metrics.gauge("process_threads", "Number of OS threads in the process.").if_known(usage.threads);
    let server = &report.server;
    metrics
        .gauge("mcpool_server_info", "Always 1: name and version of the server are its labels.")
        .sample(&[("name", &server.name), ("version", &server.version), ("os", &server.os)], 1_u64);
}

fn memory(metrics: &mut Metrics, report: &MemoryReport) {
    let usage = &report.usage;
    let mut parts = metrics.gauge("mcpool_memory_part_bytes", "Bytes by what holds them.");
    for part in &report.parts {
        let heap = if part.is_heap { "true" } else { "false" };
        parts.sample(&[("part", &part.name), ("heap", heap)], part.bytes);
    }
    let mut parts =
        metrics.gauge("mcpool_memory_part_peak_bytes", "Most bytes of a part, looked at once a second.");
    for part in &report.parts {
        let heap = if part.is_heap { "true" } else { "false" };
        parts.sample(&[("part", &part.name), ("heap", heap)], part.peak_bytes);
    }
    metrics
        .gauge("mcpool_memory_proportional_bytes", "Resident memory, shared pages divided among their users.")
        .if_known(usage.pss_bytes);
    metrics
        .gauge("mcpool_memory_private_bytes", "Resident memory that no other process shares.")
        .if_known(usage.private_bytes);
    metrics
        .gauge("mcpool_memory_shared_bytes", "Resident memory that other processes use as well.")
        .if_known(usage.shared_bytes);
    metrics
        .gauge("mcpool_memory_resident_peak_bytes", "Most memory that was resident at once.")
        .if_known(usage.peak_rss_bytes);
    metrics
        .gauge("mcpool_memory_committed_bytes", "Memory that the allocator has from the system.")
        .if_known(usage.committed_bytes);
    metrics
        .gauge("mcpool_memory_heap_bytes", "Blocks handed out by the allocator.")
        .if_known(usage.heap_bytes);
    metrics
        .gauge("mcpool_memory_unwritten_bytes", "Blocks of the heap that are not resident, at least.")
        .if_known(usage.unwritten_bytes);
    metrics.gauge("mcpool_memory_huge_page_bytes", "Bytes in huge pages.").if_known(usage.huge_page_bytes);
    metrics.gauge("mcpool_memory_stack_bytes", "Resident stacks of threads.").if_known(usage.stack_bytes);
    metrics
        .gauge("mcpool_memory_allocated_bytes", "The live heap, or the sum of its parts.")
        .one(usage.total_allocated_bytes);
    metrics
        .gauge("mcpool_memory_allocated_peak_bytes", "Most that the live heap was, looked at once a second.")
        .one(usage.peak_allocated_bytes);
    metrics
        .gauge(
            "mcpool_memory_explained_ratio",
            "Parts among resident memory; above 1 where they count too much.",
        )
        .if_known(usage.explained_ratio);
    metrics
        .gauge("mcpool_memory_held_ratio", "Bytes that a holder named among resident memory.")
        .if_known(usage.held_ratio);
    metrics
        .gauge("mcpool_memory_ledger_error_bytes", "Parts less resident memory: above zero is too much.")
        .if_known(usage.error_bytes.map(|bytes| bytes as f64));
}

/// Memory of the kernel; a name may come once for the process and once for its group.
fn kernel(metrics: &mut Metrics, report: &MemoryReport) {
    let help = "Memory of the kernel, beside the resident memory, by what holds it and whose it is.";
    let mut parts = metrics.gauge("mcpool_kernel_part_bytes", help);
    for part in &report.kernel {
        let scope = match part.scope {
            KernelScope::Process => "process",
            KernelScope::Network => "network",
            KernelScope::Group => "group",
        };
        parts.sample(&[("part", &part.name), ("scope", scope)], part.bytes);
    }
}

fn pressure(metrics: &mut Metrics, report: &MemoryReport) {
    let pressure = &report.pressure;
    let level: u64 = match pressure.level {
        PressureLevel::Normal => 0,
        PressureLevel::Elevated => 1,
        PressureLevel::Critical => 2,
    };
    metrics
        .gauge(
            "mcpool_memory_limit_bytes",
            "The limit that is watched: configured, of the cgroup, or half of the machine's memory.",
        )
        .if_known(pressure.limit_bytes);
    metrics.gauge("mcpool_memory_pressure_level", "0 normal, 1 elevated, 2 critical.").one(level);
    let mut entered = metrics
        .counter("mcpool_memory_pressure_entered_total", "Times that a level of pressure was entered.");
    for (level, count) in ["normal", "elevated", "critical"].iter().zip(pressure.entered) {
        entered.sample(&[("level", level)], count);
    }
    let help = "Bytes given back under pressure.";
    let mut bytes = metrics.counter("mcpool_memory_reclaimed_bytes_total", help);
    for step in &pressure.reclaimed {
        bytes.sample(&[("step", &step.step)], step.bytes);
    }
    let mut runs = metrics.counter("mcpool_memory_reclaims_total", "Steps run to give memory back.");
    for step in &pressure.reclaimed {
        runs.sample(&[("step", &step.step)], step.runs);
    }
    metrics
        .counter("mcpool_memory_refused_total", "Work turned away for want of memory.")
        .one(pressure.refused);
}

fn pools(metrics: &mut Metrics, report: &MemoryReport) {
    metrics
        .gauge("mcpool_pool_in_use", "Objects that are leased.")
        .of_pools(report, |pool| Some(pool.in_use));
    metrics.gauge("mcpool_pool_idle", "Objects that wait.").of_pools(report, |pool| Some(pool.idle));
    metrics
        .gauge("mcpool_pool_capacity", "Most objects that may be idle.")
        .of_pools(report, |pool| Some(pool.capacity));
    metrics
        .gauge("mcpool_pool_advised_capacity", "Capacity that the demand asks for.")
        .of_pools(report, |pool| pool.advice.as_ref().map(|advice| advice.capacity));
    metrics
        .counter("mcpool_pool_acquires_total", "Objects asked for.")
        .of_pools(report, |pool| Some(pool.hits.saturating_add(pool.misses)));
    metrics
        .counter("mcpool_pool_misses_total", "Objects that had to be made.")
        .of_pools(report, |pool| Some(pool.misses));
    let mut discards = metrics.counter("mcpool_pool_discards_total", "Returned objects that were dropped.");
    for pool in &report.pools {
        for (reason, count) in &pool.discarded {
            discards.sample(&[("pool", &pool.name), ("reason", reason)], *count);
        }
    }
    let mut bytes = metrics.gauge("mcpool_pool_bytes", "Bytes in objects.");
    for pool in &report.pools {
        bytes.sample(&[("pool", &pool.name), ("state", "idle")], pool.idle_bytes);
        let leased = pool.owned_bytes.saturating_sub(pool.idle_bytes);
        bytes.sample(&[("pool", &pool.name), ("state", "in_use")], leased);
    }
    let budget = &report.budget;
    metrics
        .gauge("mcpool_pool_budget_limit_bytes", "Idle bytes that all pools may keep together.")
        .one(budget.limit_bytes);
    metrics.gauge("mcpool_pool_budget_used_bytes", "Idle bytes of all pools.").one(budget.used_bytes);
}

/// What is known of a window of time.
fn pool_windows(metrics: &mut Metrics, report: &MemoryReport) {
    let help = "Objects in use as acquires found them; quantile 1 is the most.";
    let mut demand = metrics.gauge("mcpool_pool_demand", help);
    for pool in &report.pools {
        let found = &pool.demand;
        let quantiles = [
            ("0.5", found.p50),
            ("0.9", found.p90),
            ("0.99", found.p99),
            ("0.999", found.p999),
            ("1", found.max),
        ];
        for (quantile, value) in quantiles {
            demand.sample(&[("pool", &pool.name), ("quantile", quantile)], value);
        }
    }
    let mut ratios = metrics.gauge("mcpool_pool_hit_ratio", "Hits among acquires in a window, 0 to 1.");
    for pool in &report.pools {
        let windows = [("now", pool.hit_ratio_now), ("1m", pool.hit_ratio_1m), ("1h", pool.hit_ratio_1h)];
        for (window, ratio) in windows {
            if let Some(ratio) = ratio {
                ratios.sample(&[("pool", &pool.name), ("window", window)], ratio);
            }
        }
    }
}

fn traffic(metrics: &mut Metrics, report: &MemoryReport) {
    let traffic = &report.traffic;
    metrics.counter("mcpool_frames_total", "Frames taken in.").one(traffic.frames);
    let mut decoded =
        metrics.counter("mcpool_calls_decoded_total", "Calls by the passes they took to decode.");
    decoded.sample(&[("passes", "1")], traffic.one_pass);
    decoded.sample(&[("passes", "2")], traffic.two_pass);
    let counters = [
        ("mcpool_messages_owned_total", "Messages copied to outlive their frame.", traffic.owned),
        ("mcpool_requests_parked_total", "Requests that waited.", traffic.parked),
        ("mcpool_requests_cancelled_total", "Requests stopped by their client.", traffic.cancelled),
        ("mcpool_protocol_errors_total", "Error answers.", traffic.protocol_errors),
        ("mcpool_tool_errors_total", "Results of tools that are errors.", traffic.tool_errors),
        (
            "mcpool_notifications_dropped_total",
            "Notifications dropped for slow readers.",
            traffic.dropped_notifications,
        ),
        ("mcpool_sessions_opened_total", "Sessions opened.", traffic.sessions_opened),
        ("mcpool_sessions_expired_total", "Sessions that expired or were evicted.", traffic.sessions_expired),
    ];
    for (name, help, count) in counters {
        metrics.counter(name, help).one(count);
    }
    let gauges = [
        ("mcpool_unread_answers", "Answers kept for clients that left.", traffic.unread_answers),
        ("mcpool_unread_answer_bytes", "Bytes of answers kept for clients that left.", traffic.unread_bytes),
        (
            "mcpool_latest_return_milliseconds",
            "Longest time after which a client came back to a stream that had ended.",
            traffic.latest_return_ms,
        ),
        ("mcpool_requests_in_flight", "Requests that wait now.", traffic.in_flight),
        ("mcpool_connections", "Connections that are open.", traffic.connections),
        ("mcpool_sessions", "Sessions kept.", traffic.sessions),
        ("mcpool_subscriptions", "Subscriptions that are open.", traffic.subscriptions),
        ("mcpool_tasks", "Tasks that are kept.", traffic.tasks),
    ];
    for (name, help, count) in gauges {
        metrics.gauge(name, help).one(count);
    }
}

/// The metrics that OpenTelemetry's semantic conventions have for MCP servers.
fn durations(metrics: &mut Metrics, report: &MemoryReport) {
    let help = "Duration of requests and notifications as the server saw them, in seconds.";
    let mut durations = metrics.histogram("mcp_server_operation_duration_seconds", help);
    for operation in &report.operations {
        let method = ("mcp_method_name", operation.method.as_str());
        match &operation.error {
            Some(error) => durations.buckets(&[method, ("error_type", error)], operation),
            None => durations.buckets(&[method], operation),
        }
    }
    let help = "Duration of sessions that have ended, in seconds.";
    let mut durations = metrics.histogram("mcp_server_session_duration_seconds", help);
    if let Some(sessions) = &report.session_durations {
        durations.buckets(&[], sessions);
    }
}

/// Latencies in windows that end now, with two significant digits.
fn latencies(metrics: &mut Metrics, report: &MemoryReport) {
    let windows = || {
        report
            .latencies
            .iter()
            .flat_map(|latencies| latencies.windows.iter().map(move |window| (latencies, window)))
    };
    let help = "Latencies by what is measured, in windows that end now; quantile 1 is the longest.";
    let mut seconds = metrics.gauge("mcpool_latency_seconds", help);
    for (latencies, window) in windows() {
        let quantiles =
            [("0.5", window.p50_ns), ("0.95", window.p95_ns), ("0.99", window.p99_ns), ("1", window.max_ns)];
        let seconds_long = window.window_s.to_string();
        for (quantile, ns) in quantiles {
            let (kind, name) = (("kind", latencies.kind.name()), ("name", latencies.name.as_str()));
            seconds
                .sample(&[kind, name, ("window_s", &seconds_long), ("quantile", quantile)], ns as f64 / 1e9);
        }
    }
    let mut counts = metrics.gauge("mcpool_latency_window_count", "Latencies in each of these windows.");
    for (latencies, window) in windows() {
        let (kind, name) = (("kind", latencies.kind.name()), ("name", latencies.name.as_str()));
        counts.sample(&[kind, name, ("window_s", &window.window_s.to_string())], window.count);
    }
}

/// What lasts now, and nothing else: an alert that is over has no series.
fn alerts(metrics: &mut Metrics, report: &MemoryReport) {
    let mut alerts =
        metrics.gauge("mcpool_alert_since_seconds", "Alerts that last, by when they began (unix).");
    for alert in report.alerts.iter().filter(|alert| alert.is_active()) {
        let labels = [
            ("kind", alert.kind.name()),
            ("severity", alert.severity.name()),
            ("subject", alert.subject.as_str()),
        ];
        alerts.sample(&labels, seconds(alert.since_unix_ms));
    }
}
