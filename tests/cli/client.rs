//! The client against real processes: their end is in order, and leaves nothing behind.

use super::{fake_server_script, noted_pid, signal};
use mcpool::client::{CallEvent, Client, ClientError, ClientOptions, ServerCommand};
use serde_json::Map;
use std::time::Duration;

fn command(mode: &str) -> ServerCommand {
    ServerCommand { program: "sh".into(), arguments: vec![fake_server_script().into(), mode.into()] }
}

#[tokio::test]
async fn the_revision_is_that_of_the_server() {
    for (mode, revision) in [("modern", "2026-07-28"), ("older", "2025-06-18"), ("picky", "2025-06-18")] {
        let client = Client::start(&command(mode), ClientOptions::default()).await.expect("started");
        assert_eq!(client.revision(), revision);
        assert_eq!(client.list_tools().await.expect("listed").len(), 8);
        client.close().await;
    }
}

#[tokio::test]
async fn many_calls_share_one_server_and_progress_comes_first() {
    let client = Client::start(&command("modern"), ClientOptions::default()).await.expect("started");
    for _ in 0..50 {
        let mut call = client.start_call("slow", Map::new()).await.expect("sent");
        assert!(
            matches!(call.next().await, Ok(CallEvent::Progress(progress)) if progress.total == Some(2.0))
        );
        assert!(matches!(call.next().await, Ok(CallEvent::Answer(_))));
    }
    client.close().await;
}

/// The server ignores the end of its stdin and SIGTERM; its group is killed.
#[tokio::test]
async fn a_server_that_does_not_leave_is_ended() {
    let options = ClientOptions { close_timeout: Duration::from_millis(100), ..ClientOptions::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let notes = folder.path().join("notes");
    let mut command = command("stubborn");
    command.arguments.push(notes.clone().into());
    let client = Client::start(&command, options).await.expect("started");
    let pid = noted_pid(&notes);
    assert!(signal("0", &pid), "it runs");
    client.close().await;
    assert!(!signal("0", &pid), "it ended");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_says_why() {
    let missing = ServerCommand { program: "/nowhere/server".into(), arguments: vec![] };
    let error = Client::start(&missing, ClientOptions::default()).await.map(|_| ()).expect_err("refused");
    assert!(matches!(error, ClientError::CommandNotFound { .. }), "{error}");
    let folder = ServerCommand { program: "/".into(), arguments: vec![] };
    let error = Client::start(&folder, ClientOptions::default()).await.map(|_| ()).expect_err("refused");
    assert!(matches!(error, ClientError::Start { .. }), "{error}");
}
