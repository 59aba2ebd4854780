//! Over HTTP and over Unix sockets a warm request on a connection that is kept allocates nothing, in either era.

use mcpool_memtests::network::{Host, Way, legacy, modern, open_session};
use mcpool_memtests::{HANDSHAKE, META, assert_witness_sees, server};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WARM_UP: usize = 300;
const MEASURED: usize = 2_000;

#[test]
fn network_requests_allocate_nothing() {
    let server = server();
    let host = Host::start(&server);
    // A session is of who opened it, and a user of a Unix socket is somebody else.
    let session = open_session(&mut host.connect(Way::Tcp));
    let unix_session = open_session(&mut host.connect(Way::Unix));
    let ping = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#.to_owned();
    let list = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{{META}}}}}"#);
    let plain_list = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#.to_owned();
    let call = |text: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}},{META}}}}}"#
        )
    };
    let plain_call = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#;
    let chunked = {
        let body = call("chunked");
        let (first, second) = body.split_at(40);
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        )
        .into_bytes()
    };
    let line = |body: &str| format!("{body}\n").into_bytes();
    let rows: Vec<(&str, Way, Vec<u8>)> = vec![
        ("ping, legacy", Way::Tcp, legacy(&session, &ping)),
        ("ping, legacy, unix", Way::Unix, legacy(&unix_session, &ping)),
        ("tools/list, modern", Way::Tcp, modern("tools/list", None, &list)),
        ("tools/list, legacy", Way::Tcp, legacy(&session, &plain_list)),
        ("echo, modern", Way::Tcp, modern("tools/call", Some("echo"), &call("hi"))),
        ("echo, modern, unix", Way::Unix, modern("tools/call", Some("echo"), &call("hi"))),
        ("echo, escaped", Way::Tcp, modern("tools/call", Some("echo"), &call("a \\\"b\\\" \\n c"))),
        ("echo, legacy", Way::Tcp, legacy(&session, plain_call)),
        ("echo, chunked", Way::Tcp, chunked),
        ("ping, lines", Way::Lines, line(&ping)),
        ("echo, lines, modern", Way::Lines, line(&call("hi"))),
    ];
    let mut clients: Vec<_> = rows.iter().map(|(_, way, _)| host.connect(*way)).collect();
    let mut buffer = vec![0; 256 * 1024];
    for (client, (_, way, _)) in clients.iter_mut().zip(&rows) {
        if *way == Way::Lines {
            client.exchange(&line(HANDSHAKE[0]), &mut buffer);
        }
    }
    for (client, (what, _, request)) in clients.iter_mut().zip(&rows) {
        for _ in 0..WARM_UP {
            let length = client.exchange(request, &mut buffer);
            let answer = String::from_utf8_lossy(&buffer[..length]);
            assert!(
                answer.contains(r#""id":7,"result":"#) && !answer.contains("isError"),
                "{what}: {answer}"
            );
        }
    }
    // Pools are watched from the first look after their first use on: that is part of warming up.
    server.keep();
    let _profiler = dhat::Profiler::builder().testing().build();
    assert_witness_sees();
    for (client, (what, _, request)) in clients.iter_mut().zip(&rows) {
        let before = dhat::HeapStats::get();
        for _ in 0..MEASURED {
            client.exchange(request, &mut buffer);
        }
        let blocks = dhat::HeapStats::get().total_blocks - before.total_blocks;
        println!("{what}: {blocks} blocks in {MEASURED} requests");
        dhat::assert!(blocks == 0, "{what}: {blocks} blocks in {MEASURED} requests");
    }
}
