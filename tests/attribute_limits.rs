//! Limits of one tool that stand in its attribute: how long a call may take, and how many run at once.

use crate::test_client::{TestClient, modern};
use mcpool::{Server, ToolError};
use serde_json::{Value, json};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

const SEVEN_SECONDS_MS: u64 = 7_000;

/// Never ends.
#[mcpool::tool(timeout_ms = SEVEN_SECONDS_MS)]
async fn hang() -> String {
    pending().await
}

/// Ends in time.
#[mcpool::tool(timeout_ms = 3_600_000, max_concurrent = 1)]
fn echo(text: &str) -> &str {
    text
}

/// Calls that run until they are let go.
struct Gate {
    exit: Semaphore,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { exit: Semaphore::new(0), running: AtomicUsize::new(0), most: AtomicUsize::new(0) })
    }

    async fn pass(&self) -> Result<String, ToolError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.exit.acquire().await?.forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok("passed".to_owned())
    }
}

/// Passes a gate.
#[mcpool::tool(max_concurrent = 2)]
async fn pass(#[state] gate: &Gate) -> Result<String, ToolError> {
    gate.pass().await
}

struct Gates(Arc<Gate>);

#[mcpool::toolset]
impl Gates {
    /// Passes a gate.
    #[tool(max_concurrent = 2, timeout_ms = 3_600_000)]
    async fn pass(&self) -> Result<String, ToolError> {
        self.0.pass().await
    }

    /// Is not held up by the others.
    #[tool(text)]
    fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }
}

async fn begin(client: &mut TestClient, calls: u64) {
    for id in 0..calls {
        let mut request = modern(id, "tools/call");
        request["params"]["name"] = json!("pass");
        client.send(&request).await;
    }
    // Answered after the others have begun, or wait for their turn.
    client.send(&modern("last", "tools/list")).await;
    assert_eq!(client.receive().await["id"], "last");
}

async fn receive_all(client: &mut TestClient, calls: u64) {
    let mut ids = Vec::new();
    for _ in 0..calls {
        let answer: Value = client.receive().await;
        assert_eq!(answer["result"]["content"][0]["text"], "passed", "{answer}");
        ids.push(answer["id"].as_u64());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..calls).map(Some).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_its_time_fails_with_a_word() {
    let mut client = TestClient::open(&Server::builder("limits", "1").tool(Hang).build().expect("a server"));
    let answer = client.call(1, "hang", json!({})).await;
    assert_eq!(answer["isError"], true);
    assert_eq!(answer["content"][0]["text"], "the call was ended: it took longer than 7s");
}

#[tokio::test]
async fn a_call_within_its_limits_is_as_it_is() {
    let mut client = TestClient::open(&Server::builder("limits", "1").tool(Echo).build().expect("a server"));
    for id in 1..4 {
        assert_eq!(client.call(id, "echo", json!({"text": "a"})).await["content"][0]["text"], "a");
    }
}

#[tokio::test]
async fn only_so_many_calls_of_a_function_run_at_once_in_the_whole_process() {
    let gate = Gate::new();
    let server = || Server::builder("limits", "1").tool(Pass(Arc::clone(&gate))).build().expect("a server");
    let (mut first, mut second) = (TestClient::open(&server()), TestClient::open(&server()));
    begin(&mut first, 3).await;
    begin(&mut second, 3).await;
    assert_eq!(gate.running.load(Ordering::SeqCst), 2);
    gate.exit.add_permits(6);
    receive_all(&mut first, 3).await;
    receive_all(&mut second, 3).await;
    assert_eq!(gate.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn each_value_of_a_toolset_has_turns_of_its_own() {
    let gate = Gate::new();
    let server = || {
        let gates = Gates(Arc::clone(&gate)).into_toolset();
        Server::builder("limits", "1").toolset(gates).build().expect("a server")
    };
    let (mut first, mut second) = (TestClient::open(&server()), TestClient::open(&server()));
    begin(&mut first, 3).await;
    begin(&mut second, 3).await;
    assert_eq!(gate.running.load(Ordering::SeqCst), 4);
    assert_eq!(first.call(9, "most", json!({})).await["content"][0]["text"], "4");
    gate.exit.add_permits(6);
    receive_all(&mut first, 3).await;
    receive_all(&mut second, 3).await;
    assert_eq!(gate.most.load(Ordering::SeqCst), 4);
}
