//! Directories that are moved, exchanged, made again or offered by clients while they are served.

use super::{Scene, names, text_of};
use crate::test_client::TestClient;
use mcpool::tools::filesystem::{ClientRoots, Filesystem};
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// A server of `root` in a new directory, and what it says of roots.
fn server_of(policy: ClientRoots, limits: Limits) -> (TempDir, Server) {
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let (filesystem, _) = Filesystem::new(&[root], false).expect("usable");
    let server = Server::builder("files", "1").toolset(filesystem.client_roots(policy)).limits(limits);
    (outer, server.build().expect("a server"))
}

/// Answers the next request for roots.
async fn offer(client: &mut TestClient, roots: &[&Path]) {
    let asked = client.receive().await;
    assert_eq!(asked["method"], "roots/list", "{asked}");
    let roots: Vec<Value> =
        roots.iter().map(|path| json!({"uri": format!("file://{}", path.display())})).collect();
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}})).await;
}

async fn ask_again(client: &mut TestClient) {
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})).await;
}

async fn call(client: &mut TestClient, tool: &str, arguments: Value) -> String {
    text_of(&client.call(1, tool, arguments).await)
}

#[tokio::test]
async fn a_directory_that_was_moved_away_is_not_written_to() {
    let mut scene = Scene::new().await;
    for round in 0..20 {
        scene.write("f", "old");
        assert_eq!(scene.text("read_text_file", json!({"path": "f"})).await, "old");
        let backup = scene.outside(&format!("backup {round}"));
        std::fs::rename(scene.path(""), &backup).expect("moved");
        // Nothing is there now, and what was there is not it.
        for (tool, arguments) in [
            ("read_text_file", json!({"path": "f"})),
            ("write_file", json!({"path": "g", "content": "astray"})),
            ("create_directory", json!({"path": "d"})),
            ("get_file_info", json!({"path": "f"})),
            ("list_directory", json!({"path": "."})),
            ("move_file", json!({"source": "f", "destination": "h"})),
        ] {
            scene.error(tool, arguments).await;
        }
        scene.write("f", "new");
        assert_eq!(scene.text("read_text_file", json!({"path": "f"})).await, "new");
        scene.text("write_file", json!({"path": "g", "content": "written"})).await;
        scene
            .text("edit_file", json!({"path": "f", "edits": [{"oldText": "new", "newText": "edited"}]}))
            .await;
        scene.text("move_file", json!({"source": "f", "destination": "h"})).await;
        scene.text("create_directory", json!({"path": "d"})).await;
        assert_eq!(names(&scene.path("")), ["d", "g", "h"]);
        assert_eq!(names(&backup), ["f"]);
        assert_eq!(std::fs::read_to_string(backup.join("f")).expect("the file"), "old");
        std::fs::remove_dir_all(scene.path("")).expect("removed");
        std::fs::create_dir(scene.path("")).expect("made");
    }
}

#[tokio::test]
async fn a_link_that_is_served_is_followed_to_where_it_leads_now() {
    let outer = tempfile::tempdir().expect("a directory");
    let outer = outer.path().canonicalize().expect("a path");
    for version in ["v1", "v2"] {
        std::fs::create_dir_all(outer.join(version).join("sub")).expect("directories");
        std::fs::write(outer.join(version).join("sub/f"), version).expect("a file");
    }
    let current = outer.join("current");
    symlink("v1", &current).expect("a link");
    let (filesystem, _) = Filesystem::new(std::slice::from_ref(&current), false).expect("usable");
    let filesystem = filesystem.client_roots(ClientRoots::Narrow);
    let server = Server::builder("files", "1").toolset(filesystem).build().expect("a server");
    let mut whole = TestClient::legacy(&server, "2025-06-18").await;
    let mut narrow = TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {}})).await;
    offer(&mut narrow, &[&current.join("sub")]).await;
    for version in ["v1", "v2", "v1"] {
        let link = outer.join("next");
        symlink(version, &link).expect("a link");
        std::fs::rename(&link, &current).expect("exchanged");
        assert_eq!(call(&mut whole, "read_text_file", json!({"path": "sub/f"})).await, version);
        assert_eq!(call(&mut narrow, "read_text_file", json!({"path": "f"})).await, version);
        let there = outer.join(version).join("sub/f");
        assert_eq!(call(&mut whole, "read_text_file", json!({"path": there})).await, version);
        call(&mut whole, "write_file", json!({"path": "new", "content": version})).await;
        call(&mut narrow, "write_file", json!({"path": "new", "content": version})).await;
        for written in ["new", "sub/new"] {
            let written = std::fs::read_to_string(outer.join(version).join(written)).expect("the file");
            assert_eq!(written, version);
        }
        let listed = call(&mut whole, "list_allowed_directories", json!({})).await;
        let place = outer.display();
        assert_eq!(listed, format!("Allowed directories:\n{place}/current\n{place}/{version}"));
        // The other one was never named.
        let other = outer.join(if version == "v1" { "v2" } else { "v1" }).join("sub/f");
        for client in [&mut whole, &mut narrow] {
            let refused = call(client, "read_text_file", json!({"path": other})).await;
            assert!(refused.starts_with("Access denied - path outside"), "{refused}");
        }
    }
}

#[cfg(target_os = "linux")]
/// The root of a session and a link to the outside change places, again and again, while roots are taken and
/// files are read and written.
#[tokio::test]
async fn a_root_exchanged_for_a_link_shows_nothing_of_the_outside() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    const ROUNDS: usize = 160;

    let (outer, server) = server_of(ClientRoots::Narrow, Limits::default());
    let (root, secret) = (outer.path().join("root"), outer.path().join("secret"));
    std::fs::create_dir(root.join("x")).expect("a directory");
    std::fs::write(root.join("x/f"), "inside").expect("a file");
    std::fs::create_dir(&secret).expect("a directory");
    std::fs::write(secret.join("f"), "outside").expect("a file");
    symlink(&secret, root.join("link")).expect("a link");
    let (real, link) = (root.join("x"), root.join("link"));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut exchanges = 0_u64;
        while !stopped.load(Ordering::Relaxed) || exchanges % 2 == 1 {
            renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).expect("exchanged");
            exchanges += 1;
        }
        exchanges
    });
    let mut client = TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {}})).await;
    let mut inside = 0;
    for round in 0..ROUNDS {
        offer(&mut client, &[&root.join("x")]).await;
        // By the name that it has, whichever directory is in force.
        let path = root.join("x/f");
        let text = call(&mut client, "read_text_file", json!({"path": path})).await;
        assert_ne!(text, "outside", "round {round}");
        inside += u64::from(text == "inside");
        if round % 8 == 0 {
            let written = root.join("x/new");
            call(&mut client, "write_file", json!({"path": written, "content": "w"})).await;
            call(&mut client, "create_directory", json!({"path": root.join("x/made")})).await;
        }
        ask_again(&mut client).await;
    }
    stop.store(true, Ordering::Relaxed);
    let exchanges = thread.join().expect("the thread ends well");
    assert!(exchanges > 100, "only {exchanges} exchanges");
    assert!(inside > 0, "the file was never there");
    assert_eq!(names(&secret), ["f"], "something was made outside");
    assert_eq!(std::fs::read_to_string(secret.join("f")).expect("the file"), "outside");
}

#[tokio::test]
async fn a_session_stays_in_its_roots() {
    let (outer, server) = server_of(ClientRoots::Narrow, Limits::default());
    let root = outer.path().canonicalize().expect("a path").join("root");
    for directory in ["a/deep", "b"] {
        std::fs::create_dir_all(root.join(directory)).expect("directories");
        std::fs::write(root.join(directory).join("f"), directory).expect("a file");
    }
    symlink("../b", root.join("a/aside")).expect("a link");
    symlink(root.join("b/f"), root.join("a/file")).expect("a link");
    let mut client = TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {}})).await;
    // What is repeated, is no directory or lies elsewhere is left out.
    let file = root.join("b/f");
    let offered = [&root.join("a"), &root.join("a/deep"), &root.join("a/../a"), &file, Path::new("/etc")];
    offer(&mut client, &offered).await;
    let listed = call(&mut client, "list_allowed_directories", json!({})).await;
    let place = root.display();
    assert_eq!(listed, format!("Allowed directories:\n{place}/a\n{place}/a/deep"));
    assert_eq!(call(&mut client, "read_text_file", json!({"path": "deep/f"})).await, "a/deep");
    for path in ["aside/f", "file", "aside"] {
        let refused = call(&mut client, "get_file_info", json!({"path": path})).await;
        assert!(refused.starts_with("Access denied - symlink target outside"), "{path}: {refused}");
    }
    let refused = call(&mut client, "read_text_file", json!({"path": root.join("b/f")})).await;
    assert!(refused.starts_with("Access denied - path outside"), "{refused}");
    // An allowed directory inside another one is not moved away either, by whatever name.
    symlink("deep", root.join("a/to_deep")).expect("a link");
    for source in ["deep", "to_deep"] {
        let refused = call(&mut client, "move_file", json!({"source": source, "destination": "x"})).await;
        assert!(refused.contains("allowed directory itself cannot be moved"), "{source}: {refused}");
    }
}

#[tokio::test]
async fn more_roots_than_are_used_are_left_out() {
    let limits = Limits { max_client_roots: 3, ..Limits::default() };
    let (outer, server) = server_of(ClientRoots::Replace, limits);
    let directories: Vec<_> = (0..5).map(|index| outer.path().join(index.to_string())).collect();
    for path in &directories {
        std::fs::create_dir(path).expect("a directory");
    }
    let mut client = TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {}})).await;
    let offered: Vec<&Path> = directories.iter().map(std::path::PathBuf::as_path).collect();
    offer(&mut client, &offered).await;
    let listed = call(&mut client, "list_allowed_directories", json!({})).await;
    assert_eq!(listed.lines().count(), 1 + 3, "{listed}");
}

#[tokio::test]
async fn a_client_whose_roots_are_ignored_is_not_asked() {
    let (_outer, server) = server_of(ClientRoots::Ignore, Limits::default());
    let mut client = TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {}})).await;
    // The first message to come is the answer.
    let listed = call(&mut client, "list_allowed_directories", json!({})).await;
    assert!(listed.ends_with("/root"), "{listed}");
    ask_again(&mut client).await;
    assert!(call(&mut client, "list_allowed_directories", json!({})).await.ends_with("/root"));
}
