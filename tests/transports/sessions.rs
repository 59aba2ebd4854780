//! Sessions over HTTP: who may use them, when they end, and what they leave.

use super::host::{Host, Way, modern, modern_headers, session_headers, until};
use mcpool::transport::HttpConfig;
use mcpool::transport::admission::{AdmissionConfig, Auth, TokenList};
use mcpool::{CallContext, Limits, Server, TaskSupport, Tool, ToolDefinition, ToolError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::pending;

const VERSION: &str = "2025-11-25";

fn ping() -> Value {
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

/// Calls of it go on as tasks, and never end.
struct Forever;

impl Tool for Forever {
    type Arguments<'a> = BTreeMap<String, String>;

    fn definition(&self) -> ToolDefinition {
        let schema = r#"{"type":"object"}"#;
        ToolDefinition::new("forever", "Never ends.").input_schema(schema).task_support(TaskSupport::Required)
    }

    async fn call(&self, _: BTreeMap<String, String>, _: &mut CallContext) -> Result<(), ToolError> {
        pending().await
    }
}

/// However a session ends, its tasks end with it; those of others go on.
#[test]
fn the_tasks_of_a_session_end_with_it() {
    let limits = Limits { max_sessions: 2, ..Limits::default() };
    let server = Server::builder("tasks", "1").limits(limits).tool(Forever).tasks().build();
    let host = Host::of(server.expect("a server"), HttpConfig::default());
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "forever", "arguments": {}, "task": {}}});
    let with_task = || {
        let session = host.session(VERSION, &json!({}));
        let answer = host.connect(Way::Tcp).post(&session_headers(&session, VERSION), &message).json();
        let task = answer["result"]["task"]["taskId"].clone();
        assert!(task.is_string(), "{answer}");
        (session, task)
    };
    let status = |(session, task): &(String, Value)| {
        let message = json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/get", "params": {"taskId": task}});
        host.connect(Way::Tcp).post(&session_headers(session, VERSION), &message).json()["result"]["status"]
            .clone()
    };
    let (first, second) = (with_task(), with_task());
    assert_eq!((status(&second), status(&first)), (json!("working"), json!("working")));
    let headers = session_headers(&first.0, VERSION);
    assert_eq!(host.connect(Way::Tcp).request("DELETE", "/mcp", &headers).status, 204);
    until("one task runs", || host.server.running_tasks() == 1);
    assert_eq!((host.server.tasks(), status(&second)), (1, json!("working")));
    // It is the one unused for longest when a third needs room.
    let (third, fourth) = (with_task(), with_task());
    until("two tasks run", || host.server.running_tasks() == 2);
    assert_eq!(host.server.tasks(), 2);
    assert_eq!([&second, &third, &fourth].map(status), [Value::Null, json!("working"), json!("working")]);
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
fn a_handshake_on_a_live_session_replaces_it() {
    let host = Host::default();
    let session = host.session(VERSION, &json!({}));
    let mut client = host.connect(Way::Tcp);
    let handshake = |version: Value| {
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
    };
    // One that fails replaces nothing.
    let failed = client.post(&session_headers(&session, VERSION), &handshake(json!(7)));
    assert_eq!(failed.json()["error"]["code"], -32602, "{failed:?}");
    let mut current = session.clone();
    for round in 0..5 {
        let opened = client.post(&session_headers(&current, VERSION), &handshake(json!(VERSION)));
        let next = opened.header("mcp-session-id").expect("a session").to_owned();
        assert_eq!(host.server.sessions(), 1, "round {round}");
        assert_eq!(client.post(&session_headers(&current, VERSION), &ping()).status, 404);
        assert_eq!(client.post(&session_headers(&next, VERSION), &ping()).status, 200);
        current = next;
    }
    // A connection may carry several clients, through a proxy or a pool: by itself it names no session.
    assert_eq!(client.post("", &handshake(json!(VERSION))).status, 200);
    assert_eq!(host.server.sessions(), 2);
    // Who names a session of somebody else, or none, replaces nothing.
    let unknown = "Mcp-Session-Id: 00000000000000000000000000000000\r\n";
    assert_eq!(client.post(unknown, &handshake(json!(VERSION))).status, 200);
    assert_eq!(
        host.connect(Way::Unix).post(&session_headers(&current, VERSION), &handshake(json!(VERSION))).status,
        200
    );
    assert_eq!(host.server.sessions(), 4);
    assert_eq!(client.post(&session_headers(&current, VERSION), &ping()).status, 200);
}

/// The one of a session that waits, while a second one of its id comes; other sessions may use the id.
#[test]
fn a_second_request_with_an_id_in_flight_is_refused() {
    let limits = Limits { sse_keep_alive_ms: 30, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let headers = session_headers(&host.session(VERSION, &json!({})), VERSION);
    let other = session_headers(&host.session(VERSION, &json!({})), VERSION);
    let slow = |id: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "slow_compute", "arguments": {"seconds": 50}}});
    let mut waiting = host.connect(Way::Tcp);
    waiting.begin_post(&headers, &slow(json!("a")).to_string());
    assert_eq!(waiting.head().0, 200);
    let ping = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    for (headers, body, status) in [
        (&headers, slow(json!("a")).to_string(), 400),
        (&headers, ping("\"a\""), 400),
        (&headers, ping("\"\\u0061\""), 400),
        (&headers, ping("\"b\""), 200),
        (&other, ping("\"a\""), 200),
    ] {
        let answer = host.connect(Way::Tcp).post_text(headers, &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"].as_i64(), (status == 400).then_some(-32600), "{body}");
    }
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}});
    assert_eq!(host.connect(Way::Tcp).post(&headers, &cancel).status, 202);
    while waiting.chunk().is_some() {}
    until("the id is free again", || {
        host.connect(Way::Tcp).post_text(&headers, &ping("\"a\"")).status == 200
    });
}

/// A flood of sessions, connections or subscriptions is one client's own affair.
#[test]
fn what_one_floods_others_still_get() {
    let limits = Limits { max_sessions: 40, max_connections: 40, max_subscriptions: 40, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let kept = host.session_over(Way::Unix, VERSION, &json!({}));
    for _ in 0..200 {
        host.session(VERSION, &json!({}));
    }
    assert_eq!(host.server.sessions(), 40);
    let kept = session_headers(&kept, VERSION);
    assert_eq!(host.connect(Way::Unix).post(&kept, &ping()).status, 200, "another's flood evicts its own");
    let listen = modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let begin = |way| {
        let mut client = host.connect(way);
        client.begin_post(&modern_headers(&listen), &listen.to_string());
        let status = client.head().0;
        (client, status)
    };
    let mut flood = Vec::new();
    let refused = loop {
        match begin(Way::Tcp) {
            (client, 200) => flood.push(client),
            (_, status) => break status,
        }
    };
    assert_eq!((refused, flood.len()), (503, 30), "three quarters");
    let (other, status) = begin(Way::Unix);
    assert_eq!(status, 200, "another gets in and may subscribe");
    drop((other, flood));
    until("all places are free", || host.server.subscriptions() == 0);
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

/// However long a session thinks, it keeps little of it; and nothing when it has ended, in either way.
#[cfg(feature = "thinking")]
#[test]
fn a_session_keeps_little_of_its_thoughts_and_gives_it_back() {
    let limits = Limits { session_timeout_ms: 3_600_000, ..Limits::default() };
    let server = Server::builder("thinking", "1").limits(limits);
    let thinking = mcpool::tools::thinking::Thinking::new().log_thoughts(false);
    let host = Host::of(server.toolset(thinking).build().expect("a server"), HttpConfig::default());
    let kept = || host.server.memory().report().part("tool state").map_or(0, |part| part.bytes);
    assert_eq!(kept(), 0);
    let sessions: Vec<_> = (0..2).map(|_| host.session(VERSION, &json!({}))).collect();
    let mut client = host.connect(Way::Tcp);
    let long = "x".repeat(10_000);
    for number in 1..=300 {
        let arguments = json!({"thought": long, "nextThoughtNeeded": true, "thoughtNumber": number, "totalThoughts": 300,
            "branchFromThought": 1, "branchId": format!("branch {number}")});
        let params = json!({"name": "sequentialthinking", "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params});
        for session in &sessions {
            let answer = client.post(&session_headers(session, VERSION), &call).json();
            assert_eq!(answer["result"].get("isError").is_some(), number > 64, "{number}: {answer}");
        }
    }
    let two = kept();
    assert!((2 * 64 * 8..2 * (8 << 10)).contains(&two), "{two}");
    assert_eq!(client.request("DELETE", "/mcp", &session_headers(&sessions[0], VERSION)).status, 204);
    until("the first gave it back", || kept() * 2 == two);
    let handshake = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    assert_eq!(client.post(&session_headers(&sessions[1], VERSION), &handshake).status, 200);
    until("so did the second", || kept() == 0);
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

/// Who comes from the address of a flood is served, as long as it can show that it is somebody else.
#[test]
fn a_flood_of_one_token_leaves_connections_for_another_at_the_same_address() {
    const ALICE: &str = "Authorization: Bearer 0123456789abcdef\r\n";
    const BOB: &str = "Authorization: Bearer fedcba9876543210\r\n";
    let tokens = TokenList::parse("alice:0123456789abcdef\nbob:fedcba9876543210").expect("tokens");
    for way in [Way::Tcp, Way::Unix] {
        let admission = AdmissionConfig { auth: Auth::Tokens(tokens.clone()), ..AdmissionConfig::default() };
        let limits = Limits { max_connections: 60, ..Limits::default() };
        let host = Host::start(limits, HttpConfig { admission });
        let message = modern(1, "server/discover", json!({}));
        let headers = modern_headers(&message);
        let announce = || {
            let mut client = host.connect(way);
            client.send(
                format!(
                    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{ALICE}\
                     Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
                )
                .as_bytes(),
            );
            let (status, head) = client.head();
            (status, head, client)
        };
        let flood: Vec<_> = (0..120).map(|_| announce()).collect();
        let statuses: Vec<_> = flood.iter().map(|(status, ..)| *status).collect();
        assert_eq!(statuses, [vec![100; 45], vec![503; 75]].concat(), "{way:?}: her share, and no more");
        let (_, head, _) = flood.last().expect("the last one");
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("\r\nretry-after: 1\r\n") && head.contains("\r\nconnection: close\r\n"),
            "{head}"
        );
        let mut bobs: Vec<_> = (0..5).map(|_| host.connect(way)).collect();
        for bob in &mut bobs {
            assert_eq!(bob.post(&format!("{headers}{BOB}"), &message).status, 200, "{way:?}");
        }
        // A connection is one of the share of whoever speaks on it, not of whoever spoke first.
        let refused = bobs[0].post(&format!("{headers}{ALICE}"), &message);
        assert_eq!(refused.status, 503);
        let said = String::from_utf8_lossy(&refused.body);
        assert!(said.contains("one principal") && said.contains("principal_share_percent"), "{said}");
        assert!(bobs[0].is_closed());
        drop(flood);
        until("her share is free again", || announce().0 == 100);
    }
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
