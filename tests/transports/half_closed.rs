//! A peer that ends what it sends while its request is served: its answer comes if it waits for it, and what nobody waits
//! for ends.

use super::host::{Client, Host, Way, modern, modern_headers, session_headers, until};
use mcpool::transport::HttpConfig;
use mcpool::{CallContext, Limits, Server, Tool, ToolDefinition, ToolError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A call that waits until it is told to go on.
struct Hold {
    goes_on: Arc<AtomicBool>,
}

#[derive(serde::Deserialize)]
struct Arguments {
    reports: bool,
}

impl Tool for Hold {
    type Arguments<'a> = Arguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("hold", "Waits.").input_schema(r#"{"type":"object"}"#)
    }

    async fn call(&self, arguments: Arguments, call: &mut CallContext) -> Result<(), ToolError> {
        if arguments.reports {
            call.progress(1.0, None, None);
        }
        while !self.goes_on.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        call.text("held");
        Ok(())
    }
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Closes,
    /// Only what it sends ends.
    HalfCloses,
    Resets,
}

/// What it has of the answer by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It takes no stream.
    Json,
    /// Nothing of it was sent, and it would take a stream.
    Late,
    /// The stream has begun.
    Stream,
}

/// A server with the call, and what tells the call to go on. No sign of life helps, unless it is asked for.
fn start(sse_keep_alive_ms: usize) -> (Host, Arc<AtomicBool>) {
    start_with(Limits { sse_keep_alive_ms, ..Limits::default() })
}

fn start_with(limits: Limits) -> (Host, Arc<AtomicBool>) {
    let goes_on = Arc::new(AtomicBool::new(false));
    let tool = Hold { goes_on: Arc::clone(&goes_on) };
    let server = Server::builder("test", "1").limits(limits).tool(tool).build().expect("a server");
    (Host::of(server, HttpConfig::default()), goes_on)
}

fn slots(host: &Host) -> u64 {
    host.server.pools().find("messages").expect("the pool of request slots").snapshot().in_use
}

/// Begins a call, and waits until it runs.
fn begin(host: &Host, way: Way, answer: Answer, session: Option<&str>) -> Client {
    let params = json!({
        "name": "hold", "arguments": {"reports": answer == Answer::Stream}, "_meta": {"progressToken": "p"}
    });
    let mut headers = if answer == Answer::Json { "Accept: application/json\r\n" } else { "" }.to_owned();
    let message = match session {
        None => {
            let message = modern(1, "tools/call", params);
            headers += &modern_headers(&message);
            message
        }
        Some(session) => {
            headers += &session_headers(session, "2025-11-25");
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        }
    };
    let mut client = host.connect(way);
    client.begin_post(&headers, &message.to_string());
    until("the call runs", || slots(host) == 1);
    if answer == Answer::Stream {
        assert_eq!(client.head().0, 200);
        assert_eq!(client.event().1["method"], "notifications/progress");
    }
    client
}

/// Waits until the server has seen the end of what a client sends, as far as that shows.
fn await_probe(client: &mut Client, way: Way, answer: Answer) {
    match (way, answer) {
        (Way::Tcp, Answer::Stream) => assert_eq!(client.chunk().as_deref(), Some(&b":\n\n"[..])),
        (Way::Tcp, _) => assert_eq!(client.answer().status, 100),
        _ => std::thread::sleep(Duration::from_millis(30)),
    }
}

/// Reads the answer of a call whose client sends nothing more, to its end.
fn finish(client: &mut Client, answer: Answer) {
    if answer == Answer::Stream {
        assert_eq!(client.event().1["id"], 1);
        while client.chunk().is_some() {}
    } else {
        let came = client.answer();
        assert_eq!((came.status, &came.json()["id"]), (200, &json!(1)));
    }
    assert!(client.is_closed());
}

/// Waits until nothing is left of a call and its connection.
fn end(host: &Host) {
    until("the call ends", || slots(host) == 0);
    until("its connection ends", || host.server.memory().report().traffic.connections == 0);
}

/// No sign of life comes within ten minutes, so whoever is gone is missed by other means.
#[test]
fn who_only_ends_what_it_sends_has_its_answer_and_who_is_gone_is_missed() {
    let (host, goes_on) = start(600_000);
    for way in [Way::Tcp, Way::Unix] {
        for answer in [Answer::Json, Answer::Late, Answer::Stream] {
            for leaves in [Leaves::Closes, Leaves::HalfCloses, Leaves::Resets] {
                eprintln!("{way:?} {answer:?} {leaves:?}");
                goes_on.store(false, Ordering::Relaxed);
                let mut client = begin(&host, way, answer, None);
                match leaves {
                    Leaves::Closes => drop(client),
                    // A Unix socket just closes.
                    Leaves::Resets => client.reset(),
                    Leaves::HalfCloses => {
                        client.stream.half_close();
                        await_probe(&mut client, way, answer);
                        assert_eq!(slots(&host), 1, "it waits");
                        goes_on.store(true, Ordering::Relaxed);
                        finish(&mut client, answer);
                        drop(client);
                    }
                }
                end(&host);
            }
        }
    }
}

/// Begins a call of HTTP/1.0, and waits until it runs.
fn begin_old(host: &Host, way: Way, answer: Answer) -> Client {
    let message = modern(1, "tools/call", json!({"name": "hold", "arguments": {"reports": false}}));
    let accept = if answer == Answer::Json { "" } else { ", text/event-stream" };
    let (headers, body) = (modern_headers(&message), message.to_string());
    let head = format!(
        "POST /mcp HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json{accept}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = host.connect(way);
    client.send((head + &body).as_bytes());
    until("the call runs", || slots(host) == 1);
    client
}

/// Clients of HTTP/1.0 can be written nothing before their answers that would show whether they are there.
#[test]
fn who_speaks_http_1_0_and_ends_what_it_sends_has_its_answer() {
    let (host, goes_on) = start(600_000);
    for way in [Way::Tcp, Way::Unix] {
        for answer in [Answer::Json, Answer::Late] {
            eprintln!("{way:?} {answer:?}");
            goes_on.store(false, Ordering::Relaxed);
            let mut client = begin_old(&host, way, answer);
            client.stream.half_close();
            std::thread::sleep(Duration::from_millis(30));
            assert_eq!(slots(&host), 1, "it waits");
            goes_on.store(true, Ordering::Relaxed);
            finish(&mut client, answer);
            drop(client);
            end(&host);
        }
    }
}

/// They count as there for as long as a peer may take to read.
#[test]
fn who_speaks_http_1_0_and_is_gone_is_missed_in_the_end() {
    let (host, _) = start_with(Limits { write_timeout_ms: 500, ..Limits::default() });
    for way in [Way::Tcp, Way::Unix] {
        for leaves in [Leaves::Closes, Leaves::HalfCloses, Leaves::Resets] {
            if (way, leaves) == (Way::Unix, Leaves::HalfCloses) {
                // The system tells that it is there.
                continue;
            }
            eprintln!("{way:?} {leaves:?}");
            let client = begin_old(&host, way, Answer::Json);
            match leaves {
                Leaves::Closes => drop(client),
                Leaves::Resets => client.reset(),
                Leaves::HalfCloses => {
                    client.stream.half_close();
                    end(&host);
                }
            }
            end(&host);
        }
    }
}

/// Who ended what it sends and is gone later is missed with the next sign of life.
#[test]
fn who_ends_what_it_sends_and_is_gone_later_is_missed() {
    let (host, _) = start(20);
    for way in [Way::Tcp, Way::Unix] {
        for answer in [Answer::Json, Answer::Stream] {
            eprintln!("{way:?} {answer:?}");
            let client = begin(&host, way, answer, None);
            client.stream.half_close();
            std::thread::sleep(Duration::from_millis(30));
            assert_eq!(slots(&host), 1, "it waits");
            drop(client);
            end(&host);
        }
    }
}

/// A request of a session goes on without its connection, which ends with its client.
#[test]
fn a_request_of_a_session_is_answered_too_and_goes_on_without_its_client() {
    let (host, goes_on) = start(600_000);
    for way in [Way::Tcp, Way::Unix] {
        let session = host.session_over(way, "2025-11-25", &json!({}));
        end(&host);
        for answer in [Answer::Json, Answer::Late] {
            for half in [true, false] {
                eprintln!("{way:?} {answer:?} {half}");
                goes_on.store(false, Ordering::Relaxed);
                let mut client = begin(&host, way, answer, Some(&session));
                if half {
                    client.stream.half_close();
                    await_probe(&mut client, way, answer);
                    goes_on.store(true, Ordering::Relaxed);
                    finish(&mut client, answer);
                }
                drop(client);
                until("its connection ends", || host.server.memory().report().traffic.connections == 0);
                assert_eq!(slots(&host), u64::from(!half), "it goes on");
                goes_on.store(true, Ordering::Relaxed);
                end(&host);
            }
        }
    }
}
