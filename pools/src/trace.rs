//! Traces acquires and returns of one pool: all of them, or, of a busy pool, random stretches of a bounded number.
//!
//! Off until the pool is sampled for the first time. Off, it costs one load of a flag that is seldom written; on, each
//! event takes a lock (20 ns), which is why their number is bounded.
//!
//! A stretch is a [`TURN`] of acquires, and whether it is traced is drawn by lot, so that the part of a second in which
//! something happens does not matter. What is traced with a chance of one in `n` counts `n` times (Horvitz and
//! Thompson, "A generalization of sampling without replacement from a finite universe", 1952). The chance follows from
//! the last second, and is halved whenever the present one is busier than that.
//!
//! **Invariant:** while tracing is on, `in_use` follows what the pool lends, give or take the calls under way; when it
//! begins again, events that were not traced are made up for by returns or acquires that are not counted.

use crate::demand::{History, Mean, PoolHistory, Sampling, Window};
use crate::miss_curve::{Histogram, MissCurve};
use crate::stats::PoolSnapshot;
use crate::sync::Flag;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One traced hit in so many is timed: the clock costs more than the hit.
const TIME_EVERY: u32 = 16;

/// Every curve is of capacities up to this at least: a word for each object that is idle at once.
const LEAST_CURVE: usize = 1_024;

/// Acquires of a shard after which it is drawn anew whether they are traced.
pub(crate) const TURN: u64 = 256;

/// How an acquire ended, and how long it took where that was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acquired {
    Hit(Option<Duration>),
    Miss(Duration),
}

/// The trace of one pool.
#[derive(Default)]
pub(crate) struct Trace {
    is_on: Flag,
    /// The next hit is to be timed.
    times_next: Flag,
    state: Mutex<Option<Box<State>>>,
}

struct State {
    window: Window,
    history: History,
    in_use: u64,
    /// A turn is traced with a chance of one in so many.
    one_in: f32,
    /// Events that may be traced between two samples, and how many were since the last, or since the chance was halved.
    max_traced: u32,
    traced: u32,
    /// Acquires of the pool at the last sample.
    acquired: u64,
    random: u64,
}

impl State {
    fn new(sampling: &Sampling, snapshot: &PoolSnapshot) -> Self {
        // A small pool may need many times its capacity, and advice should not take several rounds to find it.
        let max_capacity = snapshot.maximum.max(snapshot.capacity.saturating_mul(10)).max(LEAST_CURVE);
        Self {
            window: Window {
                curve: MissCurve::with_idle(max_capacity, snapshot.idle),
                demand: Histogram::default(),
                weight: 1.0,
                traced: 0,
                hit_ns: Mean::default(),
                miss_ns: Mean::default(),
            },
            history: History::new(sampling.now, snapshot),
            in_use: snapshot.in_use,
            one_in: 1.0,
            max_traced: sampling.max_traced,
            traced: 0,
            acquired: snapshot.acquired(),
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Makes up for what was not traced.
    fn catch_up(&mut self, in_use: u64) {
        (in_use..self.in_use).for_each(|_| self.window.curve.release());
        (self.in_use..in_use).for_each(|_| self.window.curve.skip_acquire());
        self.in_use = in_use;
    }

    /// Events from now on stand for so many.
    fn set_weight(&mut self, weight: f32) {
        self.window.weight = weight;
        self.window.curve.set_weight(weight);
    }

    fn count(&mut self) {
        self.traced += 1;
        if self.traced >= self.max_traced {
            self.traced = 0;
            self.one_in *= 2.0;
        }
    }

    /// Draws whether the next turn is traced.
    fn draws_next(&mut self) -> bool {
        // xorshift64 (Marsaglia 2003): the same in every run, and nothing that a load could follow.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let drawn = (self.random >> 40) as f32 / (1_u64 << 24) as f32;
        drawn * self.one_in < 1.0
    }
}

impl Trace {
    /// Whether events are traced at the moment.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.is_set()
    }

    /// Whether the next acquire should be timed if it is a hit; misses always are.
    #[inline]
    pub(crate) fn times_next(&self) -> bool {
        self.times_next.is_set()
    }

    /// Takes note of an acquire.
    #[cold]
    pub(crate) fn acquired(&self, how: Acquired) {
        let mut guard = self.lock();
        let Some(state) = guard.as_deref_mut() else { return };
        state.window.curve.acquire();
        state.in_use += 1;
        state.window.demand.add(state.in_use, state.window.weight);
        state.window.traced += 1;
        self.times_next.set(state.window.traced.is_multiple_of(TIME_EVERY));
        match how {
            Acquired::Hit(Some(elapsed)) => state.window.hit_ns.add(elapsed.as_nanos() as f64),
            Acquired::Hit(None) => {}
            Acquired::Miss(elapsed) => state.window.miss_ns.add(elapsed.as_nanos() as f64),
        }
        state.count();
    }

    /// Takes note of the end of a lease. `is_fit`: the pool may keep its object.
    #[cold]
    pub(crate) fn returned(&self, is_fit: bool) {
        let mut guard = self.lock();
        let Some(state) = guard.as_deref_mut() else { return };
        state.in_use = state.in_use.saturating_sub(1);
        if is_fit {
            state.window.curve.release();
        }
        state.count();
    }

    /// Takes note that idle objects were freed until at most `keep` were left.
    pub(crate) fn trimmed(&self, keep: usize) {
        if let Some(state) = self.lock().as_deref_mut() {
            state.window.curve.trim(keep);
        }
    }

    /// Draws whether the next [`TURN`] is traced; `in_use` counts the leases that are out.
    #[cold]
    #[inline(never)]
    pub(crate) fn turn(&self, in_use: impl FnOnce() -> u64) {
        let mut guard = self.lock();
        let Some(state) = guard.as_deref_mut() else { return };
        if state.max_traced == 0 || state.one_in <= 1.0 {
            return;
        }
        let was_on = self.is_on();
        let is_on = state.draws_next();
        if is_on && !was_on {
            state.catch_up(in_use());
        }
        state.set_weight(state.one_in);
        self.is_on.set(is_on);
    }

    /// Takes in what was traced since the last sample, and decides how much is traced until the next one. Returns whether
    /// the pool's high-water mark is to be reset.
    pub(crate) fn sample(&self, sampling: &Sampling, snapshot: &PoolSnapshot) -> bool {
        let mut guard = self.lock();
        if guard.is_none() && snapshot.acquired() == 0 {
            // A pool that nobody uses costs nothing.
            return false;
        }
        let state = guard.get_or_insert_with(|| Box::new(State::new(sampling, snapshot)));
        let begins_mark_anew = state.history.take_in(sampling, snapshot, &mut state.window);
        state.catch_up(snapshot.in_use);
        // An acquire and its return.
        let events = 2 * snapshot.acquired().saturating_sub(state.acquired);
        (state.acquired, state.traced, state.max_traced) = (snapshot.acquired(), 0, sampling.max_traced);
        state.one_in = (events as f32 / sampling.max_traced.max(1) as f32).max(1.0);
        if state.one_in <= 1.0 || sampling.max_traced == 0 {
            state.set_weight(1.0);
            self.is_on.set(sampling.max_traced > 0);
        }
        self.times_next.set(true);
        begins_mark_anew
    }

    pub(crate) fn history(&self, snapshot: &PoolSnapshot) -> PoolHistory {
        let guard = self.lock();
        guard.as_deref().map(|state| state.history.history(snapshot, &state.window)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
