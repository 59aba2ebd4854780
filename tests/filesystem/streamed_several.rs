//! Several files in one answer that is sent while they are read: the same bytes as where it is written at once.

use super::Scene;
use super::streamed::{Host, KIB, rest_of_line, server};
use crate::test_client::{TestClient, meta};
use mcpool::Limits;
use serde_json::{Value, json};
use std::io::{Read, Write};

async fn client(scene: &Scene, limits: Limits) -> TestClient {
    TestClient::legacy(&server(&scene.path(""), limits), "2025-03-26").await
}

/// The answer alone, and the one in a batch, which is written before it is sent.
async fn answers(client: &mut TestClient, paths: &[String]) -> (String, String) {
    let params = json!({"name": "read_multiple_files", "arguments": {"paths": paths}});
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    client.send(&call).await;
    let alone = client.receive_line().await;
    client.send(&json!([call])).await;
    (format!("[{}]", alone.trim_end()), client.receive_line().await.trim_end().to_owned())
}

/// A text with escapes, long characters and, at its end, one that does not end.
fn text(bytes: usize) -> Vec<u8> {
    let unit = "a line with \"quotes\"\t\u{1}\u{1f} and \u{e9}\u{20ac}\r\n".as_bytes();
    let mut text = unit.repeat(bytes / unit.len());
    text.extend_from_slice(b"\xE2\x82");
    text
}

#[tokio::test]
async fn several_files_are_answered_as_if_they_were_written_at_once() {
    let scene = Scene::new().await;
    for (name, bytes) in [("a", 0), ("b", 10), ("c", 63 * KIB), ("d", 65 * KIB), ("e", 300 * KIB)] {
        scene.write(name, text(bytes));
    }
    scene.write("nothing", "");
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    let long = "n".repeat(5_000);
    let many = ["c", "b"].repeat(120);
    let rows: [&[&str]; 10] = [
        &many,
        &["d"],
        &["e", "e", "e"],
        &["c", "b", "none", "d", "folder", "a"],
        &["none", "d"],
        &["d", "none"],
        &["nothing", "e", "nothing"],
        &["b", "c", "c"],
        &[&long, "e", "../outside \"quoted\""],
        &["e", "e", "e", "e", "e", "e", "e", "e", "e", "e", "b"],
    ];
    // Where all fit, where some are too large, and where nearly all are.
    for max_reply_bytes in [64 << 20, 4 << 20, 700 * KIB, 200 * KIB] {
        let mut client =
            client(&scene, Limits { max_reply_bytes, max_frame_bytes: 64 * KIB, ..Limits::default() }).await;
        for names in rows {
            let paths: Vec<String> = names.iter().map(ToString::to_string).collect();
            let (alone, batch) = answers(&mut client, &paths).await;
            assert!(alone == batch, "{names:.20?} in {max_reply_bytes}:\n{alone:.900}\n{batch:.900}");
            serde_json::from_str::<Value>(&alone).expect("valid JSON");
        }
    }
}

#[tokio::test]
async fn more_files_than_are_kept_in_mind_are_answered_too() {
    let scene = Scene::new().await;
    let mut client = client(&scene, Limits::default()).await;
    scene.write("e", text(100 * KIB));
    // Of long paths, and of long errors.
    for names in [vec!["./".repeat(1_000) + "e"; 140], vec!["none".to_owned() + &"n".repeat(200); 900]] {
        let mut paths = names;
        paths.push("e".to_owned());
        let (alone, batch) = answers(&mut client, &paths).await;
        assert!(alone == batch, "{} paths:\n{alone:.900}\n{batch:.900}", paths.len());
        assert!(alone.len() > 300 * KIB && !alone.contains(r#""isError":true"#), "{alone:.300}");
    }
}

#[test]
fn a_file_that_is_gone_on_the_way_gives_a_valid_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("e"), text(3 << 20)).expect("a file");
    std::fs::write(path("f"), text(10)).expect("a file");
    let mut stream = host.connect();
    let arguments = json!({"paths": [path("f"), path("e"), path("f")]});
    let params = json!({"name": "read_multiple_files", "arguments": arguments, "_meta": meta()});
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    writeln!(stream, "{call}").expect("sent");
    let mut line = vec![0; 500 * KIB];
    stream.read_exact(&mut line).expect("the answer begins");
    std::fs::remove_file(path("e")).expect("removed");
    let answer = rest_of_line(&mut stream, line);
    let result = &answer["result"];
    assert!(answer["id"] == 7 && result["isError"] == true);
    assert!(result["content"][1]["text"].as_str().expect("why").starts_with("ENOENT"));
}
