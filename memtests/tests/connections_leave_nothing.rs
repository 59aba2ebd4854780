//! Connections over two pipes that were opened, used and closed leave no block behind, in either era.

use mcpool_memtests::{HANDSHAKE, META, Peer, assert_no_leaks, runtime, server};

const CONNECTIONS: usize = 500;

pub(crate) fn connections_leave_nothing() {
    let server = server();
    let runtime = runtime();
    let modern = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"a\tb"}},{META}}}}}"#
    );
    let mut buffer = vec![0; 16 * 1024];
    let visit = async |buffer: &mut [u8]| {
        let mut peer = Peer::connect(&server).expect("a connection");
        peer.exchange(format!("{}\n", HANDSHAKE[0]).as_bytes(), buffer).await;
        peer.send(format!("{}\n", HANDSHAKE[1]).as_bytes()).await;
        peer.exchange(format!("{modern}\n").as_bytes(), buffer).await;
        // A frame that never ends, and a call that is never answered.
        peer.send(br#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"stall","arguments":{"text":"x"}}}"#).await;
        peer.send(b"\n{\"jsonrpc\":").await;
        peer.close().await;
    };
    let mut visits = |count| {
        runtime.block_on(async {
            for _ in 0..count {
                visit(&mut buffer).await;
            }
        });
    };
    visits(20);
    assert_no_leaks(|| visits(CONNECTIONS));
}
