//! The graph as a resource, and who hears of its changes.

use super::{Scene, entity, line};
use serde_json::json;

const URI: &str = "memory://knowledge-graph";

#[tokio::test]
async fn the_resource_is_the_text_of_the_graph() {
    let mut scene = Scene::new().await;
    scene.write(line("a") + "\n" + r#"{"type":"relation","from":"a","to":"b","relationType":"\u00e9"}"#);
    let listed = scene.client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "resources/list"})).await;
    let want = json!([{"uri": URI, "name": "knowledge-graph", "title": "Knowledge Graph",
        "description": "The full knowledge graph with all entities and relations", "mimeType": "application/json"}]);
    assert_eq!(listed["result"]["resources"], want);
    let request = json!({"jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": {"uri": URI}});
    let read = scene.client.ask(&request).await;
    let contents = &read["result"]["contents"][0];
    assert_eq!(contents["mimeType"], "application/json", "{read}");
    scene.calls = 2;
    let graph = scene.call("read_graph", json!({})).await;
    assert_eq!(contents["text"], graph["content"][0]["text"]);
    let other =
        json!({"jsonrpc": "2.0", "id": 4, "method": "resources/read", "params": {"uri": "memory://other"}});
    let refused = scene.client.ask(&other).await;
    assert!(refused["error"]["message"].as_str().expect("a message").contains("memory://other"), "{refused}");
}

#[tokio::test]
async fn a_subscriber_hears_of_each_change() {
    let mut scene = Scene::new().await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": URI}});
    scene.client.ask(&request).await;
    let create = json!({"entities": [entity("a", &[])]});
    let calls = [
        ("create_entities", create.clone(), true),
        ("create_entities", create, true),
        ("read_graph", json!({}), false),
        ("delete_entities", json!({"entityNames": ["nobody"]}), true),
        ("add_observations", json!({"observations": [{"entityName": "nobody", "contents": []}]}), false),
        ("search_nodes", json!({"query": ""}), false),
    ];
    for (id, (tool, arguments, is_change)) in (2..).zip(calls) {
        let params = json!({"name": tool, "arguments": arguments});
        scene
            .client
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
            .await;
        let mut messages = vec![scene.client.receive().await];
        if is_change {
            messages.push(scene.client.receive().await);
        }
        let updates =
            messages.iter().filter(|message| message["method"] == "notifications/resources/updated");
        assert_eq!(updates.count(), usize::from(is_change), "{tool}: {messages:?}");
    }
    let ping = scene.client.ask(&json!({"jsonrpc": "2.0", "id": 99, "method": "ping"})).await;
    assert_eq!(ping["id"], 99, "nothing came that was not asked for: {ping}");
}
