//! The cycle of the manager, by a clock of its own.

use super::*;
use mcpool_pools::BufferPool;

/// A manager of `buffers` whose pools decay each `pool_decay_ms`.
fn manager_of(buffers: &BufferPool, pool_decay_ms: usize, begun: Instant) -> MemoryManager {
    let registry = PoolRegistry::default();
    buffers.register(&registry).expect("names of their own");
    let mut limits = Limits { pool_decay_ms, tune_interval_ms: 0, ..Limits::default() };
    let config = MemoryConfig {
        ceiling: Ceiling::of_process(&mut limits, |_| 0).expect("no limit is configured"),
        limits,
        name: String::new(),
        version: String::new(),
        registry,
        budget: MemoryBudget::new(1 << 20),
        leased: MemoryBudget::new(1 << 20),
        small: MemoryBudget::new(1 << 20),
        reserved_bytes: 1 << 18,
    };
    MemoryManager::new(config, begun)
}

fn hold(buffers: &BufferPool, count: usize) {
    drop((0..count).map(|_| buffers.acquire(1)).collect::<Vec<_>>());
}

fn idle(buffers: &BufferPool) -> usize {
    buffers.classes().next().expect("a class").snapshot().idle
}

#[test]
fn small_idle_objects_go_by_halves_each_interval_and_all_when_nobody_comes() {
    let (begun, buffers) = (Instant::now(), BufferPool::default());
    let manager = manager_of(&buffers, 10_000, begun);
    hold(&buffers, 8);
    let mut seen = Vec::new();
    for second in 1..=60 {
        // Two at once for half a minute, then nobody.
        hold(&buffers, if second <= 30 { 2 } else { 0 });
        manager.tick(begun + Duration::from_secs(second));
        if second % 10 == 5 {
            seen.push(idle(&buffers));
        }
    }
    // All 8 were needed in the first interval; of the 6 that were not in the second, 3 go, then 2 of 3.
    assert_eq!(seen, [8, 8, 5, 3, 0, 0]);
}

#[test]
fn what_a_burst_left_goes_in_the_second_after_it_whoever_goes_on_calling() {
    for (pool_decay_ms, want) in [(10_000, [100, 0, 2, 2]), (0, [100, 100, 100, 100])] {
        let (begun, buffers) = (Instant::now(), BufferPool::default());
        let manager = manager_of(&buffers, pool_decay_ms, begun);
        hold(&buffers, 100);
        let seen = [1, 2, 3, 4].map(|second| {
            hold(&buffers, 2);
            manager.tick(begun + Duration::from_secs(second));
            idle(&buffers)
        });
        assert_eq!(seen, want, "{pool_decay_ms} ms");
    }
}

#[test]
fn the_few_that_a_burst_leaves_go_too_and_few_that_never_were_more_stay() {
    for (many, want) in [(100, [100, 0, 4, 0, 0]), (4, [4, 4, 4, 4, 4])] {
        let (begun, buffers) = (Instant::now(), BufferPool::default());
        let manager = manager_of(&buffers, 10_000, begun);
        let seen = [many, 0, 4, 0, 0].into_iter().zip(1..).map(|(held, second)| {
            hold(&buffers, held);
            manager.tick(begun + Duration::from_secs(second));
            idle(&buffers)
        });
        assert_eq!(seen.collect::<Vec<_>>(), want);
    }
}
