//! Layers around the calls of a tool: time limits, turns, and those of one's own.

use crate::test_client::TestClient;
use mcpool::{AtMost, CallContext, CallLayer, Layered, Server, TimeLimit, Tool, ToolDefinition, ToolError};
use serde::de::IgnoredAny;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longer than any test waits.
const LONG: Duration = Duration::from_hours(1);

/// Ends when it is given a permit.
struct Wait {
    permits: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Tool for Wait {
    type Arguments<'a> = IgnoredAny;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("wait", "Waits.")
    }

    async fn call(&self, _: IgnoredAny, call: &mut CallContext) -> Result<(), ToolError> {
        call.text("it began");
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.permits.acquire().await?.forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

fn wait() -> Wait {
    Wait { permits: Arc::new(Semaphore::new(0)), running: Arc::default(), most: Arc::default() }
}

fn client(tool: impl Tool) -> TestClient {
    TestClient::open(&Server::builder("layers", "1").tool(tool).build().expect("a server"))
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_its_time_fails_with_a_word() {
    let mut client = client(Layered::new(TimeLimit(Duration::from_secs(7)), wait()));
    let answer = client.call(1, "wait", json!({})).await;
    assert_eq!(answer["isError"], true);
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "the call was ended: it took longer than 7s"}]),
        "what it wrote is gone"
    );
}

#[tokio::test]
async fn a_call_in_time_is_as_it_is() {
    let wait = wait();
    wait.permits.add_permits(1);
    let mut client = client(Layered::new(TimeLimit(LONG), wait));
    assert_eq!(client.call(1, "wait", json!({})).await["content"][0]["text"], "it began");
}

#[tokio::test]
async fn only_so_many_calls_run_at_once_and_all_have_their_turn() {
    let wait = wait();
    let (permits, running, most) =
        (Arc::clone(&wait.permits), Arc::clone(&wait.running), Arc::clone(&wait.most));
    let mut client = client(Layered::new(AtMost::new(2), wait));
    for id in 0..5 {
        let mut request = crate::test_client::modern(id, "tools/call");
        request["params"]["name"] = json!("wait");
        client.send(&request).await;
    }
    // Answered after the others have begun, or wait for their turn.
    client.send(&crate::test_client::modern("last", "tools/list")).await;
    assert_eq!(client.receive().await["id"], "last");
    assert_eq!(running.load(Ordering::SeqCst), 2);
    permits.add_permits(5);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.receive().await["id"].as_u64());
    }
    ids.sort_unstable();
    assert_eq!(ids, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// Answers in the tool's place.
struct Refuse;

impl CallLayer for Refuse {
    async fn around<'a, T: Tool>(
        &'a self,
        tool: &'a T,
        _: T::Arguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.text(&format!("{} is not called", tool.definition().name()));
        Ok(())
    }
}

#[tokio::test]
async fn a_layer_may_answer_in_the_place_of_its_tool() {
    let mut client = client(Layered::new(Refuse, Layered::new(TimeLimit(LONG), wait())));
    assert_eq!(client.call(1, "wait", json!({})).await["content"][0]["text"], "wait is not called");
}
