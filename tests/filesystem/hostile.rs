//! Paths that want out, and files that never end.

use super::{Scene, names};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::time::Duration;

/// Tools that take a path, with the rest of their arguments.
pub(crate) fn every_tool(path: &str) -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("read_file", json!({"path": path})),
        ("read_text_file", json!({"path": path})),
        ("read_text_file", json!({"path": path, "head": 1})),
        ("read_text_file", json!({"path": path, "tail": 1})),
        ("read_text_file", json!({"path": path, "offset": 1, "limit": 1})),
        ("read_media_file", json!({"path": path})),
        ("write_file", json!({"path": path, "content": "overwritten"})),
        ("edit_file", json!({"path": path, "edits": [{"oldText": "secret", "newText": "public"}]})),
        ("create_directory", json!({"path": path})),
        ("list_directory", json!({"path": path})),
        ("list_directory_with_sizes", json!({"path": path})),
        ("directory_tree", json!({"path": path})),
        ("move_file", json!({"source": path, "destination": "stolen"})),
        ("move_file", json!({"source": "own", "destination": path})),
        ("search_files", json!({"path": path, "pattern": "**"})),
        ("search_content", json!({"path": path, "pattern": "secret|mine"})),
        ("get_file_info", json!({"path": path})),
    ]
}

/// A file inside, secrets beside the root, and links of all kinds to them.
async fn scene_with_secrets() -> Scene {
    let scene = Scene::new().await;
    scene.write("own", "mine");
    std::fs::create_dir_all(scene.outside("secrets/deep")).expect("directories");
    std::fs::write(scene.outside("secrets/file"), "secret").expect("a file");
    std::fs::create_dir(scene.outside("rootfoo")).expect("a directory");
    symlink("../secrets/file", scene.path("rel")).expect("a link");
    symlink(scene.outside("secrets/file"), scene.path("abs")).expect("a link");
    symlink(scene.outside("secrets"), scene.path("dir")).expect("a link");
    symlink("../secrets/new", scene.path("dangling")).expect("a link");
    symlink("rel", scene.path("chain")).expect("a link");
    symlink("/proc/self/cwd", scene.path("magic")).expect("a link");
    symlink("..", scene.path("up")).expect("a link");
    scene
}

#[tokio::test]
async fn no_path_leads_outside() {
    let mut scene = scene_with_secrets().await;
    let outside = scene.outside("secrets/file").to_string_lossy().into_owned();
    let sibling = scene.outside("rootfoo/x").to_string_lossy().into_owned();
    let above = scene.path("../secrets/file").to_string_lossy().into_owned();
    let rows = [
        ("..", "path outside"),
        ("../secrets/file", "path outside"),
        ("own/../../secrets/file", "path outside"),
        ("a/b/../../../secrets", "path outside"),
        ("/", "path outside"),
        ("/etc/passwd", "path outside"),
        ("//etc//passwd", "path outside"),
        ("~", "path outside"),
        ("~/x", "path outside"),
        (&outside, "path outside"),
        (&sibling, "path outside"),
        (&above, "path outside"),
        ("../rootfoo/x", "path outside"),
        ("own\0/../../x", "path outside"),
        ("own\0", "path outside"),
        ("rel", "symlink target outside"),
        ("abs", "symlink target outside"),
        ("chain", "symlink target outside"),
        ("dir", "symlink target outside"),
        ("dir/file", "symlink target outside"),
        ("dir/deep", "symlink target outside"),
        ("dir/new", "symlink target outside"),
        ("magic", "symlink target outside"),
        ("up", "symlink target outside"),
        ("up/secrets/file", "symlink target outside"),
        ("up/root/../secrets", "symlink target outside"),
        ("dangling", "symlink target outside"),
        ("dangling/x", "symlink target outside"),
        ("C:\\Windows", "Windows-style path"),
        ("c:/", "Windows-style path"),
    ];
    for (path, want) in rows {
        for (tool, arguments) in every_tool(path) {
            let text = scene.error(tool, arguments).await;
            assert!(text.contains(want), "{tool} {path}: {text}");
            assert!(!text.contains("secret\n") && !text.contains("mine"), "{tool} {path}: {text}");
        }
    }
    assert_eq!(std::fs::read_to_string(scene.outside("secrets/file")).expect("the file"), "secret");
    assert_eq!(names(&scene.outside("secrets")), ["deep", "file"]);
    assert_eq!(names(scene.outer.path()), ["root", "rootfoo", "secrets"]);
    assert_eq!(names(&scene.outside("rootfoo")), Vec::<String>::new());
    assert_eq!(std::fs::read_to_string(scene.path("own")).expect("the file"), "mine");
}

#[tokio::test]
async fn links_that_stay_inside_work() {
    let mut scene = Scene::new().await;
    scene.write("d/f", "inside");
    symlink("d/f", scene.path("rel")).expect("a link");
    symlink(scene.path("d"), scene.path("abs")).expect("a link");
    symlink("../root/d/f", scene.path("around")).expect("a link");
    for path in ["rel", "abs/f", "around", "d/../rel", "missing/../rel"] {
        assert_eq!(scene.text("read_text_file", json!({"path": path})).await, "inside", "{path}");
    }
    scene.text("write_file", json!({"path": "abs/f", "content": "changed"})).await;
    scene.text("write_file", json!({"path": "around", "content": "changed again"})).await;
    assert_eq!(std::fs::read_to_string(scene.path("d/f")).expect("the file"), "changed again");
    assert!(std::fs::symlink_metadata(scene.path("around")).expect("the link").is_symlink());
}

#[tokio::test]
async fn pipes_and_devices_are_refused_at_once() {
    let mut scene = Scene::new().await;
    let made = std::process::Command::new("mkfifo").arg(scene.path("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("socket")).expect("a socket");
    let want = "Not a regular file: OUTER/root/pipe is a named pipe (FIFO); only regular files can be read or replaced";
    for (tool, arguments) in [
        ("read_text_file", json!({"path": "pipe"})),
        ("read_text_file", json!({"path": "pipe", "head": 1})),
        ("read_text_file", json!({"path": "pipe", "tail": 1})),
        ("read_media_file", json!({"path": "pipe"})),
        ("write_file", json!({"path": "pipe", "content": "x"})),
        ("edit_file", json!({"path": "pipe", "edits": []})),
    ] {
        let call = scene.error(tool, arguments);
        let text = tokio::time::timeout(Duration::from_mins(1), call).await.expect("no waiting");
        assert_eq!(text, want, "{tool}");
    }
    let text = scene.error("read_text_file", json!({"path": "socket"})).await;
    assert_eq!(text, "ENXIO: no such device or address, open 'OUTER/root/socket'");
    assert_eq!(names(&scene.path("")), ["pipe", "socket"]);
    let listed = scene.text("list_directory", json!({"path": "."})).await;
    assert_eq!(listed, "[FILE] pipe\n[FILE] socket");
}

#[tokio::test]
async fn names_are_found_in_either_unicode_form() {
    let mut scene = Scene::new().await;
    scene.write("caf\u{e9}/x", "1");
    scene.write("n\u{303}", "2");
    scene.write("both\u{e9}", "composed");
    scene.write("bothe\u{301}", "decomposed");
    assert_eq!(scene.text("read_text_file", json!({"path": "cafe\u{301}/x"})).await, "1");
    assert_eq!(scene.text("read_text_file", json!({"path": "\u{f1}"})).await, "2");
    assert_eq!(scene.text("read_text_file", json!({"path": "bothe\u{301}"})).await, "decomposed");
    scene.text("write_file", json!({"path": "\u{f1}", "content": "3"})).await;
    assert_eq!(std::fs::read_to_string(scene.path("n\u{303}")).expect("the file"), "3");
    scene.write("s\u{323}\u{307}", "");
    scene.write("\u{1e69}", "");
    let text = scene.error("read_text_file", json!({"path": "s\u{307}\u{323}"})).await;
    assert_eq!(text, "Ambiguous Unicode path component: s\u{307}\u{323}");
}
