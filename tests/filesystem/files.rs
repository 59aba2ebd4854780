//! What the tools do with files.

use super::{Scene, names, text_of};
use crate::test_client::TestClient;
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[tokio::test]
async fn head_and_tail_cut_as_the_reference_does() {
    let mut scene = Scene::new().await;
    let long = format!("{}\r\n{}\nlast\r", "é".repeat(9_000), "x".repeat(20_000));
    let rows: [(&str, Value, &str); 16] = [
        ("a\nb\nc\n", json!({"head": 2}), "a\nb"),
        ("a\nb\nc\n", json!({"head": 9}), "a\nb\nc"),
        ("a\n\n", json!({"head": 9}), "a\n"),
        ("a\r\nb", json!({"head": 1}), "a\r"),
        ("a\nb\nc", json!({"head": 1.5}), "a\nb"),
        ("a\nb", json!({"head": -1}), ""),
        ("a\nb", json!({"head": 0, "tail": 0}), "a\nb"),
        ("a\nb\n", json!({"tail": 1}), ""),
        ("a\nb\n", json!({"tail": 2}), "b\n"),
        ("a\r\nb\r\n", json!({"tail": 2}), "b\n"),
        ("a\nb\nc", json!({"tail": 1.9}), "c"),
        ("a\nb", json!({"tail": 99}), "a\nb"),
        ("a\nb", json!({"tail": -1}), ""),
        ("", json!({"tail": 3}), ""),
        (&long, json!({"tail": 1}), "last\r"),
        (&long, json!({"head": 1}), &long[..18_001]),
    ];
    for (content, mut arguments, want) in rows {
        scene.write("f", content);
        arguments["path"] = json!("f");
        assert_eq!(scene.text("read_text_file", arguments.clone()).await, want, "{arguments}");
    }
    let both = scene.error("read_file", json!({"path": "f", "head": 1, "tail": 1})).await;
    assert_eq!(both, "Cannot specify both head and tail parameters simultaneously");
}

#[tokio::test]
async fn a_long_file_survives_its_chunks() {
    let mut scene = Scene::new().await;
    // Characters and line ends of several bytes fall on every border of a chunk sooner or later.
    for shift in 0..5 {
        let content = format!("{}{}", "x".repeat(shift), "é漢😀\r\n".repeat(8_000));
        scene.write("f", &content);
        assert_eq!(scene.text("read_text_file", json!({"path": "f"})).await, content);
        let tail = scene.text("read_text_file", json!({"path": "f", "tail": 7_001})).await;
        assert_eq!(tail, "é漢😀\n".repeat(7_000));
    }
    scene.write("bad", b"a\xff\xfe\xc3(\xe2\x82z\xf0\x9f\x98\n");
    let text = scene.text("read_text_file", json!({"path": "bad"})).await;
    assert_eq!(text, "a\u{fffd}\u{fffd}\u{fffd}(\u{fffd}z\u{fffd}\n");
}

#[tokio::test]
async fn the_mark_for_a_broken_character_stays_where_the_character_is() {
    let mut scene = Scene::new().await;
    scene.write("latin1", b"caf\xe9\nna\xefve\n\xe9");
    for (arguments, want) in [
        (json!({}), "caf\u{fffd}\nna\u{fffd}ve\n\u{fffd}"),
        (json!({"head": 1}), "caf\u{fffd}"),
        (json!({"head": 2}), "caf\u{fffd}\nna\u{fffd}ve"),
        (json!({"head": 9}), "caf\u{fffd}\nna\u{fffd}ve\n\u{fffd}"),
        (json!({"tail": 2}), "na\u{fffd}ve\n\u{fffd}"),
        (json!({"tail": 1}), "\u{fffd}"),
    ] {
        let mut arguments = arguments;
        arguments["path"] = json!("latin1");
        assert_eq!(scene.text("read_text_file", arguments.clone()).await, want, "{arguments}");
    }
    scene.write("begun", b"\xc3");
    scene.write("rest", b"\xa9");
    let text = scene.text("read_multiple_files", json!({"paths": ["begun", "rest", "begun"]})).await;
    assert_eq!(text, "begun:\n\u{fffd}\n\n---\nrest:\n\u{fffd}\n\n---\nbegun:\n\u{fffd}\n");
    std::fs::create_dir(scene.path("names")).expect("a directory");
    for name in [&b"a\xc3"[..], b"b\xe2\x82", b"c"] {
        // Not every file system takes such names.
        if std::fs::write(scene.path("names").join(OsStr::from_bytes(name)), "").is_err() {
            return;
        }
    }
    let text = scene.text("list_directory", json!({"path": "names"})).await;
    assert_eq!(text, "[FILE] a\u{fffd}\n[FILE] b\u{fffd}\n[FILE] c");
}

#[tokio::test]
async fn a_file_beyond_the_answer_is_begun_and_its_ends_are_whole() {
    let limits = Limits { max_reply_bytes: 16 << 20, ..Limits::default() };
    let mut scene = Scene::with(limits.clone(), false).await;
    // One gibibyte that takes no room: reading it as a whole would take long.
    let file = std::fs::File::create(scene.path("big")).expect("a file");
    std::io::Write::write_all(&mut &file, b"first\nsecond\n").expect("written");
    file.set_len(1 << 30).expect("a sparse file");
    let begin = scene.text("read_text_file", json!({"path": "big"})).await;
    let want = "[Lines 1 to 2; 1073741811 of 1073741824 bytes of the file are left, read on with offset 3]";
    assert_eq!(begin, format!("first\nsecond\n\n{want}"));
    let mut reference = Scene::of(limits, |tools| tools.compat(Compat::Reference)).await;
    let file = std::fs::File::create(reference.path("big")).expect("a file");
    file.set_len(1 << 30).expect("a sparse file");
    let refused = reference.error("read_text_file", json!({"path": "big"})).await;
    assert_eq!(
        refused,
        "Too large for one answer: big has 1073741824 bytes, and there is room for 8388352 (an answer carries \
         its text twice and may have max_reply_bytes); read a part of it with read_text_file and head or tail"
    );
    let end = std::fs::OpenOptions::new().append(true).open(scene.path("big")).expect("the file");
    std::io::Write::write_all(&mut &end, b"\nlast").expect("written");
    assert_eq!(scene.text("read_text_file", json!({"path": "big", "head": 2})).await, "first\nsecond");
    assert_eq!(scene.text("read_text_file", json!({"path": "big", "tail": 1})).await, "last");
    let refused = scene.error("read_media_file", json!({"path": "big"})).await;
    assert!(refused.starts_with("Too large for one answer"), "{refused}");
    let refused = scene.error("edit_file", json!({"path": "big", "edits": []})).await;
    assert!(refused.starts_with("Too large for one answer"), "{refused}");
}

#[tokio::test]
async fn media_files_come_as_blocks_of_their_kind() {
    let mut scene = Scene::new().await;
    for name in ["a.PNG", "b.mp3", "c d.bin"] {
        scene.write(name, [0, 1, 2, 255]);
    }
    let block = json!({"type": "image", "data": "AAEC/w==", "mimeType": "image/png"});
    let result = scene.call("read_media_file", json!({"path": "a.PNG"})).await;
    assert_eq!(result, json!({"content": [block], "structuredContent": {"content": [block]}}));
    let result = scene.call("read_media_file", json!({"path": "b.mp3"})).await;
    assert_eq!(result["content"][0]["type"], "audio");
    let result = scene.call("read_media_file", json!({"path": "c d.bin"})).await;
    let resource = &result["content"][0]["resource"];
    assert_eq!(resource["mimeType"], "application/octet-stream");
    let uri = resource["uri"].as_str().expect("a URI");
    assert!(uri.starts_with("file:///") && uri.ends_with("/root/c%20d.bin"), "{uri}");
}

#[tokio::test]
async fn several_files_come_in_order_failures_among_them() {
    let mut scene = Scene::new().await;
    scene.write("a", "1");
    scene.write("b", "2\n");
    let text = scene.text("read_multiple_files", json!({"paths": ["b", "../x", "a"]})).await;
    let (first, rest) = text.split_once("\n---\n").expect("a separator");
    assert_eq!(first, "b:\n2\n\n");
    let (second, third) = rest.split_once("\n---\n").expect("a separator");
    assert!(
        second.starts_with("../x: Error - Access denied - path outside allowed directories: "),
        "{second}"
    );
    assert_eq!(third, "a:\n1\n");
}

#[tokio::test]
async fn writing_replaces_at_once_and_keeps_the_permissions() {
    let mut scene = Scene::new().await;
    assert_eq!(
        scene.text("write_file", json!({"path": "new", "content": "1"})).await,
        "Successfully wrote to new"
    );
    std::fs::set_permissions(scene.path("new"), PermissionsExt::from_mode(0o4741)).expect("permissions");
    let before = std::fs::metadata(scene.path("new")).expect("the file");
    scene.text("write_file", json!({"path": "new", "content": "22"})).await;
    let after = std::fs::metadata(scene.path("new")).expect("the file");
    // As if it had been written in place: that takes set-user-id away, but for root.
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(after.mode() & 0o7777, if is_root { 0o4741 } else { 0o741 });
    assert_ne!(before.ino(), after.ino(), "written in place");
    assert_eq!(names(&scene.path("")), ["new"], "a temporary file is left");
    std::fs::create_dir(scene.path("dir")).expect("a directory");
    let refused = scene.error("write_file", json!({"path": "dir", "content": ""})).await;
    assert_eq!(refused, "EISDIR: illegal operation on a directory, open 'OUTER/root/dir'");
    let refused = scene.error("write_file", json!({"path": "no/x", "content": ""})).await;
    assert_eq!(refused, "ENOENT: no such file or directory, open 'OUTER/root/no/x'");
    assert_eq!(names(&scene.path("")), ["dir", "new"]);
}

#[tokio::test]
async fn edits_are_shown_and_then_made() {
    let mut scene = Scene::new().await;
    scene.write("f", "a\r\nb\r\n");
    let arguments = json!({"path": "f", "edits": [{"oldText": "b", "newText": "c"}], "dryRun": true});
    let shown = scene.text("edit_file", arguments.clone()).await;
    assert!(
        shown.starts_with("```diff\nIndex: ") && shown.ends_with("\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n```\n\n"),
        "{shown}"
    );
    assert_eq!(std::fs::read(scene.path("f")).expect("the file"), b"a\r\nb\r\n");
    let mut arguments = arguments;
    arguments["dryRun"] = json!(false);
    assert_eq!(scene.text("edit_file", arguments).await, shown);
    assert_eq!(std::fs::read(scene.path("f")).expect("the file"), b"a\r\nc\r\n");
    scene.write("latin1", b"caf\xe9 a");
    let edits = json!([{"oldText": "a", "newText": "b"}]);
    let refused = scene.error("edit_file", json!({"path": "latin1", "edits": edits})).await;
    assert!(
        refused.starts_with("File is not valid UTF-8 from byte 3 on: OUTER/root/latin1 was left"),
        "{refused}"
    );
    assert_eq!(std::fs::read(scene.path("latin1")).expect("the file"), b"caf\xe9 a");
}

#[tokio::test]
async fn moving_never_replaces() {
    let mut scene = Scene::new().await;
    scene.write("a", "1");
    scene.write("b", "2");
    let refused = scene.error("move_file", json!({"source": "a", "destination": "b"})).await;
    assert_eq!(refused, "Destination already exists: OUTER/root/b");
    let refused = scene.error("move_file", json!({"source": "no", "destination": "c"})).await;
    assert_eq!(refused, "ENOENT: no such file or directory, rename 'OUTER/root/no' -> 'OUTER/root/c'");
    let refused = scene.error("move_file", json!({"source": ".", "destination": "c"})).await;
    assert_eq!(refused, "Access denied - an allowed directory itself cannot be moved: OUTER/root");
    let text = scene.text("move_file", json!({"source": "a", "destination": "c"})).await;
    assert_eq!(text, "Successfully moved a to c");
    assert_eq!(names(&scene.path("")), ["b", "c"]);
}

#[tokio::test]
async fn moving_to_another_file_system_copies_first() {
    // The shared memory of the system is a file system of its own where there is one.
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    let here = tempfile::tempdir().expect("a directory");
    if std::fs::metadata(here.path()).expect("it").dev()
        == std::fs::metadata(elsewhere.path()).expect("it").dev()
    {
        return;
    }
    let roots = [here.path().to_path_buf(), elsewhere.path().to_path_buf()];
    let (filesystem, _) = mcpool::tools::filesystem::Filesystem::new(&roots, false).expect("usable");
    let server = mcpool::Server::builder("files", "1").toolset(filesystem).build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    std::fs::write(here.path().join("f"), "content").expect("a file");
    std::fs::set_permissions(here.path().join("f"), PermissionsExt::from_mode(0o640)).expect("permissions");
    std::fs::create_dir(here.path().join("d")).expect("a directory");
    let to = |name: &str| elsewhere.path().join(name).to_string_lossy().into_owned();
    let result = client.call(1, "move_file", json!({"source": "f", "destination": to("g")})).await;
    assert_eq!(result.get("isError"), None, "{result}");
    assert_eq!(std::fs::read_to_string(to("g")).expect("the file"), "content");
    assert_eq!(std::fs::metadata(to("g")).expect("the file").mode() & 0o777, 0o640);
    assert_eq!(names(here.path()), ["d"]);
    assert_eq!(names(elsewhere.path()), ["g"]);
    let result = client.call(2, "move_file", json!({"source": "d", "destination": to("d")})).await;
    assert!(text_of(&result).starts_with("EXDEV: cross-device link not permitted, rename '"), "{result}");
}

#[tokio::test]
async fn listings_show_names_that_are_no_text() {
    let mut scene = Scene::new().await;
    std::fs::write(scene.path("").join(OsStr::from_bytes(b"a\xffb")), "1").expect("a file");
    std::fs::create_dir(scene.path("").join(OsStr::from_bytes(b"d\xfe"))).expect("a directory");
    std::fs::write(scene.path("").join(OsStr::from_bytes(b"d\xfe/x")), "1").expect("a file");
    let listed = scene.text("list_directory", json!({"path": "."})).await;
    assert_eq!(listed, "[FILE] a\u{fffd}b\n[DIR] d\u{fffd}");
    let sized = scene.text("list_directory_with_sizes", json!({"path": "."})).await;
    assert!(sized.ends_with("\nTotal: 1 files, 1 directories\nCombined size: 1 B"), "{sized}");
    let tree: Value =
        serde_json::from_str(&scene.text("directory_tree", json!({"path": "."})).await).expect("JSON");
    assert_eq!(tree[1]["children"], json!([{"name": "x", "type": "file"}]));
    let found = scene.text("search_files", json!({"path": ".", "pattern": "**/x"})).await;
    assert!(found.ends_with("/root/d\u{fffd}/x"), "{found}");
}

#[tokio::test]
async fn a_search_passes_over_what_is_excluded_or_leads_out() {
    let mut scene = Scene::new().await;
    for name in ["a.txt", "b/c.txt", "b/d/e.txt", "skip/f.txt"] {
        scene.write(name, "");
    }
    std::fs::write(scene.outside("o.txt"), "").expect("a file");
    std::os::unix::fs::symlink(scene.outside("o.txt"), scene.path("out.txt")).expect("a link");
    std::os::unix::fs::symlink("b", scene.path("in.txt")).expect("a link");
    std::os::unix::fs::symlink("no", scene.path("no.txt")).expect("a link");
    let arguments = json!({"path": ".", "pattern": "**/*.txt", "excludePatterns": ["skip"]});
    let found = scene.text("search_files", arguments).await;
    let root = scene.path("").canonicalize().expect("a path");
    let found: Vec<_> =
        found.lines().map(|line| line.strip_prefix(root.to_str().expect("text")).expect("below")).collect();
    assert_eq!(found, ["/a.txt", "/b/c.txt", "/b/d/e.txt", "/in.txt"]);
    let none = scene.text("search_files", json!({"path": ".", "pattern": "nothing"})).await;
    assert_eq!(none, "No matches found");
}

#[tokio::test]
async fn read_only_hides_what_changes_anything() {
    let mut scene = Scene::with(Limits::default(), true).await;
    scene.write("f", "x");
    let listed = scene.client.ask(&json!({"jsonrpc": "2.0", "id": 0, "method": "tools/list"})).await;
    let tools = listed["result"]["tools"].as_array().expect("tools");
    assert_eq!(tools.len(), 11);
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true));
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "write_file", "arguments": {"path": "f", "content": "y"}}});
    let answer = scene.client.ask(&request).await;
    assert!(answer["result"]["isError"] == true || answer["error"]["code"] == -32602, "{answer}");
    assert_eq!(scene.text("read_text_file", json!({"path": "f"})).await, "x");
}

#[tokio::test]
async fn an_allowed_directory_made_anew_is_found_again() {
    let mut scene = Scene::new().await;
    std::fs::remove_dir(scene.path("")).expect("removed");
    let refused = scene.error("read_text_file", json!({"path": "f"})).await;
    assert!(refused.contains("does not exist") || refused.contains("ENOENT"), "{refused}");
    scene.write("f", "again");
    assert_eq!(scene.text("read_text_file", json!({"path": "f"})).await, "again");
}

#[tokio::test]
async fn the_roots_of_a_client_replace_the_directories() {
    let mut scene = Scene::new().await;
    std::fs::create_dir(scene.outside("new one")).expect("a directory");
    std::fs::write(scene.outside("new one/f"), "in a root").expect("a file");
    let mut client = TestClient::legacy_with(&scene.server, "2025-06-18", json!({"roots": {}})).await;
    let asked = client.receive().await;
    assert_eq!(asked["method"], "roots/list");
    let uri = format!("file://{}", scene.outside("new%20one").to_string_lossy());
    let roots = json!([{"uri": uri}, {"uri": "file:///missing"}]);
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}})).await;
    let listed = client.call(1, "list_allowed_directories", json!({})).await;
    let want = scene.outside("new one").canonicalize().expect("a path");
    assert_eq!(text_of(&listed), format!("Allowed directories:\n{}", want.display()));
    assert_eq!(text_of(&client.call(2, "read_text_file", json!({"path": "f"})).await), "in a root");
    let refused = text_of(&client.call(3, "read_text_file", json!({"path": scene.path("f")})).await).clone();
    assert!(refused.starts_with("Access denied - path outside"), "{refused}");
    // The roots of one client are no other client's.
    let others = scene.text("list_allowed_directories", json!({})).await;
    assert!(!others.contains("new one"), "{others}");
    // A list without any usable root changes nothing.
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})).await;
    let asked = client.receive().await;
    let roots = json!([{"uri": "https://example.org/"}]);
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}})).await;
    assert_eq!(text_of(&client.call(3, "read_text_file", json!({"path": "f"})).await), "in a root");
}
