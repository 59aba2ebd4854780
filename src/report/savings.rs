//! What other settings would save or cost in money: bytes against processor time, at stated prices.
//!
//! [`propose`] is a pure function of reports. A capacity is worth the time that its hits save less the bytes that its
//! idle objects hold; limits follow from the most that was measured, with room to spare. Nothing is proposed below a
//! stated gain or on too little evidence. Invariant: what is proposed once is not proposed again from the same load.

use crate::limits::LimitOption;
use crate::limits::units::{bytes, duration, rough_duration};
use crate::memory::{MemoryReport, Plan, Policy, PoolReport, advise, fit_budget, merge};
use serde::Serialize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Acquires from which a curve counts as known.
const ENOUGH_ACQUIRES: f64 = 1_000.0;
/// Assumed cost of a miss where none was timed, in microseconds.
const MISS_US: f64 = 1.0;
/// Limits are set from peaks only if the evidence covers so many times the least window: a peak may be rare.
const PEAK_WINDOWS: u64 = 60;

/// What memory and processors cost, in the same money.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Prices {
    /// One GiB for a month.
    pub gib_month: f64,
    /// One processor for a month.
    pub cpu_month: f64,
    /// Changes that gain less in a month are left out.
    pub least_gain: f64,
}

impl Default for Prices {
    /// 4 for a GiB and 20 for a processor: dollars on the price lists of large providers in 2025.
    fn default() -> Self {
        Self { gib_month: 4.0, cpu_month: 20.0, least_gain: 0.01 }
    }
}

impl Prices {
    fn of_bytes(self, bytes: f64) -> f64 {
        bytes / (1_u64 << 30) as f64 * self.gib_month
    }

    fn of_time(self, us_per_second: f64) -> f64 {
        us_per_second / 1e6 * self.cpu_month
    }
}

/// What is asked of a proposal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// What a change must pay for.
    pub prices: Prices,
    /// Idle bytes that all pools may keep together; else it is proposed, too.
    pub budget_bytes: Option<u64>,
    /// Hits that are wanted whatever they cost, 0 to 1; else the prices decide.
    pub target_hit_ratio: Option<f64>,
    /// Time that the evidence must cover.
    pub least_window_ms: u64,
}

/// One setting: its value now, the proposed one, and what that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The setting.
    pub setting: &'static str,
    /// Its value now.
    pub now: u64,
    /// The proposed one.
    pub advised: u64,
    /// Bytes that are held, or set aside, no more; negative if more are.
    pub saved_bytes: f64,
    /// Processor time saved, in microseconds a second.
    pub saved_us_per_s: f64,
    /// What both are worth in a month.
    pub gain: f64,
    /// From what, in words.
    pub evidence: Vec<String>,
}

/// The hit ratio that a pool will have with the proposed settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promise {
    /// Name of the pool.
    pub pool: String,
    /// Its capacity.
    pub capacity: u64,
    /// Hits among acquires, 0 to 1.
    pub hit_ratio: f64,
}

/// Settings that would pay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// The changes, and nothing that is not worth its gain.
    pub changes: Vec<Change>,
    /// What is promised for the pools that were observed long enough.
    pub promises: Vec<Promise>,
    /// Minutes of the same load that are missing before anything can be said.
    pub missing_minutes: Option<u64>,
    /// The prices it was made at.
    pub prices: Prices,
}

/// Settings that pay, from reports, oldest first.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::{Prices, Terms, propose};
///
/// let reports = [Server::builder("demo", "1.0.0").build()?.memory().report()];
/// let terms = Terms {
///     prices: Prices::default(),
///     budget_bytes: None,
///     target_hit_ratio: None,
///     least_window_ms: 600_000,
/// };
/// let proposal = propose(&reports, &terms);
/// assert!(proposal.missing_minutes > Some(0), "nothing is known yet");
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn propose(reports: &[MemoryReport], terms: &Terms) -> Proposal {
    let pools = merge(reports);
    let with_setting = pools.iter().filter(|pool| option_of(pool).is_some());
    let is_known = with_setting.clone().any(|pool| is_certain(pool, terms));
    let missing_minutes = (!is_known)
        .then(|| with_setting.map(|pool| missing_minutes(pool, terms)).min().unwrap_or(u64::MAX))
        .map(|minutes| if minutes == u64::MAX { terms.least_window_ms.div_ceil(60_000) } else { minutes });
    let (mut changes, mut promises) = (Vec::new(), Vec::new());
    if let (true, Some(last)) = (is_known, reports.last()) {
        let sizes = Sizes::choose(&pools, last, terms);
        changes = sizes.changes;
        changes.extend(unused_room(reports, &pools, &sizes.capacities, terms));
        for change in &mut changes {
            change.gain = change.gain(terms.prices);
        }
        let known = pools.iter().zip(&sizes.capacities).filter(|(pool, _)| is_certain(pool, terms));
        promises.extend(known.map(|(pool, capacity)| Promise {
            pool: pool.name.clone(),
            capacity: *capacity,
            hit_ratio: hit_ratio(pool, *capacity),
        }));
    }
    Proposal { changes, promises, missing_minutes, prices: terms.prices }
}

fn option_of(pool: &PoolReport) -> Option<&'static LimitOption> {
    pool.setting.as_deref().and_then(LimitOption::named)
}

fn is_certain(pool: &PoolReport, terms: &Terms) -> bool {
    let evidence = &pool.evidence;
    let is_long = evidence.window_ms >= terms.least_window_ms;
    !pool.curve.is_empty() && evidence.acquires >= ENOUGH_ACQUIRES && is_long
}

/// Minutes until a pool is known, at its rate; `u64::MAX` if it is not used.
fn missing_minutes(pool: &PoolReport, terms: &Terms) -> u64 {
    let evidence = &pool.evidence;
    if evidence.acquires_per_second <= 0.0 {
        return u64::MAX;
    }
    let for_acquires = (ENOUGH_ACQUIRES - evidence.acquires).max(0.0) / evidence.acquires_per_second;
    let for_window = terms.least_window_ms.saturating_sub(evidence.window_ms) as f64 / 1_000.0;
    (for_acquires.max(for_window) / 60.0).ceil().max(1.0) as u64
}

fn hit_ratio(pool: &PoolReport, capacity: u64) -> f64 {
    let below = pool.curve.iter().take_while(|point| point.capacity <= capacity).last();
    below.map_or(0.0, |point| point.hit_ratio)
}

/// Bytes that a pool holds idle at the most.
fn held_bytes(pool: &PoolReport, capacity: u64) -> f64 {
    capacity.min(pool.demand.max.max(pool.high_water_mark)).saturating_mul(pool.bytes_per_object) as f64
}

/// Time that hits save with a capacity, in microseconds a second.
fn saved_us(pool: &PoolReport, capacity: u64) -> f64 {
    let saved_us = pool.saved_ns_per_hit.map_or(MISS_US, |ns| ns / 1_000.0);
    hit_ratio(pool, capacity) * pool.evidence.acquires_per_second * saved_us
}

/// The capacity that is worth most; the present one if none is worth more.
fn best(pool: &PoolReport, prices: Prices) -> u64 {
    let worth =
        |capacity| prices.of_time(saved_us(pool, capacity)) - prices.of_bytes(held_bytes(pool, capacity));
    let mut best = (pool.capacity, worth(pool.capacity));
    for point in &pool.curve {
        let candidate = (point.capacity, worth(point.capacity));
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    best.0
}

/// The capacity that a pool should have; of one that is not known, what it had in use.
fn wanted(pool: &PoolReport, terms: &Terms) -> u64 {
    if !is_certain(pool, terms) {
        return pool.capacity.min(pool.high_water_mark);
    }
    let Some(target_hit_ratio) = terms.target_hit_ratio else { return best(pool, terms.prices) };
    let plan = Plan { target_hit_ratio, budget_bytes: u64::MAX, policy: Policy::MissCurve };
    advise(std::slice::from_ref(pool), &plan).first().map_or(pool.capacity, |advice| advice.capacity)
}

/// The capacity of each pool, and the settings that make it.
struct Sizes {
    capacities: Vec<u64>,
    changes: Vec<Change>,
}

impl Sizes {
    fn choose(pools: &[PoolReport], last: &MemoryReport, terms: &Terms) -> Self {
        let mut wanted: Vec<u64> = pools.iter().map(|pool| wanted(pool, terms)).collect();
        if let Some(budget_bytes) = terms.budget_bytes {
            wanted = fit_budget(pools, wanted, budget_bytes);
        }
        let capacities = pools.iter().map(|pool| pool.capacity).collect();
        let mut sizes = Self { capacities, changes: Vec::new() };
        for option in LimitOption::ALL {
            let is_sized = |pool: &PoolReport| option_of(pool).is_some_and(|own| own.name == option.name);
            let group: Vec<usize> = (0..pools.len()).filter(|at| is_sized(&pools[*at])).collect();
            let most = group.iter().map(|at| wanted[*at]).max();
            let is_known = group.iter().any(|at| is_certain(&pools[*at], terms));
            let Some(most) = most.filter(|_| is_known) else { continue };
            let advised = most.clamp(option.min as u64, option.max as u64);
            let change = resize(option, group.iter().map(|at| &pools[*at]), advised, last);
            if is_worth_it(&change, group.iter().map(|at| &pools[*at]), terms) {
                for at in &group {
                    sizes.capacities[*at] = advised;
                }
                sizes.changes.push(change);
            }
        }
        sizes
    }
}

/// What it means for the pools of a setting to get that capacity. Several may share one: the largest need counts, as
/// those with smaller needs hold only what they use.
fn resize<'p>(
    option: &LimitOption,
    group: impl Iterator<Item = &'p PoolReport>,
    advised: u64,
    last: &MemoryReport,
) -> Change {
    let mut change = Change {
        setting: option.name,
        now: 0,
        advised,
        saved_bytes: 0.0,
        saved_us_per_s: 0.0,
        gain: 0.0,
        evidence: Vec::new(),
    };
    for pool in group {
        change.now = change.now.max(pool.capacity);
        change.saved_bytes += held_bytes(pool, pool.capacity) - held_bytes(pool, advised);
        change.saved_us_per_s += saved_us(pool, advised) - saved_us(pool, pool.capacity);
        let evidence = &pool.evidence;
        if evidence.acquires < 1.0 {
            continue;
        }
        change.evidence.push(format!(
            "{}: {:.1} % hits with {}, {:.1} % with {advised}; from {:.0} acquires over {}, {} at once, {} each",
            pool.name,
            hit_ratio(pool, pool.capacity) * 100.0,
            pool.capacity,
            hit_ratio(pool, advised) * 100.0,
            evidence.acquires,
            rough_duration(evidence.window_ms),
            pool.demand.max,
            bytes(pool.bytes_per_object)
        ));
    }
    change.now = last.settings.get(option.name).copied().unwrap_or(change.now);
    change
}

fn is_worth_it<'p>(change: &Change, group: impl Iterator<Item = &'p PoolReport>, terms: &Terms) -> bool {
    let mut group = group.filter(|pool| is_certain(pool, terms)).peekable();
    let Some(target) = terms.target_hit_ratio else {
        return change.gain(terms.prices) >= terms.prices.least_gain;
    };
    // Asked for, whatever it costs; but a tenth more or less is the same.
    let is_much_less =
        group.peek().is_some_and(|pool| change.advised.saturating_mul(10) < pool.capacity.saturating_mul(9));
    is_much_less
        || group.any(|pool| hit_ratio(pool, pool.capacity) < target - 0.005 && change.advised > pool.capacity)
}

impl Change {
    fn gain(&self, prices: Prices) -> f64 {
        prices.of_bytes(self.saved_bytes) + prices.of_time(self.saved_us_per_s)
    }
}

/// A limit that follows from the most that was measured.
struct Limit {
    setting: &'static str,
    /// The most that was measured.
    peak: u64,
    /// Percent of the peak that there must be room for.
    room_percent: u64,
    /// Limits are whole numbers of these.
    step: u64,
    /// Bytes that one of the setting's units may take.
    bytes_each: f64,
    evidence: String,
}

impl Limit {
    /// A lower limit, if it sets enough aside. What is near its peak stays: a second look would say the same again.
    fn lowered(&self, last: &MemoryReport, terms: &Terms) -> Option<Change> {
        let now = *last.settings.get(self.setting)?;
        let option = LimitOption::named(self.setting)?;
        let advised = (self.peak.saturating_mul(self.room_percent) / 100 / self.step)
            .saturating_add(1)
            .saturating_mul(self.step);
        let advised = advised.max(option.min as u64);
        let saved_bytes = now.saturating_sub(advised) as f64 * self.bytes_each;
        let change = Change {
            setting: self.setting,
            now,
            advised,
            saved_bytes,
            saved_us_per_s: 0.0,
            gain: 0.0,
            evidence: vec![self.evidence.clone()],
        };
        let is_much_less = advised <= now / 4 * 3;
        (is_much_less && change.gain(terms.prices) >= terms.prices.least_gain).then_some(change)
    }
}

/// Limits that leave far more room than was ever used.
fn unused_room(
    reports: &[MemoryReport],
    pools: &[PoolReport],
    capacities: &[u64],
    terms: &Terms,
) -> Vec<Change> {
    let Some(last) = reports.last() else { return Vec::new() };
    let mut changes = Vec::new();
    if let Some(budget_bytes) = terms.budget_bytes {
        changes.extend(requested_budget(last, budget_bytes));
    }
    let window_ms = pools.iter().map(|pool| pool.evidence.window_ms).max().unwrap_or_default();
    if window_ms < terms.least_window_ms.saturating_mul(PEAK_WINDOWS) {
        return changes;
    }
    let peaks = Peaks { reports };
    let mut limits = vec![peaks.event_store(), peaks.concurrency(last)];
    limits.extend(peaks.retention(last));
    if terms.budget_bytes.is_none() && !pools.iter().any(|pool| pool.discarded.contains_key("overbudget")) {
        limits.push(peaks.budget(pools, capacities));
    }
    let is_short = last.pressure.refused > 0 || last.pressure.entered[1..].iter().any(|times| *times > 0);
    if last.settings.get("memory_limit_bytes").is_some_and(|bytes| *bytes > 0) && !is_short {
        limits.push(peaks.memory(last));
    }
    changes.extend(limits.iter().filter_map(|limit| limit.lowered(last, terms)));
    changes
}

fn requested_budget(last: &MemoryReport, budget_bytes: u64) -> Option<Change> {
    let now = last.budget.limit_bytes;
    (now != budget_bytes).then(|| Change {
        setting: "pool_budget_bytes",
        now,
        advised: budget_bytes,
        saved_bytes: now as f64 - budget_bytes as f64,
        saved_us_per_s: 0.0,
        gain: 0.0,
        evidence: vec!["as requested".to_owned()],
    })
}

/// Clients that must have come back before their times say something of the next ones.
const LEAST_RETURNS: u64 = 20;

/// The most that was measured in any report.
struct Peaks<'a> {
    reports: &'a [MemoryReport],
}

impl Peaks<'_> {
    fn of(&self, peak: impl Fn(&MemoryReport) -> u64) -> u64 {
        self.reports.iter().map(peak).max().unwrap_or_default()
    }

    fn part(&self, name: &str) -> u64 {
        self.of(|report| report.part(name).map_or(0, |part| part.peak_bytes))
    }

    fn event_store(&self) -> Limit {
        let peak = self.part("event stores");
        let evidence = format!("events for clients that come back took {} at the most", bytes(peak));
        Limit { setting: "event_store_bytes", peak, room_percent: 200, step: MIB, bytes_each: 1.0, evidence }
    }

    /// Twice the time after which a client came back at the latest, where enough of them did. What is kept grows with
    /// the time that it is kept for.
    fn retention(&self, last: &MemoryReport) -> Option<Limit> {
        let setting = "event_retention_ms";
        let now_ms = last.settings.get(setting).copied().filter(|now_ms| *now_ms > 0)?;
        let returns = self.of(|report| report.traffic.returns);
        let peak = self.of(|report| report.traffic.latest_return_ms);
        let unread = self.of(|report| report.traffic.unread_bytes);
        let evidence = format!(
            "{returns} clients came back to a stream after its end, the last {} after it; answers that nobody came for \
             kept {}",
            duration(peak),
            bytes(unread)
        );
        let bytes_each = unread as f64 / now_ms as f64;
        let limit = Limit { setting, peak, room_percent: 200, step: 1_000, bytes_each, evidence };
        (returns >= LEAST_RETURNS).then_some(limit)
    }

    fn concurrency(&self, last: &MemoryReport) -> Limit {
        let peak = self.of(|report| report.pool("messages").map_or(0, |pool| pool.high_water_mark));
        let connections = self.of(|report| report.traffic.connections).max(last.traffic.connections);
        let evidence = format!(
            "all {connections} connections together had {peak} requests in flight at the most; each may take {}",
            bytes(KIB)
        );
        let bytes_each = connections.saturating_mul(KIB) as f64;
        Limit { setting: "max_concurrent_requests", peak, room_percent: 200, step: 4, bytes_each, evidence }
    }

    fn budget(&self, pools: &[PoolReport], capacities: &[u64]) -> Limit {
        let idle = ["buffers, idle", "arenas, idle", "messages, idle"];
        let seen = idle.iter().map(|name| self.part(name)).fold(0, u64::saturating_add);
        let sized: f64 =
            pools.iter().zip(capacities).map(|(pool, capacity)| held_bytes(pool, *capacity)).sum();
        let peak = seen.max(sized as u64);
        let evidence = format!("idle objects of all pools take {} at the most", bytes(peak));
        Limit { setting: "pool_budget_bytes", peak, room_percent: 125, step: MIB, bytes_each: 1.0, evidence }
    }

    /// Below the level at which idle memory is freed, with a tenth to spare; and large messages have a third of what the
    /// process does not need by itself.
    fn memory(&self, last: &MemoryReport) -> Limit {
        let elevated = last.settings.get("pressure_elevated_percent").copied().unwrap_or(75).max(1);
        let rss = self.of(|report| report.usage.peak_rss_bytes.unwrap_or_default());
        let leased = self.part("buffers, leased");
        let floor = self.reports.iter().filter_map(|report| report.usage.rss_bytes).min().unwrap_or_default();
        let peak = (rss.saturating_mul(100) / elevated).max(floor.saturating_add(leased.saturating_mul(3)));
        let evidence = format!("the process had {} at the most, {} in messages", bytes(rss), bytes(leased));
        let (setting, step) = ("memory_limit_bytes", 8 * MIB);
        Limit { setting, peak, room_percent: 110, step, bytes_each: 1.0, evidence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::memory::{
        BudgetReport, CurvePoint, DemandReport, Evidence, Hotspots, MemoryUsageReport, Part, PressureReport,
        ServerFacts, Traffic,
    };
    use mcpool_pools::BufferPool;

    /// A pool of which demand is uniform on 1 to `most`, 100 times a second for ten minutes.
    fn pool(name: &str, setting: &str, capacity: u64, most: u64) -> PoolReport {
        let all = (most * (most + 1) / 2) as f64;
        let hits = |capacity: u64| (1..=most).map(|held| held.min(capacity)).sum::<u64>() as f64 / all;
        let buffers = BufferPool::default();
        let class = buffers.classes().next().expect("a class");
        PoolReport {
            name: name.to_owned(),
            setting: Some(setting.to_owned()),
            capacity,
            high_water_mark: most,
            demand: DemandReport { max: most, ..DemandReport::default() },
            bytes_per_object: 4_096,
            saved_ns_per_hit: Some(500.0),
            evidence: Evidence {
                acquires: 60_000.0,
                traced: 60_000.0,
                window_ms: 600_000,
                acquires_per_second: 100.0,
            },
            curve: (1..=most)
                .map(|at| CurvePoint { capacity: at, hit_ratio: hits(at), bytes: at * 4_096 })
                .collect(),
            ..PoolReport::of(class)
        }
    }

    fn report(pools: Vec<PoolReport>) -> MemoryReport {
        let limits = Limits::default();
        let settings = LimitOption::ALL.iter();
        let mut settings: std::collections::BTreeMap<String, u64> =
            settings.map(|option| (option.name.to_owned(), option.load(&limits) as u64)).collect();
        for pool in &pools {
            settings.insert(pool.setting.clone().expect("a setting"), pool.capacity);
        }
        MemoryReport {
            schema: String::new(),
            taken_unix_ms: 1,
            uptime_ms: 1,
            server: ServerFacts { name: String::new(), version: String::new(), pid: 1, os: String::new() },
            usage: MemoryUsageReport::default(),
            parts: Vec::new(),
            kernel: Vec::new(),
            pressure: PressureReport::default(),
            pools,
            budget: BudgetReport { limit_bytes: limits.pool_budget_bytes() as u64, used_bytes: 0 },
            hotspots: Hotspots::default(),
            traffic: Traffic::default(),
            clients: Vec::new(),
            operations: Vec::new(),
            latencies: Vec::new(),
            alerts: Vec::new(),
            session_durations: None,
            timeline: Vec::new(),
            applied: Vec::new(),
            settings,
        }
    }

    fn terms(prices: Prices) -> Terms {
        Terms { prices, budget_bytes: None, target_hit_ratio: None, least_window_ms: 60_000 }
    }

    /// Where a processor costs so much that 1 us/s is worth 20 a month, and gains below 100 are left out.
    fn dear() -> Prices {
        Prices { cpu_month: 20e6, least_gain: 100.0, ..Prices::default() }
    }

    #[test]
    fn what_does_not_pay_is_not_proposed() {
        // 100 misses a second cost 50 us/s, which is a tenth of a cent.
        let reports = [report(vec![pool("messages", "message_capacity", 1, 40)])];
        let proposal = propose(&reports, &terms(Prices::default()));
        assert!(proposal.changes.is_empty() && proposal.missing_minutes.is_none(), "{proposal:#?}");
        let proposal = propose(&reports, &terms(dear()));
        let [change] = &proposal.changes[..] else { panic!("{proposal:#?}") };
        assert_eq!((change.setting, change.now), ("message_capacity", 1));
        assert!((38..=40).contains(&change.advised), "{change:?}");
        let expected = 20.0 * change.saved_us_per_s;
        assert!((change.gain / expected - 1.0).abs() < 1e-3 && change.saved_bytes < 0.0, "{change:?}");
        // With that done nothing is left to do.
        let again = [report(vec![pool("messages", "message_capacity", change.advised, 40)])];
        assert_eq!(propose(&again, &terms(dear())).changes, []);
    }

    #[test]
    fn the_largest_need_of_pools_that_share_a_setting_counts() {
        let small = pool("buffers/1KiB", "buffer_capacity", 10, 40);
        let large = pool("buffers/64KiB", "buffer_capacity", 10, 20);
        let proposal = propose(&[report(vec![small, large])], &terms(dear()));
        let [change] = &proposal.changes[..] else { panic!("{proposal:#?}") };
        assert!((38..=40).contains(&change.advised) && change.evidence.len() == 2, "{change:?}");
        assert!(proposal.promises.iter().all(|promise| promise.hit_ratio > 0.99), "{:?}", proposal.promises);
    }

    #[test]
    fn too_little_is_said_to_be_too_little_and_for_how_long() {
        let mut young = pool("messages", "message_capacity", 1, 40);
        young.evidence =
            Evidence { acquires: 250.0, traced: 250.0, window_ms: 50_000, acquires_per_second: 5.0 };
        let proposal = propose(&[report(vec![young.clone()])], &terms(dear()));
        // 750 acquires are missing at 5 a second: 150 s.
        assert_eq!((proposal.missing_minutes, proposal.changes), (Some(3), vec![]));
        young.evidence.acquires_per_second = 0.0;
        assert_eq!(propose(&[report(vec![young])], &terms(dear())).missing_minutes, Some(1));
    }

    #[test]
    fn limits_far_above_the_peak_are_lowered_after_an_hour_and_not_again() {
        let mut pool = pool("messages", "message_capacity", 40, 40);
        let part = |name: &str, peak_bytes| Part {
            name: name.to_owned(),
            bytes: 0,
            peak_bytes,
            count: None,
            is_heap: true,
        };
        let with = |pool: &PoolReport, budget: u64| {
            let mut report = report(vec![pool.clone()]);
            report.parts = vec![part("buffers, idle", 3 * MIB), part("event stores", 2 * MIB)];
            report.settings.insert("pool_budget_bytes".to_owned(), budget);
            [report]
        };
        assert_eq!(
            propose(&with(&pool, 64 * MIB), &terms(Prices::default())).changes,
            [],
            "ten minutes only"
        );
        pool.evidence = Evidence { window_ms: 3_600_000, acquires: 360_000.0, ..pool.evidence };
        let changes = propose(&with(&pool, 64 * MIB), &terms(Prices::default())).changes;
        let lowered: Vec<_> = changes.iter().map(|change| (change.setting, change.advised)).collect();
        assert_eq!(lowered, [("event_store_bytes", 5 * MIB), ("pool_budget_bytes", 4 * MIB)]);
        // 60 MiB at 4 a GiB.
        assert!((changes[1].gain - 60.0 / 1_024.0 * 4.0).abs() < 1e-9, "{changes:?}");
        let again = propose(&with(&pool, 4 * MIB), &terms(Prices::default())).changes;
        assert!(again.iter().all(|change| change.setting != "pool_budget_bytes"), "{again:?}");
    }

    #[test]
    fn answers_are_kept_for_twice_as_long_as_clients_needed_to_come_back() {
        let mut pool = pool("messages", "message_capacity", 40, 40);
        pool.evidence = Evidence { window_ms: 3_600_000, acquires: 360_000.0, ..pool.evidence };
        let advised = |returns, latest_return_ms, unread_bytes, retention_ms: u64| {
            let mut report = report(vec![pool.clone()]);
            let traffic = Traffic { unread_bytes, returns, latest_return_ms, ..Traffic::default() };
            report.traffic = traffic;
            report.settings.insert("event_retention_ms".to_owned(), retention_ms);
            let changes = propose(&[report], &terms(Prices::default())).changes;
            let change = changes.iter().find(|change| change.setting == "event_retention_ms")?;
            Some((change.advised, change.saved_bytes))
        };
        let kept = 12 * MIB;
        assert_eq!(advised(20, 4_700, kept, 60_000), Some((10_000, 10.0 * MIB as f64)));
        assert_eq!(advised(19, 4_700, kept, 60_000), None, "too few");
        assert_eq!(advised(20, 4_700, MIB, 60_000), None, "not worth it");
        assert_eq!(advised(20, 25_000, kept, 60_000), None, "they need the time");
        assert_eq!(advised(20, 4_700, kept, 10_000), None, "done");
        assert_eq!(advised(20, 4_700, kept, 0), None, "nothing is kept");
    }
}
