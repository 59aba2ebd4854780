//! The examples do what they say, and end as a service has to: with 0, when they are told to.

use crate::test_client::meta;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// `cargo test` builds the examples; where one test binary alone was asked for, this does.
fn example(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("a path");
    // From `target/debug/deps/suite-0123`.
    folder.pop();
    folder.pop();
    let path = folder.join("examples").join(name);
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--example",
            name,
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ]);
        assert!(build.status().expect("cargo starts").success(), "the example {name} does not build");
    }
    path
}

fn ends_well(mut child: Child, name: &str) {
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it can be signalled");
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            assert!(status.success(), "{name}: {status}");
            return;
        }
        if begun.elapsed() > Duration::from_mins(1) {
            child.kill().expect("it can be killed");
            panic!("{name} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same server, by the trait and by the attribute.
#[test]
fn echo_and_hello_answer_and_end_with_0_when_they_are_told_to() {
    for name in ["echo", "hello"] {
        let mut child = Command::new(example(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let params = json!({"name": "echo", "arguments": {"text": "hi"}, "_meta": meta()});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        writeln!(stdin, "{call}").expect("it reads");
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut answer).expect("it answers");
        assert!(answer.contains(r#"{"type":"text","text":"hi"}"#), "{name}: {answer}");
        ends_well(child, name);
    }
}

/// An example that serves standard input and output, after its handshake.
struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    requests: u64,
}

impl Running {
    fn start(name: &str) -> Self {
        let mut child = Command::new(example(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut running = Self { child, stdin, stdout, requests: 0 };
        let client = json!({"name": "test", "version": "1"});
        let opening = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        running.ask("initialize", &opening);
        running.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        running
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.stdin, "{message}").expect("it reads");
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it writes");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The result of a request, and the notifications that came before it.
    fn ask(&mut self, method: &str, params: &Value) -> (Value, Vec<Value>) {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let mut notices = Vec::new();
        loop {
            let mut message = self.next();
            if message["id"] == id {
                return (message["result"].take(), notices);
            }
            notices.push(message);
        }
    }

    /// The text of the answer to a call.
    fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let (result, _) = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}")).to_owned()
    }

    fn ends_well(self, name: &str) {
        // Its streams stay open meanwhile, so that it is the signal that ends it.
        let (_stdin, _stdout) = (self.stdin, self.stdout);
        ends_well(self.child, name);
    }
}

#[test]
fn stateful_counts_for_all_and_keeps_for_a_session() {
    let mut server = Running::start("stateful");
    assert_eq!(server.call("count_visit", &json!({})), "1");
    assert_eq!(server.call("count_visit", &json!({})), "2");
    assert_eq!(server.call("keep_note", &json!({})), "nothing was kept");
    assert_eq!(server.call("keep_note", &json!({"text": "milk"})), "kept");
    assert_eq!(server.call("keep_note", &json!({})), "milk");
    let long = server.call("keep_note", &json!({"text": "x".repeat(1_001)}));
    assert_eq!(long, "a note may have 1000 bytes");
    server.ends_well("stateful");
}

#[test]
fn progress_reports_and_answers() {
    let mut server = Running::start("progress");
    let meta = json!({"progressToken": "t"});
    let params = json!({"name": "count_down", "arguments": {"from": 3}, "_meta": meta});
    let (result, notices) = server.ask("tools/call", &params);
    assert_eq!(result["content"][0]["text"], "3, 2, 1, 0.");
    // How many come depends on the time between them; the first one always does.
    assert_eq!(notices[0]["method"], "notifications/progress");
    assert_eq!(notices[0]["params"]["progressToken"], "t");
    assert_eq!(notices[0]["params"]["total"].as_f64(), Some(3.0));
    assert_eq!(server.call("count_down", &json!({"from": 101})), "begin with 100 at most");
    server.ends_well("progress");
}

#[test]
fn subscription_notifies_of_what_the_tool_changes() {
    let mut server = Running::start("subscription");
    let uri = json!({"uri": "board://status"});
    server.ask("resources/subscribe", &uri);
    let params = json!({"name": "set_status", "arguments": {"text": "open"}});
    let (result, mut notices) = server.ask("tools/call", &params);
    assert_eq!(result["content"][0]["text"], "done");
    // It may come before the answer or behind it.
    while notices.is_empty() {
        let notice = server.next();
        notices.push(notice);
    }
    assert_eq!(notices[0]["method"], "notifications/resources/updated");
    assert_eq!(notices[0]["params"]["uri"], "board://status");
    let (result, _) = server.ask("resources/read", &uri);
    assert_eq!(result["contents"][0]["text"], "open");
    server.ends_well("subscription");
}

/// The status line and the body that a server at `address` gives to a modern call with `token`.
fn post_with(address: &str, token: Option<&str>) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "add", "arguments": {"a": 2, "b": 3}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: add\r\nConnection: close\r\n{authorization}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn http_auth_serves_who_shows_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "laptop:s3cr3t-s3cr3t-s3cr3t\n").expect("a file");
    let mut child = Command::new(example("http_auth"))
        .arg("127.0.0.1:0")
        .arg(&tokens)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it says where it listens");
    let address = line.trim().strip_prefix("listening on http://").and_then(|url| url.strip_suffix("/mcp"));
    let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
    // Somebody who reads on, so that it is not the pipe that ends it.
    let reading = std::thread::spawn(move || stderr.read_to_string(&mut line));
    for token in [None, Some("s3cr3t-s3cr3t-wrong")] {
        let refused = post_with(&address, token);
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    }
    let answer = post_with(&address, Some("s3cr3t-s3cr3t-s3cr3t"));
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""structuredContent":{"sum":5.0}"#),
        "{answer}"
    );
    ends_well(child, "http_auth");
    reading.join().expect("no panic").expect("text");
}

#[test]
fn conformance_ends_with_0_when_it_is_told_to() {
    let mut child = Command::new(example("conformance"))
        .arg("127.0.0.1:0")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it says where it listens");
    assert!(line.starts_with("listening on "), "{line}");
    // Somebody who reads on, so that it is not the pipe that ends it.
    let reading = std::thread::spawn(move || stderr.read_to_string(&mut line));
    ends_well(child, "conformance");
    reading.join().expect("no panic").expect("text");
}
