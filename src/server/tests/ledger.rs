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

#[test]
fn an_event_is_in_one_line() {
    let server = server();
    let before = server.memory().report().usage.total_allocated_bytes;
    let message = || server.shared.pools.buffers.acquire(64 * KIB);
    let (writer, reader) = server.shared.events.open(1);
    writer.push(message()).expect("room");
    writer.push(message()).expect("room");
    let in_use = message();
    let report = server.memory().report();
    let line = |name: &str| {
        let part = report.part(name).expect("a line");
        (part.bytes, part.count)
    };
    let one = 64 * KIB as u64;
    assert_eq!((line("event stores"), line("buffers, leased")), ((2 * one, Some(2)), (one, Some(1))));
    assert_eq!(report.usage.total_allocated_bytes, before + 3 * one);
    drop((writer, reader, in_use));
}
