//! The ledger of a whole server: what it has seen, and that each byte stands in one line.

use crate::server::Server;

const KIB: usize = 1024;

fn server() -> Server {
    Server::builder("t", "1").build().expect("a server")
}

#[test]
fn a_burst_that_nobody_looked_at_is_in_the_peaks() {
    let server = server();
    server.maintain();
    let burst: Vec<_> = (0..4).map(|_| server.shared.pools.buffers.acquire(16 * KIB)).collect();
    server.maintain();
    drop(burst);
    let report = server.memory().report();
    let leased = report.part("buffers, leased").expect("a line");
    assert_eq!((leased.bytes, leased.peak_bytes), (0, 64 * KIB as u64));
    assert!(report.usage.peak_allocated_bytes >= 64 * KIB as u64);
}
