//! Requests that wait are counted, over each transport alike, for as long as they do.

use super::host::{Client, Host, Way, modern, modern_headers, session_headers, until};
use mcpool::Limits;
use mcpool::transport::HttpConfig;
use serde_json::{Value, json};

const VERSION: &str = "2025-11-25";
/// Longer than any test.
const SLOW: f64 = 60.0;

/// A way to make a call that waits.
struct Case {
    way: Way,
    is_modern: bool,
    accept: &'static str,
}

const CASES: [Case; 8] = [
    Case { way: Way::Tcp, is_modern: true, accept: "application/json" },
    Case { way: Way::Tcp, is_modern: true, accept: "application/json, text/event-stream" },
    Case { way: Way::Tcp, is_modern: false, accept: "application/json" },
    Case { way: Way::Tcp, is_modern: false, accept: "application/json, text/event-stream" },
    Case { way: Way::Unix, is_modern: true, accept: "application/json, text/event-stream" },
    Case { way: Way::Unix, is_modern: false, accept: "application/json, text/event-stream" },
    Case { way: Way::Lines, is_modern: true, accept: "" },
    Case { way: Way::Lines, is_modern: false, accept: "" },
];

fn call(is_modern: bool, seconds: f64) -> Value {
    let params = json!({"name": "slow_compute", "arguments": {"seconds": seconds}});
    if is_modern {
        return modern(1, "tools/call", params);
    }
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
}

/// A client that has begun a call, and the headers of its session.
fn begin(host: &Host, case: &Case, seconds: f64) -> (Client, String) {
    let message = call(case.is_modern, seconds);
    let mut client = host.connect(case.way);
    if case.way == Way::Lines {
        if !case.is_modern {
            let hello = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
            client.ask("", &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}));
        }
        client.send(format!("{message}\n").as_bytes());
        return (client, String::new());
    }
    let headers = if case.is_modern {
        modern_headers(&message)
    } else {
        session_headers(&host.session_over(case.way, VERSION, &json!({})), VERSION)
    };
    client.begin_post(&format!("{headers}Accept: {}\r\n", case.accept), &message.to_string());
    (client, headers)
}

fn counted(host: &Host) -> u64 {
    host.server.metrics().requests_in_flight.now()
}

fn until_none_waits(host: &Host) {
    let metrics = host.server.metrics();
    until("none waits any more", || counted(host) == 0 && metrics.in_flight_bytes.now() == 0);
}

#[test]
fn a_request_that_waits_is_counted_until_its_answer() {
    for case in &CASES {
        let host = Host::default();
        let before = host.server.metrics().parked_requests.total();
        let (mut client, _) = begin(&host, case, 0.2);
        match case.way {
            Way::Lines => assert!(client.fill()),
            Way::Tcp | Way::Unix => assert_eq!(client.answer().status, 200),
        }
        assert_eq!(host.server.metrics().parked_requests.total(), before + 1, "it waited once");
        until_none_waits(&host);
    }
}

#[test]
fn a_request_that_waits_is_counted_while_its_client_stays() {
    for case in CASES.iter().filter(|case| case.is_modern || case.way == Way::Lines) {
        let host = Host::default();
        let (client, _) = begin(&host, case, SLOW);
        until("it waits", || counted(&host) == 1);
        let (other, _) = begin(&host, case, SLOW);
        until("both wait", || counted(&host) == 2);
        drop(client);
        until("one has left", || counted(&host) == 1);
        drop(other);
        until_none_waits(&host);
    }
}

/// A legacy request goes on without its client, and is counted as long as it does.
#[test]
fn a_legacy_request_is_counted_until_it_is_cancelled() {
    for case in CASES.iter().filter(|case| !case.is_modern && case.way != Way::Lines) {
        let host = Host::start(Limits { sse_keep_alive_ms: 30, ..Limits::default() }, HttpConfig::default());
        let (client, headers) = begin(&host, case, SLOW);
        until("it waits", || counted(&host) == 1);
        drop(client);
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        assert_eq!(counted(&host), 1);
        assert_eq!(host.connect(case.way).post(&headers, &cancel).status, 202);
        until_none_waits(&host);
    }
}

/// One message of a batch waits at a time.
#[test]
fn a_batch_counts_the_message_that_waits() {
    let host = Host::default();
    let headers = session_headers(&host.session("2025-03-26", &json!({})), "2025-03-26");
    let quick = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    let slow = |id: u64| {
        let mut message = call(false, 0.1);
        message["id"] = id.into();
        message
    };
    let before = host.server.metrics().parked_requests.total();
    let batch = json!([quick, slow(3), slow(4)]);
    let answer = host.connect(Way::Tcp).post(&headers, &batch);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(host.server.metrics().parked_requests.total(), before + 2);
    until_none_waits(&host);
}
