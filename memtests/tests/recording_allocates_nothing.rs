//! What a server does each second allocates nothing, the black box included: its rings are full long before the end.

use mcpool::{Limits, Server};
use mcpool_memtests::{assert_no_allocations, small_server};

/// More than the ring of seconds has room for.
const SECONDS: usize = 3_000;

pub(crate) fn recording_allocates_nothing() {
    // What is done once in a while is another matter, and would come whenever this takes that long.
    let server: Server = small_server(Limits { pool_decay_ms: 0, tune_interval_ms: 0, ..Limits::default() });
    (0..10).for_each(|_| server.maintain());
    assert_no_allocations(|| (0..SECONDS).for_each(|_| server.maintain()));
    #[cfg(target_os = "linux")]
    assert!(server.memory().history(mcpool::memory::HistoryReason::Asked).samples.len() > 1_000);
}
