//! Streams: progress, cancellation, subscriptions, coming back, and the way out.

use super::host::{Host, Way, modern, modern_headers, modern_with, session_headers, until};
use mcpool::Limits;
use mcpool::transport::HttpConfig;
use serde_json::{Value, json};

const VERSION: &str = "2025-11-25";

fn call(id: u64, name: &str, arguments: &Value) -> Value {
    modern(id, "tools/call", json!({"name": name, "arguments": arguments, "_meta": {"progressToken": "p"}}))
}

#[test]
fn progress_comes_before_the_answer_on_the_same_stream() {
    let host = Host::default();
    let message = call(7, "test_tool_with_progress", &json!({}));
    let mut client = host.connect(Way::Tcp);
    let answer = client.post(&modern_headers(&message), &message);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let messages = answer.messages();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(messages[..3].iter().all(|message| message["method"] == "notifications/progress"));
    assert_eq!(messages[3]["id"], 7);
    let quiet = host
        .connect(Way::Tcp)
        .post(&("Accept: application/json\r\n".to_owned() + &modern_headers(&message)), &message);
    assert_eq!(quiet.header("content-type"), Some("application/json"), "a client that reads no streams");
    let message = modern(8, "server/discover", json!({}));
    assert_eq!(client.post(&modern_headers(&message), &message).status, 200, "the connection goes on");
}

#[test]
fn closing_the_stream_cancels_a_modern_request() {
    let host = Host::default();
    let message = call(1, "slow_compute", &json!({"seconds": 50}));
    let mut client = host.connect(Way::Tcp);
    client.begin_post(&modern_headers(&message), &message.to_string());
    let slots = || host.server.pools().find("messages").expect("the pool of request slots").snapshot().in_use;
    until("the call runs", || slots() == 1);
    drop(client);
    until("the call is dropped", || slots() == 0);
}

#[test]
fn closing_the_stream_does_not_cancel_a_legacy_request_and_its_answer_waits() {
    // The sign of life is what begins the stream: a hundred times sooner than the answer, as the machine may be busy.
    let limits = Limits { sse_keep_alive_ms: 30, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let session = host.session(VERSION, &json!({}));
    let headers = session_headers(&session, VERSION);
    let message = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "slow_compute", "arguments": {"seconds": 3}}});
    let mut client = host.connect(Way::Tcp);
    client.begin_post(&headers, &message.to_string());
    let (status, _) = client.head();
    let primer = String::from_utf8(client.chunk().expect("a first event")).expect("text");
    assert_eq!(status, 200);
    assert!(primer.contains("retry: "), "{primer}");
    let id = primer.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    drop(client);
    let resume = |id: &str, session: &str| {
        let headers = session_headers(session, VERSION);
        host.connect(Way::Tcp).request(
            "GET",
            "/mcp",
            &format!("{headers}Accept: text/event-stream\r\nLast-Event-ID: {id}\r\n"),
        )
    };
    let answer = resume(&id, &session);
    assert_eq!(answer.messages().last().map(|message| message["id"].clone()), Some(json!(5)), "{answer:?}");
    assert_eq!(resume(&id, &session).messages().len(), 1, "and again");
    let other = host.session(VERSION, &json!({}));
    assert_eq!(resume(&id, &other).status, 404, "of another session");
    assert_eq!(resume("77-1", &session).status, 404, "of no stream");
}

#[test]
fn an_answer_that_comes_late_and_alone_is_no_stream() {
    let host = Host::default();
    let session = host.session(VERSION, &json!({}));
    let message = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "slow_compute", "arguments": {"seconds": 0.1}}});
    let answer = host.connect(Way::Tcp).post(&session_headers(&session, VERSION), &message);
    assert_eq!((answer.header("content-type"), &answer.json()["id"]), (Some("application/json"), &json!(5)));
}

#[test]
fn a_legacy_request_is_cancelled_by_a_notification() {
    let limits = Limits { sse_keep_alive_ms: 30, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let session = host.session(VERSION, &json!({}));
    let headers = session_headers(&session, VERSION);
    let message = json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": {"name": "slow_compute", "arguments": {"seconds": 50}}});
    let mut client = host.connect(Way::Tcp);
    client.begin_post(&headers, &message.to_string());
    assert_eq!(client.head().0, 200);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}});
    assert_eq!(host.connect(Way::Tcp).post(&headers, &cancel).status, 202);
    while client.chunk().is_some() {}
}

#[test]
fn a_legacy_client_is_asked_on_the_stream_of_its_call() {
    let host = Host::default();
    let session = host.session(VERSION, &json!({"elicitation": {}}));
    let headers = session_headers(&session, VERSION);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "test_input_required_result_elicitation"}});
    let mut client = host.connect(Way::Tcp);
    client.begin_post(&headers, &message.to_string());
    assert_eq!(client.head().0, 200);
    let (_, asked) = client.event();
    assert_eq!(asked["method"], "elicitation/create");
    assert_eq!(host.server.client_requests(), 1);
    let stranger = host.session(VERSION, &json!({}));
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": "Ann"}}});
    assert_eq!(host.connect(Way::Tcp).post(&session_headers(&stranger, VERSION), &answer).status, 202);
    assert_eq!(host.server.client_requests(), 1, "not the one that was asked");
    assert_eq!(host.connect(Way::Tcp).post(&headers, &answer).status, 202);
    let (_, result) = client.event();
    assert_eq!(result["result"]["content"][0]["text"], "Hello, Ann!", "{result}");
    assert_eq!(host.server.client_requests(), 0);
}

#[test]
fn a_client_that_does_not_answer_is_waited_for_so_long() {
    let limits = Limits { client_request_timeout_ms: 50, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let session = host.session(VERSION, &json!({"elicitation": {}}));
    let message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "test_elicitation"}});
    let answer = host.connect(Way::Tcp).post(&session_headers(&session, VERSION), &message);
    let result = answer.messages().pop().expect("an answer");
    assert!(result.to_string().contains("client_request_timeout_ms"), "{result}");
}

#[test]
fn those_who_listen_are_told_of_what_they_asked_for() {
    let host = Host::default();
    let wanted = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["test://watched-resource"]}});
    let listen = modern(42, "subscriptions/listen", wanted);
    for way in [Way::Tcp, Way::Unix] {
        let mut listener = host.connect(way);
        listener.begin_post(&modern_headers(&listen), &listen.to_string());
        assert_eq!(listener.head().0, 200);
        let (_, acknowledged) = listener.event();
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(
            acknowledged["params"]["notifications"]["resourceSubscriptions"][0],
            "test://watched-resource"
        );
        let mut caller = host.connect(Way::Lines);
        for (tool, method) in [
            ("test_trigger_prompt_change", ""),
            ("test_trigger_tool_change", "notifications/tools/list_changed"),
            ("test_trigger_resource_update", "notifications/resources/updated"),
        ] {
            caller.ask("", &call(1, tool, &json!({})));
            if !method.is_empty() {
                let (_, told) = listener.event();
                assert_eq!(told["method"], method);
                assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 42);
            }
        }
        drop(listener);
        until("the subscription ends", || host.server.subscriptions() == 0);
    }
}

#[test]
fn a_legacy_session_is_told_on_its_own_stream() {
    let host = Host::default();
    let session = host.session(VERSION, &json!({}));
    let headers = session_headers(&session, VERSION);
    let mut listener = host.connect(Way::Tcp);
    listener.send(
        format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n")
            .as_bytes(),
    );
    assert_eq!(listener.head().0, 200);
    until("the stream is open", || host.server.subscriptions() == 1);
    let mut client = host.connect(Way::Tcp);
    let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "test://watched-resource"}});
    assert_eq!(client.post(&headers, &subscribe).status, 200);
    host.server.resource_updated("test://watched-resource");
    let (id, told) = listener.event();
    assert_eq!(told["params"]["uri"], "test://watched-resource");
    host.server.resource_updated("test://other");
    host.server.prompts_changed();
    assert_eq!(listener.event().1["method"], "notifications/prompts/list_changed");
    // It comes back, and misses nothing.
    drop(listener);
    let resumed = format!("{headers}Accept: text/event-stream\r\nLast-Event-ID: {}\r\n", id.expect("an id"));
    let mut again = host.connect(Way::Tcp);
    again.send(format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\n{resumed}\r\n").as_bytes());
    assert_eq!(again.head().0, 200);
    assert_eq!(again.event().1["method"], "notifications/prompts/list_changed");
    assert_eq!(client.request("DELETE", "/mcp", &headers).status, 204);
    while again.chunk().is_some() {}
}

/// A stream that has room for one message at a time: changes wait as flags, and none is lost.
#[test]
fn a_session_whose_stream_is_full_is_told_of_every_change() {
    let host = Host::start(Limits { max_stream_bytes: 1_024, ..Limits::default() }, HttpConfig::default());
    let headers = session_headers(&host.session(VERSION, &json!({})), VERSION);
    let mut listener = host.connect(Way::Tcp);
    let accept = "Accept: text/event-stream\r\n";
    listener.send(format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\n{accept}{headers}\r\n").as_bytes());
    assert_eq!(listener.head().0, 200);
    let mut client = host.connect(Way::Tcp);
    let uris: Vec<_> = (0..100).map(|number| format!("test://{number}")).collect();
    for uri in &uris {
        let params = json!({"uri": uri});
        let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params});
        assert_eq!(client.post(&headers, &subscribe).status, 200);
    }
    for uri in &uris {
        host.server.resource_updated(uri);
    }
    host.server.prompts_changed();
    let mut told: Vec<_> = uris.iter().map(|_| listener.event().1).collect();
    told.push(listener.event().1);
    for uri in &uris {
        assert!(told.iter().any(|notice| notice["params"]["uri"] == *uri), "nobody told of {uri}");
    }
    assert!(told.iter().any(|notice| notice["method"] == "notifications/prompts/list_changed"));
    assert_eq!(host.server.metrics().dropped_notifications.total(), 0);
}

#[test]
fn what_a_client_without_streams_cannot_be_told_is_counted() {
    let host = Host::default();
    let dropped = || host.server.metrics().dropped_notifications.total();
    let accept = "Accept: application/json\r\n".to_owned();
    let message = call(1, "test_tool_with_progress", &json!({}));
    let answer = host.connect(Way::Tcp).post(&(accept.clone() + &modern_headers(&message)), &message);
    assert_eq!((answer.status, dropped()), (200, 3), "{answer:?}");
    let params = json!({"name": "test_tool_with_progress", "_meta": {"progressToken": "p"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let headers = accept + &session_headers(&host.session(VERSION, &json!({})), VERSION);
    let answer = host.connect(Way::Tcp).post(&headers, &message);
    assert_eq!((&answer.json()["id"], dropped()), (&json!(1), 6), "{answer:?}");
}

#[test]
fn silence_is_kept_alive_by_comments() {
    let limits = Limits { sse_keep_alive_ms: 30, ..Limits::default() };
    let host = Host::start(limits, HttpConfig::default());
    let listen = modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut listener = host.connect(Way::Tcp);
    listener.begin_post(&modern_headers(&listen), &listen.to_string());
    assert_eq!(listener.head().0, 200);
    listener.event();
    for _ in 0..3 {
        assert_eq!(listener.chunk().expect("a comment").first(), Some(&b':'));
    }
}

#[test]
fn draining_ends_subscriptions_with_their_result_and_closes_idle_connections() {
    let host = Host::default();
    let listen = modern(9, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut listener = host.connect(Way::Tcp);
    listener.begin_post(&modern_headers(&listen), &listen.to_string());
    listener.head();
    listener.event();
    let mut idle = host.connect(Way::Tcp);
    assert_eq!(idle.request("GET", "/readyz", "").status, 200);
    let mut lines = host.connect(Way::Lines);
    lines.ask("", &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
    host.drain.begin();
    let (_, result) = listener.event();
    assert_eq!((&result["id"], &result["result"]["resultType"]), (&json!(9), &json!("complete")));
    assert!(listener.chunk().is_none());
    assert!(listener.is_closed() && idle.is_closed() && lines.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let host = Host::default();
    let mut client = host.connect(Way::Tcp);
    for id in 0..200 {
        let message = modern(id, "tools/call", json!({"name": "test_simple_text"}));
        client.begin_post(&modern_headers(&message), &message.to_string());
    }
    for id in 0..200 {
        assert_eq!(client.answer().json()["id"], id);
    }
}

#[test]
fn many_clients_are_served_at_once() {
    let host = Host::default();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut client = host.connect(Way::Tcp);
                for id in 0..20 {
                    let message =
                        modern(id, "tools/call", json!({"name": "greet", "arguments": {"name": "Ann"}}));
                    let answer = client.post(&modern_headers(&message), &message).json();
                    assert_eq!(
                        (&answer["id"], &answer["result"]["content"][0]["text"]),
                        (&json!(id), &json!("Hello, Ann!"))
                    );
                }
            });
        }
    });
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let host = Host::default();
    for way in [Way::Tcp, Way::Unix] {
        let message = modern(1, "server/discover", json!({}));
        let mut client = host.connect(way);
        client.begin_post(&modern_headers(&message), &message.to_string());
        client.stream.half_close();
        assert_eq!(client.answer().status, 200);
        assert!(client.is_closed());
    }
}

#[test]
fn a_task_is_asked_for_answered_and_cancelled() {
    let host = Host::default();
    let extension = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}});
    for way in [Way::Tcp, Way::Lines] {
        let mut client = host.connect(way);
        let mut ask = |method: &str, params: Value| {
            let message = modern_with(1, method, params, &extension);
            client.ask(&modern_headers(&message), &message)["result"].clone()
        };
        let begun = ask("tools/call", json!({"name": "confirm_delete", "arguments": {"filename": "f"}}));
        assert_eq!((&begun["resultType"], &begun["status"]), (&json!("task"), &json!("working")), "{begun}");
        let id = begun["taskId"].clone();
        let task = loop {
            let task = ask("tasks/get", json!({"taskId": id}));
            if task["status"] != "working" {
                break task;
            }
        };
        assert_eq!(task["inputRequests"]["confirm"]["method"], "elicitation/create", "{task}");
        for misfit in [json!({"x": "y"}), json!({"confirm": {"action": "accept", "content": 5}})] {
            let refused = ask("tasks/update", json!({"taskId": id, "inputResponses": misfit}));
            assert_eq!(refused, Value::Null, "an error, and the question stays open");
        }
        let responses = json!({"confirm": {"action": "accept", "content": {"confirm": true}}});
        ask("tasks/update", json!({"taskId": id, "inputResponses": responses}));
        let task = loop {
            let task = ask("tasks/get", json!({"taskId": id}));
            if task["status"] == "completed" {
                break task;
            }
        };
        assert_eq!(task["result"]["content"][0]["text"], "Deleted.");
        let slow = ask("tools/call", json!({"name": "slow_compute", "arguments": {"seconds": 50}}))["taskId"]
            .clone();
        ask("tasks/cancel", json!({"taskId": slow}));
        assert_eq!(ask("tasks/get", json!({"taskId": slow}))["status"], "cancelled");
    }
}

#[test]
fn slow_heads_and_bodies_end_and_large_ones_are_refused() {
    // One bound at a time: where each is short, a client on a busy machine is too slow for one that is not meant.
    let start = |limits| Host::start(limits, HttpConfig::default());
    let host = start(Limits { header_timeout_ms: 60, ..Limits::default() });
    let mut slow = host.connect(Way::Tcp);
    slow.send(b"POST /mcp HTTP/1.1\r\nHost:");
    assert_eq!(slow.head().0, 408);
    assert!(slow.is_closed());
    let mut slow = host.connect(Way::Lines);
    slow.send(b"{\"jsonrpc\":");
    let told = slow.line();
    assert!(
        told["error"]["message"].as_str().is_some_and(|text| text.contains("header_timeout_ms")),
        "{told}"
    );
    assert!(slow.is_closed(), "half a line");
    let mut slow = host.connect(Way::Unix);
    slow.send(b"POST /mcp HTTP/1.1\r\nHost:");
    assert_eq!(slow.head().0, 408);
    let host = start(Limits { body_timeout_ms: 60, ..Limits::default() });
    let mut slow = host.connect(Way::Tcp);
    slow.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{");
    assert_eq!(slow.head().0, 408);
    let host = start(Limits { idle_timeout_ms: 2_000, ..Limits::default() });
    for way in [Way::Tcp, Way::Unix, Way::Lines] {
        assert!(host.connect(way).is_closed(), "one that says nothing, over {way:?}");
    }
    let mut idle = host.connect(Way::Tcp);
    assert_eq!(idle.request("GET", "/livez", "").status, 200);
    assert!(idle.is_closed(), "one that has said all");
    let host = start(Limits { max_frame_bytes: 4_096, ..Limits::default() });
    let large = host.connect(Way::Tcp).post_text("", &"x".repeat(5_000));
    assert_eq!(large.status, 413);
    assert!(large.json()["error"]["message"].as_str().is_some_and(|text| text.contains("max_frame_bytes")));
    let many = host.connect(Way::Tcp).request("GET", "/livez", &format!("X: {}\r\n", "x".repeat(20_000)));
    assert_eq!(many.status, 431);
}
