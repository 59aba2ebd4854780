//! What stays in the file although the tools do not know it, and what stays of the file itself.

use super::{Scene, entity, line};
use serde_json::json;
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

#[tokio::test]
async fn a_line_that_cannot_be_read_is_named_and_stays() {
    let mut scene = Scene::new().await;
    for (broken, fault) in [
        ("{\"type\":\"entity\",", "is not JSON"),
        ("<<<<<<< HEAD", "is not JSON"),
        (r#"{"type":"entity","name":["n"],"entityType":"t","observations":[]}"#, "name is no string"),
        (r#"{"type":"entity","name":"n","entityType":"t","observations":"o"}"#, "no list of strings"),
    ] {
        let content = format!("{}\n\n{broken}\n{}\n", line("a"), line("b"));
        scene.write(&content);
        for (tool, arguments) in [
            ("read_graph", json!({})),
            ("search_nodes", json!({"query": "a"})),
            ("create_entities", json!({"entities": [entity("c", &[])]})),
            ("delete_entities", json!({"entityNames": ["a"]})),
        ] {
            let text = scene.error(tool, arguments).await;
            assert!(text.starts_with("Line 3 of the knowledge graph "), "{text}");
            assert!(text.contains(fault) && text.contains("correct or remove that line"), "{text}");
        }
        assert_eq!(scene.content(), content);
    }
    scene.write([line("a").as_bytes(), b"\n\xff\xfe\n", line("b").as_bytes()].concat());
    assert!(scene.error("read_graph", json!({})).await.contains("Line 2 "));
    scene.write(line("a") + "\n{\n");
    assert!(scene.error("read_graph", json!({})).await.contains("(EOF while parsing an object at column 1)"));
    scene.write(line("a"));
    assert_eq!(scene.names().await, ["a"], "a file that was put right is read");
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
