//! Over HTTP on a Unix socket, too, a warm request allocates nothing, in either era. Sampling
//! the pools meanwhile allocates nothing either.

use mcpool_memtests::network::{Client, Host, Way, legacy, modern, open_session};
use mcpool_memtests::{META, assert_no_allocations, server};

const WARM_UP: usize = 300;
const MEASURED: usize = 2_000;
/// Requests between two looks.
const A_LOOK: usize = 100;

pub(crate) fn network_requests_allocate_nothing() {
    let server = server();
    let host = Host::start(&server);
    let mut client = host.connect(Way::Unix);
    let session = open_session(&mut client);
    let call = |meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"a \"b\" \n"}}{meta}}}}}"#
        )
    };
    let requests = [
        legacy(&session, r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#),
        legacy(&session, &call("")),
        modern("tools/call", Some("echo"), &call(&format!(",{META}"))),
    ];
    let mut buffer = vec![0; 64 * 1024];
    for request in &requests {
        (0..WARM_UP).for_each(|_| ask(&mut client, request, &mut buffer));
        // Pools are watched from the first sample that follows their first use: that is part of warming up.
        server.maintain();
        (0..WARM_UP).for_each(|_| ask(&mut client, request, &mut buffer));
    }
    // Once a second a look takes all figures down, for which each thread needs something once.
    let _ = server.memory().current_memory_usage();
    assert_no_allocations(|| {
        for at in 0..MEASURED {
            ask(&mut client, &requests[at % requests.len()], &mut buffer);
            if at % A_LOOK == 0 {
                server.maintain();
            }
        }
    });
}

fn ask(client: &mut Client, request: &[u8], buffer: &mut [u8]) {
    let length = client.exchange(request, buffer);
    let is_there = buffer[..length].windows(16).any(|part| part == br#""id":7,"result":"#);
    assert!(is_there, "{}", String::from_utf8_lossy(&buffer[..length]));
}
