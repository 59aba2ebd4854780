//! A connection over two pipes that waits for its next request keeps at most a kilobyte and a half of heap, and no
//! buffer. Half a kilobyte of it is what tokio registers for the two descriptors.

use mcpool_memtests::{BarePeer, Figure, HANDSHAKE, Watch, buffers_in_use, runtime, server, settle};

const CONNECTIONS: usize = 200;
const MAX_BYTES: usize = 1536;

pub(crate) fn idle_connection_is_small() {
    let (server, drain) = (server(), mcpool::Drain::default());
    runtime().block_on(async {
        let mut peers = Vec::with_capacity(CONNECTIONS + 1);
        let open = async || {
            let mut peer = BarePeer::connect(&server, &drain).expect("a connection");
            peer.exchange(HANDSHAKE[0]).await;
            peer.send(HANDSHAKE[1]);
            peer.exchange(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
            peer
        };
        let watch = Watch::begin();
        peers.push(open().await);
        let before = watch.stats();
        for _ in 0..CONNECTIONS {
            peers.push(open().await);
        }
        settle().await;
        let after = watch.stats();
        let bytes = (after.curr_bytes - before.curr_bytes) / CONNECTIONS;
        println!("an idle connection keeps {bytes} B of heap");
        assert!(bytes > 0, "connections cannot be free");
        if bytes > MAX_BYTES {
            watch.fail(Figure::Live, format_args!("an idle connection keeps {bytes} B"));
        }
        assert_eq!(buffers_in_use(&server), 0, "an idle connection holds a buffer");
        for peer in peers {
            peer.close().await;
        }
    });
}
