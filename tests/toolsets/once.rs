//! Answers whose text or data is sent once, over the tools of all toolsets.

use crate::test_client::TestClient;
use mcpool::tools::Selection;
use mcpool::tools::everything::Everything;
use mcpool::tools::fetch::Fetch;
use mcpool::tools::filesystem::Filesystem;
use mcpool::tools::git::Git;
use mcpool::tools::memory::KnowledgeGraph;
use mcpool::tools::thinking::Thinking;
use mcpool::tools::time::Time;
use mcpool::toolsets::Toolset;
use mcpool::{Server, ToolDefinition};
use serde_json::{Value, json};
use std::path::Path;

/// All toolsets in one server, with files in `directory`.
fn server(directory: &Path, is_once: bool) -> Server {
    let directories = [directory.to_owned()];
    let (files, _) = Filesystem::new(&directories, false).expect("the directory is usable");
    let server = Server::builder("all", "1")
        .toolset(Selection::new(files).text_once(is_once))
        .toolset(Selection::new(Git::new(&directories, false)).text_once(is_once))
        .toolset(Selection::new(Fetch::new()).text_once(is_once))
        .toolset(Selection::new(KnowledgeGraph::new(directory.join("graph.jsonl"))).text_once(is_once))
        .toolset(Selection::new(Time::new(Some("UTC")).expect("the tools")).text_once(is_once))
        .toolset(Selection::new(Thinking::new().log_thoughts(false)).text_once(is_once))
        .toolset(Selection::new(Everything::default()).text_once(is_once));
    server.build().expect("a server")
}

/// A call of each tool whose answer is structured, beside those of the filesystem tools.
fn calls() -> Vec<(&'static str, Value)> {
    let entity = json!({"name": "a", "entityType": "t", "observations": ["o"]});
    let relation = json!({"from": "a", "to": "a", "relationType": "r"});
    vec![
        ("create_entities", json!({"entities": [entity]})),
        ("create_relations", json!({"relations": [relation]})),
        ("add_observations", json!({"observations": [{"entityName": "a", "contents": ["p"]}]})),
        ("read_graph", json!({})),
        ("search_nodes", json!({"query": "a"})),
        ("open_nodes", json!({"names": ["a"]})),
        ("delete_observations", json!({"deletions": [{"entityName": "a", "observations": ["p"]}]})),
        ("delete_relations", json!({"relations": [relation]})),
        ("delete_entities", json!({"entityNames": ["a"]})),
        ("get_current_time", json!({"timezone": "UTC"})),
        ("convert_time", json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"})),
        (
            "sequentialthinking",
            json!({"thought": "x", "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1}),
        ),
        ("get-structured-content", json!({"location": "New York"})),
    ]
}

async fn listed(client: &mut TestClient) -> Vec<Value> {
    let mut answer = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    answer["result"]["tools"].take().as_array().expect("a list").clone()
}

/// Days and times may change between two calls.
fn without_digits(content: &Value) -> String {
    content.to_string().replace(|digit: char| digit.is_ascii_digit(), "0")
}

#[tokio::test]
async fn each_toolset_gives_the_same_content_once_and_promises_nothing_else() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let mut twice = TestClient::legacy(&server(first.path(), false), "2025-06-18").await;
    let mut once = TestClient::legacy(&server(second.path(), true), "2025-06-18").await;
    let (mut want, lists) = (listed(&mut twice).await, listed(&mut once).await);
    let promising = |tool: &&Value| tool.get("outputSchema").is_some();
    let (files, _) = Filesystem::new(&[first.path().to_owned()], false).expect("usable");
    let files = files.definitions();
    let of_files = |name: &Value| files.iter().map(ToolDefinition::name).any(|file| name == file);
    let mut structured: Vec<&str> = want
        .iter()
        .filter(promising)
        .filter(|tool| !of_files(&tool["name"]))
        .map(|tool| tool["name"].as_str().expect("a name"))
        .collect();
    let mut called: Vec<&str> = calls().iter().map(|(tool, _)| *tool).collect();
    structured.sort_unstable();
    called.sort_unstable();
    assert_eq!(structured, called, "a call of each tool whose answer is structured");
    for tool in &mut want {
        tool.as_object_mut().expect("a tool").remove("outputSchema");
    }
    assert_eq!(lists, want);
    for (id, (tool, arguments)) in (2..).zip(calls()) {
        let with = twice.call(id, tool, arguments.clone()).await;
        let without = once.call(id, tool, arguments).await;
        assert!(with["structuredContent"].is_object() && with.get("isError").is_none(), "{tool}: {with}");
        assert!(
            without.get("structuredContent").is_none() && without.get("isError").is_none(),
            "{tool}: {without}"
        );
        assert_eq!(without["content"].as_array().map(Vec::len), Some(1), "{tool}");
        assert_eq!(without_digits(&without["content"]), without_digits(&with["content"]), "{tool}");
    }
    for (client, copies) in [(&mut twice, 1), (&mut once, 0)] {
        let answer = client.call(99, "list_allowed_directories", json!({})).await;
        assert_eq!(answer.as_object().expect("an answer").len(), 1 + copies, "{answer}");
    }
}
