//! An idle connection over TCP or a Unix socket keeps at most a kilobyte of heap, a session half of one more.

use mcpool::Limits;
use mcpool_memtests::network::{Client, Host, Way, modern, open_session};
use mcpool_memtests::{Echo, HANDSHAKE, META, assert_witness_sees, buffers_in_use};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MAX_BYTES: usize = 1_024;
const MAX_SESSION_BYTES: usize = 512;

/// What a connection did before it became idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    Nothing,
    Modern,
    Session,
}

#[test]
fn network_idle_connection_is_small() {
    let limit = mcpool_memtests::network::raise_descriptors();
    // Two descriptors for each, and some for the rest.
    let many = 10_000.min((limit - 200) / 2);
    let server = mcpool::Server::builder("memtests", "1")
        .limits(Limits { max_connections: 20_000, ..Limits::default() });
    let server = server.tool(Echo).build().expect("a server");
    let host = Host::start(&server);
    let discover = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{{META}}}}}"#);
    let discover = modern("server/discover", None, &discover);
    let line = |text: &str| format!("{text}\n").into_bytes();
    let mut buffer = [0; 8192];
    let mut open = |way: Way, past: Past| -> Client {
        let mut client = host.connect(way);
        match (past, way) {
            (Past::Nothing, _) => {}
            (Past::Modern, Way::Lines) => {
                let request =
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{{META}}}}}"#);
                client.exchange(&line(&request), &mut buffer);
            }
            (Past::Modern, _) => {
                client.exchange(&discover, &mut buffer);
            }
            (Past::Session, Way::Lines) => {
                client.exchange(&line(HANDSHAKE[0]), &mut buffer);
                client.send(&line(HANDSHAKE[1]));
            }
            (Past::Session, _) => drop(open_session(&mut client)),
        }
        client
    };
    std::thread::sleep(std::time::Duration::from_millis(50));
    let _profiler = dhat::Profiler::builder().testing().build();
    assert_witness_sees();
    for (way, past, count) in [
        (Way::Tcp, Past::Nothing, 1_000),
        (Way::Tcp, Past::Modern, 1_000),
        (Way::Tcp, Past::Session, 1_000),
        (Way::Unix, Past::Nothing, 1_000),
        (Way::Unix, Past::Modern, 1_000),
        (Way::Unix, Past::Session, 1_000),
        (Way::Lines, Past::Modern, 1_000),
        (Way::Lines, Past::Session, 1_000),
        (Way::Tcp, Past::Modern, many),
        (Way::Tcp, Past::Session, many),
        (Way::Unix, Past::Modern, many),
    ] {
        drop(open(way, past));
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut clients = Vec::with_capacity(count);
        let before = dhat::HeapStats::get().curr_bytes;
        for _ in 0..count {
            clients.push(open(way, past));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        let bytes = (dhat::HeapStats::get().curr_bytes - before) / count;
        let of_session = if past == Past::Session { MAX_SESSION_BYTES } else { 0 };
        let allowed = MAX_BYTES + of_session;
        println!("{way:?} {past:?}, {count} connections: {bytes} B each");
        dhat::assert!(bytes <= allowed, "{way:?} {past:?}, {count} connections: {bytes} B each");
        dhat::assert!(bytes > 100, "connections cannot be free: {way:?} {past:?}: {bytes} B");
        assert_eq!(buffers_in_use(&server), 0, "an idle connection holds a buffer");
        drop(clients);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}
