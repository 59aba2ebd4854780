//! Roots: a client of the legacy era tells which directories it works in, and a toolset that wants to know is
//! told. Also the one test of a toolset that dispatches by itself.

use crate::test_client::{self, TestClient};
use mcpool::toolsets::{Finished, ToolRequest, Toolset};
use mcpool::{Server, SessionValues, ToolDefinition};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex};

type Told = Arc<Mutex<Vec<String>>>;

/// Two tools in one type: `first` and `last` say which of their roots they were given.
struct Ends {
    told: Told,
}

#[derive(Deserialize)]
struct NoArguments {}

impl Toolset for Ends {
    fn definitions(&self) -> Vec<ToolDefinition> {
        vec![ToolDefinition::new("first", "The first root."), ToolDefinition::new("last", "The last root.")]
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        let finished = match request.admit::<NoArguments>() {
            Err(refused) => refused,
            Ok((NoArguments {}, mut call)) => {
                let told = self.told.lock().expect("nobody panicked");
                let root = if index == 0 { told.first() } else { told.last() };
                call.text(root.map_or("none", String::as_str));
                call.finish(Ok(()))
            }
        };
        std::future::ready(finished)
    }

    fn wants_roots(&self) -> bool {
        true
    }

    fn take_roots(&self, uris: &[&str], _session: &SessionValues) {
        *self.told.lock().expect("nobody panicked") = uris.iter().map(ToString::to_string).collect();
    }
}

fn server() -> (Server, Told) {
    let told = Told::default();
    let server = Server::builder("roots", "1").tool(test_client::tools::Echo);
    (server.toolset(Ends { told: Arc::clone(&told) }).build().expect("a server"), told)
}

#[tokio::test]
async fn a_client_with_roots_is_asked_and_believed() {
    let (server, told) = server();
    let mut client =
        TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {"listChanged": true}})).await;
    for roots in [vec!["file:///a", "file:///b"], vec!["file:///c"], vec![]] {
        let asked = client.receive().await;
        assert_eq!(asked["method"], "roots/list");
        let listed: Vec<_> = roots.iter().map(|uri| json!({"uri": uri, "name": "n"})).collect();
        client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": listed}})).await;
        let first = client.call(1, "first", json!({})).await;
        assert_eq!(first["content"][0]["text"], roots.first().copied().unwrap_or("none"));
        let last = client.call(2, "last", json!({})).await;
        assert_eq!(last["content"][0]["text"], roots.last().copied().unwrap_or("none"));
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})).await;
    }
    assert_eq!(told.lock().expect("nobody panicked").len(), 0);
}

#[tokio::test]
async fn answers_that_nobody_waits_for_change_nothing() {
    let (server, told) = server();
    let mut client = TestClient::legacy_with(&server, "2025-11-25", json!({"roots": {}})).await;
    let first = client.receive().await;
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})).await;
    let second = client.receive().await;
    assert_ne!(first["id"], second["id"]);
    let stale = json!({"jsonrpc": "2.0", "id": first["id"], "result": {"roots": [{"uri": "file:///stale"}]}});
    let refused =
        json!({"jsonrpc": "2.0", "id": second["id"], "error": {"code": -32601, "message": "no roots"}});
    let malformed = json!({"jsonrpc": "2.0", "id": second["id"], "result": {"roots": 7}});
    for answer in [stale, refused, malformed] {
        client.send(&answer).await;
    }
    assert_eq!(client.call(1, "first", json!({})).await["content"][0]["text"], "none");
    assert!(told.lock().expect("nobody panicked").is_empty());
}

#[tokio::test]
async fn a_client_without_roots_is_not_asked() {
    let (server, _) = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let answer = client.call(1, "first", json!({})).await;
    assert_eq!(answer["content"][0]["text"], "none");
    assert_eq!(client.call(2, "echo", json!({"text": "x"})).await["content"][0]["text"], "x");
    assert_eq!(client.finish().await, "");
}
