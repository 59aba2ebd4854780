//! Several allowed directories, and directories that are deep or large.

use super::{Scene, text_of};
use crate::test_client::TestClient;
use mcpool::tools::filesystem::{Compat, Filesystem};
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;

#[tokio::test]
async fn a_relative_path_belongs_to_the_first_directory_that_can_hold_it() {
    let outer = tempfile::tempdir().expect("a directory");
    let outer = outer.path().canonicalize().expect("a path");
    for name in ["one", "two", "real"] {
        std::fs::create_dir(outer.join(name)).expect("a directory");
        std::fs::write(outer.join(name).join(name), name).expect("a file");
    }
    symlink("real", outer.join("linked")).expect("a link");
    symlink(outer.join("two/two"), outer.join("one/to_two")).expect("a link");
    let given = ["one", "two/.", "linked", "one"].map(|name| outer.join(name));
    let (filesystem, warnings) = Filesystem::new(&given, false).expect("usable");
    assert!(warnings.is_empty(), "{warnings:?}");
    let server = Server::builder("files", "1").toolset(filesystem).build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let listed = text_of(&client.call(1, "list_allowed_directories", json!({})).await);
    let root = outer.to_string_lossy();
    let want =
        format!("Allowed directories:\n{root}/one\n{root}/two\n{root}/linked\n{root}/real\n{root}/one");
    assert_eq!(listed, want, "a directory that is a link is listed twice, and so is one that is given twice");
    // (path, content or the beginning of the error)
    let absolute = format!("{root}/linked/real");
    let rows = [
        ("one", "one"),
        ("two", "ENOENT: no such file or directory, open '"),
        ("../two/two", "two"),
        ("../real/real", "real"),
        ("../linked/real", "real"),
        ("to_two", "two"),
        (&absolute, "real"),
        ("../three", "Access denied - path outside allowed directories: "),
    ];
    for (id, (path, want)) in rows.into_iter().enumerate() {
        let text = text_of(&client.call(id as u64 + 2, "read_text_file", json!({"path": path})).await);
        assert!(text.starts_with(want), "{path}: {text}");
    }
}

#[tokio::test]
async fn without_directories_every_path_is_refused() {
    let (filesystem, _) = Filesystem::new(&[], false).expect("the client may offer some");
    let server = Server::builder("files", "1").toolset(filesystem).build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let listed = client.call(1, "list_allowed_directories", json!({})).await;
    assert_eq!(text_of(&listed), "Allowed directories:\n");
    for (id, path) in [(2, "x"), (3, "/etc/passwd"), (4, "")] {
        let text = text_of(&client.call(id, "read_text_file", json!({"path": path})).await);
        assert!(text.starts_with("Access denied - path outside allowed directories: /"), "{text}");
    }
}

#[tokio::test]
async fn a_deep_tree_is_walked_without_holding_it_open() {
    // More levels than a process may usually have files open, in paths that are still short enough.
    const LEVELS: usize = 1_100;
    let mut scene = Scene::new().await;
    let deepest = vec!["d"; LEVELS].join("/");
    scene.write(&format!("{deepest}/f"), "");
    let found = scene.text("search_files", json!({"path": ".", "pattern": "**/f"})).await;
    assert!(found.ends_with("/d/d/f"), "{found}");
    let refused = scene.error("search_files", json!({"path": format!("{deepest}/f"), "pattern": "*"})).await;
    assert!(refused.starts_with("ENOTDIR: not a directory, scandir '"), "{refused}");
    let half = vec!["d"; LEVELS - 200].join("/");
    let tree = scene.text("directory_tree", json!({"path": half})).await;
    assert_eq!(tree.matches("\"children\"").count(), 200);
}

#[tokio::test]
async fn what_no_answer_could_hold_is_refused_early_in_the_reference() {
    let limits = Limits {
        max_reply_bytes: 32 << 10,
        max_frame_bytes: 32 << 10,
        inline_read_bytes: 16 << 10,
        ..Limits::default()
    };
    let mut scene = Scene::of(limits, |tools| tools.compat(Compat::Reference)).await;
    for file in 0..300 {
        scene.write(&format!("{file:0>200}"), "");
    }
    let want = "Too large for one answer: it grew beyond 16384 bytes of text, which an answer of 32768 bytes \
                carries twice; ask for less of it";
    for (tool, arguments) in [
        ("list_directory", json!({"path": "."})),
        ("list_directory_with_sizes", json!({"path": "."})),
        ("directory_tree", json!({"path": "."})),
        ("search_files", json!({"path": ".", "pattern": "*"})),
    ] {
        assert_eq!(scene.error(tool, arguments).await, want, "{tool}");
    }
    scene.write("x/f", "y".repeat(12 << 10));
    let text = scene.text("read_multiple_files", json!({"paths": ["x/f", "x/f", "x/f"]})).await;
    assert_eq!(text.matches("read it by itself").count(), 2, "{text}");
    scene.write("x/long", "z".repeat(40 << 10));
    let refused = scene.error("read_text_file", json!({"path": "x/long", "head": 1})).await;
    assert!(refused.starts_with("Too large for one answer: x/long has 40960 bytes"), "{refused}");
}

#[tokio::test]
async fn sizes_follow_links_inside_and_only_those() {
    let mut scene = Scene::new().await;
    scene.write("f", "12345");
    std::fs::write(scene.outside("o"), "1234567").expect("a file");
    symlink("f", scene.path("in")).expect("a link");
    symlink(scene.path("f"), scene.path("in_absolute")).expect("a link");
    symlink("../o", scene.path("out")).expect("a link");
    symlink("nowhere", scene.path("dangling")).expect("a link");
    let text = scene.text("list_directory_with_sizes", json!({"path": ".", "sortBy": "size"})).await;
    let sizes: Vec<Vec<&str>> =
        text.lines().take(5).map(|line| line.split_whitespace().skip(1).collect()).collect();
    let want: Value = json!([
        ["f", "5", "B"],
        ["in", "5", "B"],
        ["in_absolute", "5", "B"],
        ["dangling", "0", "B"],
        ["out", "0", "B"],
    ]);
    assert_eq!(json!(sizes), want);
    assert!(text.ends_with("Total: 5 files, 0 directories\nCombined size: 15 B"), "{text}");
}
