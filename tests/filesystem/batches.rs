//! Batches whose answers are more than the memory for large messages: no message waits for what its own batch holds.

use super::streamed::{Host, KIB, Received};
use crate::test_client::TestClient;
use mcpool::tools::filesystem::Filesystem;
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::time::{Duration, Instant};

const REVISION: &str = "2025-03-26";

/// A wait would last as long as this; what is awaited here is there far sooner.
const WAIT_MS: usize = 1_800_000;

/// Sizes of the file that the messages ask for.
const FILE_KIB: [usize; 2] = [100, 400];

/// Most answers of a batch that are sent while they are written.
const MOST_STREAMED: usize = 32;

fn limits(inflight_kib: usize) -> Limits {
    Limits {
        max_inflight_bytes: inflight_kib * KIB,
        max_reply_bytes: 256 << 20,
        write_timeout_ms: WAIT_MS,
        ..Limits::default()
    }
}

fn server(directory: &Path, limits: Limits) -> Server {
    let (tools, _) = Filesystem::new(&[directory.to_owned()], false).expect("the directory is usable");
    let files = tools.resources();
    Server::builder("files", "1").limits(limits).toolset(tools).resources(files).build().expect("a server")
}

/// A folder, its path without links, and the path of a file in it.
fn folder() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a path");
    let path = root.join("f.txt").display().to_string();
    (folder, root, path)
}

fn write(path: &str, kib: usize) {
    std::fs::write(path, "a line of 16 B.\n".repeat(kib * KIB / 16)).expect("written");
}

/// By a letter: `a` a text, `h` its first lines, `c` its bytes, `s` what is small, `r` the resource.
fn message(kind: char, id: usize, path: &str) -> Value {
    let call = |name: &str, arguments: Value| {
        let params = json!({"name": name, "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    match kind {
        'a' => call("read_text_file", json!({"path": path})),
        'h' => call("read_text_file", json!({"path": path, "head": 1_000_000})),
        'c' => call("read_media_file", json!({"path": path})),
        'r' => {
            let params = json!({"uri": format!("file://{path}")});
            json!({"jsonrpc": "2.0", "id": id, "method": "resources/read", "params": params})
        }
        _ => call("list_allowed_directories", json!({})),
    }
}

fn batch(kinds: &str, path: &str) -> Value {
    kinds.chars().enumerate().map(|(id, kind)| message(kind, id, path)).collect()
}

fn batches() -> Vec<String> {
    let few = ["a", "c", "r", "aa", "cc", "hh", "saas", "aac", "rcr", "ccc", "acccc", "ahhhhc", "sccrhhaas"];
    let many = ["a".repeat(45), "c".repeat(40), "sh".repeat(40)];
    few.into_iter().map(str::to_owned).chain(many).collect()
}

/// Each message has its answer, in order: the same as alone, or one that says that there is no memory for it. That is so for
/// none of those that are sent while they are written.
fn assert_answered(kinds: &str, path: &str, batch: &str, about: &str) {
    let array = batch.find('[').zip(batch.rfind(']')).map(|(start, end)| &batch[start..=end]);
    let answers: Vec<Value> = serde_json::from_str(array.unwrap_or(batch)).expect(about);
    assert_eq!(answers.len(), kinds.len(), "{about}");
    let file = std::fs::read_to_string(path).expect("the file");
    let mut large = 0;
    for ((id, kind), answer) in kinds.chars().enumerate().zip(&answers) {
        assert_eq!(answer["id"], id, "{about}");
        let content = &answer["result"]["content"][0];
        let is_whole = match kind {
            'a' | 'h' => content["text"] == file.trim_end_matches('\n') || content["text"] == *file,
            'c' => content["resource"]["blob"]
                .as_str()
                .is_some_and(|blob| blob.len() == file.len().div_ceil(3) * 4),
            'r' => answer["result"]["contents"][0]["text"] == *file,
            _ => content["text"].is_string(),
        };
        large += usize::from(kind != 's');
        if !is_whole {
            let why = format!("{:.600}", answer.to_string());
            assert!(why.contains("memory") && large > MOST_STREAMED, "{about}, message {id}: {why}");
        }
    }
}

/// Each waited for 30 s, one after the other, for memory that the answers before it held.
#[tokio::test(start_paused = true)]
async fn no_message_of_a_batch_waits_for_what_its_batch_holds() {
    for inflight_kib in [512, 1_024, 4_096] {
        let (_folder, root, path) = folder();
        let server = server(&root, limits(inflight_kib));
        for file_kib in FILE_KIB {
            write(&path, file_kib);
            for kinds in batches() {
                let about = format!("{kinds} of {file_kib} KiB in {inflight_kib} KiB");
                let mut client = TestClient::legacy(&server, REVISION).await;
                let began = Instant::now();
                client.send(&batch(&kinds, &path)).await;
                let answer = client.receive_line().await;
                assert!(began.elapsed() < Duration::from_secs(10), "{about}: {:?}", began.elapsed());
                assert_answered(&kinds, &path, &answer, &about);
            }
        }
    }
}

#[test]
fn no_message_of_a_batch_waits_for_what_its_batch_holds_over_http() {
    for inflight_kib in [512, 2_048] {
        let (_folder, root, path) = folder();
        let host = Host::start(server(&root, limits(inflight_kib)));
        let fields = host.open_session_in(REVISION);
        for file_kib in FILE_KIB {
            write(&path, file_kib);
            for kinds in batches() {
                let about = format!("{kinds} of {file_kib} KiB in {inflight_kib} KiB over HTTP");
                let mut stream = host.post(&fields, &batch(&kinds, &path).to_string());
                let body = Received::default().read_to(&mut stream, usize::MAX).expect(&about);
                assert_answered(&kinds, &path, &String::from_utf8(body).expect("text"), &about);
            }
        }
    }
}
