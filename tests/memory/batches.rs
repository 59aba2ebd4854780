//! Each message of a batch is answered or refused by itself, also where there is memory for few of them.

use super::load::{Client, Program, head};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// More than are sent while they are written.
const READS: u64 = 80;
const FILE_BYTES: usize = 150_000;
/// For few of the answers that are collected until all are there.
const ROOM: &str = "2MiB";

const HELLO: &str = r#"{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;

/// Reads of one file and pings in turn, with numbers.
fn batch(program: &Program) -> String {
    let path = program.file("read.txt", &"x".repeat(FILE_BYTES));
    let message = |id: u64| {
        let members = if id.is_multiple_of(2) {
            format!(
                r#""method":"tools/call","params":{{"name":"read_text_file","arguments":{{"path":"{path}"}}}}"#
            )
        } else {
            r#""method":"ping""#.to_owned()
        };
        format!(r#"{{"jsonrpc":"2.0","id":{id},{members}}}"#)
    };
    let messages: Vec<_> = (0..2 * READS).map(message).collect();
    format!("[{}]", messages.join(","))
}

/// Each message has one answer, in order: its text, or an error that says that there is no memory for it. The answer may be
/// an event of a stream.
fn is_answered_one_by_one(answer: &str) {
    let array = answer.find('[').zip(answer.rfind(']')).map(|(start, end)| &answer[start..=end]);
    let answers: Vec<Value> = serde_json::from_str(array.unwrap_or(answer)).expect("an array");
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64()).collect();
    assert_eq!(ids, (0..2 * READS).map(Some).collect::<Vec<_>>());
    let (mut whole, mut refused) = (0, 0);
    for (id, answer) in answers.iter().enumerate() {
        if id % 2 == 1 {
            assert!(answer["result"].is_object(), "{answer}");
            continue;
        }
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        let error = answer["error"]["message"].as_str().unwrap_or(text);
        if text.len() == FILE_BYTES {
            whole += 1;
        } else {
            assert!(error.contains("memory"), "{answer}");
            refused += 1;
        }
    }
    assert!(whole > 0 && refused > 0, "{whole} are whole, {refused} refused");
}

#[test]
fn each_read_of_a_batch_is_answered_or_refused_over_http() {
    let program = Program::serve(&["--max-inflight-bytes", ROOM]);
    let mut client = Client::connect(program.port());
    let session = client.open_session_with(HELLO);
    for _ in 0..3 {
        let body = batch(&program);
        let fields = format!("mcp-session-id: {session}\r\n");
        client.send(format!("{}{body}", head(body.len(), &fields)).as_bytes());
        let (status, answer) = client.read_answer().expect("an answer");
        assert_eq!(status, 200, "{answer:.500}");
        is_answered_one_by_one(&answer);
    }
}

#[test]
fn each_read_of_a_batch_is_answered_or_refused_over_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("lines.sock");
    let program = Program::serve(&["--max-inflight-bytes", ROOM, "--unix", socket.to_str().expect("text")]);
    let mut stream = UnixStream::connect(&socket).expect("connects");
    stream.set_read_timeout(Some(Duration::from_mins(2))).expect("a time-out");
    let mut lines =
        BufReader::new(stream.try_clone().expect("a handle")).lines().map(|line| line.expect("a line"));
    writeln!(stream, "{HELLO}").expect("sent");
    let mut answer_with = |start: &str| lines.find(|line| line.starts_with(start)).expect("an answer");
    answer_with("{");
    for _ in 0..3 {
        writeln!(stream, "{}", batch(&program)).expect("sent");
        is_answered_one_by_one(&answer_with("["));
    }
}
