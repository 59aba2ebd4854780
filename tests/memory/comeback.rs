//! Large buffers come back, whatever else goes on and however their connection ended.

use crate::load::{Client, Program, head, message, until};
use std::time::Duration;

const LARGE_BYTES: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

/// Bytes of large buffers: idle ones, and those in use.
fn large_bytes(program: &Program) -> (u64, u64) {
    let report = program.report();
    let large = report.pools.iter().filter(|pool| {
        let objects = pool.idle + pool.in_use;
        pool.name.starts_with("buffers/") && pool.owned_bytes > objects * LARGE_BYTES as u64
    });
    large.fold((0, 0), |(idle, in_use), pool| {
        (idle + pool.idle_bytes, in_use + pool.owned_bytes.saturating_sub(pool.idle_bytes))
    })
}

/// For an answer that takes long to make.
fn search_call(program: &Program, bytes: usize) -> String {
    message("tools/call", &program.search_params(bytes))
}

#[test]
fn large_messages_leave_no_large_buffers() {
    let program = Program::serve(&[]);
    let (small, large) = (search_call(&program, 10), search_call(&program, MIB));
    let path = serde_json::to_string(&program.file("written.txt", "")).expect("text");
    let content = "x".repeat(MIB);
    let arguments = format!(r#"{{"path":{path},"content":"{content}"}}"#);
    let write = message("tools/call", &format!(r#""name":"write_file","arguments":{arguments}"#));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(program.port());
                assert_eq!(client.call("tools/call", Some("search_files"), &large).0, 200);
                assert_eq!(client.call("tools/call", Some("write_file"), &write).0, 200);
            });
        }
    });
    // Nor does a report, which may need a large buffer itself.
    let mut client = Client::connect(program.port());
    until("no large buffer is leased", || {
        let (idle, leased) = large_bytes(&program);
        assert_eq!(idle, 0, "a large message has a buffer of its own");
        assert_eq!(client.call("tools/call", Some("search_files"), &small).0, 200);
        leased == 0
    });
}

#[test]
fn a_connection_that_is_reset_while_its_answer_is_written_leaves_nothing() {
    let program = Program::serve(&[]);
    // A diff is written before it is sent.
    let large = message("tools/call", &program.edit_params(4 * MIB));
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: edit_file\r\n";
    let mut client = Client::connect(program.port());
    client.send(format!("{}{large}", head(large.len(), fields)).as_bytes());
    until("the answer is being written", || large_bytes(&program).1 > MIB as u64);
    // Longer than what the request itself sets going.
    std::thread::sleep(Duration::from_secs(5));
    assert!(large_bytes(&program).1 > MIB as u64, "it still is");
    // What it has not read makes it a reset.
    drop(client);
    until("no large buffer is left", || {
        std::thread::sleep(Duration::from_secs(3));
        large_bytes(&program) == (0, 0)
    });
}

/// Clients that each open a session and its stream, and begin a message on another connection. Then all of them leave.
fn leave_sessions(program: &Program, clients: usize) {
    let fields = "mcp-protocol-version: 2025-06-18\r\n";
    let connections: Vec<[Client; 2]> = (0..clients)
        .map(|number| {
            let mut stream = Client::connect(program.port());
            let id = stream.open_session();
            let get = format!(
                "GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nmcp-session-id: {id}\r\n{fields}\r\n"
            );
            stream.send(get.as_bytes());
            // A buffer of each of the larger small classes.
            let body = "x".repeat([3_000, 12_000, 40_000][number % 3]);
            let mut unfinished = Client::connect(program.port());
            unfinished.send(format!("{}{body}", head(body.len() + 1, fields)).as_bytes());
            [stream, unfinished]
        })
        .collect();
    let began = |report: &mcpool::memory::MemoryReport| {
        let leased = report.pools.iter().filter(|pool| pool.name.starts_with("buffers/"));
        leased.map(|pool| pool.in_use).sum::<u64>()
    };
    until("each message has begun to come", || began(&program.report()) >= clients as u64);
    drop(connections);
    until("all connections ended", || program.report().traffic.connections <= 1);
}

fn resident_bytes(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Pages that a burst filled, of which little is used now: idle objects of pools, wakers of tasks that ended, blocks that
/// another thread has freed.
#[test]
#[cfg(target_os = "linux")]
fn sessions_that_stay_keep_nothing_of_the_connections_that_left() {
    // What the slow decay of the pools frees would come back without what is tested here.
    let program = Program::serve(&["--pool-decay-ms", "86400000", "--principal-share-percent", "100"]);
    // What runs for the first time is resident from then on.
    leave_sessions(&program, 16);
    std::thread::sleep(Duration::from_secs(5));
    let base = resident_bytes(&program);
    leave_sessions(&program, 240);
    until("little more is resident than the sessions", || {
        std::thread::sleep(Duration::from_secs(1));
        let report = program.report();
        let lasting = ["sessions", "subscriptions", "event stores"];
        let lasting: u64 = lasting.iter().filter_map(|name| report.part(name)).map(|part| part.bytes).sum();
        let kept = resident_bytes(&program).saturating_sub(base);
        println!("{kept} B are kept, {lasting} B of it by sessions");
        kept <= 2 * MIB as u64 + lasting
    });
}
