//! What a pool promises, one promise a test, on one thread.

use mcpool_pools::{Discard, MemoryBudget, ObjectPool, PoolConfig, Recycle, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A vector that counts itself among the living.
struct Object {
    bytes: Vec<u8>,
    live: Arc<AtomicUsize>,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes objects of 100 bytes; refuses those above 1000, and panics at one that is 13 long.
#[derive(Default)]
struct Policy {
    live: Arc<AtomicUsize>,
}

impl Recycle<Object> for Policy {
    fn create(&self) -> Object {
        self.live.fetch_add(1, Ordering::Relaxed);
        Object { bytes: Vec::with_capacity(100), live: Arc::clone(&self.live) }
    }
    fn recycle(&self, object: &mut Object) -> Verdict {
        assert_ne!(object.bytes.len(), 13, "unlucky");
        object.bytes.clear();
        if object.bytes.capacity() > 1000 {
            return Verdict::Discard(Discard::Oversized);
        }
        Verdict::Keep
    }
    fn bytes(&self, object: &Object) -> usize {
        object.bytes.capacity()
    }
}

fn pool(capacity: usize) -> (ObjectPool<Object>, Arc<AtomicUsize>) {
    let policy = Policy::default();
    let live = Arc::clone(&policy.live);
    (ObjectPool::new("test", capacity, policy), live)
}

fn budgeted(capacity: usize, budget: &MemoryBudget) -> ObjectPool<Object> {
    let mut config = PoolConfig::new("test", capacity);
    config.budget = Some(budget.clone());
    ObjectPool::with_config(config, Policy::default())
}

#[test]
fn a_known_sequence_gives_known_figures() {
    let (pool, live) = pool(2);
    assert_eq!(pool.snapshot().hit_ratio(), None, "nothing acquired, no ratio");
    let (a, b, c) = (pool.acquire(), pool.acquire(), pool.acquire());
    drop((a, b, c)); // one too many
    drop(pool.acquire());
    let gone = pool.acquire().detach();
    let held = pool.acquire();

    let now = pool.snapshot();
    assert_eq!((now.hits, now.misses, now.acquired()), (3, 3, 6));
    assert_eq!((now.returns, now.detached, now.in_use), (4, 1, 1));
    assert_eq!((now.idle, now.idle_bytes, now.owned_bytes), (0, 0, 100));
    assert_eq!((now.discarded(Discard::Full), now.discarded_total()), (1, 1));
    assert_eq!(now.high_water_mark, 3);
    assert_eq!(now.hit_ratio(), Some(0.5));
    assert_eq!((now.capacity, now.maximum), (2, 8));
    assert_eq!(live.load(Ordering::Relaxed), 2);
    drop((gone, held));
    assert_eq!(live.load(Ordering::Relaxed), 1);
}

#[test]
fn the_high_water_mark_starts_again_at_what_is_held() {
    let (pool, _) = pool(8);
    drop([pool.acquire(), pool.acquire(), pool.acquire()]);
    let held = pool.acquire();
    assert_eq!(pool.snapshot().high_water_mark, 3);
    pool.reset_high_water_mark();
    assert_eq!(pool.snapshot().high_water_mark, 1);
    drop(pool.acquire());
    assert_eq!(pool.snapshot().high_water_mark, 2);
    drop(held);
}

#[test]
fn capacity_counts_over_all_shards_and_one_thread_can_fill_it() {
    for capacity in [0, 1, 2, 3, 5, 17] {
        let (pool, live) = pool(capacity);
        drop((0..40).map(|_| pool.acquire()).collect::<Vec<_>>());
        assert_eq!(pool.snapshot().idle, capacity);
        assert_eq!(live.load(Ordering::Relaxed), capacity);
        drop((0..40).map(|_| pool.acquire()).collect::<Vec<_>>());
        assert_eq!(pool.snapshot().hits, capacity as u64, "what is idle is found again");
    }
}

#[test]
fn shrinking_frees_exactly_the_surplus_at_once() {
    for (before, after) in [(16, 16), (16, 9), (16, 5), (16, 1), (16, 0), (3, 2), (7, 30)] {
        let (pool, live) = pool(16);
        drop((0..before).map(|_| pool.acquire()).collect::<Vec<_>>());
        assert_eq!(pool.set_capacity(after), after);
        let kept = before.min(after);
        assert_eq!(live.load(Ordering::Relaxed), kept, "{before} to {after}");
        let now = pool.snapshot();
        assert_eq!((now.idle, now.capacity), (kept, after));
        assert_eq!(now.discarded(Discard::Shrunk), (before - kept) as u64);
        assert_eq!((now.idle_bytes, now.owned_bytes), (kept as u64 * 100, kept as u64 * 100));
    }
}

#[test]
fn growing_stops_at_the_maximum_and_says_so() {
    let (pool, _) = pool(4);
    assert_eq!(pool.set_capacity(1_000_000), 16);
    drop((0..40).map(|_| pool.acquire()).collect::<Vec<_>>());
    assert_eq!(pool.snapshot().idle, 16);
}

#[test]
fn a_trim_leaves_what_it_was_told_to_and_reports_the_bytes() {
    let (pool, live) = pool(16);
    drop((0..10).map(|_| pool.acquire()).collect::<Vec<_>>());
    assert_eq!(pool.trim(4), 600);
    assert_eq!(pool.trim(4), 0);
    assert_eq!(live.load(Ordering::Relaxed), 4);
    assert_eq!((pool.snapshot().idle, pool.snapshot().capacity), (4, 16));
    assert_eq!(pool.snapshot().discarded(Discard::Shrunk), 6);
}

#[test]
fn the_policy_may_refuse_and_the_reason_is_counted() {
    let (pool, live) = pool(4);
    pool.acquire().bytes.reserve(5000);
    let now = pool.snapshot();
    assert_eq!((now.discarded(Discard::Oversized), now.idle, now.owned_bytes), (1, 0, 0));
    assert_eq!(live.load(Ordering::Relaxed), 0);
}

#[test]
fn growth_in_the_holders_hands_shows_on_return() {
    let budget = MemoryBudget::new(10_000);
    let pool = budgeted(4, &budget);
    let mut lease = pool.acquire();
    lease.bytes.reserve_exact(700);
    assert_eq!((pool.snapshot().owned_bytes, budget.used_bytes()), (100, 100));
    drop(lease);
    let now = pool.snapshot();
    assert_eq!((now.owned_bytes, now.idle_bytes, budget.used_bytes()), (700, 700, 700));

    let mut lease = pool.acquire();
    assert_eq!((pool.snapshot().idle_bytes, pool.snapshot().owned_bytes), (0, 700));
    lease.bytes.shrink_to(50);
    drop(lease);
    assert_eq!((pool.snapshot().owned_bytes, budget.used_bytes()), (50, 50));
}

#[test]
fn a_panic_in_the_holder_poisons_what_it_held() {
    let (pool, live) = pool(4);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _held = pool.acquire();
        panic!("in the middle of it");
    }));
    assert!(result.is_err());
    let now = pool.snapshot();
    assert_eq!((now.discarded(Discard::Poisoned), now.returns, now.in_use, now.idle), (1, 1, 0, 0));
    assert_eq!((now.owned_bytes, live.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_panic_in_the_policy_loses_the_object_and_no_count() {
    let (pool, live) = pool(4);
    let result = catch_unwind(AssertUnwindSafe(|| pool.acquire().bytes.resize(13, 0)));
    assert!(result.is_err());
    let now = pool.snapshot();
    assert_eq!((now.discarded(Discard::Poisoned), now.returns, now.in_use), (1, 1, 0));
    assert_eq!((now.owned_bytes, live.load(Ordering::Relaxed)), (0, 0));
    drop(pool.acquire());
    assert_eq!(pool.snapshot().idle, 1, "the pool goes on");
}

#[test]
fn leases_outlive_their_pool_and_free_their_objects() {
    let (pool, live) = pool(4);
    let (early, late, detached) = (pool.acquire(), pool.acquire(), pool.acquire());
    let other_handle = pool.clone();
    drop(early);
    drop(pool);
    assert_eq!(live.load(Ordering::Relaxed), 3, "a handle is left");
    drop(other_handle);
    assert_eq!(live.load(Ordering::Relaxed), 2, "idle objects go with the last handle");
    drop(late);
    assert_eq!(live.load(Ordering::Relaxed), 1);
    assert_eq!(detached.detach().bytes.capacity(), 100);
    assert_eq!(live.load(Ordering::Relaxed), 0);
}

#[test]
fn the_budget_is_given_back_whichever_way_an_object_goes() {
    let budget = MemoryBudget::new(1_000_000);
    let pool = budgeted(4, &budget);
    drop((0..6).map(|_| pool.acquire()).collect::<Vec<_>>());
    assert_eq!(budget.used_bytes(), 400, "two were refused");
    let _gone = pool.acquire().detach();
    assert_eq!(budget.used_bytes(), 300);
    pool.trim(2);
    assert_eq!(budget.used_bytes(), 200);
    pool.set_capacity(1);
    assert_eq!(budget.used_bytes(), 100);
    let (a, b) = (pool.acquire(), pool.acquire());
    drop(a);
    drop(pool);
    assert_eq!(budget.used_bytes(), 100, "one lease is out");
    drop(b);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_spent_budget_refuses_returns_and_never_acquires() {
    let budget = MemoryBudget::new(250);
    let pool = budgeted(8, &budget);
    let leases: Vec<_> = (0..4).map(|_| pool.acquire()).collect();
    assert_eq!(budget.used_bytes(), 400, "what exists is charged");
    drop(leases);
    // The first two fitted; the third and fourth find the budget spent until enough is gone.
    let now = pool.snapshot();
    assert_eq!((now.idle, now.discarded(Discard::OverBudget)), (2, 2));
    assert_eq!(budget.used_bytes(), 200);

    let reservation = budget.try_reserve(50).unwrap();
    let grown = pool.acquire();
    drop(reservation);
    drop(grown);
    assert_eq!(pool.snapshot().idle, 2, "an object that fitted once needs no second look");

    let mut lease = pool.acquire();
    lease.bytes.reserve_exact(900);
    drop(lease);
    assert_eq!(pool.snapshot().discarded(Discard::OverBudget), 3, "growth is judged again");
    assert_eq!(budget.used_bytes(), 100);
}

/// What is in use is bounded by others: however much it is, the objects that come and go beside it stay.
#[test]
fn a_budget_bounds_what_is_idle_and_not_what_is_leased() {
    let budget = MemoryBudget::new(250);
    let (pool, other) = (budgeted(8, &budget), budgeted(8, &budget));
    let held: Vec<_> = (0..10).map(|_| other.acquire()).collect();
    (0..100).for_each(|_| drop(pool.acquire()));
    let now = pool.snapshot();
    assert_eq!((now.misses, now.discarded_total()), (1, 0));
    assert_eq!((budget.used_bytes(), budget.idle_bytes()), (1_100, 100));
    drop(held);
    assert_eq!((budget.used_bytes(), budget.idle_bytes()), (200, 200), "one of the ten was kept beside it");
    let lease = other.acquire();
    drop(other);
    assert_eq!((budget.used_bytes(), budget.idle_bytes()), (200, 100));
    drop(lease);
    assert_eq!((budget.used_bytes(), budget.idle_bytes()), (100, 100));
}

#[test]
fn an_object_over_budget_is_kept_if_there_is_room_by_then() {
    let budget = MemoryBudget::new(150);
    let pool = budgeted(8, &budget);
    let (first, second) = (pool.acquire(), pool.acquire());
    let _room = first.detach();
    drop(second);
    assert_eq!((pool.snapshot().idle, pool.snapshot().discarded_total()), (1, 0));
}

#[test]
fn a_lease_is_two_words_and_may_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let (pool, _) = pool(1);
    let lease = pool.acquire();
    is_send(&lease);
    is_send(&pool);
    assert_eq!(size_of_val(&lease), 2 * size_of::<usize>());
    assert_eq!(size_of_val(&Some(lease)), 2 * size_of::<usize>());
}

#[test]
fn a_lease_dropped_on_another_thread_comes_home() {
    let (pool, _) = pool(4);
    for _ in 0..10 {
        let lease = pool.acquire();
        std::thread::spawn(move || drop(lease)).join().unwrap();
    }
    let now = pool.snapshot();
    assert_eq!(
        (now.misses, now.hits, now.returns, now.in_use),
        (1, 9, 10, 0),
        "stolen from the other's shard"
    );
    assert_eq!(now.high_water_mark, 1);
}

#[test]
fn a_lease_held_by_a_thread_local_survives_the_end_of_its_thread() {
    thread_local! {
        static HELD: std::cell::RefCell<Option<mcpool_pools::Lease<Object>>> =
            const { std::cell::RefCell::new(None) };
    }
    let (pool, live) = pool(4);
    for round in 1..=3 {
        let pool = pool.clone();
        std::thread::spawn(move || {
            HELD.set(Some(pool.acquire()));
        })
        .join()
        .unwrap();
        assert_eq!(live.load(Ordering::Relaxed), 1);
        let _ = round;
    }
    let now = pool.snapshot();
    assert_eq!((now.acquired(), now.returns, now.in_use, now.idle), (3, 3, 0, 1));
}
