//! Writes cost their bytes once: as many run at once as the plan says, within the limit, and none is lost.

use super::limit::{resident, serve_within};
use super::load::{Client, Program, head, message};
use super::plan::json_plan;
use std::time::Duration;

const MIB: usize = 1024 * 1024;
/// Below the limit of a frame, escapes and all.
const FILE_BYTES: usize = 8 * MIB - 64 * 1024;
/// What a write that its text is sent with escapes in takes at most for each byte sent, in percent, and besides.
const MOST_PERCENT: u64 = 120;
const BESIDES_BYTES: u64 = 256 * 1024;

/// A file of lines, which the sender of a write escapes.
fn content(number: usize) -> String {
    let line = format!("file {number}, a line of source text that is as long as lines are\n");
    line.repeat(FILE_BYTES / (line.len() + 1))
}

fn write_call(path: &str, content: &str) -> String {
    let content = serde_json::to_string(content).expect("text");
    message(
        "tools/call",
        &format!(r#""name":"write_file","arguments":{{"path":"{path}","content":{content}}}"#),
    )
}

/// Announces a write, and tells whether the server wants it.
fn announce(program: &Program, body: &str) -> Option<Client> {
    let mut client = Client::connect(program.port());
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: write_file\r\n\
                  expect: 100-continue\r\n";
    client.send(head(body.len(), fields).as_bytes());
    let (status, _) = client.read_answer().expect("an answer");
    assert!(status == 100 || status == 503, "{status}");
    (status == 100).then_some(client)
}

/// Each was charged with three times its bytes, so that one of 8 MiB was let in where there is room for three.
#[test]
fn as_many_writes_are_let_in_as_there_is_room_for() {
    let most_bytes = 26 * MIB;
    let program = Program::serve(&["--max-inflight-bytes", &most_bytes.to_string()]);
    let plan = json_plan(&["--writes", &format!("1x{FILE_BYTES}"), "--limit", "1GiB"]);
    let planned = plan["large_bytes"].as_u64().expect("a number");
    assert!(planned <= FILE_BYTES as u64 * MOST_PERCENT / 100 + BESIDES_BYTES, "{planned} bytes are planned");
    let files: Vec<(String, String)> =
        (0..4).map(|number| (program.file(&format!("written{number}.txt"), ""), content(number))).collect();
    let calls: Vec<String> = files.iter().map(|(path, content)| write_call(path, content)).collect();
    // All of them are in memory at once before the first is served.
    let mut waiting = Vec::new();
    for (call, file) in calls.iter().zip(&files) {
        if let Some(mut client) = announce(&program, call) {
            client.send(&call.as_bytes()[..call.len() - 1]);
            waiting.push((client, call, file));
        }
    }
    assert_eq!(waiting.len() as u64, most_bytes as u64 / planned, "the plan says how many");
    assert_eq!(waiting.len(), 3);
    for (mut client, call, (path, content)) in waiting {
        client.send(&call.as_bytes()[call.len() - 1..]);
        let (status, body) = client.read_answer().expect("an answer");
        assert!(status == 200 && body.contains("Successfully wrote to"), "{status} {body:.300}");
        assert!(std::fs::read_to_string(path).expect("a file") == *content, "{path} is another file");
    }
}

#[test]
fn writes_of_many_clients_stay_within_the_limit_and_none_is_lost() {
    const CLIENTS: usize = 24;
    let (program, limit) = serve_within(64 * MIB as u64);
    assert!((CLIENTS * FILE_BYTES) as u64 > limit, "all would have room at once");
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let program = &program;
            scope.spawn(move || {
                let path = program.file(&format!("written{number}.txt"), "");
                let content = content(number);
                let call = write_call(&path, &content);
                // Who is refused, because it waited for others in vain, comes again; who is let in is served.
                let mut client = loop {
                    if let Some(client) = announce(program, &call) {
                        break client;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                };
                client.send(call.as_bytes());
                let (status, body) = client.read_answer().expect("an answer");
                assert!(status == 200 && body.contains("Successfully wrote to"), "{status} {body:.300}");
                assert!(std::fs::read_to_string(&path).expect("a file") == content, "{path} is another file");
            });
        }
    });
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{peak} of {limit} bytes");
}
