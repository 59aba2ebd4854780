//! Paths that are too long or too deep, names that are stored with other blanks, and what errors may say.

use super::hostile::every_tool;
use super::{Scene, names};
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::json;
use std::os::unix::fs::symlink;

#[tokio::test]
async fn paths_have_bounds_whoever_asks() {
    let mut scene = Scene::new().await;
    scene.write("own", "mine");
    let rows = [
        "p/".repeat(32_000),
        "../".repeat(10_000),
        "p/".repeat(2_049),
        "p/".repeat(1_300),
        "a/../".repeat(900),
        "x".repeat(1 << 16),
        format!("/{}", "y".repeat(5_000)),
        format!("C:\\{}", "z".repeat(5_000)),
        format!("~/{}", "z/".repeat(2_000)),
    ];
    for path in &rows {
        let begin: String = path.chars().take(20).collect();
        for (tool, arguments) in every_tool(path) {
            let text = scene.error(tool, arguments).await;
            assert!(
                text.starts_with("ENAMETOOLONG: name too long, a path may have "),
                "{tool} {begin}: {text}"
            );
            assert!(text.len() < 512, "{tool} {begin}: {} bytes", text.len());
        }
        let several = scene.text("read_multiple_files", json!({"paths": [path, "own"]})).await;
        assert!(
            several.ends_with("own:\nmine\n") && several.len() < 5_000,
            "{begin}: {} bytes",
            several.len()
        );
    }
    assert_eq!(names(&scene.path("")), ["own"]);
}

#[tokio::test]
async fn directories_are_made_as_deep_as_paths_may_be() {
    let mut scene = Scene::new().await;
    let deep = "d/".repeat(1_100);
    scene.text("create_directory", json!({"path": deep})).await;
    assert!(scene.path(&deep).is_dir());
    scene.text("create_directory", json!({"path": deep})).await;
    let info = scene.text("get_file_info", json!({"path": deep})).await;
    assert!(info.contains("isDirectory: true"), "{info}");
    let missing = scene.error("get_file_info", json!({"path": format!("{deep}x/y/z")})).await;
    assert!(missing.starts_with("ENOENT: no such file or directory, stat '"), "{missing}");
}

#[tokio::test]
async fn a_blank_is_no_other_one_in_the_reference() {
    let mut scene = Scene::of(Limits::default(), |tools| tools.compat(Compat::Reference)).await;
    scene.write("a\u{202f}b", "shot");
    let arguments = json!({"path": "a b"});
    for tool in ["read_file", "read_text_file", "read_media_file", "get_file_info"] {
        let refused = scene.error(tool, arguments.clone()).await;
        assert!(refused.starts_with("ENOENT: no such file or directory, "), "{tool}: {refused}");
    }
    let several = scene.text("read_multiple_files", json!({"paths": ["a b", "a\u{202f}b"]})).await;
    assert!(several.starts_with("a b: Error - ENOENT: ") && several.ends_with(":\nshot\n"), "{several}");
}

#[tokio::test]
async fn a_blank_finds_the_one_name_with_another_blank_to_read_it() {
    let mut scene = Scene::new().await;
    let name = "Screenshot 2026-01-02 at 3.04.05\u{202f}PM.txt";
    scene.write(name, "shot");
    scene.write("a\u{a0}b/c d", "below");
    let typed = "Screenshot 2026-01-02 at 3.04.05 PM.txt";
    assert_eq!(scene.text("read_text_file", json!({"path": typed})).await, "shot");
    assert_eq!(scene.text("read_text_file", json!({"path": typed, "head": 1})).await, "shot");
    assert_eq!(scene.text("read_text_file", json!({"path": "a b/c d"})).await, "below");
    let several = scene.text("read_multiple_files", json!({"paths": [typed]})).await;
    assert_eq!(several, format!("{typed}:\nshot\n"));
    assert!(scene.text("get_file_info", json!({"path": typed})).await.starts_with("size: 4\n"));
    assert_eq!(scene.call("read_media_file", json!({"path": typed})).await.get("isError"), None);
    // What changes something needs the name as it is.
    let edit = json!({"path": typed, "edits": [{"oldText": "shot", "newText": "lost"}]});
    let refused = scene.error("edit_file", edit).await;
    assert_eq!(refused, format!("ENOENT: no such file or directory, open 'OUTER/root/{typed}'"));
    let refused = scene.error("move_file", json!({"source": typed, "destination": "x"})).await;
    assert!(refused.starts_with("ENOENT: "), "{refused}");
    scene.text("write_file", json!({"path": typed, "content": "written"})).await;
    // Now it is there exactly, and that is what is read.
    assert_eq!(scene.text("read_text_file", json!({"path": typed})).await, "written");
    assert_eq!(std::fs::read_to_string(scene.path(name)).expect("the file"), "shot");
    scene.write("one\u{a0}two", "1");
    scene.write("one\u{202f}two", "2");
    let refused = scene.error("read_text_file", json!({"path": "one two"})).await;
    let want = "Ambiguous name: no file is called 'one two', and two differ from it only in the kind of their \
                blanks: 'one\\u{a0}two' and 'one\\u{202f}two'; ask for one of them";
    assert_eq!(refused, want);
    assert_eq!(scene.text("read_text_file", json!({"path": "one\u{a0}two"})).await, "1");
}

#[tokio::test]
async fn errors_do_not_say_where_links_lead_outside() {
    const SECRET: &str = "nobody-may-know";
    let mut scene = Scene::new().await;
    scene.write("own", "mine");
    std::fs::create_dir_all(scene.outside(SECRET).join("deep")).expect("directories");
    std::fs::write(scene.outside(SECRET).join("file"), "secret").expect("a file");
    symlink("itself", scene.outside(SECRET).join("itself")).expect("a link");
    for (link, words) in [
        ("file", format!("../{SECRET}/file")),
        ("directory", format!("../{SECRET}")),
        ("absolute", scene.outside(SECRET).to_string_lossy().into_owned()),
        ("dangling", format!("../{SECRET}/nothing")),
        ("beyond", format!("../{SECRET}/file/beyond")),
        ("endless", format!("../{SECRET}/itself")),
        ("long", format!("../{SECRET}/{}", "n".repeat(300))),
        ("chain", "file".to_owned()),
    ] {
        symlink(words, scene.path(link)).expect("a link");
        for path in [link.to_owned(), format!("{link}/x"), format!("{link}/file"), format!("{link}/deep/x")] {
            for (tool, arguments) in every_tool(&path) {
                let text = scene.error(tool, arguments).await;
                assert!(!text.contains(SECRET), "{tool} {path}: {text}");
            }
            let several = scene.text("read_multiple_files", json!({"paths": [path]})).await;
            assert!(several.contains(": Error - ") && !several.contains(SECRET), "{path}: {several}");
        }
    }
    // Nor whether anything is there.
    for (tool, arguments) in every_tool("LINK") {
        let mut answers = Vec::new();
        for link in ["file", "directory", "absolute", "dangling", "beyond", "endless", "long"] {
            let arguments = serde_json::to_string(&arguments).expect("JSON").replace("LINK", link);
            let arguments = serde_json::from_str(&arguments).expect("JSON");
            answers.push(scene.error(tool, arguments).await.replace(&format!("/{link}"), "/LINK"));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{tool}: {answers:#?}");
    }
    for (tool, arguments) in [
        ("list_directory_with_sizes", json!({"path": "."})),
        ("directory_tree", json!({"path": "."})),
        ("search_files", json!({"path": ".", "pattern": "**"})),
    ] {
        let text = scene.text(tool, arguments).await;
        assert!(!text.contains(SECRET), "{tool}: {text}");
    }
}

/// A tree that goes on below the longest path: what is not searched is said.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_lies_deeper_than_a_path_may_is_said_not_to_be_searched() {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let mut scene = Scene::new().await;
    let name = "d".repeat(200);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut directory = openat(CWD, scene.path(""), flags, Mode::empty()).expect("opened");
    for _ in 0..25 {
        mkdirat(&directory, &*name, Mode::RWXU).expect("a directory");
        directory = openat(&directory, &*name, flags, Mode::empty()).expect("opened");
    }
    let note = "[Not searched: 1 directory that cannot be listed]";
    let found = scene.text("search_files", json!({"path": ".", "pattern": "**"})).await;
    assert!(found.matches('\n').count() > 15 && found.ends_with(&format!("d\n\n{note}")), "{found}");
    for (tool, pattern) in [("search_files", "x"), ("search_content", "x")] {
        let found = scene.text(tool, json!({"path": ".", "pattern": pattern})).await;
        assert_eq!(found, format!("No matches found\n\n{note}"), "{tool}");
    }
    let tree = scene.text("directory_tree", json!({"path": "."})).await;
    assert_eq!(tree.matches("\"error\": \"ENAMETOOLONG").count(), 1, "{tree}");
}
