//! The memory tools, called as a client calls them.

#![cfg(unix)]

#[path = "graph/bounds.rs"]
mod bounds;
#[path = "graph/golden.rs"]
mod golden;
#[path = "graph/interrupted.rs"]
mod interrupted;
#[path = "graph/kept.rs"]
mod kept;
#[cfg(feature = "cli")]
#[path = "graph/processes.rs"]
mod processes;
#[path = "graph/resource.rs"]
mod resource;

use crate::test_client::TestClient;
use mcpool::tools::memory::KnowledgeGraph;
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory with a graph's file in it, and a client of a server of that.
struct Scene {
    directory: TempDir,
    graph: KnowledgeGraph,
    client: TestClient,
    calls: u64,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let graph = KnowledgeGraph::new(directory.path().join("memory.jsonl"));
        let client = serve(graph.clone(), limits).await;
        Self { directory, graph, client, calls: 0 }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("memory.jsonl")
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        // As an editor that replaces the file: a file written in place may have the size and the time of the old one.
        let new = self.directory.path().join("new");
        std::fs::write(&new, content).expect("a file");
        std::fs::rename(new, self.file()).expect("a file");
    }

    fn content(&self) -> String {
        std::fs::read_to_string(self.file()).expect("a file")
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.calls += 1;
        self.client.call(self.calls, tool, arguments).await
    }

    /// The structured answer.
    async fn answer(&mut self, tool: &str, arguments: Value) -> Value {
        let mut result = self.call(tool, arguments.clone()).await;
        assert_eq!(result.get("isError"), None, "{tool} {arguments}: {result}");
        result["structuredContent"].take()
    }

    async fn error(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        assert_eq!(result.get("structuredContent"), None);
        result["content"][0]["text"].as_str().expect("a text").to_owned()
    }

    async fn create(&mut self, name: &str) {
        self.answer("create_entities", json!({"entities": [entity(name, &[])]})).await;
    }

    /// The names of all entities, in the order of the file.
    async fn names(&mut self) -> Vec<String> {
        names(&self.answer("read_graph", json!({})).await)
    }
}

async fn serve(graph: KnowledgeGraph, limits: Limits) -> TestClient {
    let builder = Server::builder("memory", "1").toolset(graph.clone()).resources(graph).limits(limits);
    let server = builder.build().expect("a server");
    TestClient::legacy(&server, "2025-06-18").await
}

fn entity(name: &str, observations: &[&str]) -> Value {
    json!({"name": name, "entityType": "t", "observations": observations})
}

fn line(name: &str) -> String {
    format!(r#"{{"type":"entity","name":"{name}","entityType":"t","observations":[]}}"#)
}

fn names(graph: &Value) -> Vec<String> {
    let entities = graph["entities"].as_array().expect("entities");
    entities.iter().map(|entity| entity["name"].as_str().expect("a name").to_owned()).collect()
}
