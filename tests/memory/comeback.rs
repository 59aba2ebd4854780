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

/// For an answer that is written before it is sent, unlike one with a whole file.
fn read_call(program: &Program, bytes: usize) -> String {
    let path = program.file(&format!("{bytes}.txt"), &"x".repeat(bytes));
    let path = serde_json::to_string(&path).expect("text");
    message("tools/call", &format!(r#""name":"read_text_file","arguments":{{"path":{path},"head":1}}"#))
}

#[test]
fn large_messages_leave_no_large_buffers() {
    let program = Program::serve(&[]);
    let (small, large) = (read_call(&program, 10), read_call(&program, MIB));
    let path = serde_json::to_string(&program.file("written.txt", "")).expect("text");
    let content = "x".repeat(MIB);
    let arguments = format!(r#"{{"path":{path},"content":"{content}"}}"#);
    let write = message("tools/call", &format!(r#""name":"write_file","arguments":{arguments}"#));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(program.port());
                assert_eq!(client.call("tools/call", Some("read_text_file"), &large).0, 200);
                assert_eq!(client.call("tools/call", Some("write_file"), &write).0, 200);
            });
        }
    });
    // Nor does a report, which may need a large buffer itself.
    let mut client = Client::connect(program.port());
    until("no large buffer is leased", || {
        let (idle, leased) = large_bytes(&program);
        assert_eq!(idle, 0, "a large message has a buffer of its own");
        assert_eq!(client.call("tools/call", Some("read_text_file"), &small).0, 200);
        leased == 0
    });
}

#[test]
fn a_connection_that_is_reset_while_its_answer_is_written_leaves_nothing() {
    let program = Program::serve(&[]);
    let large = read_call(&program, 4 * MIB);
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: read_text_file\r\n";
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
