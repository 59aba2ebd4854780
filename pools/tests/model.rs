//! Random programs of pool operations against a model that is a few integers.
//!
//! Properties: never more idle than the capacity; hits exactly while something is idle; every figure of the
//! snapshot equals the model's after every step; no object is lost (alive = idle + held + detached) and none is in
//! two hands (each carries a number that only one holder may have).

use mcpool_pools::{Discard, Lease, ObjectPool, PoolConfig, Recycle, Verdict};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MAXIMUM: usize = 16;

#[derive(Debug, Clone)]
enum Op {
    Acquire,
    /// Returns the lease at this place of the list, modulo its length.
    Return(usize),
    /// The same, after making it so large that it is refused.
    ReturnGrown(usize),
    ReturnElsewhere(usize),
    Detach(usize),
    SetCapacity(usize),
    Trim(usize),
    ResetHighWaterMark,
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..64usize;
    prop_oneof![
        8 => Just(Op::Acquire),
        6 => at.clone().prop_map(Op::Return),
        1 => at.clone().prop_map(Op::ReturnGrown),
        1 => at.clone().prop_map(Op::ReturnElsewhere),
        1 => at.prop_map(Op::Detach),
        2 => (0..MAXIMUM + 4).prop_map(Op::SetCapacity),
        1 => (0..MAXIMUM).prop_map(Op::Trim),
        1 => Just(Op::ResetHighWaterMark),
    ]
}

/// An object of `size` bytes, as far as the policy is concerned.
struct Object {
    number: u64,
    size: usize,
    live: Arc<AtomicU64>,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Policy {
    made: AtomicU64,
    live: Arc<AtomicU64>,
}

impl Recycle<Object> for Policy {
    fn create(&self) -> Object {
        self.live.fetch_add(1, Ordering::Relaxed);
        Object { number: self.made.fetch_add(1, Ordering::Relaxed), size: 10, live: Arc::clone(&self.live) }
    }
    fn recycle(&self, object: &mut Object) -> Verdict {
        if object.size > 10 { Verdict::Discard(Discard::Oversized) } else { Verdict::Keep }
    }
    fn bytes(&self, object: &Object) -> usize {
        object.size
    }
}

#[derive(Default)]
struct Model {
    capacity: usize,
    idle: usize,
    hits: u64,
    misses: u64,
    returns: u64,
    detached: u64,
    full: u64,
    oversized: u64,
    shrunk: u64,
    mark: u64,
}

impl Model {
    fn give_back(&mut self) {
        self.returns += 1;
        if self.idle < self.capacity {
            self.idle += 1;
        } else {
            self.full += 1;
        }
    }

    fn keep_at_most(&mut self, idle: usize) {
        self.shrunk += self.idle.saturating_sub(idle) as u64;
        self.idle = self.idle.min(idle);
    }
}

struct Run {
    pool: ObjectPool<Object>,
    live: Arc<AtomicU64>,
    held: Vec<Lease<Object>>,
    kept_outside: Vec<Object>,
    model: Model,
}

impl Run {
    fn new(capacity: usize) -> Self {
        let live = Arc::new(AtomicU64::new(0));
        let mut config = PoolConfig::new("model", capacity);
        config.maximum = MAXIMUM;
        let pool =
            ObjectPool::with_config(config, Policy { made: AtomicU64::new(0), live: Arc::clone(&live) });
        Self {
            pool,
            live,
            held: Vec::new(),
            kept_outside: Vec::new(),
            model: Model { capacity, ..Model::default() },
        }
    }

    fn take_held(&mut self, at: usize) -> Option<Lease<Object>> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(at % self.held.len()))
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Acquire => {
                self.held.push(self.pool.acquire());
                let hit = self.model.idle > 0;
                self.model.idle -= usize::from(hit);
                self.model.hits += u64::from(hit);
                self.model.misses += u64::from(!hit);
                self.model.mark = self.model.mark.max(self.held.len() as u64);
            }
            Op::Return(at) => {
                if self.take_held(at).is_some() {
                    self.model.give_back();
                }
            }
            Op::ReturnGrown(at) => {
                if let Some(mut lease) = self.take_held(at) {
                    lease.size = 1000;
                    self.model.returns += 1;
                    self.model.oversized += 1;
                }
            }
            Op::ReturnElsewhere(at) => {
                if let Some(lease) = self.take_held(at) {
                    std::thread::spawn(move || drop(lease)).join().unwrap();
                    self.model.give_back();
                }
            }
            Op::Detach(at) => {
                if let Some(lease) = self.take_held(at) {
                    self.kept_outside.push(lease.detach());
                    self.model.detached += 1;
                }
            }
            Op::SetCapacity(capacity) => {
                self.model.capacity = capacity.min(MAXIMUM);
                assert_eq!(self.pool.set_capacity(capacity), self.model.capacity);
                self.model.keep_at_most(self.model.capacity);
            }
            Op::Trim(keep) => {
                let freed = self.pool.trim(keep);
                assert_eq!(freed, self.model.idle.saturating_sub(keep) * 10);
                self.model.keep_at_most(keep);
            }
            Op::ResetHighWaterMark => {
                self.pool.reset_high_water_mark();
                self.model.mark = self.held.len() as u64;
            }
        }
    }

    fn check(&self) {
        let (now, model) = (self.pool.snapshot(), &self.model);
        let held = self.held.len() as u64;
        assert!(now.idle <= now.capacity);
        assert_eq!((now.capacity, now.maximum, now.idle), (model.capacity, MAXIMUM, model.idle));
        assert_eq!((now.hits, now.misses), (model.hits, model.misses));
        assert_eq!((now.returns, now.detached, now.in_use), (model.returns, model.detached, held));
        assert_eq!(now.acquired(), now.returns + now.detached + now.in_use);
        assert_eq!(now.discarded(Discard::Full), model.full);
        assert_eq!(now.discarded(Discard::Oversized), model.oversized);
        assert_eq!(now.discarded(Discard::Shrunk), model.shrunk);
        assert_eq!(now.discarded_total(), model.full + model.oversized + model.shrunk);
        assert_eq!(now.high_water_mark, model.mark);
        assert_eq!(now.idle_bytes, model.idle as u64 * 10);
        assert_eq!(now.owned_bytes, (model.idle as u64 + held) * 10);
        let outside = self.kept_outside.len() as u64;
        assert_eq!(self.live.load(Ordering::Relaxed), model.idle as u64 + held + outside);
        let numbers: BTreeSet<u64> = self
            .held
            .iter()
            .map(|lease| lease.number)
            .chain(self.kept_outside.iter().map(|object| object.number))
            .collect();
        assert_eq!(numbers.len() as u64, held + outside, "one holder an object");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_pool_does_what_its_model_does(
        capacity in 0..=MAXIMUM,
        ops in proptest::collection::vec(op(), 0..if cfg!(miri) { 30 } else { 200 }),
    ) {
        let mut run = Run::new(capacity);
        for op in &ops {
            run.step(op);
            run.check();
        }
        let Run { pool, live, held, kept_outside, .. } = run;
        drop(pool);
        assert_eq!(live.load(Ordering::Relaxed), (held.len() + kept_outside.len()) as u64);
        drop((held, kept_outside));
        assert_eq!(live.load(Ordering::Relaxed), 0);
    }
}
