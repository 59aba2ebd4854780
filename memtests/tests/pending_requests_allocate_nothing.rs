//! Requests that wait and are then cancelled allocate nothing once warm: their futures live in pooled slots.

use mcpool_memtests::{HANDSHAKE, Peer, assert_witness_sees, runtime, server};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn pending_requests_allocate_nothing() {
    let server = server();
    runtime().block_on(async {
        let mut peer = Peer::connect(&server).expect("a connection");
        let mut buffer = vec![0; 16 * 1024];
        peer.exchange(format!("{}\n", HANDSHAKE[0]).as_bytes(), &mut buffer).await;
        let call = b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"stall\",\"arguments\":{\"text\":\"x\"}}}\n";
        let cancel = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":5}}\n";
        let ping = b"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"ping\"}\n";
        let mut round = async || {
            peer.send(call).await;
            peer.exchange(ping, &mut buffer).await;
            peer.send(cancel).await;
            peer.exchange(ping, &mut buffer).await;
        };
        for _ in 0..50 {
            round().await;
        }
        let _profiler = dhat::Profiler::builder().testing().build();
        assert_witness_sees();
        let before = dhat::HeapStats::get();
        for _ in 0..1_000 {
            round().await;
        }
        let after = dhat::HeapStats::get();
        assert_eq!(server.metrics().cancelled_requests.total(), 1_050);
        dhat::assert_eq!(after.total_blocks - before.total_blocks, 0);
    });
}
