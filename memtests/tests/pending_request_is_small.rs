//! A request that waits keeps at most a kilobyte of heap beyond its frame, and half a kilobyte more when its
//! strings had to be unescaped into an arena.

use mcpool_memtests::{BarePeer, HANDSHAKE, assert_witness_sees, buffer_bytes, runtime, server, settle};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REQUESTS: usize = 100;
const MAX_BYTES: usize = 1024;
/// The smallest chunk of an arena.
const MAX_ARENA_BYTES: usize = 512;

#[test]
fn pending_request_is_small() {
    let plain = measure("plain");
    println!("a pending request keeps {plain} B of heap beyond its frame");
    assert!(plain > 0 && plain <= MAX_BYTES, "a pending request keeps {plain} B");
    let escaped = measure(r"an\tescape");
    println!("with a string that was unescaped: {escaped} B");
    assert!(escaped > plain && escaped <= MAX_BYTES + MAX_ARENA_BYTES, "a pending request keeps {escaped} B");
}

/// Heap bytes that each of many waiting requests keeps, buffers of frames aside.
fn measure(argument: &str) -> usize {
    let (server, drain) = (server(), mcpool::Drain::default());
    runtime().block_on(async {
        let mut peer = BarePeer::connect(&server, &drain).expect("a connection");
        peer.exchange(HANDSHAKE[0]).await;
        peer.send(HANDSHAKE[1]);
        settle().await;
        let _profiler = dhat::Profiler::builder().testing().build();
        assert_witness_sees();
        let before = (dhat::HeapStats::get().curr_bytes, buffer_bytes(&server));
        for id in 0..REQUESTS {
            peer.send(&format!(
                r#"{{"jsonrpc":"2.0","id":"request number {id}","method":"tools/call","params":{{"name":"stall","arguments":{{"text":"{argument}"}},"_meta":{{"progressToken":"token number {id}"}}}}}}"#
            ));
        }
        settle().await;
        assert_eq!(server.metrics().parked_requests.total(), REQUESTS as u64);
        let after = (dhat::HeapStats::get().curr_bytes, buffer_bytes(&server));
        let frames = after.1 - before.1;
        assert!(frames >= REQUESTS, "each request keeps its frame");
        peer.close().await;
        (after.0 - before.0 - frames) / REQUESTS
    })
}
