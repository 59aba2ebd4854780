//! The client against a peer at the other end of an in-memory pipe. Time is paused: it moves on only when all
//! wait, so that a slow machine changes nothing.

use mcpool::client::{Client, ClientError, ClientOptions};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

type Seen = Arc<Mutex<Vec<Value>>>;

/// A peer that answers each message with the lines that `answer` makes of it, and the messages it saw.
fn peer(answer: impl Fn(&Value) -> Vec<String> + Send + 'static) -> (DuplexStream, DuplexStream, Seen) {
    let (client_input, mut output) = duplex(1 << 20);
    let (input, client_output) = duplex(1 << 20);
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut lines = BufReader::new(input).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).expect("the client writes JSON");
            record.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
            for reply in answer(&message) {
                if reply == "CLOSE" {
                    return;
                }
                output.write_all(format!("{reply}\n").as_bytes()).await.expect("the client reads");
            }
        }
    });
    (client_input, client_output, seen)
}

fn methods(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.iter().map(|m| m["method"].as_str().unwrap_or("answer").to_owned()).collect()
}

fn result(message: &Value, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()
}

fn error(message: &Value, code: i64) -> String {
    json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": "no"}}).to_string()
}

fn discovered(message: &Value) -> String {
    result(
        message,
        &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}),
    )
}

/// Answers the probe as a modern server does, and all else with `answer`.
fn modern(answer: impl Fn(&Value) -> Vec<String> + Send + 'static) -> (DuplexStream, DuplexStream, Seen) {
    peer(move |message| match message["method"].as_str() {
        Some("server/discover") => vec![discovered(message)],
        _ => answer(message),
    })
}

fn quick() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_millis(200),
        silence_timeout: Duration::from_millis(200),
        ..ClientOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_modern_server_is_not_greeted() {
    let (input, output, seen) = modern(|m| vec![result(m, &json!({"tools": []}))]);
    let client = Client::over(input, output, quick()).await.expect("connected");
    assert_eq!(client.revision(), "2026-07-28");
    assert_eq!(client.list_tools().await.expect("listed"), vec![]);
    assert_eq!(methods(&seen), ["server/discover", "tools/list"]);
    for message in seen.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    }
}

fn older(message: &Value) -> Vec<String> {
    match message["method"].as_str() {
        Some("initialize") => {
            assert_eq!(message["params"]["protocolVersion"], "2025-11-25");
            vec![result(
                message,
                &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}),
            )]
        }
        Some("tools/list") => vec![result(message, &json!({"tools": [{"name": "t", "inputSchema": {}}]}))],
        _ if message["id"].is_null() => vec![],
        _ => vec![error(message, -32601)],
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_server_is_greeted_whether_it_refuses_the_probe_or_is_silent() {
    for silent in [false, true] {
        let (input, output, seen) = peer(move |message| match message["method"].as_str() {
            Some("server/discover") if silent => vec![],
            _ => older(message),
        });
        let client = Client::over(input, output, quick()).await.expect("connected");
        assert_eq!(client.revision(), "2025-06-18");
        assert_eq!(client.list_tools().await.expect("listed").len(), 1);
        let want = ["server/discover", "initialize", "notifications/initialized", "tools/list"];
        assert_eq!(methods(&seen), want);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_of_no_known_revision_is_refused_with_its_own_words() {
    let (input, output, _) = peer(|message| match message["method"].as_str() {
        Some("initialize") => vec![result(message, &json!({"protocolVersion": "1999-01-01"}))],
        _ => vec![error(message, -32601)],
    });
    match Client::over(input, output, quick()).await.map(|_| ()) {
        Err(ClientError::Revision { offered }) => assert_eq!(offered, "1999-01-01"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_given_in_order_and_before_the_answer() {
    let (input, output, _) = modern(|m| {
        let token = &m["params"]["_meta"]["progressToken"];
        let step = |n: f64| {
            json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": n, "total": 2, "message": "step"}})
            .to_string()
        };
        let stranger = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": "other", "progress": 9}});
        vec![step(1.0), stranger.to_string(), step(2.0), result(m, &json!({"content": []}))]
    });
    let client = Client::over(input, output, quick()).await.expect("connected");
    let mut steps = Vec::new();
    let answer = client.call_tool("t", Map::new(), |p| steps.push(p.progress)).await.expect("answered");
    assert_eq!(steps, [1.0, 2.0]);
    assert!(answer.decode().expect("a result").content.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_told_so() {
    let (input, output, seen) = modern(|_| vec![]);
    let client = Client::over(input, output, quick()).await.expect("connected");
    let error = client.call_tool("t", Map::new(), |_| ()).await.expect_err("gave up");
    assert_eq!(error.to_string(), "no answer to tools/call within 200 ms");
    for _ in 0..100 {
        if methods(&seen).len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(seen[2]["method"], "notifications/cancelled");
    assert_eq!(seen[2]["params"]["requestId"], seen[1]["id"]);
}

#[tokio::test(start_paused = true)]
async fn calls_may_overtake_each_other() {
    let held = Mutex::new(None::<Value>);
    let (input, output, _) = modern(move |m| {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = |m: &Value| result(m, &json!({"content": [], "structuredContent": m["params"]["name"]}));
        match held.take() {
            None => {
                *held = Some(m.clone());
                vec![]
            }
            Some(first) => vec![answer(m), answer(&first)],
        }
    });
    let client = Client::over(input, output, quick()).await.expect("connected");
    let (first, second) =
        tokio::join!(client.call_tool("a", Map::new(), |_| ()), client.call_tool("b", Map::new(), |_| ()));
    for (answer, name) in [(first, "a"), (second, "b")] {
        let decoded = answer.expect("answered").decode().expect("a result");
        assert_eq!(decoded.structured_content, Some(Value::from(name)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_may_do_wrong_is_named() {
    type Reply = fn(&Value) -> Vec<String>;
    let cases: [(&str, Reply); 6] = [
        ("the server refused tools/call: no (code -32602)", |m| vec![error(m, -32602)]),
        ("the server closed the connection before it answered", |_| vec!["CLOSE".to_owned()]),
        ("the server sent a message of more than 1000 bytes", |_| vec!["x".repeat(1001)]),
        ("the server's answer to tools/call is not what the protocol says", |m| vec![result(m, &json!(7))]),
        // Noise on stdout is skipped; the answer after it counts.
        ("the server refused tools/call: no (code -1)", |m| {
            vec!["starting up...".to_owned(), "{}".to_owned(), "[]".to_owned(), error(m, -1)]
        }),
        ("the server's answer to tools/call is not", |m| vec![result(m, &Value::Null)]),
    ];
    for (want, reply) in cases {
        let (input, output, _) = modern(reply);
        let options = ClientOptions { max_message_bytes: 1000, ..quick() };
        let client = Client::over(input, output, options).await.expect("connected");
        let answer = client.call_tool("t", Map::new(), |_| ()).await;
        let error = answer.and_then(|answer| answer.decode().map(|_| ())).expect_err(want).to_string();
        assert!(error.starts_with(want), "{error}");
        // What ended stays ended; what did not goes on.
        assert!(client.list_tools().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_and_an_endless_one_is_given_up() {
    let (input, output, _) = modern(|m| {
        let page = match m["params"]["cursor"].as_str() {
            None => json!({"tools": [{"name": "a", "inputSchema": {}}], "nextCursor": "2"}),
            Some(_) => json!({"tools": [{"name": "b", "inputSchema": {}}]}),
        };
        vec![result(m, &page)]
    });
    let client = Client::over(input, output, quick()).await.expect("connected");
    let tools = client.list_tools().await.expect("listed");
    assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);

    let (input, output, _) = modern(|m| vec![result(m, &json!({"tools": [], "nextCursor": "again"}))]);
    let client = Client::over(input, output, quick()).await.expect("connected");
    assert!(matches!(client.list_tools().await, Err(ClientError::EndlessList { pages: 1_000 })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_gets_an_answer_and_no_capability() {
    let (input, output, seen) = modern(|m| match m["method"].as_str() {
        Some("tools/call") => vec![
            json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}).to_string(),
            json!({"jsonrpc": "2.0", "id": 5, "method": "roots/list"}).to_string(),
        ],
        Some("tools/list") => vec![result(m, &json!({"tools": []}))],
        _ => vec![],
    });
    let client = Client::over(input, output, quick()).await.expect("connected");
    assert!(client.call_tool("t", Map::new(), |_| ()).await.is_err());
    client.list_tools().await.expect("listed");
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(seen.contains(&json!({"jsonrpc": "2.0", "id": "p", "result": {}})));
    let refused = seen.iter().find(|m| m["id"] == 5).expect("answered");
    assert_eq!(refused["error"]["code"], -32601);
}
