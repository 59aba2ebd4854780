//! What stays in the file although the tools do not know it, and what stays of the file itself.

use super::{Scene, entity, line, names};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

const FOREIGN: &str = concat!(
    r#"{"type":"note","text":"x"}"#,
    "\n[1]\n",
    r#"{"created":1,"type":"entity","name":"n","entityType":"t","observations":["o"],"more":{"deep":[1]}}"#,
    "\n",
    r#"{"type":"relation","from":"n","to":"m","relationType":"r","weight":0.5}"#,
);

#[tokio::test]
async fn what_the_reference_drops_stays_through_every_change() {
    let mut scene = Scene::new().await;
    scene.write(FOREIGN);
    assert_eq!(scene.names().await, ["n"]);
    scene.create("m").await;
    scene.answer("add_observations", json!({"observations": [{"entityName": "n", "contents": ["p"]}]})).await;
    scene
        .answer("delete_observations", json!({"deletions": [{"entityName": "n", "observations": ["o"]}]}))
        .await;
    scene.answer("delete_entities", json!({"entityNames": ["m"]})).await;
    let want = concat!(
        r#"{"type":"note","text":"x"}"#,
        "\n[1]\n",
        r#"{"created":1,"type":"entity","name":"n","entityType":"t","observations":["p"],"more":{"deep":[1]}}"#,
        "\n",
    );
    assert_eq!(scene.content(), want, "the relation to what was deleted is gone too");
}

#[tokio::test]
async fn an_entity_without_a_type_is_shown_and_not_an_error() {
    let mut scene = Scene::new().await;
    scene.write(r#"{"type":"entity","name":"n"}"#);
    let graph = scene.answer("read_graph", json!({})).await;
    assert_eq!(graph["entities"], json!([{"name": "n", "entityType": "", "observations": []}]));
    scene.answer("add_observations", json!({"observations": [{"entityName": "n", "contents": ["o"]}]})).await;
    assert_eq!(scene.content(), "{\"type\":\"entity\",\"name\":\"n\",\"observations\":[\"o\"]}\n");
}

/// What is said of the line behind an answer, which has the entities of the other lines.
async fn note(scene: &mut Scene, tool: &str, arguments: Value, want: &[&str]) -> String {
    let answer = scene.call(tool, arguments).await;
    assert_eq!(answer.get("isError"), None, "{tool}: {answer}");
    assert_eq!(names(&answer["structuredContent"]), want, "{tool}");
    let content = answer["content"].as_array().expect("a list");
    let graph: Value = serde_json::from_str(content[0]["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(graph, answer["structuredContent"], "{tool}");
    assert_eq!(content.len(), 2, "{answer}");
    content[1]["text"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_line_that_cannot_be_read_is_left_out_and_named_and_stays() {
    let mut scene = Scene::new().await;
    let faults: [(&[u8], &str); 5] = [
        (b"{\"type\":\"entity\",", "is not JSON"),
        (b"<<<<<<< HEAD", "is not JSON"),
        (br#"{"type":"entity","name":["n"],"entityType":"t","observations":[]}"#, "name is no string"),
        (br#"{"type":"entity","name":"n","entityType":"t","observations":"o"}"#, "no list of strings"),
        (b"{\"type\":\"entity\",\"name\":\"\xff\xfe\"}", "is not UTF-8"),
    ];
    for (broken, fault) in faults {
        let content = [line("a").as_bytes(), b"\n\n", broken, b"\n", line("b").as_bytes(), b"\n"].concat();
        scene.write(&content);
        for (tool, arguments, want) in [
            ("read_graph", json!({}), &["a", "b"][..]),
            ("search_nodes", json!({"query": "a"}), &["a"]),
            ("open_nodes", json!({"names": ["b", "n"]}), &["b"]),
        ] {
            let text = note(&mut scene, tool, arguments, want).await;
            assert!(text.starts_with("[Line 3 of the knowledge graph ") && text.contains(fault), "{text}");
            assert!(
                text.ends_with(", so it is left out here, and nothing can be changed: correct or remove it]")
            );
        }
        for (tool, arguments) in [
            ("create_entities", json!({"entities": [entity("c", &[])]})),
            ("delete_entities", json!({"entityNames": ["a"]})),
        ] {
            let text = scene.error(tool, arguments).await;
            assert!(text.starts_with("Line 3 of the knowledge graph "), "{text}");
            assert!(text.contains(fault) && text.contains("correct or remove that line"), "{text}");
        }
        let uri = json!({"uri": "memory://knowledge-graph"});
        scene.calls += 1;
        let request = json!({"jsonrpc": "2.0", "id": scene.calls, "method": "resources/read", "params": uri});
        let refused = scene.client.ask(&request).await;
        let text = refused["error"]["message"].as_str().expect("a message");
        assert!(text.contains("Line 3 of the knowledge graph ") && text.contains(fault), "{text}");
        assert_eq!(std::fs::read(scene.file()).expect("a file"), content);
    }
    scene.write(line("a") + "\n{\n");
    let text = note(&mut scene, "read_graph", json!({}), &["a"]).await;
    assert!(text.contains("(EOF while parsing an object at column 1)"), "{text}");
    scene.write(line("a"));
    assert_eq!(scene.names().await, ["a"], "a file that was put right is read");
    scene.create("b").await;
}

/// Lines that another program appends to a graph that was read: those that can be read are, whatever stands between.
#[tokio::test]
async fn lines_that_cannot_be_read_take_no_others_away() {
    use std::io::Write as _;
    let mut scene = Scene::new().await;
    scene.create("a").await;
    let path = scene.file();
    let append = |bytes: &[u8]| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("a file");
        file.write_all(bytes).expect("written");
    };
    append(&[b"\xff\xfe\n", line("b").as_bytes(), b"\n"].concat());
    append(&[b"<<<<<<<\n\x80\n", line("c").as_bytes(), b"\n"].concat());
    let text = note(&mut scene, "read_graph", json!({}), &["a", "b", "c"]).await;
    assert!(text.starts_with("[Line 2 of ") && text.contains(" is not UTF-8, so"), "{text}");
    assert!(text.contains(", as are 2 more lines that cannot be read, and nothing can be changed"), "{text}");
    append(&[line("d").as_bytes(), b"\n"].concat());
    let text = note(&mut scene, "read_graph", json!({}), &["a", "b", "c", "d"]).await;
    assert!(text.contains(", as are 2 more lines"), "{text}");
    // Of what is read anew, too, no line goes when the others are put right.
    let lines = std::fs::read(scene.file()).expect("a file");
    let lines: Vec<&[u8]> =
        lines.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")).collect();
    scene.write(lines.join(&b'\n'));
    assert_eq!(scene.names().await, ["a", "b", "c", "d"]);
    scene.answer("delete_entities", json!({"entityNames": ["b"]})).await;
    assert_eq!(scene.names().await, ["a", "c", "d"]);
}

#[tokio::test]
async fn permissions_and_links_stay() {
    let mut scene = Scene::new().await;
    scene.create("a").await;
    let mode = |scene: &Scene| std::fs::metadata(scene.file()).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&scene), 0o600, "a new file is for its owner");
    std::fs::set_permissions(scene.file(), std::fs::Permissions::from_mode(0o640)).expect("a mode");
    scene.answer("add_observations", json!({"observations": [{"entityName": "a", "contents": ["o"]}]})).await;
    assert_eq!(mode(&scene), 0o640);

    let real = scene.directory.path().join("real.jsonl");
    std::fs::rename(scene.file(), &real).expect("a file");
    let middle = scene.directory.path().join("middle");
    symlink("real.jsonl", &middle).expect("a link");
    symlink(&middle, scene.file()).expect("a link");
    scene.create("b").await;
    scene.answer("delete_entities", json!({"entityNames": ["a"]})).await;
    assert!(std::fs::symlink_metadata(scene.file()).expect("a link").is_symlink());
    assert_eq!(std::fs::read_to_string(&real).expect("a file"), line("b") + "\n");

    std::fs::remove_file(&real).expect("a file");
    assert_eq!(scene.names().await, [""; 0], "a link to nothing is an empty graph");
    scene.create("c").await;
    assert_eq!(std::fs::read_to_string(&real).expect("a file"), line("c") + "\n");
}

#[tokio::test]
async fn a_file_that_is_none_is_refused() {
    let mut scene = Scene::new().await;
    std::fs::create_dir(scene.file()).expect("a directory");
    for (tool, arguments) in [("read_graph", json!({})), ("create_entities", json!({"entities": []}))] {
        let text = scene.error(tool, arguments).await;
        assert!(text.contains("is a directory and not a file"), "{text}");
    }
    std::fs::remove_dir(scene.file()).expect("a directory");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.file(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    );
    made.expect("a pipe");
    // Nobody writes to it: whoever opened it to read would wait for ever.
    assert!(scene.error("read_graph", json!({})).await.contains("is a pipe and not a file"));
    std::fs::remove_file(scene.file()).expect("a pipe");
    std::fs::remove_dir_all(scene.directory.path()).expect("a directory");
    assert_eq!(scene.names().await, [""; 0]);
    let text = scene.error("create_entities", json!({"entities": [entity("a", &[])]})).await;
    assert!(text.contains("cannot be written: No such file or directory"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_read_only_is_left_alone() {
    let mut scene = Scene::new().await;
    scene.write(line("a"));
    std::fs::set_permissions(scene.file(), std::fs::Permissions::from_mode(0o400)).expect("a mode");
    let is_root = std::fs::metadata(scene.file()).expect("a file").uid() == 0;
    assert_eq!(scene.names().await, ["a"]);
    if is_root {
        // Permissions bind nobody then.
        scene.create("b").await;
        assert_eq!(scene.names().await, ["a", "b"]);
    } else {
        let text = scene.error("create_entities", json!({"entities": [entity("b", &[])]})).await;
        assert!(text.contains("cannot be written: Permission denied"), "{text}");
        assert_eq!(scene.content(), line("a"));
    }
}

#[tokio::test]
async fn a_call_that_fails_leaves_no_file() {
    let mut scene = Scene::new().await;
    let arguments = json!({"observations": [{"entityName": "nobody", "contents": ["o"]}]});
    assert_eq!(scene.error("add_observations", arguments).await, "Entity with name nobody not found");
    assert!(!scene.file().exists());
}

#[tokio::test]
async fn what_others_do_to_the_file_is_seen_at_once() {
    use std::io::Write as _;
    let mut scene = Scene::new().await;
    scene.write(line("a"));
    assert_eq!(scene.names().await, ["a"]);
    let append = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(scene.file()).expect("a file");
        file.write_all(text.as_bytes()).expect("a line");
    };
    append(&format!("\n{}", line("b")));
    append(&format!("\n\n{}\n", line("c")));
    assert_eq!(scene.names().await, ["a", "b", "c"]);
    // Longer, and not the same with more behind.
    scene.write([line("x"), line("y"), line("z"), line("long"), line("longer")].join("\n"));
    assert_eq!(scene.names().await, ["x", "y", "z", "long", "longer"]);
    std::fs::write(scene.file(), line("one") + "\n" + &line("two")).expect("a file");
    assert_eq!(scene.names().await, ["one", "two"]);
    scene.create("three").await;
    std::fs::remove_file(scene.file()).expect("a file");
    assert_eq!(scene.names().await, [""; 0]);
    scene.create("new").await;
    assert_eq!(scene.content(), line("new") + "\n");
}
