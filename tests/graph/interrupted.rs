//! What a kill in the middle of a write leaves: the file is cut at every byte, and at every step of a replacement.

use super::{Scene, entity, line, names};
use serde_json::{Value, json};

#[tokio::test]
async fn an_append_may_be_cut_at_every_byte() {
    let mut scene = Scene::new().await;
    scene.create("first").await;
    let before = scene.content();
    let more = json!({"entities": [entity("é😀", &["a \"quoted\" one"]), entity("third", &[])]});
    scene.answer("create_entities", more).await;
    let after = scene.content();
    assert!(after.starts_with(&before));
    let aside = scene.directory.path().join("memory.jsonl.unfinished");
    for end in before.len()..=after.len() {
        let cut = &after.as_bytes()[..end];
        let whole =
            cut.split(|byte| *byte == b'\n').filter(|line| serde_json::from_slice::<Value>(line).is_ok());
        let whole: Vec<String> = whole.map(name_of).collect();
        scene.write(cut);
        assert_eq!(scene.names().await, whole, "cut at {end}");
        assert_eq!(std::fs::read(scene.file()).expect("a file"), cut, "a call that reads writes nothing");
        scene.create("next").await;
        let content = scene.content();
        for line in content.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("cut at {end}: {content}"));
        }
        let read: Vec<String> = content.lines().map(|line| name_of(line.as_bytes())).collect();
        assert_eq!(read, [&whole[..], &["next".to_owned()]].concat(), "cut at {end}");
        // What was cut off is not lost.
        let rest = cut.rsplit(|byte| *byte == b'\n').next().expect("a part");
        let is_unfinished = !rest.is_empty() && serde_json::from_slice::<Value>(rest).is_err();
        assert_eq!(aside.exists(), is_unfinished, "cut at {end}");
        if is_unfinished {
            let put = std::fs::read(&aside).expect("a file");
            assert_eq!(put, [rest, b"\n"].concat());
            std::fs::remove_file(&aside).expect("a file");
        }
    }
}

fn name_of(line: &[u8]) -> String {
    let line: Value = serde_json::from_slice(line).expect("JSON");
    line["name"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn an_unfinished_line_is_put_aside_when_the_file_is_replaced_too() {
    let mut scene = Scene::new().await;
    scene.write(format!("{}\n{}\n{{\"type\":\"ent", line("a"), line("b")));
    scene.answer("delete_entities", json!({"entityNames": ["a"]})).await;
    assert_eq!(scene.content(), line("b") + "\n");
    let aside = scene.directory.path().join("memory.jsonl.unfinished");
    assert_eq!(std::fs::read_to_string(aside).expect("a file"), "{\"type\":\"ent\n");
}

#[tokio::test]
async fn a_replacement_may_end_at_every_step() {
    let mut scene = Scene::new().await;
    let temporary = scene.directory.path().join("memory.jsonl.mcpool-tmp");
    let old = [line("a"), line("b")].join("\n") + "\n";
    let new = line("b") + "\n";
    for written in 0..=new.len() {
        scene.write(&old);
        std::fs::write(&temporary, &new.as_bytes()[..written]).expect("a file");
        assert_eq!(scene.names().await, ["a", "b"], "{written} bytes of the new file");
        scene.answer("delete_entities", json!({"entityNames": ["b"]})).await;
        assert_eq!(scene.content(), line("a") + "\n");
        assert!(!temporary.exists());
    }
}

#[tokio::test]
async fn calls_at_once_lose_nothing() {
    const CALLS: u64 = 40;
    let mut scene = Scene::new().await;
    for id in 1..=CALLS {
        let arguments = json!({"entities": [entity(&format!("n{id}"), &[])]});
        let params = json!({"name": "create_entities", "arguments": arguments});
        scene
            .client
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
            .await;
    }
    for _ in 0..CALLS {
        let answer = scene.client.receive().await;
        assert_eq!(answer["result"].get("isError"), None, "{answer}");
    }
    scene.calls = CALLS;
    let mut found = names(&scene.answer("read_graph", json!({})).await);
    found.sort();
    let mut want: Vec<String> = (1..=CALLS).map(|id| format!("n{id}")).collect();
    want.sort();
    assert_eq!(found, want);
}
