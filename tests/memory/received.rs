//! A large message whose length is not known is resident once while it comes, and is what was sent.

use super::limit::resident;
use super::load::{Program, message};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Below the limit of a frame, escapes and all.
const FILE_BYTES: usize = 8 * 1024 * 1024;
/// Resident bytes at most for each byte that is sent, in percent, and what a call takes besides.
const MOST_PERCENT: u64 = 125;
/// How long an answer may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends requests, all at once, and waits for answers that contain these texts, in any order.
fn exchange(stream: &mut (impl Read + Write), requests: &[u8], awaited: &[&str]) {
    stream.write_all(requests).expect("sent");
    let mut reader = BufReader::new(stream);
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while let Some(text) = awaited.iter().find(|text| !seen.contains(**text)) {
        let bytes = reader.read(&mut buffer).expect("read");
        assert!(bytes > 0, "{text} does not come: {seen:.2000}");
        seen += &String::from_utf8_lossy(&buffer[..bytes]);
    }
}

/// A POST in chunks of `bytes`, as a client sends it that does not know its length.
fn in_chunks(name: &str, body: &str, bytes: usize) -> Vec<u8> {
    let method = if name.is_empty() { "tools/list" } else { "tools/call" };
    let name = if name.is_empty() { String::new() } else { format!("mcp-name: {name}\r\n") };
    let mut text = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
         mcp-method: {method}\r\n{name}transfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.as_bytes().chunks(bytes) {
        text.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        text.extend(chunk);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\n\r\n");
    text
}

fn write_call(path: &str, content: &str) -> String {
    let content = serde_json::to_string(content).expect("text");
    message(
        "tools/call",
        &format!(r#""name":"write_file","arguments":{{"path":"{path}","content":{content}}}"#),
    )
}

/// Writes a file in one call with a small request behind it, and checks the file and the resident memory that it took.
fn takes_its_bytes_once(
    program: &Program,
    stream: &mut (impl Read + Write),
    framed: impl Fn(&str, String) -> Vec<u8>,
) {
    let path = program.file("received.txt", "");
    let answers = ["Successfully wrote to", r#""tools":["#];
    let list = message("tools/list", r#""n":1"#).replacen(r#""id":1"#, r#""id":2"#, 1);
    let requests =
        |content: &str| [framed("write_file", write_call(&path, content)), framed("", list.clone())].concat();
    // Code and pools, so that what is measured is the message.
    exchange(stream, &requests("small"), &answers);
    let content: String = (0..)
        .map(|line| format!("line {line} with a \"word\" in quotes\n"))
        .scan(0, |sum, line| {
            *sum += line.len();
            (*sum < FILE_BYTES).then_some(line)
        })
        .collect();
    let requests = requests(&content);
    std::fs::write(format!("/proc/{}/clear_refs", program.pid()), "5").expect("the peak begins anew");
    let (before, _) = resident(program);
    exchange(stream, &requests, &answers);
    let (_, peak) = resident(program);
    assert!(std::fs::read_to_string(&path).expect("a file") == content, "the file is another one");
    let taken = peak.saturating_sub(before);
    let most = requests.len() as u64 * MOST_PERCENT / 100;
    assert!(taken <= most, "{taken} bytes for {} sent: {most} are allowed", requests.len());
    assert!(
        taken >= content.len() as u64 / 2,
        "{taken} bytes is not the peak of a message of {}",
        content.len()
    );
}

#[test]
fn a_line_is_resident_once_while_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("lines.sock");
    let program = Program::serve(&["--unix", socket.to_str().expect("text")]);
    let mut stream = UnixStream::connect(&socket).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    takes_its_bytes_once(&program, &mut stream, |_, body| format!("{body}\n").into_bytes());
}

#[test]
fn a_body_in_chunks_is_resident_once_while_it_comes() {
    let program = Program::serve(&[]);
    // Chunks end within segments and across them.
    for bytes in [1 << 20, 7_000] {
        let mut stream = TcpStream::connect(("127.0.0.1", program.port())).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        takes_its_bytes_once(&program, &mut stream, |name, body| in_chunks(name, &body, bytes));
    }
}
