//! Large graphs: what they may take, and what is answered.

use super::{Scene, entity, line};
use crate::test_client::TestClient;
use mcpool::tools::Selection;
use mcpool::tools::memory::KnowledgeGraph;
use mcpool::toolsets::Toolset as _;
use mcpool::{BlockingTool, CallContext, Limits, Server, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

fn lines(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "{}", line(&format!("n{number}"))).expect("memory");
    }
    text
}

#[tokio::test]
async fn a_graph_costs_little_more_than_its_file() {
    const LINES: usize = 10_000;
    let mut scene = Scene::new().await;
    let content = lines(LINES);
    scene.write(&content);
    let idle = scene.graph.state_bytes();
    assert!(idle < 1024, "{idle} bytes before the first call");
    assert_eq!(
        scene.answer("open_nodes", json!({"names": ["n9999"]})).await["entities"],
        json!([entity("n9999", &[])])
    );
    let bytes = scene.graph.state_bytes() - idle;
    let most = content.len() + 45 * LINES;
    assert!((content.len()..most).contains(&bytes), "{bytes} for a file of {}", content.len());
}

#[tokio::test]
async fn a_graph_has_a_bound() {
    let mut scene = Scene::with(Limits { max_graph_bytes: Some(4096), ..Limits::default() }).await;
    let mut made = 0;
    let text = loop {
        let arguments = json!({"entities": [entity(&format!("n{made}"), &["observed"])]});
        let result = scene.call("create_entities", arguments).await;
        if result["isError"] == true {
            break result["content"][0]["text"].as_str().expect("a text").to_owned();
        }
        made += 1;
    };
    assert!(text.contains("max_graph_bytes allows 4096"), "{text}");
    assert!((15..60).contains(&made), "{made}");
    assert_eq!(scene.names().await.len(), made, "what is there is there still");
    assert_eq!(scene.content().lines().count(), made);
    scene.answer("delete_entities", json!({"entityNames": ["n0", "n1"]})).await;
    scene.create("again").await;
    scene.write(lines(200));
    assert!(scene.error("read_graph", json!({})).await.contains("max_graph_bytes allows 4096"));
    scene.write(lines(2));
    assert_eq!(scene.names().await, ["n0", "n1"]);
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let limits = Limits { max_reply_bytes: 64 * 1024, max_frame_bytes: 64 * 1024, ..Limits::default() };
    let mut scene = Scene::with(limits).await;
    for count in [600, 2_000] {
        scene.write(lines(count));
        for (tool, arguments) in [("read_graph", json!({})), ("search_nodes", json!({"query": ""}))] {
            let text = scene.error(tool, arguments).await;
            assert!(text.contains("65536 bytes that max_reply_bytes allows: ask for a part"), "{text}");
        }
        assert_eq!(scene.answer("search_nodes", json!({"query": "N599"})).await["relations"], json!([]));
        let name = format!("n{}", count - 1);
        assert_eq!(
            scene.answer("open_nodes", json!({"names": [name]})).await["entities"],
            json!([entity(&name, &[])])
        );
    }
}

#[test]
fn the_memory_ceiling_leaves_room_for_the_graph() {
    let limits = Limits { memory_limit_bytes: 64 << 30, ..Limits::default() };
    let ceiling = |graph: Option<KnowledgeGraph>| {
        let server = Server::builder("memory", "1").limits(limits.clone()).toolset(Selection::new(graph));
        server.build().expect("a server").memory().ceiling()
    };
    assert_eq!(ceiling(None).kept_bytes, 0);
    assert_eq!(ceiling(Some(KnowledgeGraph::new("memory.jsonl"))).kept_bytes, 256 << 20);
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Keeps its thread until it is told to go on.
struct Occupy {
    started: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl BlockingTool for Occupy {
    type Arguments<'a> = Nothing;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("occupy", "Waits.").arguments::<Nothing>()
    }

    fn call(&self, _: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
        let go_on = self.go_on.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.started.send(());
        let _ = go_on.recv_timeout(Duration::from_mins(5));
        call.text("done");
        Ok(())
    }
}

/// Entities are found in a graph that is in memory without a thread, also where reading all of it needs one.
#[tokio::test]
async fn what_is_found_at_once_waits_for_no_thread() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("memory.jsonl");
    std::fs::write(&file, lines(2_000)).expect("a file");
    let (started, starts) = sync_channel(1);
    let (proceed, go_on) = sync_channel(1);
    let limits = Limits { max_blocking_threads: 1, ..Limits::default() };
    let server = Server::builder("memory", "1").limits(limits).toolset(KnowledgeGraph::new(file));
    let server = server.blocking_tool(Occupy { started, go_on: Mutex::new(go_on) });
    let server = server.build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let open = json!({"names": ["n1999"]});
    let first = client.call(1, "open_nodes", open.clone()).await;
    let call = |id: u64, tool: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    client.send(&call(2, "occupy")).await;
    tokio::task::spawn_blocking(move || starts.recv()).await.expect("a thread").expect("it runs");
    client.send(&call(3, "read_graph")).await;
    assert_eq!(client.call(4, "open_nodes", open).await, first);
    let found = client.call(5, "search_nodes", json!({"query": "N1999"})).await;
    assert_eq!(found["structuredContent"], first["structuredContent"]);
    proceed.send(()).expect("it waits");
    let answers = [client.receive().await, client.receive().await];
    assert!(answers.iter().any(|answer| answer["id"] == 3), "all of the graph, by a thread: {answers:?}");
}
