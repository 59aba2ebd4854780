//! Calls that find no memory wait for their turn, each client in its own: those that read, and those that write.

use super::{Scene, text_of};
use crate::test_client::{TestClient, meta, modern};
use mcpool::Limits;
use mcpool_pools::BufferLease;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const KIB: usize = 1024;
const BUDGET: usize = 4096 * KIB;
const FEW: usize = 512 * KIB;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn limits() -> Limits {
    Limits {
        max_inflight_bytes: BUDGET,
        max_concurrent_requests: 1_000,
        write_timeout_ms: 3_600_000,
        ..Limits::default()
    }
}

fn call(id: usize, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta()});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// Takes all of the memory for large messages.
fn take_all(scene: &Scene) -> BufferLease {
    scene.server.buffers().acquire_exact(BUDGET)
}

/// Waits until so many requests are being served.
async fn until_in_flight(scene: &Scene, requests: u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let report = scene.server.memory().report();
        let slots = report.pools.iter().filter(|pool| pool.name == "messages");
        if slots.map(|pool| pool.in_use).sum::<u64>() >= requests {
            return;
        }
        assert!(Instant::now() < end, "they do not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_hundreds_of_calls_does_not_keep_another_one_waiting() {
    // There is memory for a dozen answers at once.
    let scene = Scene::with(Limits { max_inflight_bytes: FEW, ..limits() }, false).await;
    scene.write("f", "a line\n".repeat(20 * KIB));
    let read = |id| call(id, "read_text_file", &json!({"path": scene.path("f")}));
    let all = scene.server.buffers().acquire_exact(FEW);
    let mut many = TestClient::open(&scene.server);
    for id in 0..200 {
        many.send(&read(id)).await;
    }
    until_in_flight(&scene, 200).await;
    // Each was on a thread once, and waits for memory.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut one = TestClient::open(&scene.server);
    one.send(&read(1)).await;
    until_in_flight(&scene, 201).await;
    drop(all);
    // Of the 200 some have memory before it: as many as there is memory for. It is next as soon as one of them ends.
    for _ in 0..5 {
        many.receive_line().await;
    }
    let line = one.receive_line().await;
    let answer: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(answer["result"].get("isError"), None);
    assert!(line.len() > 2 * 140 * KIB, "{}", line.len());
    // The others have theirs too.
    for _ in 5..200 {
        assert_eq!(many.receive_line().await.matches("isError").count(), 0);
    }
}

/// A large file, a folder with so many names that a list of them is large, and calls that take memory for them.
fn large_calls(scene: &Scene) -> Vec<(&'static str, Value)> {
    scene.write("f", format!("first\n{}", "a line\n".repeat(40 * KIB)));
    for at in 0..1_000 {
        scene.write(&format!("names/{at:0100}"), "");
    }
    let (file, names) = (scene.path("f"), scene.path("names"));
    let edits = |old: &str, new: &str| json!([{"oldText": old, "newText": new}]);
    vec![
        ("read_text_file", json!({"path": file})),
        ("read_text_file", json!({"path": file, "head": 1_000_000})),
        ("read_text_file", json!({"path": file, "tail": 1_000_000})),
        ("read_media_file", json!({"path": file})),
        ("read_multiple_files", json!({"paths": [file, file]})),
        ("list_directory_with_sizes", json!({"path": names})),
        ("list_directory", json!({"path": names})),
        ("directory_tree", json!({"path": names})),
        ("search_files", json!({"path": names, "pattern": "*"})),
        ("edit_file", json!({"path": file, "edits": edits("first", "second first")})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_all_tools_wait_until_there_is_memory() {
    let scene = Scene::with(limits(), false).await;
    for (tool, arguments) in large_calls(&scene) {
        let mut client = TestClient::open(&scene.server);
        let before = std::fs::read(scene.path("f")).expect("a file");
        let all = take_all(&scene);
        client.send(&call(1, tool, &arguments)).await;
        until_in_flight(&scene, 1).await;
        // Nothing waits for it.
        assert!(client.ask(&modern(2, "tools/list")).await["id"] == 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(std::fs::read(scene.path("f")).expect("a file") == before, "{tool} changed it");
        drop(all);
        let result = client.receive().await["result"].take();
        assert_eq!(result.get("isError"), None, "{tool} {arguments}: {:.300}", result.to_string());
    }
    // The edit was made, once.
    assert!(std::fs::read(scene.path("f")).expect("a file").starts_with(b"second first\na line"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_in_vain_is_refused_and_nothing_was_changed() {
    let scene = Scene::with(Limits { write_timeout_ms: 50, ..limits() }, false).await;
    let all = take_all(&scene);
    for (tool, arguments) in large_calls(&scene) {
        let before = std::fs::read(scene.path("f")).expect("a file");
        let mut client = TestClient::open(&scene.server);
        client.send(&call(1, tool, &arguments)).await;
        let result = client.receive().await["result"].take();
        assert_eq!(result["isError"], true, "{tool}");
        let text = text_of(&result);
        assert!(text.starts_with("There is no memory for ") && text.contains("max_inflight_bytes"), "{text}");
        assert_eq!(text.contains("the file was left as it is"), tool == "edit_file", "{text}");
        assert!(std::fs::read(scene.path("f")).expect("a file") == before, "{tool} changed it");
    }
    // Calls whose answers are small need no memory, and change what they are asked to.
    let mut client = TestClient::open(&scene.server);
    let calls = [
        ("write_file", json!({"path": scene.path("new"), "content": "1"})),
        ("create_directory", json!({"path": scene.path("folder")})),
        ("move_file", json!({"source": scene.path("new"), "destination": scene.path("folder/moved")})),
        (
            "edit_file",
            json!({"path": scene.path("folder/moved"), "edits": [{"oldText": "1", "newText": "2"}]}),
        ),
    ];
    for (id, (tool, arguments)) in calls.into_iter().enumerate() {
        let result = client.ask(&call(id, tool, &arguments)).await["result"].take();
        assert_eq!(result.get("isError"), None, "{tool}: {result}");
    }
    assert_eq!(std::fs::read(scene.path("folder/moved")).expect("a file"), b"2");
    drop(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_nobody_waits_for_leave_the_queue_and_change_nothing() {
    // So long a client that closed its side may have its answers.
    let scene = Scene::with(Limits { drain_timeout_ms: 100, ..limits() }, false).await;
    let calls = large_calls(&scene);
    let before = std::fs::read(scene.path("f")).expect("a file");
    let all = take_all(&scene);
    let mut leaving = Vec::new();
    for _ in 0..3 {
        let mut client = TestClient::open(&scene.server);
        for (id, (tool, arguments)) in calls.iter().enumerate() {
            client.send(&call(id, tool, arguments)).await;
        }
        leaving.push(client);
    }
    until_in_flight(&scene, 3 * calls.len() as u64).await;
    let mut cancelling = leaving.pop().expect("the third");
    for id in 0..calls.len() {
        let params = json!({"requestId": id, "reason": "enough"});
        cancelling
            .send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            .await;
    }
    for client in leaving {
        // Its connection ends in whatever way.
        let _ = client.vanish().await;
    }
    let pong = cancelling.ask(&modern(99, "tools/list")).await;
    assert_eq!(pong["id"], 99, "no answer of a call that was cancelled: {pong}");
    drop(all);
    let (tool, arguments) = &calls[0];
    let answer = TestClient::open(&scene.server).ask(&call(1, tool, arguments)).await;
    assert_eq!(answer["result"].get("isError"), None);
    assert!(std::fs::read(scene.path("f")).expect("a file") == before, "nobody asked for the edit any more");
}
