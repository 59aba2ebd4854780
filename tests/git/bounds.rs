//! What bounds a call: the length of its answer, its time, and somebody who waits for it.

use super::Scene;
use mcpool::Limits;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const NOTICE: &str = "\n\n[The rest is left out: an answer ends after ";

#[tokio::test]
async fn a_long_answer_ends_with_a_clear_word() {
    const BYTES: usize = 64 * 1024;
    let limits = Limits { max_git_answer_bytes: BYTES, ..Limits::default() };
    let Some(mut scene) = Scene::with(limits, |git| git).await else { return };
    // Signs that take six bytes in JSON, and a character that a cut may divide.
    scene.write("escaped", "\u{1}\u{2}\u{20ac}\n".repeat(200_000));
    scene.write("plain", "a line of the file\n".repeat(100_000));
    scene.commit_all(&"a long message\n".repeat(7_000));
    scene.git(&["rm", "--quiet", "--cached", "escaped", "plain"]);
    for (tool, arguments) in [
        ("git_diff_staged", json!({})),
        ("git_diff", json!({"target": "HEAD"})),
        ("git_show", json!({"revision": "HEAD"})),
        ("git_show", json!({"revision": "HEAD:escaped"})),
        ("git_show", json!({"revision": "HEAD:plain"})),
        ("git_log", json!({})),
    ] {
        let text = scene.text(tool, arguments.clone()).await;
        let (shown, notice) =
            text.split_once(NOTICE).unwrap_or_else(|| panic!("{tool} {arguments}: no word"));
        assert!(notice.contains("setting max_git_answer_bytes"), "{notice}");
        let json_bytes = serde_json::to_string(shown).expect("JSON").len();
        assert!((BYTES - 16..=BYTES + 8).contains(&json_bytes), "{tool} {arguments}: {json_bytes} bytes");
    }
    let short = scene.text("git_show", json!({"revision": "HEAD:"})).await;
    assert_eq!(short, "escaped\nplain");
}

#[tokio::test]
async fn an_answer_is_no_longer_than_all_answers() {
    let limits = Limits {
        inline_read_bytes: 1_024,
        max_frame_bytes: 2_048,
        max_reply_bytes: 4_096,
        ..Limits::default()
    };
    let Some(mut scene) = Scene::with(limits, |git| git).await else { return };
    scene.write("plain", "a line of the file\n".repeat(1_000));
    scene.commit_all("first");
    let text = scene.text("git_show", json!({"revision": "HEAD:plain"})).await;
    assert!(text.starts_with("a line of the file\n") && text.contains(NOTICE), "{text}");
}

/// A pipe that git reads as a part of the repository's configuration: it waits there as long as somebody holds it.
fn lay_pipe(scene: &Scene) -> Option<PathBuf> {
    let pipe = scene.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no mkfifo");
        return None;
    }
    scene.git(&["config", "include.path", "../pipe"]);
    Some(pipe)
}

/// The other end of the pipe, once git has opened it.
async fn hold(pipe: &PathBuf) -> File {
    loop {
        // Without a reader it fails.
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(pipe);
        if let Ok(file) = opened {
            return file;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until nobody reads the pipe any more.
async fn until_gone(mut held: File) {
    while !held.write_all(b"#").is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_cancelled_call_ends_git() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "a\n");
    let Some(pipe) = lay_pipe(&scene) else { return };
    let repo_path = scene.path("").to_string_lossy().into_owned();
    for tool in ["git_status", "git_reset"] {
        let params = json!({"name": tool, "arguments": {"repo_path": repo_path}});
        let request = json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": params});
        scene.client.send(&request).await;
        let held = tokio::time::timeout(PATIENCE, hold(&pipe)).await.expect("git reads");
        let params = json!({"requestId": "slow", "reason": "enough"});
        scene
            .client
            .send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            .await;
        tokio::time::timeout(PATIENCE, until_gone(held)).await.expect("git ends");
    }
    // What was cancelled keeps nobody waiting.
    std::fs::remove_file(&pipe).expect("removed");
    assert_eq!(scene.text("git_add", json!({"files": ["a.txt"]})).await, "Files staged successfully");
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_a_word() {
    let limits = Limits { git_timeout_ms: 200, ..Limits::default() };
    let Some(mut scene) = Scene::with(limits, |git| git).await else { return };
    if lay_pipe(&scene).is_none() {
        return;
    }
    let error = scene.error("git_status", json!({})).await;
    assert!(
        error.starts_with("git took longer than 200ms and was stopped (setting git_timeout_ms)"),
        "{error}"
    );
}

/// What git says while it works may be longer than what is kept of it.
#[tokio::test]
async fn many_files_are_staged_at_once() {
    const FILES: usize = 3_000;
    let Some(mut scene) = Scene::new().await else { return };
    let long = "x".repeat(100);
    for file in 0..FILES {
        scene.write(&format!("{long}{file}"), "x\n");
    }
    assert_eq!(scene.text("git_add", json!({"files": ["."]})).await, "Files staged successfully");
    assert_eq!(scene.git(&["ls-files"]).lines().count(), FILES);
    assert!(!scene.path(".git/index.lock").exists());
}

/// Calls that change something take turns, so that none meets the lock of another.
#[tokio::test]
async fn changes_at_the_same_time_do_not_meet() {
    const CALLS: usize = 12;
    let Some(mut scene) = Scene::new().await else { return };
    let repo_path = scene.path("").to_string_lossy().into_owned();
    for call in 0..CALLS {
        let name = format!("file {call}");
        scene.write(&name, "x\n");
        let params = json!({"name": "git_add", "arguments": {"repo_path": repo_path, "files": [name]}});
        let request =
            json!({"jsonrpc": "2.0", "id": format!("add {call}"), "method": "tools/call", "params": params});
        scene.client.send(&request).await;
    }
    for _ in 0..CALLS {
        let answer = scene.client.receive().await;
        assert_eq!(answer["result"]["content"][0]["text"], "Files staged successfully", "{answer}");
    }
    assert_eq!(scene.git(&["ls-files"]).lines().count(), CALLS);
    assert!(scene.server.metrics().tool_errors.total() == 0, "no call failed");
}

/// A repository that git does not come back from keeps no other one waiting, and no other tools.
#[cfg(feature = "filesystem")]
#[tokio::test]
async fn a_repository_that_hangs_leaves_threads_for_others() {
    const THREADS: usize = 6;
    let limits = Limits { max_blocking_threads: THREADS, git_timeout_ms: 600_000, ..Limits::default() };
    let Some(mut scene) = Scene::with(limits.clone(), |git| git).await else { return };
    let root = scene.outer.join("root");
    let other = root.join("other");
    super::init(&other);
    super::git(&other, &["commit", "--quiet", "--allow-empty", "--message", "first"]);
    let (files, _) =
        mcpool::tools::filesystem::Filesystem::new(std::slice::from_ref(&root), true).expect("usable");
    let server = mcpool::Server::builder("both", "1").toolset(mcpool::tools::git::Git::new(&[root], false));
    scene.server = server.toolset(files).limits(limits).build().expect("a server");
    scene.client = crate::test_client::TestClient::legacy(&scene.server, "2025-06-18").await;

    let Some(pipe) = lay_pipe(&scene) else { return };
    let repo_path = scene.path("").to_string_lossy().into_owned();
    for call in 0..THREADS {
        let name = format!("file {call}");
        scene.write(&name, "x\n");
        for (tool, arguments) in [
            ("git_add", json!({"repo_path": repo_path, "files": [name]})),
            ("git_status", json!({"repo_path": repo_path})),
        ] {
            let id = format!("{tool} {call}");
            let params = json!({"name": tool, "arguments": arguments});
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
            scene.client.send(&request).await;
        }
    }
    let held = tokio::time::timeout(PATIENCE, hold(&pipe)).await.expect("git reads");

    let repo_path = other.to_string_lossy().into_owned();
    let log = scene.text("git_log", json!({"repo_path": repo_path})).await;
    assert!(log.contains("Message: first"), "{log}");
    let made = scene.text("git_create_branch", json!({"repo_path": repo_path, "branch_name": "next"})).await;
    assert_eq!(made, "Created branch 'next' from 'main'");
    let found = scene.client.call(1_000, "list_directory", json!({"path": repo_path})).await;
    assert!(super::text_of(&found).contains(".git"), "{found}");

    // Whoever has the pipe open reads to its end, and nobody finds it any more.
    std::fs::remove_file(&pipe).expect("removed");
    drop(held);
    for _ in 0..2 * THREADS {
        let answer = scene.client.receive().await;
        let text = super::text_of(&answer["result"]);
        let is_add = answer["id"].as_str().is_some_and(|id| id.starts_with("git_add"));
        let begin = if is_add { "Files staged successfully" } else { "Repository status:" };
        assert!(text.starts_with(begin), "{answer}");
    }
    assert_eq!(scene.git(&["ls-files"]).lines().count(), THREADS);
}
