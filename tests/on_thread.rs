//! Tools that work on a thread: a call answers as if it had not moved, and what it takes comes back.

use crate::test_client::TestClient;
use mcpool::pools::Discard;
use mcpool::{BlockingTool, CallContext, Limits, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Deserialize, JsonSchema)]
struct Arguments<'a> {
    how: &'a str,
    #[serde(default)]
    count: u8,
    #[serde(default)]
    filler: &'a str,
}

/// Says what it was given, panics, or works for as long as somebody waits.
struct Worker;

fn definition() -> ToolDefinition {
    ToolDefinition::new("work", "Works.").arguments::<Arguments<'_>>()
}

fn work(arguments: &Arguments<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    call.text(arguments.how);
    match arguments.how {
        "panic" => panic!("this tool panics"),
        "wait" => {
            call.progress(1.0, None, None);
            while !call.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(ToolError::Cancelled)
        }
        _ => call.structured(&json!({"count": arguments.count, "filler": arguments.filler.len()})),
    }
}

impl BlockingTool for Worker {
    type Arguments<'a> = Arguments<'a>;

    fn definition(&self) -> ToolDefinition {
        definition()
    }

    fn call(&self, arguments: Arguments<'_>, call: &mut CallContext) -> Result<(), ToolError> {
        work(&arguments, call)
    }
}

/// The same tool on the connection's own thread.
struct Inline;

impl Tool for Inline {
    type Arguments<'a> = Arguments<'a>;

    fn definition(&self) -> ToolDefinition {
        definition()
    }

    async fn call<'a>(&'a self, arguments: Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        work(&arguments, call)
    }
}

/// What follows `"id":N,` of a call, whole or broken.
const CALLS: &[&str] = &[
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"plain"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"an \"escape\" \u00e9 \ud83d\ude00"}}}"#,
    r#""method":"tools/call","params":{"arguments":{"how":"early"},"name":"work"}}"#,
    r#""params":{"arguments":{"how":"early"},"name":"work"},"method":"tools/call"}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"a","how":"b"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"a"},"arguments":{"how":"b"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"count":"7","how":"corrected"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"count":300,"how":"out of range"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"count":"x","filler":1}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":null}}"#,
    r#""method":"tools/call","params":{"name":"work"}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":[1]}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":"{}"}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"\ud83d"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"\ude00\ud83d"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"x","other":"\ud83d"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"\x"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"\u12"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"open}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"x",}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"x"},"_meta":7"#,
    r#""method":"tools/call","method":"tools/call","params":{"name":"work","arguments":{"how":"x"}}}"#,
    r#""method":"tools/call","params":{"name":"work","arguments":{"how":"\ud83d"},"_meta":{"io.modelcontextprotocol/protocolVersion":"1900-01-01"}}}"#,
];

#[tokio::test]
async fn a_call_answers_on_a_thread_as_it_does_at_once() {
    let on_thread = Server::builder("threads", "1").blocking_tool(Worker).build().expect("a server");
    let at_once = Server::builder("threads", "1").tool(Inline).build().expect("a server");
    let mut answers = Vec::new();
    for server in [&on_thread, &at_once] {
        let mut client = TestClient::legacy(server, "2025-06-18").await;
        let mut of_server = Vec::new();
        for (id, rest) in CALLS.iter().enumerate() {
            client.send_bytes(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{rest}\n").as_bytes()).await;
            let answer = tokio::time::timeout(PATIENCE, client.receive_line()).await;
            of_server.push(answer.unwrap_or_else(|_| panic!("no answer to {rest}")));
        }
        answers.push(of_server);
    }
    for (index, call) in CALLS.iter().enumerate() {
        assert_eq!(answers[0][index], answers[1][index], "{call}");
    }
    assert_eq!(on_thread.metrics().owned_messages.total(), 0);
}

/// Leases of frames and arenas that are out.
fn leases(server: &Server) -> u64 {
    let pools = server.pools().pools();
    let held = pools.iter().filter(|pool| pool.name().starts_with("buffers/") || pool.name() == "arenas");
    held.map(|pool| pool.snapshot().in_use).sum()
}

#[tokio::test]
async fn whatever_becomes_of_a_call_its_frame_and_its_arena_come_back() {
    let limits = Limits { drain_timeout_ms: 10, max_blocking_threads: 1, ..Limits::default() };
    let server =
        Server::builder("threads", "1").limits(limits).blocking_tool(Worker).build().expect("a server");
    for (how, filler) in [
        ("answer", 100),
        ("panic", 100),
        ("wait", 100),
        ("wait", 100_000),
        ("answer", 500_000),
        ("answer", 100),
        ("answer", 100),
    ] {
        let filler = "\"\n".repeat(filler / 2);
        let arguments = json!({"how": how, "filler": filler});
        let params = json!({"name": "work", "arguments": arguments, "_meta": {"progressToken": 1}});
        let call = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let mut client = TestClient::legacy(&server, "2025-06-18").await;
        client.send(&call(1)).await;
        match how {
            "wait" => {
                assert_eq!(client.receive().await["method"], "notifications/progress");
                // The second one waits for the thread.
                client.send(&call(2)).await;
                for id in [2, 1] {
                    let params = json!({"requestId": id});
                    let cancelled =
                        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
                    client.send(&cancelled).await;
                }
            }
            how => assert_eq!(client.receive().await["result"]["isError"] == true, how == "panic"),
        }
        client.close_input().await;
        drop(client);
        let end = Instant::now() + PATIENCE;
        while leases(&server) > 0 {
            assert!(Instant::now() < end, "{how}: {} leases are out", leases(&server));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // Neither a panic nor a cancellation spoils an object; only those that grew large are let go.
    let pools = server.pools().pools();
    assert!(pools.iter().all(|pool| pool.snapshot().discarded(Discard::Poisoned) == 0));
    let arenas = server.pools().find("arenas").expect("a pool").snapshot();
    assert!(arenas.idle > 0);
    assert_eq!(arenas.misses, arenas.idle as u64 + arenas.discarded(Discard::Oversized));
}
