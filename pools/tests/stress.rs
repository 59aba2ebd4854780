//! Many threads at once: what is conserved is counted afterwards.

use mcpool_pools::{BufferPool, Discard, Lease, ObjectPool, PoolConfig, Recycle, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

const THREADS: usize = 8;
const ROUNDS: usize = if cfg!(miri) { 20 } else { 20_000 };

struct Object {
    live: Arc<AtomicI64>,
    /// Set while a lease holds the object.
    in_hand: AtomicBool,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Policy {
    live: Arc<AtomicI64>,
}

impl Recycle<Object> for Policy {
    fn create(&self) -> Object {
        self.live.fetch_add(1, Ordering::Relaxed);
        Object { live: Arc::clone(&self.live), in_hand: AtomicBool::new(false) }
    }
    fn recycle(&self, object: &mut Object) -> Verdict {
        assert!(object.in_hand.swap(false, Ordering::Relaxed), "returned twice");
        Verdict::Keep
    }
    fn bytes(&self, _: &Object) -> usize {
        8
    }
}

fn pool(capacity: usize) -> (ObjectPool<Object>, Arc<AtomicI64>) {
    let live = Arc::new(AtomicI64::new(0));
    let mut config = PoolConfig::new("stress", capacity);
    config.maximum = 64;
    (ObjectPool::with_config(config, Policy { live: Arc::clone(&live) }), live)
}

fn take(pool: &ObjectPool<Object>) -> Lease<Object> {
    let lease = pool.acquire();
    assert!(!lease.in_hand.swap(true, Ordering::Relaxed), "in two hands");
    lease
}

fn assert_quiet(pool: &ObjectPool<Object>, live: &AtomicI64, acquired: usize) {
    let now = pool.snapshot();
    assert_eq!((now.acquired(), now.in_use), (acquired as u64, 0), "{now:?}");
    assert_eq!(now.acquired(), now.returns + now.detached, "{now:?}");
    assert_eq!(now.misses, now.idle as u64 + now.detached + now.discarded_total(), "{now:?}");
    assert!(now.idle <= now.capacity, "{now:?}");
    assert_eq!(i64::try_from(now.idle), Ok(live.load(Ordering::Relaxed)), "{now:?}");
    assert_eq!((now.idle_bytes, now.owned_bytes), (now.idle as u64 * 8, now.idle as u64 * 8), "{now:?}");
}

/// More threads than shards, so that owners and guests of a shard count side by side.
#[test]
fn nothing_is_lost_while_the_capacity_moves() {
    let (pool, live) = pool(16);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let resizer = scope.spawn(|| {
            for capacity in [0, 64, 3, 16, 1, 40].into_iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                pool.set_capacity(capacity);
                pool.trim(capacity / 2);
                let now = pool.snapshot();
                // Each thread may be between its push and its second look.
                assert!(now.idle <= 64 + THREADS, "{now:?}");
                thread::yield_now();
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let held = [take(pool), take(pool)];
                        if round % 7 == worker % 7 {
                            let [first, second] = held;
                            drop(first.detach());
                            drop(second);
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        resizer.join().unwrap();
    });
    assert_quiet(&pool, &live, THREADS * ROUNDS * 2);
    pool.set_capacity(5);
    assert_quiet(&pool, &live, THREADS * ROUNDS * 2);
    drop(pool);
    assert_eq!(live.load(Ordering::Relaxed), 0);
}

/// One side acquires, the other returns: counts must not drift apart, nor the mark with them.
#[test]
fn leases_that_always_end_on_another_thread_add_up() {
    const IN_FLIGHT: usize = 8;
    let (pool, live) = pool(32);
    let (sender, receiver) = sync_channel::<Lease<Object>>(IN_FLIGHT);
    thread::scope(|scope| {
        scope.spawn(move || receiver.into_iter().for_each(drop));
        for _ in 0..ROUNDS {
            sender.send(take(&pool)).unwrap();
        }
        drop(sender);
    });
    assert_quiet(&pool, &live, ROUNDS);
    // In the channel, in each of the two hands, and one that the returning side is just letting go of.
    assert!(pool.snapshot().high_water_mark <= IN_FLIGHT as u64 + 3, "{:?}", pool.snapshot());
}

/// Threads come and go, so indices are handed on; each owner's plain stores must survive the next one's.
#[test]
fn counts_survive_the_threads_that_made_them() {
    let (pool, live) = pool(16);
    let waves = if cfg!(miri) { 3 } else { 200 };
    for _ in 0..waves {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..10).for_each(|_| drop(take(&pool))));
            }
        });
    }
    assert_quiet(&pool, &live, waves * THREADS * 10);
}

/// The last handle goes while leases are on their way back.
#[test]
fn a_pool_that_ends_among_returns_leaves_nothing() {
    for _ in 0..if cfg!(miri) { 5 } else { 500 } {
        let (pool, live) = pool(16);
        let leases: Vec<_> = (0..THREADS).map(|_| take(&pool)).collect();
        thread::scope(|scope| {
            for lease in leases {
                scope.spawn(move || drop(lease));
            }
            scope.spawn(move || drop(pool));
        });
        assert_eq!(live.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn buffers_keep_their_classes_under_load() {
    let buffers = BufferPool::default();
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let buffers = &buffers;
            scope.spawn(move || {
                for round in 0..ROUNDS / 10 {
                    let mut buffer = buffers.acquire(1 + (round * 37 + worker) % 5000);
                    assert!(buffer.is_empty());
                    buffer.reserve(round % 3000);
                    buffer.resize(round % 900, worker as u8);
                }
            });
        }
    });
    for pool in buffers.classes() {
        let now = pool.snapshot();
        assert_eq!((now.in_use, now.acquired()), (0, now.returns), "{}: {now:?}", pool.name());
        assert_eq!(
            now.discarded(Discard::Oversized) + now.discarded(Discard::Poisoned),
            0,
            "{}",
            pool.name()
        );
        assert!(now.idle <= now.capacity);
    }
}
