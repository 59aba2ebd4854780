//! [`PoolHistory`]: what was asked of a pool lately, and the windows that remember it.
//!
//! Counts are halved with each half-life, as in the decaying histograms of Kubernetes' vertical autoscaler. Hit ratios
//! are of the last minute and the last hour, and forget what is older: a ratio does not change while acquires and
//! misses fade alike, so a decayed one would report the last load for hours. Time is an argument.

use crate::miss_curve::{Histogram, MissCurve};
use crate::stats::PoolSnapshot;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// What a pool does until it is sampled next.
///
/// ```
/// use mcpool_pools::{ObjectPool, PoolControl, Sampling, WithCapacity};
/// use std::time::{Duration, Instant};
///
/// let pool = ObjectPool::<String>::new("names", 8, WithCapacity { initial: 0, retain: 64 });
/// let begun = Instant::now();
/// pool.sample(&Sampling::at(begun));
/// drop((pool.acquire(), pool.acquire()));
/// pool.sample(&Sampling::at(begun + Duration::from_secs(1)));
/// let history = pool.history();
/// assert_eq!(history.high_water_mark, 2);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// The time of this sample.
    pub now: Instant,
    /// After so long, what was seen counts half.
    pub half_life: Duration,
    /// Acquires and returns of which about so many are traced one by one until the next sample. Where more come, random
    /// stretches of them are traced, and each stands for as many as were left out.
    pub max_traced: u32,
}

impl Sampling {
    /// What [`Sampling::at`] sets as [`Sampling::half_life`].
    pub const HALF_LIFE: Duration = HOUR;

    /// A sample now, with a half-life of an hour and 8,192 events: at a million acquires a second, less than a
    /// hundredth of them pays for the trace (20 ns each).
    pub fn at(now: Instant) -> Self {
        Self { now, half_life: Self::HALF_LIFE, max_traced: 8_192 }
    }
}

/// What was asked of a pool lately: demand, hit ratios, and the hit ratio that any capacity would have had.
///
/// Empty until the pool was sampled twice ([`PoolControl::sample`](crate::PoolControl::sample)).
///
/// ```
/// use mcpool_pools::{ObjectPool, PoolControl, Sampling, WithCapacity};
/// use std::time::{Duration, Instant};
///
/// let pool = ObjectPool::<String>::new("names", 8, WithCapacity { initial: 0, retain: 64 });
/// let begun = Instant::now();
/// pool.sample(&Sampling::at(begun));
/// drop((pool.acquire(), pool.acquire()));
/// pool.sample(&Sampling::at(begun + Duration::from_secs(1)));
/// let history = pool.history();
/// assert_eq!(history.high_water_mark, 2);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PoolHistory {
    /// Acquires, those of a half-life ago counted half.
    pub acquires: f64,
    /// Acquires that were traced, decayed likewise.
    pub traced: f64,
    /// Time since the first sample.
    pub window: Duration,
    /// Acquires per second, decayed likewise.
    pub acquires_per_second: f64,
    /// Hits among the acquires between the last two samples, 0 to 1.
    pub hit_ratio_now: Option<f64>,
    /// The same over the last minute; `None` if nothing was acquired in it.
    pub hit_ratio_minute: Option<f64>,
    /// The same over the last hour.
    pub hit_ratio_hour: Option<f64>,
    /// Most leases held at once over one to two half-lives.
    pub high_water_mark: u64,
    /// Leases held, as acquires found them (themselves included): the largest of each bucket, and how many.
    pub demand: Vec<(u64, f64)>,
    /// Capacities at which the hit ratio rises, and the ratio there.
    pub curve: Vec<(u64, f64)>,
    /// What a miss costs more than a hit, in nanoseconds: making and boxing the object. The first touch of its
    /// memory comes on top.
    pub saved_ns_per_hit: Option<f64>,
}

impl PoolHistory {
    /// The smallest demand that `quantile` of all acquires did not exceed; 0 without history.
    pub fn demand_quantile(&self, quantile: f64) -> u64 {
        let wanted = quantile * self.demand.iter().map(|(_, count)| count).sum::<f64>();
        let mut sum = 0.0;
        for (value, count) in &self.demand {
            sum += count;
            if sum >= wanted {
                return *value;
            }
        }
        self.demand.last().map_or(0, |(value, _)| *value)
    }

    /// Hits among acquires that `capacity` would have had, 0 to 1; `None` without history.
    pub fn hit_ratio_at(&self, capacity: u64) -> Option<f64> {
        if self.traced <= 0.0 {
            return None;
        }
        let below = self.curve.iter().take_while(|(at, _)| *at <= capacity).last();
        Some(below.map_or(0.0, |(_, ratio)| *ratio))
    }
}

/// Acquires and misses of which older ones count less.
#[derive(Debug, Clone, Copy, Default)]
struct Decayed {
    acquired: f64,
    missed: f64,
}

impl Decayed {
    fn decay(&mut self, factor: f64, acquired: f64, missed: f64) {
        self.acquired = self.acquired * factor + acquired;
        self.missed = self.missed * factor + missed;
    }

    fn hit_ratio(self) -> Option<f64> {
        // A ratio of less than one acquire says nothing.
        (self.acquired >= 1.0).then(|| 1.0 - self.missed / self.acquired)
    }
}

/// Acquires and misses of the last window of time, in parts of which the oldest is forgotten as a whole.
#[derive(Debug)]
struct Recent {
    parts: [Decayed; Self::PARTS + 1],
    at: usize,
    /// How much time a part stands for.
    width: Duration,
    /// When the part at `at` began.
    begun: Instant,
}

impl Recent {
    /// One part more is kept, so that the window is never shorter than it is called.
    const PARTS: usize = 6;

    fn new(window: Duration, now: Instant) -> Self {
        let parts = [Decayed::default(); Self::PARTS + 1];
        Self { parts, at: 0, width: window / Self::PARTS as u32, begun: now }
    }

    fn add(&mut self, now: Instant, acquired: f64, missed: f64) {
        for _ in 0..self.parts.len() {
            if now.saturating_duration_since(self.begun) < self.width {
                break;
            }
            self.begun += self.width;
            self.at = (self.at + 1) % self.parts.len();
            self.parts[self.at] = Decayed::default();
        }
        if now.saturating_duration_since(self.begun) >= self.width {
            // All parts are forgotten by now.
            self.begun = now;
        }
        self.parts[self.at].decay(1.0, acquired, missed);
    }

    fn hit_ratio(&self) -> Option<f64> {
        let mut sum = Decayed::default();
        self.parts.iter().for_each(|part| sum.decay(1.0, part.acquired, part.missed));
        sum.hit_ratio()
    }
}

/// The mean of what was measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn decay(&mut self, factor: f64) {
        self.sum *= factor;
        self.count *= factor;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// What is traced between two samples.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) curve: MissCurve,
    pub(crate) demand: Histogram,
    /// How many acquires each one that is traced stands for.
    pub(crate) weight: f32,
    pub(crate) traced: u32,
    pub(crate) hit_ns: Mean,
    pub(crate) miss_ns: Mean,
}

/// What was asked of a pool up to its last sample.
#[derive(Debug)]
pub(crate) struct History {
    begun: Instant,
    last: Instant,
    last_acquired: u64,
    last_missed: u64,
    all: Decayed,
    now: Decayed,
    minute: Recent,
    hour: Recent,
    /// Seconds, decayed as the acquires are, which are divided by them.
    seconds: f64,
    traced: f64,
    demand: Histogram,
    curve: MissCurve,
    marked: Instant,
    mark_before: u64,
}

impl History {
    pub(crate) fn new(now: Instant, snapshot: &PoolSnapshot) -> Self {
        Self {
            begun: now,
            last: now,
            last_acquired: snapshot.acquired(),
            last_missed: snapshot.misses,
            all: Decayed::default(),
            now: Decayed::default(),
            minute: Recent::new(MINUTE, now),
            hour: Recent::new(HOUR, now),
            seconds: 0.0,
            traced: 0.0,
            demand: Histogram::default(),
            curve: MissCurve::new(0),
            marked: now,
            mark_before: 0,
        }
    }

    /// Takes in what came since the last sample. Returns whether the pool's high-water mark is to be reset.
    pub(crate) fn take_in(
        &mut self,
        sampling: &Sampling,
        snapshot: &PoolSnapshot,
        window: &mut Window,
    ) -> bool {
        let elapsed = sampling.now.saturating_duration_since(self.last);
        let acquired = snapshot.acquired().saturating_sub(self.last_acquired) as f64;
        let missed = snapshot.misses.saturating_sub(self.last_missed) as f64;
        let factor = (-elapsed.as_secs_f64() / sampling.half_life.as_secs_f64()).exp2();
        self.now = Decayed { acquired, missed };
        self.minute.add(sampling.now, acquired, missed);
        self.hour.add(sampling.now, acquired, missed);
        self.all.decay(factor, acquired, missed);
        self.seconds = self.seconds * factor + elapsed.as_secs_f64();
        self.demand.scale(factor);
        self.curve.scale(factor);
        window.hit_ns.decay(factor);
        window.miss_ns.decay(factor);
        self.traced = self.traced * factor + f64::from(std::mem::take(&mut window.traced));
        self.demand.drain_from(&mut window.demand);
        self.curve.drain_from(&mut window.curve);
        (self.last, self.last_acquired, self.last_missed) =
            (sampling.now, snapshot.acquired(), snapshot.misses);
        let is_old = sampling.now.saturating_duration_since(self.marked) >= sampling.half_life;
        if is_old {
            (self.marked, self.mark_before) = (sampling.now, snapshot.high_water_mark);
        }
        is_old
    }

    pub(crate) fn history(&self, snapshot: &PoolSnapshot, window: &Window) -> PoolHistory {
        let hit_ns = window.hit_ns.value().unwrap_or_default();
        PoolHistory {
            acquires: self.all.acquired,
            traced: self.traced,
            window: self.last.saturating_duration_since(self.begun),
            acquires_per_second: if self.seconds > 0.0 { self.all.acquired / self.seconds } else { 0.0 },
            hit_ratio_now: self.now.hit_ratio(),
            hit_ratio_minute: self.minute.hit_ratio(),
            hit_ratio_hour: self.hour.hit_ratio(),
            high_water_mark: snapshot.high_water_mark.max(self.mark_before),
            demand: self.demand.filled().collect(),
            curve: self.curve.points(),
            saved_ns_per_hit: window.miss_ns.value().map(|miss_ns| (miss_ns - hit_ns).max(0.0)),
        }
    }
}
