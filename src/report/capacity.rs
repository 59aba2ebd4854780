//! How many clients of a kind a budget is enough for: the plan of a load, for the largest number that fits.
//!
//! Pure functions of a plan's basis. Invariant: more clients never need less.

use super::layout::{Cell, Column, Page, Section};
use crate::limits::units::{bytes, grouped};
use crate::memory::{CeilingPlan, MemoryReport, PlanBasis, PlannedLoad, Transfers};
use serde::{Deserialize, Serialize};
use std::io;

/// Most clients that are looked at.
const MOST_CLIENTS: u64 = 1_000_000;
/// Standard deviations from the mean that 99 % of all moments are below.
const Z99: f64 = 2.33;
/// The factors of the table.
const FACTORS: [f64; 3] = [0.5, 1.0, 2.0];
/// Hits among acquires that pools are to have.
const TARGET_HITS: f64 = 0.99;

/// What bounds the number of clients: memory, or a setting.
const BOUNDS: [&str; 5] =
    ["memory", "max_connections", "max_sessions", "max_subscriptions", "arena_capacity"];

/// What one client does on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientMix {
    /// Open connections.
    pub connections: f64,
    /// Sessions of the legacy era.
    pub sessions: f64,
    /// Open streams and subscriptions.
    pub streams: f64,
    /// Small requests that are being served, at a moment.
    pub waiting: f64,
    /// Files that are being read, at a moment.
    pub reads: f64,
    /// Bytes of each.
    pub read_bytes: u64,
    /// Files that are being written, at a moment.
    pub writes: f64,
    /// Bytes of each.
    pub write_bytes: u64,
}

impl Default for ClientMix {
    /// One connection that does nothing.
    fn default() -> Self {
        Self {
            connections: 1.0,
            sessions: 0.0,
            streams: 0.0,
            waiting: 0.0,
            reads: 0.0,
            read_bytes: 64 << 10,
            writes: 0.0,
            write_bytes: 64 << 10,
        }
    }
}

impl ClientMix {
    /// The mix of that name: `idle`, `editor` or `agent`.
    pub fn preset(name: &str) -> Option<Self> {
        let session = Self { sessions: 1.0, ..Self::default() };
        Some(match name {
            "idle" => session,
            "editor" => Self { connections: 2.0, streams: 1.0, waiting: 0.02, reads: 0.01, ..session },
            "agent" => Self {
                connections: 2.0,
                streams: 1.0,
                waiting: 0.2,
                reads: 0.1,
                read_bytes: 256 << 10,
                writes: 0.05,
                ..session
            },
            _ => return None,
        })
    }

    /// Whether each of its figures can be counted with.
    pub fn is_sound(&self) -> bool {
        let counts = [self.connections, self.sessions, self.streams, self.waiting, self.reads, self.writes];
        counts.iter().all(|count| (0.0..=1_000.0).contains(count)) && counts.iter().any(|count| *count > 0.0)
    }

    fn at_work(&self) -> f64 {
        self.waiting + self.reads + self.writes
    }

    /// What so many clients do at a busy moment: one of a hundred is busier.
    pub fn load(&self, clients: u64) -> PlannedLoad {
        let of = |each: f64| (each * clients as f64).ceil() as u64;
        let busy = |each: f64| busy(each * clients as f64);
        PlannedLoad {
            connections: of(self.connections),
            sessions: of(self.sessions),
            streams: of(self.streams),
            stream_resources: 0,
            waiting: busy(self.waiting),
            reads: Transfers { count: busy(self.reads), bytes: self.read_bytes },
            writes: Transfers { count: busy(self.writes), bytes: self.write_bytes },
        }
    }
}

/// What a number that is `mean` on average is at a busy moment, if its parts come independently of each other.
fn busy(mean: f64) -> u64 {
    if mean <= 0.0 { 0 } else { (mean + Z99 * mean.sqrt()).ceil() as u64 }
}

/// Something that bounds the number of clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bound {
    /// A setting, or `memory`.
    pub name: &'static str,
    /// The clients that it is enough for.
    pub clients: u64,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapacityRow {
    /// Beside the clients that were asked for.
    pub factor: f64,
    /// Clients.
    pub clients: u64,
    /// The limit that they need.
    pub needed_bytes: u64,
    /// Hits of the pool of arenas: of its miss curve where a report gave one.
    pub hit_ratio: Option<f64>,
    /// Arenas that serve 99 % of the moments.
    pub needed_arenas: u64,
    /// What they do not fit into.
    pub beyond: Vec<&'static str>,
}

/// How many clients fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// What each of them does.
    pub mix: ClientMix,
    /// The budget.
    pub budget_bytes: Option<u64>,
    /// The clients that fit.
    pub fits: u64,
    /// All bounds, the closest first.
    pub bounds: Vec<Bound>,
    /// Half, as many, and twice as many as were asked for.
    pub rows: Vec<CapacityRow>,
}

/// How many clients of a kind fit, and what `clients` of them take. A report gives the miss curve of its load.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::{ObjectPrices, PlanBasis, ProcessFacts};
/// use mcpool::report::{ClientMix, capacity};
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let prices = ObjectPrices {
///     connection_bytes: 1_536,
///     session_bytes: 1_024,
///     stream_bytes: 512,
///     resource_bytes: 512,
///     request_bytes: 4_096,
///     frame_bytes: 1_024,
///     small_buffers_bytes: 21 << 10,
///     text_copies: 2,
/// };
/// let ceiling = server.memory().ceiling();
/// let basis = PlanBasis { limits: server.limits(), prices, process: ProcessFacts::default(), ceiling };
/// let found = capacity(&basis, &ClientMix::default(), 100, None);
/// assert_eq!(found.rows.len(), 3);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn capacity(
    basis: &PlanBasis<'_>,
    mix: &ClientMix,
    clients: u64,
    report: Option<&MemoryReport>,
) -> Capacity {
    let limits = basis.limits;
    let holds = |bound: &'static str, clients: u64| {
        let load = mix.load(clients);
        match bound {
            "memory" => {
                let needed = CeilingPlan::of(Some(load), basis).needed_limit_bytes;
                basis.ceiling.limit_bytes.is_none_or(|limit| needed <= limit)
            }
            "max_connections" => load.connections <= limits.max_connections as u64,
            "max_sessions" => load.sessions <= limits.max_sessions as u64,
            "max_subscriptions" => load.streams <= limits.max_subscriptions as u64,
            // Pools at 99 % hits.
            _ => match report.and_then(|report| hits(report, clients)) {
                Some(ratio) => ratio >= TARGET_HITS,
                None => busy(mix.at_work() * clients as f64) <= limits.arena_capacity() as u64,
            },
        }
    };
    let most = |bound| most_that(|clients| holds(bound, clients));
    let mut bounds: Vec<Bound> = BOUNDS.into_iter().map(|name| Bound { name, clients: most(name) }).collect();
    bounds.sort_by_key(|bound| bound.clients);
    let row = |factor: f64| {
        let clients = (clients as f64 * factor).ceil() as u64;
        CapacityRow {
            factor,
            clients,
            needed_bytes: CeilingPlan::of(Some(mix.load(clients)), basis).needed_limit_bytes,
            hit_ratio: report.and_then(|report| hits(report, clients)),
            needed_arenas: busy(mix.at_work() * clients as f64),
            beyond: BOUNDS.into_iter().filter(|bound| !holds(bound, clients)).collect(),
        }
    };
    Capacity {
        mix: *mix,
        budget_bytes: basis.ceiling.limit_bytes,
        fits: bounds.first().map_or(0, |bound| bound.clients),
        rows: FACTORS.into_iter().map(row).collect(),
        bounds,
    }
}

/// The largest number that something holds for, as long as it holds for all smaller ones.
fn most_that(holds: impl Fn(u64) -> bool) -> u64 {
    let (mut below, mut above) = (0, MOST_CLIENTS + 1);
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if holds(middle) { below = middle } else { above = middle }
    }
    below
}

/// Hits of the arenas with so many clients: with twice the clients, a pool is as good as one of half its size.
fn hits(report: &MemoryReport, clients: u64) -> Option<f64> {
    let pool = report.pool("arenas").filter(|pool| !pool.curve.is_empty())?;
    let seen = report.traffic.connections.max(report.traffic.sessions).max(1);
    let capacity = (u128::from(pool.capacity) * u128::from(seen) / u128::from(clients.max(1))) as u64;
    Some(
        pool.curve
            .iter()
            .take_while(|point| point.capacity <= capacity)
            .last()
            .map_or(0.0, |point| point.hit_ratio),
    )
}

impl Capacity {
    /// The result in one sentence.
    pub fn summary(&self) -> String {
        let show = |bound: &Bound| match bound.clients {
            MOST_CLIENTS.. => format!("{} (more than {})", bound.name, grouped(MOST_CLIENTS)),
            clients => format!("{} at {}", bound.name, grouped(clients)),
        };
        let mut bounds = self.bounds.iter();
        let first = bounds.next().map_or_else(String::new, show);
        let next = bounds.next().map_or_else(String::new, show);
        format!(
            "It fits {} clients at 99 % hits. The bound is {first}; the next one is {next}.",
            grouped(self.fits)
        )
    }

    /// Writes the table in lines of at most `width` columns.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write(&self, width: usize, out: &mut impl io::Write) -> io::Result<()> {
        let row = |row: &CapacityRow| {
            let hits =
                row.hit_ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
            let beyond = if row.beyond.is_empty() { "fits".to_owned() } else { row.beyond.join(", ") };
            vec![
                Cell::text(format!("{} x", row.factor)),
                Cell::text(grouped(row.clients)),
                Cell::text(bytes(row.needed_bytes)),
                Cell::text(grouped(row.needed_arenas)),
                Cell::text(hits),
                Cell::text(beyond),
            ]
        };
        let columns = vec![
            Column::name("factor"),
            Column::figure("clients", 0),
            Column::figure("needs", 0),
            Column::figure("arenas", 2),
            Column::figure("hits", 1),
            Column::figure("beyond", 0),
        ];
        let budget = self.budget_bytes.map_or_else(|| "no limit".to_owned(), bytes);
        let section = Section {
            title: format!("Clients in {budget}"),
            columns,
            rows: self.rows.iter().map(row).collect(),
            notes: Vec::new(),
        };
        Page { headline: vec![Cell::text(self.summary())], sections: vec![section] }.write_plain(width, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_is_found_wherever_it_is() {
        for most in [0, 1, 2, 499, 500, MOST_CLIENTS - 1, MOST_CLIENTS] {
            assert_eq!(most_that(|clients| clients <= most), most);
        }
        assert_eq!(most_that(|_| true), MOST_CLIENTS);
    }

    #[test]
    fn a_busy_moment_is_above_the_average_and_less_so_of_many() {
        assert_eq!((busy(0.0), busy(1.0), busy(100.0)), (0, 4, 124));
        assert!(busy(10_000.0) < 10_300);
    }

    #[test]
    fn presets_can_be_counted_with() {
        for name in ["idle", "editor", "agent"] {
            assert!(ClientMix::preset(name).is_some_and(|mix| mix.is_sound()), "{name}");
        }
        assert_eq!(ClientMix::preset("other"), None);
        let load = ClientMix::preset("agent").expect("a preset").load(500);
        assert_eq!((load.connections, load.sessions, load.streams, load.waiting), (1_000, 500, 500, 124));
        assert!(!ClientMix { waiting: f64::NAN, ..ClientMix::default() }.is_sound());
    }
}
