//! [`MemoryReport`]: the state of a server's memory at one moment, as data.
//!
//! Tables, pages, rules and comparisons read a report and nothing else, so a saved report is as good as a running server.
//! Invariant: a report that is written and read again is the same report.

use super::latency_report::LatencyReport;
use crate::metrics::Durations;
use crate::monitor::Alert;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the report's schema; a reader refuses others.
pub const SCHEMA: &str = "mcpool.memory-report/1";

/// Where every byte is, at one moment.
///
/// Sizes are bytes, times are what their names say. What a platform does not know is absent, not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub taken_unix_ms: u64,
    /// How long the process has been running.
    pub uptime_ms: u64,
    /// The server that reports.
    pub server: ServerFacts,
    /// The process, as the kernel and the allocator see it.
    pub usage: MemoryUsageReport,
    /// The same memory by what holds it, largest first.
    pub parts: Vec<Part>,
    /// What the kernel holds beside that: no part of the resident memory.
    #[serde(default)]
    pub kernel: Vec<KernelPart>,
    /// How near the limit is, and what was freed because of it.
    pub pressure: PressureReport,
    /// Every pool, in the order of their names.
    pub pools: Vec<PoolReport>,
    /// The budget of the idle objects of all pools.
    pub budget: BudgetReport,
    /// Who holds most, largest first: at most ten of each kind, and 64 tools.
    pub hotspots: Hotspots,
    /// What was counted since the start.
    pub traffic: Traffic,
    /// What clients did, by the names that they give themselves; those whose requests took most time first. Only where
    /// requests are reported to somebody ([`Server::report_requests_to`](crate::Server::report_requests_to)), as servers of
    /// sockets have it.
    #[serde(default)]
    pub clients: Vec<ClientReport>,
    /// How long requests took, by method and error.
    pub operations: Vec<OperationReport>,
    /// The same and more in two significant digits, over the last seconds, minutes and the last hour.
    #[serde(default)]
    pub latencies: Vec<LatencyReport>,
    /// What takes longer than usual or than it may, and what did not long ago; what lasts comes first.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// How long the sessions lasted that have ended.
    pub session_durations: Option<OperationReport>,
    /// Memory over time, oldest first: what charts are drawn from.
    pub timeline: Vec<TimelinePoint>,
    /// What the last optimisation changed, if there was one.
    pub applied: Vec<AppliedChange>,
    /// The settings that bear on memory, by name: integers in their unit.
    pub settings: std::collections::BTreeMap<String, u64>,
}

/// The server that reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerFacts {
    /// Name of the server.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Operating system: `linux`, `macos`.
    pub os: String,
}

/// The process in sums, as people ask for them.
///
/// The same bytes may be in two of these sums; [`MemoryReport::parts`] has each byte once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryUsageReport {
    /// Resident memory, shared pages included.
    pub rss_bytes: Option<u64>,
    /// Resident memory, shared pages divided among those who share them.
    pub pss_bytes: Option<u64>,
    /// Resident memory that no other process shares.
    pub private_bytes: Option<u64>,
    /// Resident memory that other processes use as well: text of the program and its libraries. More of the same memory
    /// is shared, and less is private, where others run the same program.
    #[serde(default)]
    pub shared_bytes: Option<u64>,
    /// Most that was resident at once.
    pub peak_rss_bytes: Option<u64>,
    /// Bytes in transparent huge pages.
    pub huge_page_bytes: Option<u64>,
    /// Memory that the allocator holds from the system now.
    pub committed_bytes: Option<u64>,
    /// Most that it ever held from the system.
    pub peak_committed_bytes: Option<u64>,
    /// Blocks handed out by the allocator: the live heap.
    pub heap_bytes: Option<u64>,
    /// Blocks of the heap that are not resident, at least: buffers whose pages nobody has written to yet. Parts tell the
    /// whole size of a block.
    #[serde(default)]
    pub unwritten_bytes: Option<u64>,
    /// Resident stacks of threads.
    pub stack_bytes: Option<u64>,
    /// All that connections hold: what each has while it is idle, its encryption too, and the buffers leased for what it
    /// reads and writes. Parts `connections` and `buffers, leased`.
    pub connection_bytes: u64,
    /// All that waits for an answer: calls of clients with their state and their arenas, subscriptions, and requests of
    /// the server to its clients. Parts `messages, leased`, `arenas, leased`, `subscriptions` and `pending requests`.
    pub correlation_bytes: u64,
    /// Buffers of messages: leased ones, idle ones, and those of events that are kept for resumption. Parts
    /// `buffers, leased`, `buffers, idle` and `event stores`.
    pub message_buffer_bytes: u64,
    /// The live heap; where the allocator does not tell it, the sum of all parts that are on it.
    pub total_allocated_bytes: u64,
    /// The most that was, looked at once a second and in each report: a burst between two looks can exceed it.
    /// `peak_rss_bytes` and `peak_committed_bytes` miss nothing.
    pub peak_allocated_bytes: u64,
    /// Bytes of all parts except `rest`, less `unwritten_bytes`: what the ledger says is resident.
    pub explained_bytes: u64,
    /// `explained_bytes` among `rss_bytes`; above 1 where the parts count too much.
    pub explained_ratio: Option<f64>,
    /// `explained_bytes` less `rss_bytes`: above zero where the parts count too much, below where they count too little.
    #[serde(default)]
    pub error_bytes: Option<i64>,
    /// `error_bytes` among `rss_bytes`, with its sign.
    #[serde(default)]
    pub error_ratio: Option<f64>,
    /// Bytes that a holder named among `rss_bytes`: what is left are pages of the program, stacks, and what the allocator
    /// keeps.
    #[serde(default)]
    pub held_ratio: Option<f64>,
    /// Threads of the process.
    pub threads: Option<u64>,
    /// File descriptors that are open.
    pub open_descriptors: Option<u64>,
    /// CPU time used, user and system, in milliseconds.
    pub cpu_ms: Option<u64>,
}

/// One line of the ledger. Each byte is in one of them.
///
/// Lines of holders say what they hold; `rest` are the blocks of the heap that none has named. `allocator, rounding` is
/// what the allocator makes blocks larger than asked for (mimalloc: a quarter at most). `allocator, free` are its other
/// resident pages: its tables, gaps between live blocks, and pages that it keeps for a while, which no release build of
/// mimalloc counts one by one; `mcpool report --reclaim` shows what the last of them was. Where an allocator does not tell
/// the size of its blocks, the rounding is in there, too. `program` are pages of files that only this process uses, `program, shared` those that others use as well. A line
/// tells whole blocks, also where their pages are not written to yet: `MemoryUsageReport::unwritten_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// What holds the bytes, for example `buffers, idle`.
    pub name: String,
    /// Bytes held.
    pub bytes: u64,
    /// Most bytes, looked at in each report; parts that holders name are looked at once a second as well.
    pub peak_bytes: u64,
    /// How many objects hold them, where they are countable.
    pub count: Option<u64>,
    /// Whether the bytes are on the heap (or are pages of the program, of stacks).
    pub is_heap: bool,
}

/// Memory of the kernel that is there because of this process, at least in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelPart {
    /// What holds the bytes, for example `page tables`.
    pub name: String,
    /// Bytes held.
    pub bytes: u64,
    /// How many objects hold them, where the kernel tells.
    pub count: Option<u64>,
    /// Whose bytes are counted.
    pub scope: KernelScope,
}

/// Whose memory a line of the kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KernelScope {
    /// This process alone.
    Process,
    /// All processes of its network namespace.
    Network,
    /// All processes of its control group, whose limit these bytes count against.
    Group,
}

/// How near the limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PressureLevel {
    /// Nothing is done.
    #[default]
    Normal,
    /// Idle memory is freed.
    Elevated,
    /// Large new work is refused as well.
    Critical,
}

/// The limit, and what was freed to stay below it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PressureReport {
    /// The level now.
    pub level: PressureLevel,
    /// The limit in force.
    pub limit_bytes: Option<u64>,
    /// Where the limit comes from: `configured`, `cgroup`, `physical` (half of the machine's memory).
    pub limit_source: Option<String>,
    /// The lowest limit of the process's cgroups, if one is set.
    pub cgroup_limit_bytes: Option<u64>,
    /// Share of time in which some task waited for memory, over 10 s, in percent.
    pub psi_some_avg10: Option<f64>,
    /// Times that each level was entered: normal, elevated, critical.
    pub entered: [u64; 3],
    /// Work refused because memory is short: connections and large frames.
    pub refused: u64,
    /// What was freed, by step.
    pub reclaimed: Vec<ReclaimReport>,
}

/// One kind of step that frees memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReclaimReport {
    /// The step.
    pub step: String,
    /// How often it ran.
    pub runs: u64,
    /// Bytes that it freed in all.
    pub bytes: u64,
}

/// What was given back because somebody asked for it: see [`MemoryManager::reclaim`](super::MemoryManager::reclaim).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReclaimOutcome {
    /// Resident memory before.
    pub rss_before_bytes: Option<u64>,
    /// Resident memory after.
    pub rss_after_bytes: Option<u64>,
    /// What was freed, by step. Freed bytes leave the resident memory when the allocator gives their pages back.
    pub steps: Vec<ReclaimReport>,
}

/// One pool: its use, the demand for its objects, and how it should be sized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolReport {
    /// Name of the pool.
    pub name: String,
    /// Most objects that may be idle.
    pub capacity: u64,
    /// Most that the capacity can be set to at run time.
    pub maximum: u64,
    /// Objects in use now.
    pub in_use: u64,
    /// Idle objects.
    pub idle: u64,
    /// Bytes in idle objects.
    pub idle_bytes: u64,
    /// Bytes in all objects.
    pub owned_bytes: u64,
    /// Acquires served by an idle object, since the start.
    pub hits: u64,
    /// Acquires that made an object, since the start.
    pub misses: u64,
    /// Returned objects that were dropped, by reason.
    pub discarded: std::collections::BTreeMap<String, u64>,
    /// Hits among acquires since the last sample, 0 to 1.
    pub hit_ratio_now: Option<f64>,
    /// The same over the last minute; nothing if none came in it.
    pub hit_ratio_1m: Option<f64>,
    /// The same over the last hour.
    pub hit_ratio_1h: Option<f64>,
    /// Most objects in use at once, in the window of evidence.
    pub high_water_mark: u64,
    /// Objects in use, as acquires found them: quantiles.
    pub demand: DemandReport,
    /// Bytes of one object, on average; of the latest where none exists now.
    pub bytes_per_object: u64,
    /// Time that a hit saves compared with a miss, in nanoseconds.
    pub saved_ns_per_hit: Option<f64>,
    /// What `demand` and `curve` are computed from.
    pub evidence: Evidence,
    /// Hit ratio and bytes by capacity, smallest capacity first.
    pub curve: Vec<CurvePoint>,
    /// How it should be sized.
    pub advice: Option<AdviceReport>,
    /// The setting that sizes it, if there is one.
    pub setting: Option<String>,
}

/// Quantiles of the objects in use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DemandReport {
    /// Half of all acquires found at most so many in use, themselves included.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The most.
    pub max: u64,
    /// Buckets for a histogram: the largest demand in each, and the acquires that found it.
    pub buckets: Vec<(u64, f64)>,
}

/// What the figures of a pool are computed from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Acquires, older ones counting less.
    pub acquires: f64,
    /// How many of them were traced one by one.
    pub traced: f64,
    /// The time that they cover.
    pub window_ms: u64,
    /// Acquires per second over that time.
    pub acquires_per_second: f64,
}

/// What a pool would do with a capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// The capacity.
    pub capacity: u64,
    /// Hits among acquires, 0 to 1.
    pub hit_ratio: f64,
    /// Idle bytes at most.
    pub bytes: u64,
}

/// How a pool should be sized, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdviceReport {
    /// The capacity advised.
    pub capacity: u64,
    /// Expected hits among acquires at that capacity, 0 to 1.
    pub hit_ratio: f64,
    /// Idle bytes at that capacity.
    pub bytes: u64,
    /// 0 to 1: the share of the wanted history that exists.
    pub confidence: f64,
    /// In words, with the numbers.
    pub reason: String,
}

/// The budget of the idle objects of all pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetReport {
    /// The bound.
    pub limit_bytes: u64,
    /// Bytes of idle objects.
    pub used_bytes: u64,
}

/// The largest holders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hotspots {
    /// Connections.
    pub connections: Vec<ConnectionSpot>,
    /// Sessions.
    pub sessions: Vec<SessionSpot>,
    /// Clients that keep something for long.
    #[serde(default)]
    pub clients: Vec<ClientSpot>,
    /// Tools, by the largest arena a call of theirs needed.
    pub tools: Vec<ToolSpot>,
    /// Connections by their bytes: the largest in each bucket, and how many are in it.
    pub connection_buckets: Vec<(u64, u64)>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionSpot {
    /// Its number in this process.
    pub number: u64,
    /// The peer's address, as far as the socket has one.
    pub peer: String,
    /// Bytes held for it.
    pub bytes: u64,
    /// Of these, bytes that wait for the peer to read.
    pub queued_bytes: u64,
    /// How long they have been waiting.
    pub stalled_ms: u64,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionSpot {
    /// Its number in this process; its id is secret.
    pub number: u64,
    /// The name that its client gives itself; empty if that is not known.
    #[serde(default)]
    pub client: String,
    /// Bytes held for it, its kept events included.
    pub bytes: u64,
    /// How long it has not been used.
    pub idle_ms: u64,
}

/// What one client keeps for long: its sessions, its subscriptions and the resources that they name, its roots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientSpot {
    /// Its address or user, or digits that tell its token or subject from others.
    pub client: String,
    /// Bytes that it keeps.
    pub bytes: u64,
    /// Bytes that all clients together may keep.
    pub room_bytes: u64,
}

/// What the clients of one name did since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientReport {
    /// The name that they give themselves (`clientInfo.name`); empty for those that give none, and for all beyond the first
    /// 64 names.
    pub name: String,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, requests that were answered with an error, or with a result that has `isError`.
    pub errors: u64,
    /// Bytes of the answers.
    pub answer_bytes: u64,
    /// The time that all of them took, waits included, added up.
    pub busy_ms: u64,
    /// Half of the requests took at most so long, in nanoseconds; it is a sixteenth off at most.
    pub p50_ns: u64,
    /// 99 % of the requests took at most so long.
    pub p99_ns: u64,
    /// Sessions of theirs that are open.
    pub sessions: u64,
    /// Bytes held for these sessions, their kept events included.
    pub session_bytes: u64,
}

/// One tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSpot {
    /// Its name.
    pub name: String,
    /// Calls.
    pub calls: u64,
    /// Of these, calls that were answered with an error, or with a result that has `isError`.
    #[serde(default)]
    pub errors: u64,
    /// Calls whose arguments took a second pass.
    pub two_pass: u64,
    /// Bytes of its answers in all.
    pub reply_bytes: u64,
    /// The longest of them.
    pub max_reply_bytes: u64,
    /// The largest arena that a call needed.
    pub max_arena_bytes: u64,
    /// Calls that left an arena too large to be kept.
    pub oversized_arenas: u64,
}

/// What was counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Frames taken in.
    pub frames: u64,
    /// Calls decoded in one pass.
    pub one_pass: u64,
    /// Calls decoded in two.
    pub two_pass: u64,
    /// Messages copied to outlive their frame.
    pub owned: u64,
    /// Requests that were not answered at their first poll.
    pub parked: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Requests cancelled by their client.
    pub cancelled: u64,
    /// Error answers.
    pub protocol_errors: u64,
    /// Results with `isError`.
    pub tool_errors: u64,
    /// Notifications dropped because a client reads too slowly.
    pub dropped_notifications: u64,
    /// Answers that are kept for clients that left before they read them.
    #[serde(default)]
    pub unread_answers: u64,
    /// Bytes of these answers.
    #[serde(default)]
    pub unread_bytes: u64,
    /// Clients that came back to a stream after its end.
    #[serde(default)]
    pub returns: u64,
    /// The longest time between the end of a stream and such a return.
    #[serde(default)]
    pub latest_return_ms: u64,
    /// Sessions kept.
    pub sessions: u64,
    /// Sessions opened since the start.
    pub sessions_opened: u64,
    /// Sessions that ended without their client saying so: expired or evicted.
    pub sessions_expired: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Subscriptions that are open.
    pub subscriptions: u64,
    /// Tasks that are kept.
    pub tasks: u64,
}

/// How long operations of one kind took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationReport {
    /// The method; empty for sessions, `_OTHER` for methods that the server does not know.
    pub method: String,
    /// What went wrong: the code of the error answer, `tool_error`, or `_OTHER` for errors beyond
    /// those that are counted apart. Absent for operations without an error.
    pub error: Option<String>,
    /// How many ended in each bucket of [`DURATION_BOUNDS_S`](crate::metrics::DURATION_BOUNDS_S), and beyond.
    pub counts: Vec<u64>,
    /// All of them together, in seconds.
    pub sum_s: f64,
}

impl OperationReport {
    pub(crate) fn new(method: &str, error: Option<String>, durations: &Durations) -> Self {
        let counts = durations.counts.to_vec();
        Self { method: method.to_owned(), error, counts, sum_s: durations.sum_s }
    }
}

/// Memory at one earlier moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelinePoint {
    /// Milliseconds since the start of the process.
    pub at_ms: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Bytes of each part, in the order of [`MemoryReport::parts`] by name.
    pub parts: Vec<(String, u64)>,
}

/// What an optimisation changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedChange {
    /// The pool, or the step of reclaim.
    pub what: String,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
    /// Why, in words.
    pub reason: String,
}

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadReportError {
    /// It is not JSON of this shape.
    #[error("this is no memory report of mcpool: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is of another version.
    #[error(
        "the report has schema {found:?} and this program reads {SCHEMA:?}: use the mcpool that wrote it"
    )]
    OtherSchema {
        /// What the report says.
        found: String,
    },
}

impl MemoryReport {
    /// Reads a report back.
    ///
    /// # Errors
    /// When the text is no report, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, ReadReportError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema != SCHEMA {
            return Err(ReadReportError::OtherSchema { found: head.schema });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The pool of that name.
    pub fn pool(&self, name: &str) -> Option<&PoolReport> {
        self.pools.iter().find(|pool| pool.name == name)
    }

    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }
}
