//! The protocol over newline-framed streams, in both eras: what a client sees.
//!
//! Each message of the server is validated against the official schema by [`test_client`](crate::test_client).

use crate::test_client::{LEGACY, MODERN, TestClient, meta, modern, tools};
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_handshake_agrees_on_each_legacy_revision() {
    let (server, _) = tools::server();
    for revision in LEGACY {
        let mut client = TestClient::legacy(&server, revision).await;
        let ping = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
        assert_eq!(ping, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
        let list = client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})).await;
        assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(8), "{list}");
        assert!(list["result"].get("resultType").is_none(), "{list}");
        let echo = client.call(3, "echo", json!({"text": "a\tb\u{1F600}"})).await;
        assert_eq!(echo, json!({"content": [{"type": "text", "text": "a\tb\u{1F600}"}]}));
        assert_eq!(client.finish().await, "");
    }
}

#[tokio::test]
async fn a_handshake_for_an_unknown_revision_gets_the_latest() {
    let (server, _) = tools::server();
    for asked in ["1999-01-01", "2026-07-28", ""] {
        let mut client = TestClient::open(&server);
        client.expect_revision("2025-11-25");
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let answer =
            client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})).await;
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(answer["result"]["serverInfo"], json!({"name": "test", "version": "1.0"}));
        assert_eq!(answer["result"]["instructions"], "For tests.");
    }
}

#[tokio::test]
async fn modern_requests_stand_alone() {
    let (server, _) = tools::server();
    let mut client = TestClient::open(&server);
    let discover = client.ask(&modern("d1", "server/discover")).await;
    assert_eq!(discover["result"]["supportedVersions"], json!([MODERN]));
    assert_eq!(discover["result"]["resultType"], "complete");
    assert_eq!(
        discover["result"]["_meta"]["io.modelcontextprotocol/serverInfo"],
        json!({"name": "test", "version": "1.0"})
    );
    let list = client.ask(&modern(2, "tools/list")).await;
    assert_eq!(list["result"]["cacheScope"], "public");
    assert!(list["result"]["ttlMs"].is_u64(), "{list}");
    let echo = client.call(3, "echo", json!({"text": "hello"})).await;
    assert_eq!(echo["content"], json!([{"type": "text", "text": "hello"}]));
    assert_eq!(echo["resultType"], "complete");
    assert!(echo["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
}

#[tokio::test]
async fn both_eras_share_one_connection() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    client.expect_revision(MODERN);
    let echo = client.call(1, "echo", json!({"text": "modern"})).await;
    assert_eq!(echo["resultType"], "complete");
    client.expect_revision("2025-06-18");
    let echo = client.call(2, "echo", json!({"text": "legacy"})).await;
    assert!(echo.get("resultType").is_none());
}

#[tokio::test]
async fn methods_of_the_legacy_era_do_not_exist_in_the_modern_one() {
    let (server, _) = tools::server();
    let mut client = TestClient::open(&server);
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "unknown/method"] {
        let answer = client.ask(&modern(method, method)).await;
        assert_eq!(answer["error"]["code"], -32601, "{answer}");
        assert_eq!(answer["id"], method);
    }
    let answer = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover"})).await;
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
}

#[tokio::test]
async fn modern_meta_is_checked() {
    let (server, _) = tools::server();
    let mut client = TestClient::open(&server);
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    for (broken, code) in [
        (json!({version: MODERN}), -32602),
        (json!({version: MODERN, capabilities: []}), -32602),
        (json!({version: 20_260_728, capabilities: {}}), -32602),
        (json!({version: null, capabilities: {}}), -32602),
        (json!({version: "2025-11-25", capabilities: {}}), -32022),
        (json!({version: "1900-01-01", capabilities: {}}), -32022),
        (json!({version: MODERN, capabilities: {}, "io.modelcontextprotocol/logLevel": "loud"}), -32602),
    ] {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": broken}});
        let answer = client.ask(&request).await;
        assert_eq!(answer["error"]["code"], code, "{request} {answer}");
        if code == -32022 {
            assert_eq!(answer["error"]["data"], json!({"supported": [MODERN], "requested": broken[version]}));
        }
    }
}

#[tokio::test]
async fn ids_come_back_to_the_letter() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for id in
        ["0", "-7", "9007199254740993", "123456789012345678901234567890", r#""""#, r#""a\u0041\n""#, "\"é\""]
    {
        client
            .send_bytes(format!("{{\"id\":{id},\"method\":\"ping\",\"jsonrpc\":\"2.0\"}}\n").as_bytes())
            .await;
        assert_eq!(
            client.receive_line().await,
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n")
        );
    }
}

#[tokio::test]
async fn integers_are_ids_by_value() {
    let (server, stopped) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for (sent, id) in [("1.0", "1"), ("1e3", "1000"), ("-0.0", "0"), ("10E-1", "1")] {
        client
            .send_bytes(format!("{{\"id\":{sent},\"method\":\"ping\",\"jsonrpc\":\"2.0\"}}\n").as_bytes())
            .await;
        let pong = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n");
        assert_eq!(client.receive_line().await, pong);
    }
    for sent in ["1.5", "1e-1", "1e400", "1e999999999999"] {
        client
            .send_bytes(format!("{{\"id\":{sent},\"method\":\"ping\",\"jsonrpc\":\"2.0\"}}\n").as_bytes())
            .await;
        assert_eq!(client.receive().await["error"]["code"], -32600, "{sent}");
    }
    // Cancelled by another spelling.
    let arguments = json!({"milliseconds": 600_000, "label": "never"});
    let params = json!({"name": "wait", "arguments": arguments});
    client.send(&json!({"jsonrpc": "2.0", "id": 1_000, "method": "tools/call", "params": params})).await;
    client
        .send_bytes(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1.0e3}}\n")
        .await;
    let pong = client.ask(&json!({"jsonrpc": "2.0", "id": 1_000, "method": "ping"})).await;
    assert_eq!(pong["result"], json!({}));
    assert_eq!(stopped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_frame_too_long_is_answered_with_its_id() {
    let server = tools::server_with(Limits { max_frame_bytes: 2_000, ..Limits::default() });
    let mut client = TestClient::legacy(&server, "2025-03-26").await;
    let long = format!("{{\"a\":\"\\\",\\\"id\\\":8,\",\"id\":9,\"b\":\"{}\"}}", "x".repeat(5_000));
    let rows = [
        (format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{long}}}"), json!(1)),
        (format!("{{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{long},\"id\":\"x\"}}"), json!("x")),
        (format!("{{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{long},\"id\":2.0}}"), json!(2)),
        (format!("{{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{long}}}"), json!(null)),
        (format!("{{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\",\"params\":{long}}}"), json!(null)),
        // An answer: its id is of our own requests, and would hit one of the client's.
        (format!("{{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{long}}}"), json!(null)),
        (format!("[{{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"m\",\"params\":{long}}}]"), json!(null)),
        (format!("{{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"params\":{long}"), json!(null)),
    ];
    for (line, id) in rows {
        client.send_bytes(format!("{line}\n").as_bytes()).await;
        let answer = client.receive().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(-32600)), "{answer}");
        let pong = client.ask(&json!({"jsonrpc": "2.0", "id": "next", "method": "ping"})).await;
        assert_eq!(pong["id"], "next");
    }
}

#[tokio::test]
async fn envelope_members_come_in_any_order() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let before = (server.metrics().one_pass_messages.total(), server.metrics().two_pass_messages.total());
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#,
        r#"{"method":"tools/call","params":{"_meta":{},"name":"echo","arguments":{"text":"x"}},"jsonrpc":"2.0","id":1}"#,
        r#"{"params":{"arguments":{"text":"x"},"name":"echo"},"id":1,"method":"tools/call","jsonrpc":"2.0"}"#,
        r#"{"id":1,"method":"tools/call","params":{"arguments":{"text":"x"},"name":"echo"},"jsonrpc":"2.0","extra":[{}]}"#,
        r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/call","params":{"nam\u0065":"ech\u006f","arguments":{"t\u0065xt":"\u0078"}}}"#,
    ];
    for line in lines {
        client.send_bytes(format!("{line}\n").as_bytes()).await;
        let answer = client.receive_line().await;
        assert_eq!(
            answer,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}}\n",
            "{line}"
        );
    }
    let metrics = server.metrics();
    assert_eq!(metrics.one_pass_messages.total() - before.0, 3);
    assert_eq!(metrics.two_pass_messages.total() - before.1, 2);
}

// Time stands still while anything can move: whoever waits for less is done first, however busy the machine is.
#[tokio::test(start_paused = true)]
async fn requests_are_answered_as_they_finish() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for (id, milliseconds) in [(1, 150), (2, 50), (3, 1)] {
        let arguments = json!({"milliseconds": milliseconds, "label": format!("tab\t{id}")});
        let params = json!({"name": "wait", "arguments": arguments});
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
    }
    client.send(&json!({"jsonrpc": "2.0", "id": 4, "method": "ping"})).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let answer = client.receive().await;
        if let Some(text) = answer["result"]["content"][0]["text"].as_str() {
            assert_eq!(text, format!("tab\t{}", answer["id"]));
        }
        order.push(answer["id"].as_u64());
    }
    assert_eq!(order, [Some(4), Some(3), Some(2), Some(1)]);
}

#[tokio::test]
async fn a_cancelled_request_stops_and_is_not_answered() {
    for revision in ["2025-11-25", MODERN] {
        let (server, stopped) = tools::server();
        let mut client = if revision == MODERN {
            TestClient::open(&server)
        } else {
            TestClient::legacy(&server, revision).await
        };
        let calls = [
            ("wait", json!({"milliseconds": 60_000, "label": "never"})),
            ("grind", json!({"steps": 60_000, "step_milliseconds": 1})),
        ];
        for (id, (tool, arguments)) in calls.into_iter().enumerate() {
            let mut params = json!({"name": tool, "arguments": arguments});
            let mut cancelled = json!({"requestId": id, "reason": "test"});
            if revision == MODERN {
                params["_meta"] = meta();
                cancelled["_meta"] = meta();
            }
            client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
            eventually(|| server.metrics().requests_in_flight.now() == 1).await;
            client
                .send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}))
                .await;
        }
        eventually(|| stopped.load(Ordering::SeqCst) == 2).await;
        assert_eq!(server.metrics().cancelled_requests.total(), 2);
        let rest = client.finish().await;
        assert_eq!(rest, "", "a cancelled request was answered");
    }
}

#[tokio::test]
async fn cancelling_what_is_unknown_or_done_changes_nothing() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    for params in [json!({"requestId": 1}), json!({"requestId": "no"}), json!({}), json!({"requestId": null})]
    {
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})).await;
    }
    let ping = client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})).await;
    assert_eq!(ping["id"], 2);
    assert_eq!(server.metrics().cancelled_requests.total(), 0);
}

#[tokio::test]
async fn progress_grows_and_comes_before_the_answer() {
    let limits = Limits { progress_interval_ms: 0, ..Limits::default() };
    let server = tools::server_with(limits);
    for revision in ["2024-11-05", "2025-11-25", MODERN] {
        let mut client = if revision == MODERN {
            TestClient::open(&server)
        } else {
            TestClient::legacy(&server, revision).await
        };
        let mut message_meta = if revision == MODERN { meta() } else { json!({}) };
        message_meta["progressToken"] = json!("to\tken");
        let arguments = json!({"steps": 5, "step_milliseconds": 2});
        let params = json!({"name": "grind", "arguments": arguments, "_meta": message_meta});
        client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
        let mut seen = Vec::new();
        let answer = loop {
            let message = client.receive().await;
            if message["method"] != "notifications/progress" {
                break message;
            }
            assert_eq!(message["params"]["progressToken"], "to\tken");
            seen.push(message["params"]["progress"].as_f64().expect("a number"));
        };
        assert_eq!(seen, [0.0, 1.0, 2.0, 3.0, 4.0], "{revision}");
        assert_eq!(answer["result"]["content"][0]["text"], "ground");
    }
}

#[tokio::test]
async fn nobody_gets_progress_who_did_not_ask() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let answer = client.call(1, "grind", json!({"steps": 3, "step_milliseconds": 1})).await;
    assert_eq!(answer["content"][0]["text"], "ground");
}

/// Two requests that come in one read and are done at once are served in one slot: the second one neither has the
/// token of the first nor is taken for one that failed.
#[tokio::test]
async fn a_request_leaves_nothing_to_the_next_one() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let call = |id: u64, name: &str, more: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{{}}{more}}}}}"#
        )
    };
    let lines = [
        call(1, "glance", r#","_meta":{"progressToken":"first"}"#),
        call(2, "no such tool", ""),
        call(3, "glance", ""),
    ];
    client.send_bytes(format!("{}\n", lines.join("\n")).as_bytes()).await;
    let progress = client.receive().await;
    assert_eq!(progress["params"]["progressToken"], "first");
    assert_eq!(client.receive().await["id"], 1);
    assert!(client.receive().await["error"].is_object());
    let last = client.receive().await;
    assert_eq!((&last["id"], &last["method"]), (&json!(3), &Value::Null), "{last}");
    let operations = server.memory().report().operations;
    let calls = operations.iter().filter(|operation| operation.method == "tools/call");
    let told: Vec<_> =
        calls.map(|calls| (calls.error.as_deref(), calls.counts.iter().sum::<u64>())).collect();
    assert_eq!(told, [(None, 2), (Some("-32602"), 1)]);
}

#[tokio::test]
async fn failures_of_tools_are_results_or_errors() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let failed = client.call(1, "fail", json!({"how": "badly \"so\""})).await;
    assert_eq!(
        failed,
        json!({"content": [{"type": "text", "text": "failed: badly \"so\""}], "isError": true})
    );
    let failed = client.call(2, "fail", json!({"how": "io"})).await;
    assert_eq!(failed["content"][0]["text"], "No such file or directory (os error 2)");
    let error = client
        .ask(&json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "fail", "arguments": {"how": "params"}}}))
        .await;
    assert_eq!(error["error"], json!({"code": -32602, "message": "Invalid params: how is wrong"}));
    let unknown = client
        .ask(&json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "nope"}}))
        .await;
    assert_eq!(unknown["error"], json!({"code": -32602, "message": "Unknown tool: nope"}));
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_a_result_the_model_can_read() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for (arguments, reason) in [
        (json!({}), "text"),
        (json!({"text": 5}), "string"),
        (json!({"text": "x", "repeat": -1}), "repeat must be at least 0, not -1"),
        (json!({"text": null}), "string"),
    ] {
        let answer = client.call(1, "echo", arguments.clone()).await;
        assert_eq!(answer["isError"], true, "{arguments} {answer}");
        let text = answer["content"][0]["text"].as_str().expect("a text");
        assert!(text.contains("Invalid arguments for tool echo") && text.contains(reason), "{text}");
    }
    // The rest of the message is read all the same: an unknown member after faulty arguments, and no more.
    client
        .send_bytes(b"{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":5},\"x\":[1,{}]},\"id\":\"last\"}\n")
        .await;
    assert_eq!(client.receive().await["id"], "last");
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let request = |id: u64, offloaded: bool| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "panic", "arguments": {"offloaded": offloaded}}});
    let inline = client.ask(&request(1, false)).await;
    assert_eq!((&inline["id"], &inline["error"]["code"]), (&json!(1), &json!(-32603)));
    let offloaded = client.ask(&request(2, true)).await;
    assert_eq!((&offloaded["id"], &offloaded["result"]["isError"]), (&json!(2), &json!(true)));
    assert_eq!(client.call(3, "echo", json!({"text": "alive"})).await["content"][0]["text"], "alive");
}

#[tokio::test]
async fn structured_answers_and_blocks_of_every_kind() {
    let (server, _) = tools::server();
    let mut client = TestClient::open(&server);
    let structured = client.call(1, "measure", json!({"kind": "structured"})).await;
    assert_eq!(structured["structuredContent"], json!({"celsius": 21.5, "place": "a \"quoted\" place"}));
    let text: Value =
        serde_json::from_str(structured["content"][0]["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(text, structured["structuredContent"]);
    let twice = client.call(2, "measure", json!({"kind": "text twice"})).await;
    assert_eq!(twice["content"][0]["text"], "café \u{FFFD}\n");
    assert_eq!(twice["structuredContent"]["content"], twice["content"][0]["text"]);
    let blocks = client.call(3, "measure", json!({"kind": "blocks"})).await;
    assert_eq!(blocks["content"][0], json!({"type": "image", "data": "YWJjZA==", "mimeType": "image/png"}));
    assert_eq!(blocks["content"][1]["data"], "YWI=");
    assert_eq!(blocks["structuredContent"]["content"], json!([blocks["content"][2]]));
    let empty = client.call(4, "measure", json!({"kind": "nothing"})).await;
    assert_eq!(empty["content"], json!([]));
}

#[tokio::test]
async fn log_messages_follow_the_level() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "measure", "arguments": {"kind": ""}}});
    for (level, expected) in [("debug", 2), ("warning", 1), ("error", 0)] {
        let set =
            json!({"jsonrpc": "2.0", "id": 9, "method": "logging/setLevel", "params": {"level": level}});
        assert_eq!(client.ask(&set).await["result"], json!({}));
        client.send(&call).await;
        let mut logged = 0;
        while client.receive().await["method"] == "notifications/message" {
            logged += 1;
        }
        assert_eq!(logged, expected, "{level}");
    }
    let bad = json!({"jsonrpc": "2.0", "id": 9, "method": "logging/setLevel", "params": {"level": "loud"}});
    assert_eq!(client.ask(&bad).await["error"]["code"], -32602);

    let mut modern_client = TestClient::open(&server);
    let answer = modern_client.call(1, "measure", json!({"kind": ""})).await;
    assert_eq!(answer["content"], json!([]), "no log message without a level");
    let mut message_meta = meta();
    message_meta["io.modelcontextprotocol/logLevel"] = json!("debug");
    let params = json!({"name": "measure", "arguments": {"kind": ""}, "_meta": message_meta});
    modern_client.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})).await;
    assert_eq!(modern_client.receive().await["params"]["data"], "looking");
    assert_eq!(modern_client.receive().await["params"]["data"], json!(["cold", "wet"]));
    assert_eq!(modern_client.receive().await["id"], 2);
}

#[tokio::test]
async fn batches_are_answered_by_one_array() {
    let (server, stopped) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-03-26").await;
    let wait = |id: u64, milliseconds: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "wait", "arguments": {"milliseconds": milliseconds, "label": "done"}}});
    let answer = client
        .ask(&json!([
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            wait(2, 20),
            {"jsonrpc": "2.0", "id": 3, "method": "nope"},
            {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {}},
            7,
        ]))
        .await;
    let codes: Vec<_> =
        answer.as_array().expect("an array").iter().map(|one| one["error"]["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, Value::Null, json!(-32601), json!(-32600), json!(-32600)], "{answer}");
    assert_eq!(answer[1]["result"]["content"][0]["text"], "done");

    client.send(&json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}])).await;
    client.send(&json!([wait(5, 60_000), {"jsonrpc": "2.0", "id": 6, "method": "ping"}])).await;
    eventually(|| server.metrics().requests_in_flight.now() == 1).await;
    client
        .send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}))
        .await;
    let answer = client.receive().await;
    assert_eq!(answer, json!([{"jsonrpc": "2.0", "id": 6, "result": {}}]));
    assert_eq!(stopped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn batches_have_limits_and_a_revision() {
    let server = tools::server_with(Limits { max_batch: 3, ..Limits::default() });
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let mut client = TestClient::legacy(&server, "2025-03-26").await;
    let three = client.ask(&json!([ping, ping, ping])).await;
    assert_eq!(three.as_array().map(Vec::len), Some(3));
    let four = client.ask(&json!([ping, ping, ping, ping])).await;
    assert_eq!(four["error"]["message"], "Invalid request: a batch may have 3 messages (setting max_batch)");
    assert_eq!(client.ask(&json!([])).await["error"]["code"], -32600);
    let mut later = TestClient::legacy(&server, "2025-06-18").await;
    assert_eq!(later.ask(&json!([ping])).await["error"]["code"], -32600);
}

/// What has no room beside the other answers is refused by itself; all others are answered.
#[tokio::test]
async fn each_message_of_a_batch_is_answered_or_refused_by_itself() {
    let flood = |id: u64, bytes: usize| {
        let params = json!({"name": "flood", "arguments": {"bytes": bytes}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let limits = Limits { max_reply_bytes: 64 << 10, max_frame_bytes: 64 << 10, ..Limits::default() };
    let mut client = TestClient::legacy(&tools::server_with(limits), "2025-03-26").await;
    let batch = [
        flood(1, 20_000),
        flood(2, 30_000),
        flood(3, 20_000),
        flood(4, 0),
        flood(5, 8_000),
        flood(6, 8_000),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": "seven", "method": "ping"}),
        flood(8, 60_000),
        flood(9, 0),
    ];
    let answer = client.ask(&json!(batch)).await;
    let seen: Vec<_> = answer
        .as_array()
        .expect("an array")
        .iter()
        .map(|one| {
            let error = one["error"]["message"].as_str().map(|text| text.contains("max_reply_bytes"));
            (one["id"].clone(), error)
        })
        .collect();
    let (served, refused) = (None, Some(true));
    let expected = [
        (json!(1), served),
        (json!(2), served),
        (json!(3), refused),
        (json!(4), served),
        (json!(5), served),
        (json!(6), refused),
        (json!("seven"), served),
        (json!(8), refused),
        (json!(9), served),
    ];
    assert_eq!(seen, expected, "{answer:.2000}");
    // Many of one size: none is lost.
    for (bytes, count) in [(0, 200), (1_000, 100), (4_000, 40)] {
        let batch: Vec<_> = (0..count).map(|id| flood(id, bytes)).collect();
        let answer = client.ask(&json!(batch)).await;
        let ids: Vec<_> = answer.as_array().expect("an array").iter().map(|one| one["id"].as_u64()).collect();
        assert_eq!(ids, (0..count).map(Some).collect::<Vec<_>>(), "{bytes} {answer:.500}");
        let refused =
            answer.as_array().expect("an array").iter().filter(|one| one["error"].is_object()).count();
        assert_eq!(refused > 0, bytes > 0, "{bytes}: {refused}");
    }
}

// In paused time 100 ms pass when all has been sent and read, and not before, however busy the machine is.
#[tokio::test(start_paused = true)]
async fn at_most_so_many_requests_run_at_once() {
    let server = tools::server_with(Limits { max_concurrent_requests: 2, ..Limits::default() });
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for id in 1..=3 {
        let params = json!({"name": "wait", "arguments": {"milliseconds": 100, "label": "done"}});
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
    }
    let refused = client.receive().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(3), &json!(-32603)));
    let text = refused["error"]["message"].as_str().expect("a message");
    assert!(text.contains("2 in flight") && text.contains("max_concurrent_requests"), "{text}");
    assert_eq!(client.ask(&json!({"jsonrpc": "2.0", "id": 4, "method": "ping"})).await["id"], 4);
    let metrics = server.metrics();
    assert_eq!(metrics.requests_in_flight.now(), 2);
    let bytes = metrics.in_flight_bytes.now() / 2;
    assert!((100..=1024).contains(&bytes), "a waiting request is counted with {bytes} B");
    for _ in 0..2 {
        assert_eq!(client.receive().await["result"]["content"][0]["text"], "done");
    }
    assert_eq!(client.call(5, "echo", json!({"text": "again"})).await["content"][0]["text"], "again");
    assert_eq!((metrics.requests_in_flight.now(), metrics.in_flight_bytes.now()), (0, 0));
}

#[tokio::test]
async fn an_answer_beyond_its_limit_becomes_an_error() {
    let server =
        tools::server_with(Limits { max_frame_bytes: 50_000, max_reply_bytes: 100_000, ..Limits::default() });
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let answer = client.call(1, "flood", json!({"bytes": 200_000})).await;
    assert_eq!(answer["isError"], true);
    let text = answer["content"][0]["text"].as_str().expect("a text");
    assert!(text.contains("100000") && text.contains("max_reply_bytes"), "{text}");
    let answer = client.call(2, "flood", json!({"bytes": 90_000})).await;
    assert_eq!(answer["content"][0]["text"].as_str().map(str::len), Some(90_000));
}

#[tokio::test]
async fn a_long_frame_is_refused_and_skipped() {
    let server = tools::server_with(Limits { max_frame_bytes: 2_000, ..Limits::default() });
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    client.send_bytes(&vec![b'x'; 1_000_000]).await;
    client.send_bytes(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await;
    let refused = client.receive().await;
    assert!(refused.get("id").is_none());
    assert_eq!(refused["error"]["code"], -32600);
    let text = refused["error"]["message"].as_str().expect("a message");
    assert!(text.contains("2000 bytes") && text.contains("max_frame_bytes"), "{text}");
    assert_eq!(client.receive().await["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn end_of_input_drains_what_is_in_flight() {
    let (server, stopped) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let params = json!({"name": "wait", "arguments": {"milliseconds": 100, "label": "late"}});
    client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
    client.send_bytes(br#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
    let rest = client.finish().await;
    assert_eq!(
        rest,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"late\"}]}}\n"
    );
    assert_eq!(stopped.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn draining_has_an_end() {
    let server = tools::server_with(Limits { drain_timeout_ms: 50, ..Limits::default() });
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let params = json!({"name": "wait", "arguments": {"milliseconds": 60_000, "label": "never"}});
    client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
    client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})).await;
    let begun = Instant::now();
    client.drain.begin();
    assert_eq!(client.receive_line().await, "", "the output closes without an answer");
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_connection_and_its_work() {
    let (server, stopped) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for (id, tool, arguments) in [
        (1, "wait", json!({"milliseconds": 60_000, "label": "never"})),
        (2, "grind", json!({"steps": 60_000, "step_milliseconds": 1})),
        (3, "flood", json!({"bytes": 1_000_000})),
    ] {
        let params = json!({"name": tool, "arguments": arguments});
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
    }
    eventually(|| server.metrics().requests_in_flight.now() >= 2).await;
    client.vanish().await.expect("a client that is gone is no error");
    eventually(|| stopped.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_read_from() {
    let server = tools::server_with(Limits { max_outbox_bytes: 8_192, ..Limits::default() });
    let mut client = TestClient::open_with(&server, 4_096);
    client.expect_revision("2025-11-25");
    let handshake = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    client.ask(&handshake).await;
    let line = format!("{}\n", json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    let mut accepted = 0;
    while tokio::time::timeout(Duration::from_millis(200), client.send_bytes(line.as_bytes())).await.is_ok() {
        accepted += 1;
        assert!(accepted < 2_000, "requests are taken in without end while nobody reads the answers");
    }
    // Answers of about 2 KiB: the two streams, the outbox and one read of requests bound them.
    assert!(accepted > 3, "{accepted}");
    for _ in 0..accepted {
        assert_eq!(client.receive().await["id"], 1);
    }
}

#[tokio::test]
async fn pages_end_with_the_first() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "made up"}});
    assert_eq!(client.ask(&request).await["error"]["code"], -32602);
}

#[tokio::test]
async fn nothing_but_ping_is_served_before_the_handshake() {
    let (server, _) = tools::server();
    let mut client = TestClient::open(&server);
    client.expect_revision("2025-11-25");
    assert_eq!(client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await["result"], json!({}));
    for method in ["tools/list", "tools/call", "logging/setLevel"] {
        let answer = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": method})).await;
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
    }
}

#[test]
fn tools_must_have_names_of_their_own() {
    let twice = Server::builder("t", "1").tool(tools::Echo).tool(tools::Echo).build();
    assert_eq!(
        twice.err().map(|error| error.to_string()),
        Some("two tools are named echo: rename one of them".into())
    );
}

#[tokio::test]
async fn what_a_peer_names_is_neither_kept_nor_repeated_at_length() {
    let limits = Limits { max_frame_bytes: 65_536, max_reply_bytes: 65_536, ..Limits::default() };
    let server = tools::server_with(limits);
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let long = "x".repeat(65_000);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": long}});
    client.send(&cancel).await;
    let unknown = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": long})).await;
    let message = unknown["error"]["message"].as_str().expect("a message");
    assert!(message.len() < 200 && message.ends_with("x\u{2026}"), "{message}");
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": long});
    let refused =
        client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": params})).await;
    assert!(refused["error"]["message"].as_str().is_some_and(|message| message.len() < 2_000), "{refused}");
    let slots = server.pools().find("messages").expect("the pool of request slots").snapshot();
    assert!(slots.idle >= 1 && slots.idle_bytes < 4_096, "{slots:?}");
}

#[tokio::test]
async fn large_messages_leave_no_idle_buffers() {
    let (server, _) = tools::server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let idle_bytes = || -> u64 {
        let buffers = server.pools().pools().into_iter().filter(|pool| pool.name().starts_with("buffers/"));
        buffers.map(|pool| pool.snapshot().idle_bytes).sum()
    };
    for id in 0..3 {
        let answer = client.call(id, "echo", json!({"text": "x".repeat(1_000_000)})).await;
        assert_eq!(answer["content"][0]["text"].as_str().map(str::len), Some(1_000_000));
    }
    assert!(idle_bytes() < 500_000, "{} B: a large message has a buffer of its own", idle_bytes());
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "this does not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
