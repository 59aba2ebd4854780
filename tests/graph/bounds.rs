//! Large graphs: what they may take, and what is answered.

use super::{Scene, entity, line};
use mcpool::{Limits, Toolset as _};
use serde_json::json;
use std::fmt::Write as _;

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
