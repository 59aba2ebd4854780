//! Answers whose text is sent once: the same content as always, and nothing that repeats it.

use super::{Scene, text_of};
use crate::test_client::{TestClient, modern};
use mcpool::tools::filesystem::{Compat, Filesystem};
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::path::Path;

/// Two servers of one directory: as the reference, and with each text once.
fn both(directory: &Path, compat: Compat) -> [Server; 2] {
    [false, true].map(|is_once| {
        let (tools, _) = Filesystem::new(&[directory.to_owned()], false).expect("the directory is usable");
        let tools = tools.compat(compat).text_once(is_once);
        Server::builder("files", "1").toolset(tools).build().expect("a server")
    })
}

/// A client of each era.
async fn clients(server: &Server) -> [TestClient; 2] {
    [TestClient::legacy(server, "2025-06-18").await, TestClient::open(server)]
}

/// A call of each tool that gives the same answer each time, if `moved` was made before.
fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("read_file", json!({"path": "f"})),
        ("read_text_file", json!({"path": "f"})),
        ("read_text_file", json!({"path": "f", "head": 1})),
        ("read_text_file", json!({"path": "f", "tail": 1})),
        ("read_text_file", json!({"path": "large"})),
        ("read_text_file", json!({"path": "f", "offset": 2, "limit": 1})),
        ("read_text_file", json!({"path": "large", "offset": 2, "limit": 199_000})),
        ("read_media_file", json!({"path": "a.png"})),
        ("read_media_file", json!({"path": "a.mp3"})),
        ("read_media_file", json!({"path": "a.bin"})),
        ("read_multiple_files", json!({"paths": ["f", "missing", "d/g"]})),
        ("write_file", json!({"path": "w", "content": "written"})),
        ("edit_file", json!({"path": "f", "edits": [{"oldText": "two", "newText": "2"}], "dryRun": true})),
        ("create_directory", json!({"path": "made"})),
        ("list_directory", json!({"path": "d"})),
        ("list_directory_with_sizes", json!({"path": "d"})),
        ("directory_tree", json!({"path": "d"})),
        ("move_file", json!({"source": "moved", "destination": "e/moved"})),
        ("search_files", json!({"path": ".", "pattern": "**/g"})),
        ("search_content", json!({"path": ".", "pattern": "[og]", "maxMatches": 2})),
        ("get_file_info", json!({"path": "unread"})),
        ("list_allowed_directories", json!({})),
    ]
}

#[tokio::test]
async fn each_tool_gives_the_same_content_and_nothing_that_repeats_it() {
    let scene = Scene::new().await;
    for (name, text) in [("f", "one\ntwo\n\"three\""), ("d/g", "g"), ("e/h", "h"), ("unread", "u")] {
        scene.write(name, text);
    }
    // Longer than what is read while others wait.
    scene.write("large", "line\n".repeat(200_000));
    for name in ["a.png", "a.mp3", "a.bin"] {
        scene.write(name, [0, 1, 2, 255]);
    }
    let [twice, once] = both(&scene.path(""), Compat::Default);
    let (mut twice, mut once) = (clients(&twice).await, clients(&once).await);
    for (at, (tool, arguments)) in calls().into_iter().enumerate() {
        for (twice, once) in twice.iter_mut().zip(&mut once) {
            let mut results = Vec::new();
            for client in [twice, once] {
                let _ = std::fs::remove_file(scene.path("e/moved"));
                scene.write("moved", "m");
                results.push(client.call(at as u64, tool, arguments.clone()).await);
            }
            let [with, without] = <[Value; 2]>::try_from(results).expect("two");
            assert_eq!(with.get("isError"), None, "{tool} {arguments}: {with}");
            assert!(
                with["structuredContent"]["content"].is_string() || with["content"][0].get("text").is_none()
            );
            let mut want = with;
            want.as_object_mut().expect("an object").remove("structuredContent").expect("the copy");
            assert!(without == want, "{tool} {arguments}");
        }
    }
}

/// A client validates a structured answer against the schema, and misses an answer that has none.
#[tokio::test]
async fn no_tool_promises_what_it_does_not_send() {
    let scene = Scene::new().await;
    for compat in [Compat::Default, Compat::Reference] {
        let [twice, once] = both(&scene.path(""), compat);
        let (twice, once) = (clients(&twice).await, clients(&once).await);
        for (is_modern, (mut twice, mut once)) in [false, true].into_iter().zip(twice.into_iter().zip(once)) {
            let request = if is_modern {
                modern(1, "tools/list")
            } else {
                json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            };
            let mut want = twice.ask(&request).await["result"]["tools"].take();
            for tool in want.as_array_mut().expect("a list") {
                tool.as_object_mut().expect("an object").remove("outputSchema").expect("a schema");
            }
            assert_eq!(once.ask(&request).await["result"]["tools"], want);
        }
    }
}

#[tokio::test]
async fn a_text_costs_its_own_bytes_and_no_more() {
    const TEXT_BYTES: usize = 100_000;
    let scene = Scene::new().await;
    scene.write("f", "x".repeat(TEXT_BYTES));
    let mut lengths = Vec::new();
    for server in both(&scene.path(""), Compat::Default) {
        let mut client = TestClient::legacy(&server, "2025-06-18").await;
        let params = json!({"name": "read_text_file", "arguments": {"path": "f"}});
        client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
        lengths.push(client.receive_line().await.len());
    }
    let around =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"\"}]}}\n".len();
    let copy = r#","structuredContent":{"content":""}"#.len();
    assert_eq!(lengths, [2 * TEXT_BYTES + around + copy, TEXT_BYTES + around]);
}

/// What is not sent takes no room, and what is refused says how much there was.
#[tokio::test]
async fn a_text_that_is_sent_once_may_be_twice_as_long() {
    let limits = Limits { max_frame_bytes: 64 << 10, max_reply_bytes: 64 << 10, ..Limits::default() };
    let limits = Limits { inline_read_bytes: 16 << 10, ..limits };
    let mut scene = Scene::of(limits, |tools| tools.text_once(true)).await;
    let old = "x".repeat(40 << 10);
    scene.write("f", &old);
    let edit = |new: &str| json!({"path": "f", "edits": [{"oldText": old, "newText": new}]});
    for (tool, arguments) in [
        ("read_text_file", json!({"path": "f"})),
        ("read_text_file", json!({"path": "f", "head": 1})),
        ("read_text_file", json!({"path": "f", "tail": 1})),
        ("read_multiple_files", json!({"paths": ["f"]})),
        ("edit_file", edit("y")),
    ] {
        let result = scene.call(tool, arguments).await;
        assert_eq!(result.get("isError"), None, "{tool}: {}", text_of(&result));
        assert!(text_of(&result).len() >= 40 << 10, "{tool}");
    }
    scene.write("media", "x".repeat(40 << 10));
    assert_eq!(scene.call("read_media_file", json!({"path": "media"})).await.get("isError"), None);
    scene.write("f", "x".repeat(80 << 10));
    let cut = text_of(&scene.call("read_text_file", json!({"path": "f", "tail": 1})).await);
    assert_eq!(cut.split('\n').next().map(str::len), Some(65_024 - 448), "what is kept for the note");
    let refused = scene.error("read_media_file", json!({"path": "f"})).await;
    let want = "there is room for 48384 (an answer carries the base64 of the data once and may";
    assert!(refused.contains(want), "{refused}");
    for file in 0..300 {
        scene.write(&format!("d/{file:0>250}"), "");
    }
    for (tool, arguments) in [
        ("list_directory", json!({"path": "d"})),
        ("directory_tree", json!({"path": "d"})),
        ("search_files", json!({"path": "d", "pattern": "*"})),
    ] {
        let result = scene.call(tool, arguments).await;
        let shown = text_of(&result);
        assert!(result.get("isError").is_none() && shown.len() > 60 << 10, "{tool}: {}", shown.len());
        assert!(result.to_string().contains(" are left"), "{tool}");
    }
}
