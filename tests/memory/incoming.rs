//! Halves of messages that one client sends keep no message of another client out.

use super::load::{Client, Program, head, message, raise_descriptors, until};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MIB: usize = 1024 * 1024;
/// What large messages may have together.
const ROOM: &str = "8MiB";
/// From then on a message is slow. Time only makes them slower.
const SLOW: Duration = Duration::from_secs(2);

const FIELDS: &str = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: write_file\r\n";

/// How a body says how long it is.
#[derive(Debug, Clone, Copy)]
enum Sent {
    WithLength,
    InChunks,
}

/// A request whose body has so many bytes and lacks some.
fn unfinished(sent: Sent, bytes: usize) -> Vec<u8> {
    const MISSING: usize = 100;
    let blanks = " ".repeat(bytes);
    match sent {
        Sent::WithLength => format!("{}{blanks}", head(bytes + MISSING, FIELDS)),
        Sent::InChunks => format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{FIELDS}transfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{blanks}",
            bytes + MISSING
        ),
    }
    .into_bytes()
}

/// A client sends halves until there is room for no more. Gives those that are left.
fn fill(program: &Program, sent: Sent, bytes: usize) -> Vec<Client> {
    let begun = unfinished(sent, bytes);
    let (mut halves, mut refused) = (Vec::new(), 0);
    // What is announced is expected for a moment, and keeps others of the same client out: it tries again.
    until("the room is full", || {
        let mut client = Client::connect_from([127, 0, 0, 2], program.port());
        client.send(&begun);
        halves.push(client);
        std::thread::sleep(Duration::from_millis(5));
        let before = halves.len();
        halves.retain(|client| !client.has_input());
        refused = if halves.len() < before { refused + 1 } else { 0 };
        refused > 100
    });
    halves
}

#[test]
fn halves_of_one_client_keep_no_message_of_another_out() {
    raise_descriptors();
    for (sent, bytes) in [
        (Sent::WithLength, 900_000),
        (Sent::WithLength, 300_000),
        (Sent::WithLength, 40_000),
        (Sent::InChunks, 900_000),
        (Sent::InChunks, 100_000),
    ] {
        let program = Program::serve(&["--max-inflight-bytes", ROOM]);
        let halves = fill(&program, sent, bytes);
        let left = || halves.iter().filter(|client| !client.has_input()).count();
        let before = left();
        std::thread::sleep(SLOW);
        assert_eq!(left(), before, "{sent:?} {bytes}: nobody lacks what they hold");
        let path = program.file("written.txt", "");
        let arguments = format!(r#""path":"{path}","content":"{}""#, "x".repeat(MIB));
        let write = message("tools/call", &format!(r#""name":"write_file","arguments":{{{arguments}}}"#));
        // It asks first, or sends all at once.
        for _ in 0..3 {
            let (status, body) =
                Client::connect(program.port()).call("tools/call", Some("write_file"), &write);
            assert_eq!(status, 200, "{sent:?} {bytes}: {body}");
            let mut other = Client::connect(program.port());
            other.send(format!("{}{write}", head(write.len(), FIELDS)).as_bytes());
            let (status, body) = other.read_answer().expect("an answer");
            assert_eq!(status, 200, "{sent:?} {bytes}: {body}");
        }
        let after = left();
        assert!(
            after > 0 && after < before,
            "{sent:?} {bytes}: {after} of {before} are left, half of the room is theirs"
        );
    }
}

/// Sends halves anew before any of them is slow, until it is told to stop.
fn send_anew(port: u16, sent: Sent, bytes: usize, count: usize, stops: &AtomicBool) {
    let begun = unfinished(sent, bytes);
    let mut halves = std::collections::VecDeque::new();
    while !stops.load(Ordering::Relaxed) {
        if halves.len() == count {
            halves.pop_front();
        }
        let mut client = Client::connect_from([127, 0, 0, 2], port);
        client.try_send(&begun);
        halves.push_back(client);
        std::thread::sleep(Duration::from_millis(800) / u32::try_from(count).expect("few"));
    }
}

#[test]
fn halves_that_are_sent_anew_keep_no_message_of_another_out() {
    const CALLS: usize = 6;
    raise_descriptors();
    for (sent, bytes, count) in [
        (Sent::WithLength, 900_000, 16),
        (Sent::WithLength, 60_000, 140),
        (Sent::InChunks, 900_000, 16),
        (Sent::InChunks, 70_000, 140),
    ] {
        let program = Program::serve(&["--max-inflight-bytes", ROOM]);
        let (port, stops) = (program.port(), AtomicBool::new(false));
        let path = program.file("written.txt", "");
        let written = std::thread::scope(|scope| {
            scope.spawn(|| send_anew(port, sent, bytes, count, &stops));
            std::thread::sleep(SLOW);
            let call = |call: usize| {
                let arguments =
                    format!(r#""path":"{path}","content":"{}""#, "x".repeat((1 + call % 2) * MIB));
                let write =
                    message("tools/call", &format!(r#""name":"write_file","arguments":{{{arguments}}}"#));
                let mut other = Client::connect(port);
                other.send(format!("{}{write}", head(write.len(), FIELDS)).as_bytes());
                other.read_answer().expect("an answer").0 == 200
            };
            let written = (0..CALLS).filter(|number| call(*number)).count();
            stops.store(true, Ordering::Relaxed);
            written
        });
        // How busy the machine is decides on single ones; without their turn, next to none come through.
        assert!(written * 2 >= CALLS, "{sent:?} {bytes}: {written} of {CALLS}");
    }
}
