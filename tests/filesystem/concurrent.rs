//! Others at work on the same files: names exchanged, two writers, calls that nobody waits for.

use super::{Scene, names, text_of};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(target_os = "linux")]
/// A thread exchanges a directory for a link to one outside, again and again, while every way in is tried.
#[tokio::test]
async fn an_exchanged_directory_shows_nothing_of_the_outside() {
    const ROUNDS: u64 = 160;
    const MOST_ROUNDS: u64 = 100 * ROUNDS;
    let mut scene = Scene::new().await;
    scene.write("d/f", "inside");
    std::fs::create_dir(scene.outside("o")).expect("a directory");
    std::fs::write(scene.outside("o/f"), "outside").expect("a file");
    symlink(scene.outside("o"), scene.path("link")).expect("a link");
    let (real, link) = (scene.path("d"), scene.path("link"));
    let stop = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&stop);
    let exchanged = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&exchanged);
    let thread = std::thread::spawn(move || {
        // An even number, so that the directory is itself again at the end.
        while !is_over.load(Ordering::Relaxed) || counted.load(Ordering::Relaxed) % 2 == 1 {
            renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).expect("exchanged");
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut read_inside, mut round) = (0, 0);
    // On a busy machine one of the two may have no turn for long.
    let is_tried = |read_inside| read_inside > 0 && exchanged.load(Ordering::Relaxed) > 10;
    while round < ROUNDS || (!is_tried(read_inside) && round < MOST_ROUNDS) {
        let result = scene.call("read_text_file", json!({"path": "d/f"})).await;
        read_inside += u64::from(text_of(&result) == "inside");
        assert_ne!(text_of(&result), "outside", "round {round}");
        for (tool, arguments) in [
            ("read_multiple_files", json!({"paths": ["d/f", "d/f"]})),
            ("write_file", json!({"path": "d/new", "content": "written"})),
            ("edit_file", json!({"path": "d/f", "edits": [{"oldText": "i", "newText": "i"}]})),
            ("create_directory", json!({"path": "d/made/deep"})),
            ("move_file", json!({"source": "d/new", "destination": "d/moved"})),
            ("search_files", json!({"path": ".", "pattern": "**/only-outside"})),
            ("directory_tree", json!({"path": "."})),
        ] {
            if round % 8 == 0 {
                let text = scene.call(tool, arguments).await.to_string();
                assert!(!text.contains("outside\\n") && !text.contains("only-outside\""), "{tool}: {text}");
            }
        }
        round += 1;
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("the thread ends well");
    let times = exchanged.load(Ordering::Relaxed);
    assert!(times > 10, "only {times} times: nothing was tried");
    assert!(read_inside > 0, "the file was never there");
    assert_eq!(names(&scene.outside("o")), ["f"], "something was made outside");
    assert_eq!(std::fs::read_to_string(scene.outside("o/f")).expect("the file"), "outside");
}

#[tokio::test]
async fn parallel_edits_of_one_file_are_all_kept() {
    const EDITS: u64 = 40;
    let mut scene = Scene::new().await;
    let lines = |word: &str| (0..EDITS).map(|line| format!("{word} {line};")).collect::<Vec<_>>().join("\n");
    scene.write("f", lines("old"));
    for line in 0..EDITS {
        let edits = json!([{"oldText": format!("old {line};"), "newText": format!("new {line};")}]);
        let request = json!({"jsonrpc": "2.0", "id": line, "method": "tools/call",
            "params": {"name": "edit_file", "arguments": {"path": "f", "edits": edits}}});
        scene.client.send(&request).await;
    }
    for _ in 0..EDITS {
        let answer = scene.client.receive().await;
        assert_eq!(answer["result"].get("isError"), None, "{answer}");
    }
    assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), lines("new"));
    assert_eq!(names(&scene.path("")), ["f"], "a temporary file is left");
}

#[tokio::test]
async fn a_reader_sees_one_content_or_the_other() {
    let mut scene = Scene::new().await;
    let contents = ["a".repeat(40_000), "b".repeat(60_000)];
    scene.write("f", &contents[0]);
    for id in 0..60_u64 {
        let (tool, arguments) = match id % 3 {
            0 => ("write_file", json!({"path": "f", "content": contents[id as usize % 2]})),
            _ => ("read_text_file", json!({"path": "f"})),
        };
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}});
        scene.client.send(&request).await;
        let answer = scene.client.receive().await;
        let text = text_of(&answer["result"]);
        assert!(text.starts_with("Successfully") || contents.contains(&text), "{} bytes", text.len());
    }
}

#[tokio::test]
async fn a_long_search_tells_how_far_it_is_and_stops_when_cancelled() {
    let mut scene = Scene::new().await;
    for directory in 0..20 {
        for file in 0..100 {
            scene.write(&format!("{directory}/{file}"), "");
        }
    }
    let request = |id: u64| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "search_files", "arguments": {"path": ".", "pattern": "**/99"},
            "_meta": {"progressToken": "p"},
        }})
    };
    scene.client.send(&request(1)).await;
    let mut notices = 0;
    let answer = loop {
        let message = scene.client.receive().await;
        if message["method"] != "notifications/progress" {
            break message;
        }
        assert_eq!(message["params"]["progressToken"], "p");
        notices += 1;
    };
    assert_eq!(text_of(&answer["result"]).lines().count(), 20);
    assert!(notices >= 1, "no progress");
    // A cancelled call is not answered; the next one is.
    scene.client.send(&request(2)).await;
    scene
        .client
        .send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}))
        .await;
    scene.client.send(&json!({"jsonrpc": "2.0", "id": 3, "method": "ping"})).await;
    let answered: Value = loop {
        let message = scene.client.receive().await;
        if message.get("id").is_some_and(|id| id == 3) {
            break message;
        }
    };
    assert_eq!(answered["result"], json!({}));
    assert!(scene.server.metrics().frames.total() >= 5);
}
