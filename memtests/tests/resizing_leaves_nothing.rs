//! Ten thousand resizes, trims and samples under traffic: nothing leaks, no lease is lost, and the
//! accounting returns to where it began, to the byte.

use mcpool::pools::PoolControl;
use mcpool_memtests::{Figure, META, Peer, RUNTIME_BLOCKS, Watch, runtime, server};
use std::sync::Arc;
use std::time::Duration;

const SWINGS: usize = 10_000;
const REST: Duration = Duration::from_millis(200);

/// Gives each pool its capacity back and frees what is idle: objects in use, idle objects and bytes of each.
fn settled(pools: &[Arc<dyn PoolControl>], capacities: &[usize]) -> Vec<(u64, usize, u64)> {
    for (pool, capacity) in pools.iter().zip(capacities) {
        pool.set_capacity(*capacity);
        pool.trim(0);
    }
    pools.iter().map(|pool| pool.snapshot()).map(|s| (s.in_use, s.idle, s.owned_bytes)).collect()
}

pub(crate) fn resizing_leaves_nothing() {
    let server = server();
    let calls = ["a", "b\\tc"].map(|text| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"text\":\"{text}\"}},{META}}}}}\n"
        )
    });
    runtime().block_on(async {
        let mut buffer = vec![0; 16 * 1024];
        let mut peer = Peer::connect(&server).expect("a connection");
        let pools: Vec<Arc<dyn PoolControl>> = server.pools().pools();
        let capacities: Vec<usize> = pools.iter().map(|pool| pool.snapshot().capacity).collect();
        let mut swing = async |at: usize, buffer: &mut [u8]| {
            let pool = &pools[at % pools.len()];
            match at % 5 {
                0 => drop(pool.set_capacity(at % 7)),
                1 => drop(pool.trim(0)),
                2 => drop(pool.set_capacity(usize::MAX)),
                3 => server.maintain(),
                _ if at % 1_000 == 4 => drop(server.memory().optimize_memory_usage()),
                _ => {}
            }
            peer.exchange(calls[at % 2].as_bytes(), buffer).await;
        };
        let settle = || settled(&pools, &capacities);
        // Every path once, the thread-locals and the shards of the store included.
        for at in 0..2_000 {
            swing(at, &mut buffer).await;
        }
        let watch = Watch::begin();
        for at in 0..2_000 {
            swing(at, &mut buffer).await;
        }
        // The answer is there before the server has given its leases back.
        tokio::time::sleep(REST).await;
        let held = settle();
        let before = watch.stats();
        for at in 0..SWINGS {
            swing(at, &mut buffer).await;
        }
        tokio::time::sleep(REST).await;
        // Compared at once: what was noted down is a block itself.
        let is_as_before = settle() == held;
        let after = watch.stats();
        assert!(is_as_before, "{held:?} became {:?}", settle());
        if after.curr_blocks > before.curr_blocks + RUNTIME_BLOCKS
            || after.curr_bytes > before.curr_bytes + 4_096
        {
            watch.fail(Figure::Live, format_args!("{before:?} became {after:?}"));
        }
    });
}
