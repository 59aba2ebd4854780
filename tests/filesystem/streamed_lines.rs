//! The first and the last lines of large files, sent while they are read.

use super::Scene;
use super::streamed::{Becomes, Host, KIB, expected, rest_of_line, server, text};
use crate::test_client::{TestClient, meta};
use mcpool::Limits;
use serde_json::json;
use std::io::{Read, Write};

/// The first lines of a text, without the line end of the last one.
fn head_of(text: &[u8], lines: usize) -> Vec<u8> {
    let mut ends = memchr::memchr_iter(b'\n', text);
    let end = ends.nth(lines - 1).unwrap_or(text.len() - usize::from(text.ends_with(b"\n")));
    text[..end].to_vec()
}

/// The last lines of a text, whose line ends have no carriage return.
fn tail_of(text: &[u8], lines: usize) -> Vec<u8> {
    let start = memchr::memrchr_iter(b'\n', text).nth(lines - 1).map_or(0, |at| at + 1);
    let tail = &text[start..];
    let is_dropped = |at: usize| tail[at..].starts_with(b"\r\n");
    (0..tail.len()).filter(|at| !is_dropped(*at)).map(|at| tail[at]).collect()
}

#[tokio::test]
async fn lines_of_large_files_are_answered_as_if_they_were_written_at_once() {
    let scene = Scene::new().await;
    let server = server(&scene.path(""), Limits::default());
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let unit = text(1 << 10);
    let lines = memchr::memchr_iter(b'\n', &unit).count();
    // Ends in the middle of a line and at its end, without a line, and with many that are empty.
    let ended = [&text(300 * KIB)[..], b"\r\n"].concat();
    let texts = [text(300 * KIB), ended, vec![b'\r'; 200 * KIB], b"\r\n".repeat(100 * KIB)];
    for text in &texts {
        scene.write("f", text);
        let of_64_kib = 64 * lines;
        for count in [1, 2, of_64_kib - lines, of_64_kib + lines, 4 * of_64_kib, 1_000_000] {
            for (name, want) in [("head", head_of(text, count)), ("tail", tail_of(text, count))] {
                let arguments = json!({"path": "f", name: count});
                let params = json!({"name": "read_text_file", "arguments": arguments});
                client
                    .send(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}))
                    .await;
                let line = client.receive_line().await;
                let is_same = line.trim_end() == expected(7, &want, false);
                assert!(is_same, "{name} {count} of {} bytes: {:.300}", text.len(), line);
            }
        }
    }
}

#[test]
fn lines_that_are_gone_on_the_way_give_a_valid_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let text = text(3 << 20);
    let path = folder.path().join("f");
    let mut stream = host.connect();
    for (id, name, want) in [(1, "head", head_of(&text, 50_000)), (2, "tail", tail_of(&text, 50_000))] {
        std::fs::write(&path, &text).expect("a file");
        let arguments = json!({"path": path, name: 50_000});
        let params = json!({"name": "read_text_file", "arguments": arguments, "_meta": meta()});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        writeln!(stream, "{call}").expect("sent");
        let mut line = vec![0; 500 * KIB];
        stream.read_exact(&mut line).expect("the answer begins");
        assert!(expected(id, &want, true).as_bytes().starts_with(&line), "{name}");
        Becomes::Shorter(1).happen(&path, text.len());
        let answer = rest_of_line(&mut stream, line);
        assert!(answer["id"] == id && answer["result"]["isError"] == true, "{name}");
    }
}
