//! Traces the acquires and returns of one pool, a bounded number of them between two samples.
//!
//! Off until the pool is sampled for the first time, and off again once enough was seen: then it costs one load of
//! a flag that nobody writes. On, each event takes a lock (20 ns), which is why the number is bounded.
//!
//! **Invariant:** while tracing is on, `in_use` follows what the pool lends, give or take the calls under way; the
//! next sample corrects for events that were not traced, by adding returns or acquires that are not counted.

use crate::demand::{History, Mean, PoolHistory, Sampling, Window};
use crate::miss_curve::{Histogram, MissCurve};
use crate::stats::PoolSnapshot;
use crate::sync::Flag;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One traced hit in so many is timed: the clock costs more than the hit.
const TIME_EVERY: u32 = 16;

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
    /// Events that are still traced before the next sample.
    left: u32,
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
        state.window.demand.add(state.in_use);
        state.window.traced += 1;
        self.times_next.set(state.window.traced.is_multiple_of(TIME_EVERY));
        match how {
            Acquired::Hit(Some(elapsed)) => state.window.hit_ns.add(elapsed.as_nanos() as f64),
            Acquired::Hit(None) => {}
            Acquired::Miss(elapsed) => state.window.miss_ns.add(elapsed.as_nanos() as f64),
        }
        self.count(state);
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
        self.count(state);
    }

    fn count(&self, state: &mut State) {
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            self.is_on.set(false);
        }
    }

    /// Takes in what was traced since the last sample and begins to trace again. Returns whether the pool's high-water
    /// mark is to be reset.
    pub(crate) fn sample(&self, sampling: &Sampling, snapshot: &PoolSnapshot) -> bool {
        let mut guard = self.lock();
        if guard.is_none() && snapshot.acquired() == 0 {
            // A pool that nobody uses costs nothing.
            return false;
        }
        let state = guard.get_or_insert_with(|| {
            // Ten times the capacity is what reports ask about at most.
            let max_capacity = snapshot.maximum.max(snapshot.capacity.saturating_mul(10));
            Box::new(State {
                window: Window {
                    curve: MissCurve::with_idle(max_capacity, snapshot.idle),
                    demand: Histogram::default(),
                    traced: 0,
                    hit_ns: Mean::default(),
                    miss_ns: Mean::default(),
                },
                history: History::new(sampling.now, snapshot),
                in_use: snapshot.in_use,
                left: 0,
            })
        });
        let begins_mark_anew = state.history.take_in(sampling, snapshot, &mut state.window);
        // Replaces the untraced events by the net difference.
        (snapshot.in_use..state.in_use).for_each(|_| state.window.curve.release());
        (state.in_use..snapshot.in_use).for_each(|_| state.window.curve.skip_acquire());
        state.in_use = snapshot.in_use;
        state.left = sampling.max_traced;
        self.times_next.set(true);
        self.is_on.set(sampling.max_traced > 0);
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
