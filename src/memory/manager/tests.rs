//! The cycle of the manager, by a clock of its own.

use super::*;
use mcpool_pools::BufferPool;

#[test]
fn small_idle_objects_go_by_halves_each_interval_and_all_when_nobody_comes() {
    let (begun, buffers, registry) = (Instant::now(), BufferPool::default(), PoolRegistry::default());
    buffers.register(&registry).expect("names of their own");
    let mut limits = Limits { pool_decay_ms: 10_000, tune_interval_ms: 0, ..Limits::default() };
    let config = MemoryConfig {
        ceiling: Ceiling::of_process(&mut limits).expect("no limit is configured"),
        limits,
        name: String::new(),
        version: String::new(),
        registry,
        budget: MemoryBudget::new(1 << 20),
        leased: MemoryBudget::new(1 << 20),
    };
    let manager = MemoryManager::new(config, begun);
    let hold = |count: usize| drop((0..count).map(|_| buffers.acquire(1)).collect::<Vec<_>>());
    let idle = || buffers.classes().next().expect("a class").snapshot().idle;
    hold(16);
    let mut seen = Vec::new();
    for second in 1..=60 {
        // Two at once for half a minute, then nobody.
        hold(if second <= 30 { 2 } else { 0 });
        manager.tick(begun + Duration::from_secs(second));
        if second % 10 == 5 {
            seen.push(idle());
        }
    }
    // All 16 were needed in the first interval; of the 14 that were not in the second, 7 go, then 4 of 7.
    assert_eq!(seen, [16, 16, 9, 5, 0, 0]);
}
