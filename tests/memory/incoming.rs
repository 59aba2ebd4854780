//! Halves of messages that one client sends keep no message of another client out.

use super::load::{Client, Program, head, message, raise_descriptors};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What large messages may have together.
const ROOM: &str = "8MiB";
const ROOM_BYTES: usize = 8 * MIB;
/// What all may have: some twelve MiB of small objects beside a debug build, a fourth of which is for small requests.
const LIMIT: &str = "80MiB";
/// From then on a message is slow. Time only makes them slower.
const SLOW: Duration = Duration::from_secs(2);
/// No message waits longer for room.
const WAIT: Duration = Duration::from_secs(7);

/// More than there is room for in the smallest buffers.
const MOST_HALVES: usize = 2_000;

const FIELDS: &str = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: write_file\r\n";

/// How a body says how long it is.
#[derive(Debug, Clone, Copy)]
enum Sent {
    WithLength,
    InChunks,
    /// Of a body that is to have 60,000 bytes.
    Announced,
    /// Of a head.
    InHead,
}

/// A request whose body has so many bytes and lacks some.
fn unfinished(sent: Sent, bytes: usize) -> Vec<u8> {
    const MISSING: usize = 100;
    let blanks = " ".repeat(bytes);
    match sent {
        Sent::WithLength => format!("{}{blanks}", head(bytes + MISSING, FIELDS)),
        Sent::Announced => format!("{}{blanks}", head(60_000, FIELDS)),
        Sent::InHead => format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\nx: x{blanks}"),
        Sent::InChunks => format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{FIELDS}transfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{blanks}",
            bytes + MISSING
        ),
    }
    .into_bytes()
}

/// A client sends more halves than there is room for. Gives those that are left when none waits for room any more.
fn fill(program: &Program, sent: Sent, bytes: usize) -> Vec<Client> {
    let begun = unfinished(sent, bytes);
    let count = if bytes < 16 * KIB { MOST_HALVES } else { ROOM_BYTES / bytes + 50 };
    let mut halves: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = Client::connect_from([127, 0, 0, 2], program.port());
            client.try_send(&begun);
            client
        })
        .collect();
    std::thread::sleep(WAIT);
    halves.retain(|client| !client.has_input());
    halves
}

fn write_of(program: &Program, bytes: usize) -> String {
    let path = program.file("written.txt", "");
    let arguments = format!(r#""path":"{path}","content":"{}""#, "x".repeat(bytes));
    message("tools/call", &format!(r#""name":"write_file","arguments":{{{arguments}}}"#))
}

/// Sends all of a write at once. Gives the status and the body of the answer.
fn send_write(program: &Program, write: &str) -> (u16, String) {
    let mut client = Client::connect(program.port());
    client.send(format!("{}{write}", head(write.len(), FIELDS)).as_bytes());
    client.read_answer().expect("an answer")
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

/// Halves that are in small buffers take what small objects have, which large messages begin in.
#[test]
fn small_halves_of_one_client_keep_no_message_of_another_out() {
    raise_descriptors();
    for (sent, bytes) in [(Sent::InHead, 12_000), (Sent::Announced, 300), (Sent::WithLength, 2_000)] {
        let program = Program::serve(&["--memory-limit-bytes", LIMIT, "--max-connections", "4000"]);
        let halves = fill(&program, sent, bytes);
        for bytes in [100, 10 * KIB, MIB, MIB] {
            let (status, body) = send_write(&program, &write_of(&program, bytes));
            assert_eq!(status, 200, "{sent:?} {bytes}: {body}");
        }
        let left = halves.iter().filter(|client| !client.has_input()).count();
        assert!(left * 4 > halves.len(), "{sent:?}: {left} of {} are left", halves.len());
    }
}

/// A client of a Unix socket begins more lines than there is room for, large ones or small ones.
#[test]
fn lines_that_never_end_keep_no_message_of_another_client_out() {
    raise_descriptors();
    for (bytes, count, options) in [
        (2_500_000, 4, ["--max-inflight-bytes", ROOM]),
        (65_000, 140, ["--max-inflight-bytes", ROOM]),
        (12_000, MOST_HALVES, ["--memory-limit-bytes", LIMIT]),
        (300, MOST_HALVES, ["--memory-limit-bytes", LIMIT]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("m.sock").display().to_string();
        let program =
            Program::serve(&[&["--unix", &socket, "--max-connections", "4000"], &options[..]].concat());
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping"{}"#, " ".repeat(bytes));
        let begin = |_| {
            let mut stream = UnixStream::connect(&socket).expect("connects");
            // It is not read while it waits for room.
            stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out");
            let _ = stream.write_all(line.as_bytes());
            stream
        };
        let lines: Vec<_> = (0..count).map(begin).collect();
        std::thread::sleep(WAIT);
        for bytes in [100, 10 * KIB, 100 * KIB, MIB, MIB] {
            let (status, body) = send_write(&program, &write_of(&program, bytes));
            assert_eq!(status, 200, "{count} lines, {bytes}: {body}");
        }
        drop(lines);
    }
}

/// One message may have more than an equal share, where another client has many.
#[test]
fn a_message_of_most_of_the_room_comes_through_beside_many_halves() {
    raise_descriptors();
    let program = Program::serve(&["--max-inflight-bytes", ROOM]);
    for (sent, bytes) in [(Sent::WithLength, 40_000), (Sent::InChunks, 100_000)] {
        let halves = fill(&program, sent, bytes);
        let (status, body) = send_write(&program, &write_of(&program, 6 * MIB));
        assert_eq!(status, 200, "{sent:?}: {body}");
        drop(halves);
    }
}

/// Clients that each have less than an equal share, and send nothing more.
#[test]
fn halves_of_many_clients_keep_no_message_of_another_out() {
    const CLIENTS: u8 = 16;
    const BYTES: usize = 450_000;
    /// Until what came is less than 128 KiB a second.
    const TOO_SLOW: Duration = Duration::from_secs(5);
    let program = Program::serve(&["--max-inflight-bytes", ROOM]);
    let begun = unfinished(Sent::WithLength, BYTES);
    let _halves: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let mut client = Client::connect_from([127, 0, 1, number], program.port());
            client.try_send(&begun);
            client
        })
        .collect();
    std::thread::sleep(TOO_SLOW);
    for bytes in [100, MIB, 5 * MIB, 5 * MIB] {
        let (status, body) = send_write(&program, &write_of(&program, bytes));
        assert_eq!(status, 200, "{bytes}: {body}");
    }
}

/// The second of two that do not fit at once waits for the first.
#[test]
fn messages_of_one_client_wait_for_each_other() {
    let program = Program::serve(&["--max-inflight-bytes", ROOM]);
    let write = write_of(&program, 5 * MIB);
    for _ in 0..3 {
        let both = std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| send_write(&program, &write)));
            both.map(|write| write.join().expect("no panic").0)
        });
        assert_eq!(both, [200, 200]);
    }
    assert_eq!(program.report().pressure.refused, 0);
}

/// Later would not be better.
#[test]
fn who_sends_what_never_fits_is_told_so() {
    let program = Program::serve(&["--max-inflight-bytes", "1MiB"]);
    let write = write_of(&program, 2 * MIB);
    for _ in 0..2 {
        let (status, body) = send_write(&program, &write);
        assert!(status == 413 && body.contains("max_inflight_bytes"), "{status}: {body}");
    }
    let chunked = unfinished(Sent::InChunks, 2 * MIB);
    let mut client = Client::connect(program.port());
    client.try_send(&chunked);
    let (status, body) = client.read_answer().expect("an answer");
    assert!(status == 413 && body.contains("max_inflight_bytes"), "{status}: {body}");
    let (status, body) = send_write(&program, &write_of(&program, 512 * KIB));
    assert_eq!(status, 200, "{body}");
}
