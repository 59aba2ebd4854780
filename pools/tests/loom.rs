//! The concurrent core under loom: every interleaving of a few calls, with loom's own leak check on the pool and a
//! ledger for the objects.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mcpool-pools --release --test loom`
//!
//! Shards are two, and threads are numbered by loom.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use mcpool_pools::{Discard, Lease, ObjectPool, PoolConfig, Recycle, Verdict};

/// Objects alive, in loom's eyes.
#[derive(Clone)]
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(0)))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// An object that books its birth and its death; `in_hand` panics if two leases ever hold it.
struct Object {
    live: Live,
    in_hand: bool,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.live.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Make(Live);

impl Recycle<Object> for Make {
    fn create(&self) -> Object {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Object { live: self.0.clone(), in_hand: false }
    }
    fn recycle(&self, object: &mut Object) -> Verdict {
        assert!(std::mem::take(&mut object.in_hand), "returned once");
        Verdict::Keep
    }
    fn bytes(&self, _: &Object) -> usize {
        1
    }
}

fn pool(live: &Live, capacity: usize, maximum: usize) -> ObjectPool<Object> {
    let mut config = PoolConfig::new("loom", capacity);
    config.maximum = maximum;
    ObjectPool::with_config(config, Make(live.clone()))
}

fn take(pool: &ObjectPool<Object>) -> Lease<Object> {
    let mut lease = pool.acquire();
    assert!(!std::mem::replace(&mut lease.in_hand, true), "one lease an object");
    lease
}

/// What must hold whenever no call is under way.
fn assert_conserved(pool: &ObjectPool<Object>, live: &Live) {
    let now = pool.snapshot();
    assert!(now.idle <= now.capacity, "{now:?}");
    assert_eq!(now.acquired(), now.returns + now.detached + now.in_use, "{now:?}");
    assert_eq!(now.misses, now.idle as u64 + now.in_use + now.detached + now.discarded_total(), "{now:?}");
    assert_eq!(now.idle as u64 + now.in_use, live.count() as u64, "{now:?}");
    assert_eq!((now.idle_bytes, now.owned_bytes), (now.idle as u64, now.idle as u64 + now.in_use), "{now:?}");
    assert!(now.high_water_mark >= now.in_use, "{now:?}");
}

#[test]
fn two_threads_acquire_and_return() {
    loom::model(|| {
        let live = Live::new();
        let pool = pool(&live, 1, 2);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || drop(take(&pool)))
        };
        drop(take(&pool));
        other.join().unwrap();
        assert_conserved(&pool, &live);
        let now = pool.snapshot();
        assert_eq!((now.acquired(), now.in_use), (2, 0));
        assert!((1..=2).contains(&now.high_water_mark));
        drop(pool);
        assert_eq!(live.count(), 0);
    });
}

/// Both returns see room for one; one of them must notice afterwards.
#[test]
fn two_returns_race_for_the_last_place() {
    loom::model(|| {
        let live = Live::new();
        // Room for four, so that the queue itself does not hold the bound.
        let pool = pool(&live, 1, 4);
        let (mine, theirs) = (take(&pool), take(&pool));
        let other = thread::spawn(move || drop(theirs));
        drop(mine);
        other.join().unwrap();
        assert_conserved(&pool, &live);
        assert_eq!(pool.snapshot().discarded_total() + pool.snapshot().idle as u64, 2);
    });
}

/// The shrinking thread reads the length; the returning thread pushes. One must see the other.
#[test]
fn a_return_races_with_a_shrink_to_nothing() {
    loom::model(|| {
        let live = Live::new();
        let pool = pool(&live, 2, 2);
        let lease = take(&pool);
        let other = thread::spawn(move || drop(lease));
        pool.set_capacity(0);
        other.join().unwrap();
        assert_conserved(&pool, &live);
        assert_eq!((pool.snapshot().idle, live.count()), (0, 0));
        let now = pool.snapshot();
        assert_eq!(now.discarded(Discard::Shrunk) + now.discarded(Discard::Full), 1);
    });
}

/// A surplus that the shrink moves between shards must not slip past the bound.
#[test]
fn a_return_races_with_a_shrink_that_keeps_one() {
    loom::model(|| {
        let live = Live::new();
        let pool = pool(&live, 2, 2);
        let (idle, lease) = (take(&pool), take(&pool));
        drop(idle);
        let other = thread::spawn(move || drop(lease));
        pool.set_capacity(1);
        other.join().unwrap();
        assert_conserved(&pool, &live);
        assert_eq!(pool.snapshot().capacity, 1);
    });
}

#[test]
fn two_resizes_race_and_one_of_them_wins() {
    // Both lock every shard: all interleavings take hours, those with three preemptions seconds.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let live = Live::new();
        let pool = pool(&live, 2, 2);
        let leases = [take(&pool), take(&pool)];
        drop(leases);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.set_capacity(0))
        };
        pool.set_capacity(1);
        other.join().unwrap();
        assert!(pool.snapshot().capacity <= 1);
        assert_conserved(&pool, &live);
    });
}

#[test]
fn a_trim_races_with_acquire_and_return() {
    loom::model(|| {
        let live = Live::new();
        let pool = pool(&live, 2, 2);
        drop(take(&pool));
        let other = {
            let pool = pool.clone();
            thread::spawn(move || drop(take(&pool)))
        };
        pool.trim(0);
        other.join().unwrap();
        assert_conserved(&pool, &live);
    });
}

/// loom fails the model if the core, an anchor or an object is leaked.
#[test]
fn a_return_races_with_the_end_of_the_pool() {
    loom::model(|| {
        let live = Live::new();
        let pool = pool(&live, 2, 2);
        let lease = take(&pool);
        let other = thread::spawn(move || drop(lease));
        drop(pool);
        other.join().unwrap();
        assert_eq!(live.count(), 0);
    });
}

#[test]
fn a_detach_races_with_the_end_of_the_pool() {
    loom::model(|| {
        let live = Live::new();
        let pool = pool(&live, 2, 2);
        let lease = take(&pool);
        let other = thread::spawn(move || lease.detach());
        drop(pool);
        drop(other.join().unwrap());
        assert_eq!(live.count(), 0);
    });
}
