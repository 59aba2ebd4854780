//! Sessions over HTTP: who may use them, when they end, and what they leave.

use super::host::{Host, Way, modern, modern_headers, session_headers, until};
use mcpool::Limits;
use mcpool::transport::HttpConfig;
use mcpool::transport::admission::{AdmissionConfig, Auth, TokenList};
use serde_json::json;

const VERSION: &str = "2025-11-25";

fn ping() -> serde_json::Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

#[test]
fn a_deleted_session_is_gone() {
    let host = Host::default();
    let session = host.session(VERSION, &json!({}));
    let headers = session_headers(&session, VERSION);
    let mut client = host.connect(Way::Tcp);
    assert_eq!(client.post(&headers, &ping()).status, 200);
    assert_eq!(client.request("DELETE", "/mcp", &headers).status, 204);
    assert_eq!(client.post(&headers, &ping()).status, 404);
    assert_eq!(client.request("DELETE", "/mcp", &headers).status, 404);
    assert_eq!(host.server.sessions(), 0);
}

#[test]
fn the_session_unused_for_longest_makes_room() {
    let host = Host::start(Limits { max_sessions: 3, ..Limits::default() }, HttpConfig::default());
    let sessions: Vec<_> = (0..3).map(|_| host.session(VERSION, &json!({}))).collect();
    let status =
        |session: &str| host.connect(Way::Tcp).post(&session_headers(session, VERSION), &ping()).status;
    assert_eq!(status(&sessions[0]), 200);
    let newest = host.session(VERSION, &json!({}));
    assert_eq!(status(&sessions[1]), 404, "the one unused for longest");
    assert_eq!((status(&sessions[0]), status(&sessions[2]), status(&newest)), (200, 200, 200));
}

#[test]
fn a_session_that_nobody_uses_expires() {
    let limits = Limits { session_timeout_ms: 100, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let session = host.session(VERSION, &json!({}));
    until("it expires", || host.server.sessions() == 0);
    assert_eq!(host.connect(Way::Tcp).post(&session_headers(&session, VERSION), &ping()).status, 404);
}

#[test]
fn initialize_answers_a_revision_that_is_spoken() {
    let host = Host::default();
    for (asked, want) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("1999-01-01", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        for header in [String::new(), format!("MCP-Protocol-Version: {asked}\r\n")] {
            let answer = host.connect(Way::Tcp).post(&header, &message);
            assert_eq!(answer.status, 200, "{asked}: {answer:?}");
            assert_eq!(answer.json()["result"]["protocolVersion"], want, "{asked}");
            let session = answer.header("mcp-session-id").expect("a session");
            assert!(session.len() == 32 && session.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}

#[test]
fn batches_are_served_in_the_revision_that_has_them() {
    let host = Host::default();
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "test_simple_text"}},
        {"jsonrpc": "2.0", "id": 3, "method": "nope"},
    ]);
    for (version, status) in [("2025-03-26", 200), ("2025-06-18", 400), ("2025-11-25", 400)] {
        let session = host.session(version, &json!({}));
        let headers = session_headers(&session, version);
        let mut client = host.connect(Way::Tcp);
        let answer = client.post(&headers, &batch);
        assert_eq!(answer.status, status, "{version}: {answer:?}");
        if status == 200 {
            let answers = answer.json();
            let ids: Vec<_> = answers.as_array().expect("an array").iter().map(|a| a["id"].clone()).collect();
            assert_eq!(ids, [json!(1), json!(2), json!(3)]);
            assert_eq!(answers[2]["error"]["code"], -32601);
            let quiet = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
            assert_eq!(client.post(&headers, &quiet).status, 202);
            assert_eq!(client.post(&headers, &json!([])).status, 400);
        }
    }
    assert_eq!(host.connect(Way::Tcp).post("", &batch).status, 400, "without a session");
}

#[test]
fn tokens_open_the_door_and_sessions_are_of_who_opened_them() {
    let tokens = TokenList::parse("ann:0123456789abcdef\nbob:fedcba9876543210").expect("tokens");
    let admission = AdmissionConfig { auth: Auth::Tokens(tokens), ..AdmissionConfig::default() };
    let host = Host::start(Limits::default(), HttpConfig { admission });
    let (ann, bob) =
        ("Authorization: Bearer 0123456789abcdef\r\n", "Authorization: Bearer fedcba9876543210\r\n");
    let message = modern(1, "server/discover", json!({}));
    let headers = modern_headers(&message);
    let mut client = host.connect(Way::Tcp);
    let refused = client.post(&headers, &message);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let refused = client.post(&(headers.clone() + "Authorization: Bearer 0123456789abcdeX\r\n"), &message);
    assert_eq!(refused.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
    assert_eq!(client.post(&(headers.clone() + ann), &message).status, 200);
    assert_eq!(client.request("GET", "/healthz", "").status, 200, "health needs no token");
    let params =
        json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let opened =
        client.post(ann, &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
    let session = session_headers(opened.header("mcp-session-id").expect("a session"), VERSION);
    assert_eq!(client.post(&(session.clone() + bob), &ping()).status, 404, "another principal's");
    assert_eq!(client.request("DELETE", "/mcp", &(session.clone() + bob)).status, 404);
    assert_eq!(client.post(&(session + ann), &ping()).status, 200);
}

#[test]
fn a_principal_that_comes_too_often_is_told_when_to_come_again() {
    let limits = Limits { requests_per_second: 1, request_burst: 3, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let message = modern(1, "server/discover", json!({}));
    let mut client = host.connect(Way::Tcp);
    let answers: Vec<_> = (0..6).map(|_| client.post(&modern_headers(&message), &message)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
    let refused = answers.last().expect("an answer");
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
}

/// Messages count, however they are packed.
#[test]
fn a_batch_takes_as_much_of_an_allowance_as_its_messages_alone() {
    const VERSION: &str = "2025-03-26";
    let limits = Limits { requests_per_second: 1, request_burst: 100, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let session = session_headers(&host.session(VERSION, &json!({})), VERSION);
    let mut client = host.connect(Way::Tcp);
    let mut batch = |messages: usize| client.post(&session, &json!(vec![ping(); messages]));
    let refused = batch(101);
    assert_eq!(refused.status, 429);
    assert!(String::from_utf8_lossy(&refused.body).contains("request_burst"), "{refused:?}");
    // One a second comes back meanwhile: a slow machine may let in a batch more, and no machine all.
    let passed = (0..30).filter(|_| batch(20).status == 200).count();
    assert!((1..=10).contains(&passed), "{passed} batches of 20");
}
