//! From a slow tool to an alert, to the file of the black box and to a webhook, in the real program.

use crate::load::{self, Client, Program, message};
use mcpool::memory::{History, HistoryReason};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A delivery: its head in small letters, and its body.
type Delivery = (String, Value);

/// A receiver of webhooks, which takes whatever comes.
fn receiver() -> (String, Arc<Mutex<Vec<Delivery>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/alerts/s3cret", listener.local_addr().expect("an address"));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&taken);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let to = Arc::clone(&to);
            thread::spawn(move || take(stream, &to));
        }
    });
    (url, taken)
}

fn take(mut stream: TcpStream, to: &Mutex<Vec<Delivery>>) {
    let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        if input.read_exact(&mut body).is_err() {
            return;
        }
        let body = serde_json::from_slice(&body).expect("JSON");
        to.lock().expect("whole").push((head, body));
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}

#[test]
fn a_slow_tool_raises_an_alert_that_is_sent_and_has_the_black_box_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, taken) = receiver();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret of more than twenty-four bytes").expect("written");
    let boxes = folder.path().join("boxes");
    let program = Program::serve(&[
        "--max-message-p95-us",
        "1",
        "--black-box-dir",
        boxes.to_str().expect("text"),
        "--alert-webhook-url",
        &url,
        "--alert-webhook-secret-file",
        secret.to_str().expect("text"),
    ]);
    // A search opens a folder, which no processor does in a microsecond.
    program.file("a.txt", "some text");
    let arguments = serde_json::json!({"path": program.folder(), "pattern": "**/*.txt"});
    let call = message("tools/call", &format!(r#""name":"search_files","arguments":{arguments}"#));
    let mut client = Client::connect(program.port());
    let of_messages = |(_, body): &&Delivery| body["data"]["alert"]["subject"] == "messages";
    load::until("the alert is sent", || {
        (0..20).for_each(|_| drop(client.call("tools/call", Some("search_files"), &call)));
        taken.lock().expect("whole").iter().any(|delivery| of_messages(&delivery))
    });
    let taken = taken.lock().expect("whole").clone();
    let (head, body) = taken.iter().find(of_messages).expect("just seen");
    assert!(head.starts_with("post /alerts/s3cret "), "{head}");
    for header in ["webhook-id:", "webhook-timestamp:", "webhook-signature: v1,"] {
        assert!(head.contains(header), "{header} is missing in {head}");
    }
    assert_eq!(body["type"], "alert.firing", "{body}");
    assert_eq!(body["data"]["alert"]["kind"], "requirement", "{body}");

    let written = || {
        let entries = std::fs::read_dir(&boxes).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let texts = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        let texts = texts.map(|path| std::fs::read_to_string(path).expect("a file"));
        let mut all = texts.map(|text| History::from_json(&text).expect("a history"));
        all.find(|history| history.reason == HistoryReason::Alert)
    };
    load::until("the black box is written", || written().is_some());
    let history = written().expect("just seen");
    assert_eq!(history.server.pid, program.pid());
    assert!(
        history.samples.iter().map(|sample| sample.messages).sum::<u64>() >= 20,
        "what led to it is there"
    );
    assert!(program.page("GET /report").contains("\"messages\""), "it still serves");
}
