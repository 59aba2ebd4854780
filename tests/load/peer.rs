//! A scripted server: what it says to each request is up to the test.

use mcpool::load::LoadTarget;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What a scripted server does.
pub(crate) enum Act {
    /// Sends bytes.
    Say(String),
    Sleep(Duration),
    Close,
}

/// What becomes of request `number` (of all connections, without greetings).
pub(crate) type Script = dyn Fn(usize, &Value) -> Vec<Act> + Send + Sync;

/// The right answer to a request.
pub(crate) fn right(request: &Value) -> Value {
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let asked = request["params"]["protocolVersion"].as_str();
            let revision = asked.filter(|asked| *asked == "2025-03-26").unwrap_or("2025-06-18");
            json!({"protocolVersion": revision, "capabilities": {}, "serverInfo": {"name": "p", "version": "1"}})
        }
        "tools/call" => json!({"content": [{"type": "text", "text": "done"}]}),
        _ => json!({}),
    };
    json!({"jsonrpc": "2.0", "id": request["id"], "result": result})
}

/// A message as a line.
pub(crate) fn line(message: &Value) -> Act {
    Act::Say(format!("{message}\n"))
}

/// A message as an answer over HTTP.
pub(crate) fn body(status: &str, message: &Value) -> Act {
    let text = message.to_string();
    Act::Say(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    ))
}

/// A server of newline-framed messages on a Unix socket. It lives as long as the test's process.
pub(crate) fn over_lines(script: Arc<Script>) -> (LoadTarget, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("peer.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let target = LoadTarget::parse(&format!("unix-lines:{}", path.display())).expect("a target");
    let count = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, count) = (Arc::clone(&script), Arc::clone(&count));
            thread::spawn(move || {
                let mut output = stream.try_clone().expect("a copy");
                for text in BufReader::new(stream).lines().map_while(Result::ok) {
                    let request: Value = serde_json::from_str(&text).expect("a request is JSON");
                    let acts = match request["method"].as_str() {
                        Some("initialize") => vec![line(&right(&request))],
                        Some("notifications/initialized") => Vec::new(),
                        _ => script(count.fetch_add(1, Ordering::SeqCst), &request),
                    };
                    if !play(&mut output, acts) {
                        let _ = output.shutdown(std::net::Shutdown::Both);
                        return;
                    }
                }
            });
        }
    });
    (target, folder)
}

/// A server of HTTP.
pub(crate) fn over_http(script: Arc<Script>) -> LoadTarget {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, count) = (Arc::clone(&script), Arc::clone(&count));
            thread::spawn(move || serve_http(stream, &*script, &count));
        }
    });
    LoadTarget::parse(&format!("http://{address}/mcp")).expect("a target")
}

fn serve_http(stream: TcpStream, script: &Script, count: &AtomicUsize) {
    let mut output = stream.try_clone().expect("a copy");
    let mut input = BufReader::new(stream);
    loop {
        let (mut length, mut text) = (0, String::new());
        loop {
            text.clear();
            if input.read_line(&mut text).unwrap_or_default() == 0 {
                return;
            }
            if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if text == "\r\n" {
                break;
            }
        }
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).expect("a body");
        let request: Value = serde_json::from_slice(&bytes).expect("a request is JSON");
        let acts = match request["method"].as_str() {
            Some("initialize") => {
                let text = right(&request).to_string();
                let head = "HTTP/1.1 200 OK\r\nMcp-Session-Id: s-1\r\nContent-Type: application/json\r\n";
                vec![Act::Say(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()))]
            }
            Some("notifications/initialized") => {
                vec![Act::Say("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned())]
            }
            _ => script(count.fetch_add(1, Ordering::SeqCst), &request),
        };
        if !play(&mut output, acts) {
            let _ = output.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// Whether the connection goes on.
fn play(output: &mut impl Write, acts: Vec<Act>) -> bool {
    for act in acts {
        match act {
            Act::Say(text) => {
                if output.write_all(text.as_bytes()).is_err() {
                    return false;
                }
            }
            Act::Sleep(time) => thread::sleep(time),
            Act::Close => return false,
        }
    }
    true
}
