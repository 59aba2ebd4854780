//! [`MemoryManager`]: measures memory, reacts to pressure, resizes pools, and reports.
//!
//! Owns the cycle and its state; `ledger` adds up the bytes, `pressure` decides on the level, `advice` on the capacities.
//! Time is an argument. Invariant: it never stops work in flight. It frees what is idle, and
//! [`MemoryManager::is_critical`] tells callers to refuse new work.

mod history;
mod resize;

use super::advice::{Hysteresis, Plan, Policy, advise};
use super::allocator::Allocator;
use super::balance::{Peaks, balance};
use super::black_box::BlackBox;
use super::ceiling::Ceiling;
use super::heap_fall::{HeapFall, Slack};
use super::incoming::{IncomingMessage, IncomingMessages, IncomingRoom};
use super::kernel::{self, Shortage};
use super::ledger::{Account, Entries, Ledger};
use super::pressure::{Measurement, Pressure};
use super::process::Process;
use super::report::{
    AppliedChange, BudgetReport, CurvePoint, DemandReport, Evidence, Hotspots, MemoryReport,
    MemoryUsageReport, PoolReport, PressureLevel, PressureReport, ReclaimOutcome, ReclaimReport, SCHEMA,
    ServerFacts,
};
use super::timeline::Timeline;
use crate::limits::{LimitOption, Limits, price};
use crate::lock::lock;
use mcpool_pools::{Discard, MemoryBudget, PoolControl, PoolKind, PoolRegistry, Sampling, lasting, passing};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most entries of each kind of hotspot.
const MAX_SPOTS: usize = 10;
/// Most tools: as many as have latencies of their own.
const MAX_TOOLS: usize = 64;
/// Where the bytes of one server are, and how its pools should be sized.
///
/// Cloning makes another handle to the same manager.
///
/// ```
/// use mcpool::Server;
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let report = server.memory().report();
/// assert_eq!(report.server.name, "demo");
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct MemoryManager {
    shared: Arc<Shared>,
}

struct Shared {
    facts: ServerFacts,
    started: Instant,
    limits: Limits,
    registry: PoolRegistry,
    budget: MemoryBudget,
    /// Bytes of large frames that may be in memory at once.
    leased: MemoryBudget,
    /// The large messages on their way in. One that comes slowly is not expected any more.
    incoming: IncomingMessages,
    /// What has not come whole and is in small buffers.
    unfinished: IncomingMessages,
    ledger: Ledger,
    allocator: OnceLock<Box<dyn Allocator>>,
    shortage: LazyLock<Shortage>,
    ceiling: Ceiling,
    level: AtomicU8,
    refused: AtomicU64,
    state: Mutex<State>,
}

/// What the cycle remembers from one tick to the next.
struct State {
    pressure: Pressure,
    psi_some_avg10: Option<f64>,
    /// How often each level of pressure was entered.
    level_counts: [u64; 3],
    reclaimed: StepSums,
    peaks: Peaks,
    timeline: Timeline,
    black_box: BlackBox,
    last_optimised: Instant,
    last_decay: Instant,
    applied: Vec<AppliedChange>,
    hysteresis: Hysteresis,
    heap_fall: HeapFall,
    slack: Slack,
}

/// The server that a [`MemoryManager`] belongs to.
pub(crate) struct MemoryConfig {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) limits: Limits,
    pub(crate) ceiling: Ceiling,
    pub(crate) registry: PoolRegistry,
    pub(crate) budget: MemoryBudget,
    /// The budget of large messages in memory.
    pub(crate) leased: MemoryBudget,
    /// The budget of small objects, and how many of its bytes are for requests that come whole.
    pub(crate) small: MemoryBudget,
    pub(crate) reserved_bytes: usize,
}

/// What becomes of a message that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    Expected,
    /// Not yet: there may be room when others are whole.
    Later,
    /// There is no memory at the moment.
    Refused,
    /// It is longer than all large messages together may be.
    TooLong {
        limit_bytes: usize,
    },
}

impl MemoryManager {
    pub(crate) fn new(config: MemoryConfig, now: Instant) -> Self {
        let MemoryConfig { name, version, limits, ceiling, registry, budget, leased, small, reserved_bytes } =
            config;
        let pressure = Pressure::new(limits.pressure_elevated_percent, limits.pressure_critical_percent);
        let state = State {
            pressure,
            psi_some_avg10: None,
            level_counts: [0; 3],
            reclaimed: BTreeMap::new(),
            peaks: Peaks::new(),
            timeline: Timeline::new(),
            black_box: BlackBox::new(),
            last_optimised: now,
            last_decay: now,
            applied: Vec::new(),
            hysteresis: Hysteresis::default(),
            heap_fall: HeapFall::default(),
            slack: Slack::default(),
        };
        let os = std::env::consts::OS.to_owned();
        let facts = ServerFacts { name, version, pid: std::process::id(), os };
        let room = |memory: &MemoryBudget, left_bytes| {
            IncomingMessages::new(IncomingRoom { memory: memory.clone(), left_bytes, tables: small.clone() })
        };
        let shared = Shared {
            facts,
            started: now,
            limits,
            registry,
            budget,
            incoming: room(&leased, 0),
            unfinished: room(&small, reserved_bytes),
            leased,
            ledger: Ledger::default(),
            allocator: OnceLock::new(),
            shortage: LazyLock::new(Shortage::of_process),
            ceiling,
            level: AtomicU8::new(0),
            refused: AtomicU64::new(0),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the allocator of the program; only the first call has an effect.
    pub fn set_allocator(&self, allocator: impl Allocator) {
        let _ = self.shared.allocator.set(Box::new(allocator));
    }

    /// Has the allocator of the program return free pages to the system.
    pub(crate) fn purge_allocator(&self) {
        if let Some(allocator) = self.shared.allocator.get() {
            allocator.purge();
        }
    }

    /// The same on a thread of its own: a purge takes as long as the system takes for the pages.
    ///
    /// Where no allocator is registered the end of a thread alone helps some: mimalloc returns free memory then, and a
    /// blocking thread of tokio's lives for ten seconds more.
    pub(crate) fn purge_allocator_apart(&self) {
        let memory = self.clone();
        let purging =
            thread::Builder::new().name("mcpool-purge".to_owned()).spawn(move || memory.purge_allocator());
        if let Err(error) = purging {
            tracing::debug!(%error, "the allocator is not purged");
        }
    }

    pub(crate) fn open_account<A: Account>(&self, account: &Arc<A>) {
        self.shared.ledger.open(account);
    }

    /// What bounds the memory of the process, as it was when the server was built.
    pub fn ceiling(&self) -> Ceiling {
        self.shared.ceiling
    }

    /// The level of memory pressure as of the last tick.
    pub fn pressure(&self) -> PressureLevel {
        match self.shared.level.load(Ordering::Relaxed) {
            0 => PressureLevel::Normal,
            1 => PressureLevel::Elevated,
            _ => PressureLevel::Critical,
        }
    }

    /// Whether new work should be refused.
    pub(crate) fn is_critical(&self) -> bool {
        self.pressure() == PressureLevel::Critical
    }

    /// Counts a message or an answer that was refused because large messages leave no room for it.
    pub(crate) fn note_refused_large(&self) {
        tracing::warn!(
            "refused: large messages leave no room for another one (max_inflight_bytes, a third of memory_limit_bytes where \
             it is not set; mcpool report shows who has it)"
        );
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts work that was refused because memory is short.
    pub(crate) fn note_refused(&self) {
        tracing::warn!(
            "refused: there is no memory for a request (memory_limit_bytes; mcpool report shows who has it)"
        );
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Expects a message of `bytes` from a client, if it would find room beside the large messages that are in memory and
    /// those that the client has announced: for its buffers and for what is made of it while it is served. One that is
    /// alone always has room. Messages of clients that have more than their share do not keep it out: it waits until they
    /// are whole, or slow enough to end.
    pub(crate) fn expect(&self, message: &mut IncomingMessage, client: u128, bytes: usize) -> Expectation {
        let Shared { leased, incoming, .. } = &*self.shared;
        let limit_bytes = leased.limit_bytes();
        if bytes > limit_bytes {
            return Expectation::TooLong { limit_bytes };
        }
        if self.is_critical() {
            return Expectation::Refused;
        }
        let free = || limit_bytes.saturating_sub(leased.used_bytes());
        let message_bytes = price::message_bytes(bytes).min(limit_bytes);
        // Caches are the first to go.
        if free() < message_bytes {
            leased.give_up_caches();
        }
        let free_bytes = free();
        let room_bytes = if free_bytes < message_bytes {
            free_bytes + incoming.displaceable_bytes(client)
        } else {
            free_bytes
        };
        let now = tokio::time::Instant::now();
        // What was only announced keeps no short message out for which there is room.
        let is_short = message_bytes <= price::short_bytes(limit_bytes);
        let may_come =
            message.announce(message_bytes, room_bytes, now) || is_short && message_bytes <= room_bytes;
        match may_come {
            true => Expectation::Expected,
            false if message.await_turn(now) => Expectation::Later,
            false => Expectation::Refused,
        }
    }

    /// A large message of a client that begins to come.
    pub(crate) fn begin_message(&self, client: u128) -> IncomingMessage {
        self.shared.incoming.begin(client)
    }

    /// The large messages on their way in, or what is not whole and is in small buffers.
    pub(crate) fn incoming(&self, is_large: bool) -> &IncomingMessages {
        if is_large { &self.shared.incoming } else { &self.shared.unfinished }
    }

    /// The work of each second: samples the pools, updates the level of pressure, and frees memory if need be.
    pub(crate) fn tick(&self, now: Instant) {
        // Before the samples, which may begin the pools' marks anew.
        self.end_bursts();
        // What a pool remembers grows while a burst is sampled, and stays.
        lasting(|| self.shared.registry.for_each(|pool| pool.sample(&Sampling::at(now))));
        self.decay(now);
        let Some((rss_bytes, anonymous_bytes)) = Process::resident_bytes() else { return };
        // Before the lock: accounts call toolsets, which may call this manager.
        let entries = self.entries(false);
        let heap_bytes = self.shared.allocator.get().and_then(|allocator| allocator.heap_bytes());
        let shortage = self.shared.shortage.read();
        let mut state = self.state();
        state.peaks.note(&entries.lines, heap_bytes);
        let is_purge_due = heap_bytes.is_some_and(|bytes| {
            // Both look each time.
            state.heap_fall.is_over(bytes) | state.slack.is_due(bytes, anonymous_bytes)
        });
        let limit_bytes = self.shared.ceiling.limit_bytes;
        let psi_some_avg10 = shortage.machine.map(|stalls| stalls.some_avg10);
        state.psi_some_avg10 = psi_some_avg10;
        let measurement = Measurement { rss_bytes, limit_bytes, psi_some_avg10 };
        let before = self.pressure();
        let level = state.pressure.update(measurement, now);
        if level != before {
            state.level_counts[level as usize] += 1;
            self.shared.level.store(level as u8, Ordering::Relaxed);
        }
        if state.timeline.is_due(now) {
            let at_ms = now.saturating_duration_since(self.shared.started).as_millis() as u64;
            state.timeline.add(now, at_ms, rss_bytes, &entries.lines);
        }
        self.record(&mut state, &entries, measurement, heap_bytes, &shortage);
        let is_due = is_due(self.shared.limits.tune_interval_ms, state.last_optimised, now);
        drop(state);
        if is_purge_due {
            self.shared.ledger.pack();
            self.purge_allocator_apart();
        }
        if level != before {
            tracing::warn!(?level, rss_bytes, limit_bytes, "memory pressure");
        }
        if level != PressureLevel::Normal {
            self.reclaim_at(level);
        }
        if is_due {
            self.optimize_at(now);
        }
    }

    /// Frees what is idle because somebody asks for it, whatever the pressure is: idle objects of all pools, what holders
    /// give back at the elevated level, and the free pages of the allocator.
    ///
    /// No work in flight is stopped, and no client loses what it may still come back for.
    pub fn reclaim(&self) -> ReclaimOutcome {
        let rss_before_bytes = Process::rss_bytes();
        let steps = self.free(false, |_| 0);
        self.count(&steps);
        let mut sums = StepSums::new();
        add_steps(&mut sums, &steps);
        let rss_after_bytes = Process::rss_bytes();
        ReclaimOutcome { rss_before_bytes, rss_after_bytes, steps: steps_of(&sums) }
    }

    /// Frees what is idle in pools whose burst is over.
    fn end_bursts(&self) {
        if self.shared.limits.pool_decay_ms == 0 {
            return;
        }
        let mut over = Vec::new();
        self.shared.registry.for_each(|pool| {
            if pool.is_burst_over() {
                over.push(pool.name().to_owned());
            }
        });
        // Without the lock of the registry: the `Drop` of an object may do anything.
        for pool in over.iter().filter_map(|name| self.shared.registry.find(name)) {
            let freed_bytes = pool.trim(0);
            tracing::debug!(pool = pool.name(), freed_bytes, "idle objects of a burst freed");
        }
    }

    /// Has every pool let go of half of what it did not need since the last time, if that was long enough ago.
    fn decay(&self, now: Instant) {
        let mut state = self.state();
        if !is_due(self.shared.limits.pool_decay_ms, state.last_decay, now) {
            return;
        }
        state.last_decay = now;
        drop(state);
        // Without the locks of this manager and of the registry: the `Drop` of an object may do anything.
        for pool in self.shared.registry.pools() {
            let freed_bytes = pool.trim_unneeded();
            if freed_bytes > 0 {
                tracing::debug!(pool = pool.name(), freed_bytes, "idle objects freed");
            }
        }
    }

    /// Frees idle memory, more of it at the critical level, and counts the bytes of each step.
    fn reclaim_at(&self, level: PressureLevel) {
        let is_critical = level == PressureLevel::Critical;
        let steps = self.free(is_critical, |idle| if is_critical { 0 } else { idle / 2 });
        self.count(&steps);
    }

    /// Frees idle memory and returns the bytes of each step. Pools keep as many objects as `keep` makes of the idle ones.
    fn free(&self, is_critical: bool, keep: impl Fn(usize) -> usize) -> Vec<(&'static str, u64)> {
        let mut steps: Vec<(&'static str, u64)> = Vec::new();
        for pool in self.shared.registry.pools() {
            let snapshot = pool.snapshot();
            let keep = keep(snapshot.idle);
            let step =
                if snapshot.kind == PoolKind::Arenas { "idle arenas" } else { "idle objects of pools" };
            steps.push((step, pool.trim(keep) as u64));
        }
        steps.extend(self.shared.ledger.reclaim(is_critical));
        if let Some(allocator) = self.shared.allocator.get() {
            let before = Process::rss_bytes();
            allocator.purge();
            let freed =
                before.zip(Process::rss_bytes()).map_or(0, |(before, now)| before.saturating_sub(now));
            steps.push(("pages of the allocator", freed));
        }
        steps
    }

    fn count(&self, steps: &[(&'static str, u64)]) {
        add_steps(&mut self.state().reclaimed, steps);
    }

    /// What the process uses now.
    pub fn current_memory_usage(&self) -> MemoryUsageReport {
        self.report().usage
    }

    /// Runs the whole cycle: usage, hotspots, sizes of the pools, what pressure asks for, and what was applied.
    pub fn optimize_memory_usage(&self) -> MemoryReport {
        self.optimize_at(Instant::now());
        self.report()
    }

    fn optimize_at(&self, now: Instant) {
        let pools = self.pools();
        let plan = self.plan();
        let advice = advise(&pools, &plan);
        let current: Vec<usize> = pools.iter().map(|pool| pool.capacity as usize).collect();
        let mut applied = Vec::new();
        let mut spare = plan
            .budget_bytes
            .saturating_sub(pools.iter().map(|pool| pool.capacity * pool.bytes_per_object).sum::<u64>());
        let next_capacities: Vec<_> = {
            let mut state = self.state();
            state.last_optimised = now;
            pools
                .iter()
                .zip(&advice)
                .map(|(pool, advice)| state.hysteresis.next_capacity(pool, advice))
                .collect()
        };
        // Without the lock: a pool that shrinks drops objects, and their `Drop` may do anything.
        for (((pool, advice), before), after) in pools.iter().zip(&advice).zip(current).zip(next_capacities) {
            let Some(after) = after.map(|after| after as usize) else { continue };
            let growth = after.saturating_sub(before) as u64 * pool.bytes_per_object;
            // A pool grows with `auto_tune` alone and within the budget; it may always shrink.
            if self.shared.limits.auto_tune == 0 && after > before || growth > spare {
                continue;
            }
            let Some(control) = self.shared.registry.find(&pool.name) else { continue };
            let set = control.set_capacity(after);
            spare = spare.saturating_sub(growth);
            if set != before {
                applied.push(AppliedChange {
                    what: pool.name.clone(),
                    before: before as u64,
                    after: set as u64,
                    reason: advice.reason.clone(),
                });
            }
        }
        self.state().applied = applied;
        let level = self.pressure();
        if level != PressureLevel::Normal {
            self.reclaim_at(level);
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            target_hit_ratio: self.shared.limits.target_hit_percent as f64 / 100.0,
            budget_bytes: self.shared.budget.limit_bytes() as u64,
            policy: Policy::MissCurve,
        }
    }

    /// A report of where every byte is now. Takes about a millisecond and allocates: not for the path of a request.
    pub fn report(&self) -> MemoryReport {
        let now = Instant::now();
        let process = Process::read();
        let allocator = self.shared.allocator.get().map(|allocator| allocator.stats()).unwrap_or_default();
        let kernel = kernel::read();
        let mut entries = self.entries(true);
        let lines = std::mem::take(&mut entries.lines).into_vec();
        let mut pools = self.pools();
        let advice = advise(&pools, &self.plan());
        for (pool, advice) in pools.iter_mut().zip(advice) {
            pool.advice = Some(advice);
        }
        let mut state = self.state();
        let (parts, usage) = balance(&mut state.peaks, lines, &process, allocator);
        let pressure = self.pressure_report(&state);
        let hotspots = hotspots(&mut entries);
        entries
            .client_activity
            .sort_by(|a, b| (b.busy_ms, b.requests, &a.name).cmp(&(a.busy_ms, a.requests, &b.name)));
        MemoryReport {
            schema: SCHEMA.to_owned(),
            taken_unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64),
            uptime_ms: now.saturating_duration_since(self.shared.started).as_millis() as u64,
            server: self.shared.facts.clone(),
            usage,
            parts,
            kernel,
            pressure,
            pools,
            budget: BudgetReport {
                limit_bytes: self.shared.budget.limit_bytes() as u64,
                used_bytes: self.shared.budget.idle_bytes() as u64,
            },
            hotspots,
            traffic: entries.traffic,
            clients: entries.client_activity,
            operations: entries.operations,
            latencies: entries.latencies,
            alerts: entries.alerts,
            session_durations: entries.session_durations,
            timeline: state.timeline.report(),
            applied: state.applied.clone(),
            settings: LimitOption::ALL
                .iter()
                .map(|option| (option.name.to_owned(), option.load(&self.shared.limits) as u64))
                .collect(),
        }
    }

    /// The lines of the ledger: those of all accounts, and those of the pools.
    fn entries(&self, is_detailed: bool) -> Entries {
        let mut entries = self.shared.ledger.read(is_detailed);
        self.shared.registry.for_each(|pool| {
            let snapshot = pool.snapshot();
            let (leased, idle) = lines_of(snapshot.kind);
            let leased_bytes = snapshot.owned_bytes.saturating_sub(snapshot.idle_bytes);
            entries.enter(leased, leased_bytes as usize, snapshot.in_use as usize);
            entries.enter(idle, snapshot.idle_bytes as usize, snapshot.idle);
        });
        entries.settle_leased(lines_of(PoolKind::Buffers).0);
        let records = self.state().black_box.len();
        entries.enter("black box", BlackBox::bytes(), records);
        entries
    }

    fn pressure_report(&self, state: &State) -> PressureReport {
        PressureReport {
            level: self.pressure(),
            limit_bytes: self.shared.ceiling.limit_bytes,
            limit_source: self.shared.ceiling.source.map(|source| source.name().to_owned()),
            cgroup_limit_bytes: self.shared.ceiling.cgroup_bytes,
            psi_some_avg10: state.psi_some_avg10,
            entered: state.level_counts,
            refused: self.shared.refused.load(Ordering::Relaxed),
            reclaimed: steps_of(&state.reclaimed),
        }
    }

    fn pools(&self) -> Vec<PoolReport> {
        self.shared.registry.pools().iter().map(|pool| PoolReport::of(pool.as_ref())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl std::fmt::Debug for MemoryManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryManager").field("pressure", &self.pressure()).finish_non_exhaustive()
    }
}

/// Runs and bytes of each step.
type StepSums = BTreeMap<&'static str, (u64, u64)>;

fn add_steps(sums: &mut StepSums, steps: &[(&'static str, u64)]) {
    for (step, bytes) in steps {
        let (runs, sum) = sums.entry(step).or_default();
        *runs += 1;
        *sum += bytes;
    }
}

fn steps_of(sums: &StepSums) -> Vec<ReclaimReport> {
    let report = |(step, (runs, bytes)): (&&'static str, &(u64, u64))| ReclaimReport {
        step: (*step).to_owned(),
        runs: *runs,
        bytes: *bytes,
    };
    sums.iter().map(report).collect()
}

/// Whether an interval has passed; one of 0 never does.
fn is_due(interval_ms: usize, last: Instant, now: Instant) -> bool {
    let interval = Duration::from_millis(interval_ms as u64);
    interval_ms > 0 && now.saturating_duration_since(last) >= interval
}

/// The lines of the ledger for a pool's leased and idle objects.
fn lines_of(kind: PoolKind) -> (&'static str, &'static str) {
    match kind {
        PoolKind::Buffers => ("buffers, leased", "buffers, idle"),
        PoolKind::Arenas => ("arenas, leased", "arenas, idle"),
        // Objects of a user's own kind are entered with the messages.
        _ => ("messages, leased", "messages, idle"),
    }
}

impl PoolReport {
    /// The report of a pool, without advice.
    pub fn of(pool: &dyn PoolControl) -> Self {
        // A copy of 12 KiB, which passes even where it is made by what lasts.
        let (snapshot, history) = (pool.snapshot(), passing(|| pool.history()));
        let bytes_per_object = snapshot.bytes_per_object();
        let curve = history.curve.iter();
        let discarded = Discard::ALL.into_iter().filter(|reason| snapshot.discarded(*reason) > 0);
        PoolReport {
            name: pool.name().to_owned(),
            capacity: snapshot.capacity as u64,
            maximum: snapshot.maximum as u64,
            in_use: snapshot.in_use,
            idle: snapshot.idle as u64,
            idle_bytes: snapshot.idle_bytes,
            owned_bytes: snapshot.owned_bytes,
            hits: snapshot.hits,
            misses: snapshot.misses,
            discarded: discarded
                .map(|reason| (format!("{reason:?}").to_ascii_lowercase(), snapshot.discarded(reason)))
                .collect(),
            hit_ratio_now: history.hit_ratio_now,
            hit_ratio_1m: history.hit_ratio_minute,
            hit_ratio_1h: history.hit_ratio_hour,
            high_water_mark: history.high_water_mark.max(snapshot.high_water_mark),
            demand: DemandReport {
                p50: history.demand_quantile(0.5),
                p90: history.demand_quantile(0.9),
                p99: history.demand_quantile(0.99),
                p999: history.demand_quantile(0.999),
                max: history.high_water_mark.max(snapshot.high_water_mark),
                buckets: history.demand.clone(),
            },
            bytes_per_object,
            saved_ns_per_hit: history.saved_ns_per_hit,
            evidence: Evidence {
                acquires: history.acquires,
                traced: history.traced,
                window_ms: history.window.as_millis() as u64,
                acquires_per_second: history.acquires_per_second,
            },
            curve: curve
                .map(|(capacity, hit_ratio)| CurvePoint {
                    capacity: *capacity,
                    hit_ratio: *hit_ratio,
                    bytes: capacity * bytes_per_object,
                })
                .collect(),
            advice: None,
            setting: snapshot.setting.map(str::to_owned),
        }
    }
}

/// The largest holders of each kind, and how many connections have which size.
fn hotspots(entries: &mut Entries) -> Hotspots {
    let mut buckets = BTreeMap::<u64, u64>::new();
    for connection in &mut entries.connections {
        connection.bytes += entries.idle_connection_bytes;
        *buckets.entry(connection.bytes.max(1).next_power_of_two()).or_default() += 1;
    }
    let idle = entries.traffic.connections.saturating_sub(entries.connections.len() as u64);
    if idle > 0 && entries.idle_connection_bytes > 0 {
        *buckets.entry(entries.idle_connection_bytes.next_power_of_two()).or_default() += idle;
    }
    entries.connections.sort_by_key(|spot| std::cmp::Reverse(spot.bytes));
    entries.sessions.sort_by_key(|spot| std::cmp::Reverse(spot.bytes));
    entries.clients.sort_by_key(|spot| std::cmp::Reverse(spot.bytes));
    entries.tools.sort_by_key(|spot| std::cmp::Reverse(spot.max_arena_bytes));
    entries.connections.truncate(MAX_SPOTS);
    entries.sessions.truncate(MAX_SPOTS);
    entries.clients.truncate(MAX_SPOTS);
    entries.tools.truncate(MAX_TOOLS);
    Hotspots {
        connections: std::mem::take(&mut entries.connections),
        sessions: std::mem::take(&mut entries.sessions),
        clients: std::mem::take(&mut entries.clients),
        tools: std::mem::take(&mut entries.tools),
        connection_buckets: buckets.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
