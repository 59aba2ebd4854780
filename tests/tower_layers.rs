//! Layers of `tower` around the calls of a tool.

use crate::test_client::{TestClient, modern};
use mcpool::tower::TowerLayer;
use mcpool::{CallContext, Layered, Server, Tool, ToolDefinition, ToolError};
use serde::de::IgnoredAny;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::Layer;
use tower::layer::layer_fn;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

/// Ends when it is given a permit.
#[derive(Clone)]
struct Wait {
    name: &'static str,
    permits: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Tool for Wait {
    type Arguments<'a> = IgnoredAny;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new(self.name, "Waits.")
    }

    async fn call(&self, _: IgnoredAny, call: &mut CallContext) -> Result<(), ToolError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.permits.acquire().await?.forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        call.text("waited");
        Ok(())
    }
}

fn wait(name: &'static str) -> Wait {
    Wait { name, permits: Arc::new(Semaphore::new(0)), running: Arc::default(), most: Arc::default() }
}

/// Fails.
struct Fail;

impl Tool for Fail {
    type Arguments<'a> = IgnoredAny;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("fail", "Fails.")
    }

    async fn call(&self, _: IgnoredAny, _: &mut CallContext) -> Result<(), ToolError> {
        Err(ToolError::InvalidParams("not like this"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_for_time_ends_a_call_with_its_own_words() {
    let limit = TowerLayer::new(TimeoutLayer::new(Duration::from_secs(7)));
    let server = Server::builder("tower", "1").tool(Layered::new(limit, wait("wait")));
    let mut client = TestClient::open(&server.build().expect("a server"));
    let answer = client.call(1, "wait", json!({})).await;
    assert_eq!(
        (&answer["isError"], &answer["content"][0]["text"]),
        (&json!(true), &json!("request timed out"))
    );
}

#[tokio::test]
async fn the_error_of_a_tool_stays_what_it_was() {
    let limit = TowerLayer::new(TimeoutLayer::new(Duration::from_hours(1)));
    let server = Server::builder("tower", "1").tool(Layered::new(limit, Fail)).build().expect("a server");
    let mut request = modern(1, "tools/call");
    request["params"]["name"] = json!("fail");
    let answer = TestClient::open(&server).ask(&request).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(
        answer["error"]["message"].as_str().is_some_and(|text| text.contains("not like this")),
        "{answer}"
    );
}

#[tokio::test]
async fn tools_that_share_a_layer_share_its_turns() {
    let first = wait("first");
    let second = Wait { name: "second", ..first.clone() };
    let (permits, running, most) =
        (Arc::clone(&first.permits), Arc::clone(&first.running), Arc::clone(&first.most));
    let two = TowerLayer::new(ConcurrencyLimitLayer::new(2));
    let builder = Server::builder("tower", "1").tool(Layered::new(two.clone(), first));
    let mut client = TestClient::open(&builder.tool(Layered::new(two, second)).build().expect("a server"));
    for id in 0..6 {
        let mut request = modern(id, "tools/call");
        request["params"]["name"] = json!(if id % 2 == 0 { "first" } else { "second" });
        client.send(&request).await;
    }
    // Answered after the others have begun, or wait for their turn.
    client.send(&modern("last", "tools/list")).await;
    assert_eq!(client.receive().await["id"], "last");
    assert_eq!(running.load(Ordering::SeqCst), 2);
    permits.add_permits(6);
    for _ in 0..6 {
        assert_eq!(client.receive().await["result"]["content"][0]["text"], "waited");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_layer_may_refuse_a_call_that_would_wait() {
    let wait = wait("wait");
    let permits = Arc::clone(&wait.permits);
    let one = TowerLayer::new(layer_fn(|service| {
        LoadShedLayer::new().layer(ConcurrencyLimitLayer::new(1).layer(service))
    }));
    let server = Server::builder("tower", "1").tool(Layered::new(one, wait)).build().expect("a server");
    let mut client = TestClient::open(&server);
    let mut request = modern("waits", "tools/call");
    request["params"]["name"] = json!("wait");
    client.send(&request).await;
    let refused = client.call(2, "wait", json!({})).await;
    assert_eq!(
        (&refused["isError"], &refused["content"][0]["text"]),
        (&json!(true), &json!("service overloaded"))
    );
    permits.add_permits(1);
    assert_eq!(client.receive().await["id"], "waits");
}
