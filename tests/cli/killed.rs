//! A server that is killed while it writes: what it leaves behind, and for how long.

use super::mcpool;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const TRIES: u64 = 30;

fn start(folder: &Path) -> Child {
    let mut command = mcpool(&["serve", folder.to_str().expect("UTF-8")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// A handshake and some writes of one file, as lines.
fn requests(content: &str, writes: u64) -> Vec<u8> {
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let write = |id: u64| {
        let arguments = json!({"path": "f", "content": content});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "write_file", "arguments": arguments}})
    };
    let messages = [initialize, initialized].into_iter().chain((1..=writes).map(write));
    messages.flat_map(|message| format!("{message}\n").into_bytes()).collect()
}

#[test]
fn nothing_is_left_of_a_server_that_was_killed_while_it_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("f");
    let content = |letter: char| letter.to_string().repeat(1 << 20);
    for attempt in 0..TRIES {
        let mut server = start(folder.path());
        let mut input = server.stdin.take().expect("a pipe");
        let lines = requests(&content(if attempt % 2 == 0 { 'a' } else { 'b' }), 4);
        let writer = std::thread::spawn(move || {
            // The server goes in the middle of it.
            let _ = input.write_all(&lines);
            input
        });
        // Some end before the first write, some in it, some between two.
        std::thread::sleep(Duration::from_millis(attempt * 13 % 97));
        server.kill().expect("killed");
        server.wait().expect("ended");
        drop(writer.join());
        if let Ok(found) = std::fs::read(&file) {
            assert!(found.len() == 1 << 20 && found.iter().all(|byte| *byte == found[0]), "half a file");
        }
    }
    let mut server = start(folder.path());
    let mut input = server.stdin.take().expect("a pipe");
    input.write_all(&requests("whole", 1)).expect("written");
    let answers = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    let answers = answers.map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"));
    let written = answers.into_iter().find(|answer| answer["id"] == 1).expect("an answer");
    assert_eq!(written["result"].get("isError"), None, "{written}");
    drop(input);
    server.wait().expect("ended");
    let entries = std::fs::read_dir(folder.path()).expect("the folder");
    let names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["f"]);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "whole");
}
