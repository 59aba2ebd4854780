//! Long answers of `search_files` and `directory_tree` are sent while they are written: the same bytes as at once.

use super::Scene;
use super::streamed::{KIB, server};
use crate::test_client::TestClient;
use mcpool::Limits;
use serde_json::{Value, json};

#[tokio::test]
async fn long_lists_are_answered_as_if_they_were_written_at_once() {
    let scene = Scene::new().await;
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    for number in 0..900 {
        let long = "\u{20ac}".repeat(50);
        scene.write(&format!("folder/{number:03} \"{long}\u{1}"), "");
    }
    let tools = [("search_files", json!({"pattern": "**"})), ("directory_tree", json!({}))];
    // Where all fits, and where the answer is too long.
    for (max_reply_bytes, is_error) in [(64 << 20, false), (200 * KIB, true)] {
        let limits = Limits { max_reply_bytes, max_frame_bytes: 64 * KIB, ..Limits::default() };
        let mut client = TestClient::legacy(&server(&scene.path(""), limits), "2025-03-26").await;
        for (tool, arguments) in &tools {
            let mut arguments = arguments.clone();
            arguments["path"] = json!(scene.path("folder"));
            let params = json!({"name": tool, "arguments": arguments});
            let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
            client.send(&call).await;
            let alone = client.receive_line().await;
            // An answer in a batch is written before it is sent.
            client.send(&json!([call])).await;
            let batch = client.receive_line().await;
            let answer: Value = serde_json::from_str(&alone).expect("JSON");
            let result = &answer["result"];
            assert_eq!(result["isError"] == json!(true), is_error, "{tool}: {alone:.300}");
            if !is_error {
                assert!(
                    format!("[{}]", alone.trim_end()) == batch.trim_end(),
                    "{tool}: {alone:.300}\n{batch:.300}"
                );
                let text = result["content"][0]["text"].as_str().expect("a text");
                assert!(text.len() > 100 * KIB && text.matches('\u{20ac}').count() == 900 * 50, "{tool}");
                assert_eq!(result["structuredContent"]["content"], text);
            }
        }
    }
}
