//! `read_text_file` with `offset` and `limit`: lines by their numbers, and how many are left.

use super::{Scene, text_of};
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::json;

#[tokio::test]
async fn lines_are_read_by_their_numbers() {
    let mut scene = Scene::new().await;
    scene.write("f", "one\ntwo\r\nthree\nfour\n");
    scene.write("ragged", "one\ntwo");
    scene.write("empty", "");
    let rows = [
        ("f", json!({"offset": 1}), "one\ntwo\r\nthree\nfour"),
        ("f", json!({"offset": 4}), "four"),
        ("f", json!({"limit": 4}), "one\ntwo\r\nthree\nfour"),
        ("f", json!({"limit": 1}), "one\n\n[Lines 1 to 1 of 4; 3 are left, read on with offset 2]"),
        (
            "f",
            json!({"offset": 2, "limit": 2}),
            "two\r\nthree\n\n[Lines 2 to 3 of 4; 1 are left, read on with offset 4]",
        ),
        ("f", json!({"offset": 5}), "[No line is shown: the file has 4 lines, and the offset is 5]"),
        ("ragged", json!({"offset": 2, "limit": 9}), "two"),
        ("empty", json!({"offset": 1}), "[No line is shown: the file has 0 lines, and the offset is 1]"),
    ];
    for (path, mut arguments, want) in rows {
        arguments["path"] = json!(path);
        assert_eq!(scene.text("read_text_file", arguments.clone()).await, want, "{arguments}");
    }
    for (arguments, want) in [
        (json!({"path": "f", "offset": 0}), "offset must be a whole number from 1 to "),
        (json!({"path": "f", "limit": 1.5}), "limit must be a whole number from 1 to "),
        (json!({"path": "f", "limit": 1, "head": 1}), "Cannot specify head or tail together with offset"),
        (json!({"path": "f", "offset": 1, "tail": 1}), "Cannot specify head or tail together with offset"),
    ] {
        let text = scene.error("read_text_file", arguments).await;
        assert!(text.starts_with(want), "{text}");
    }
}

/// Whether they are written at once or sent while they are read, pages of a file join to the file.
#[tokio::test]
async fn pages_of_a_file_that_fits_no_answer_join_to_it() {
    let limits = Limits { max_reply_bytes: 400 * 1024, max_frame_bytes: 64 * 1024, ..Limits::default() };
    let mut scene = Scene::with(limits, false).await;
    let line = |number: usize| format!("{number} \u{20ac}\"{}\n", "x".repeat(number % 90));
    let whole = (1..=9_000).map(line).collect::<Vec<String>>().concat();
    scene.write("f", &whole);
    let (mut joined, mut offset, mut pages) = (String::new(), 1, 0);
    while offset <= 9_000 {
        let text = scene.text("read_text_file", json!({"path": "f", "offset": offset})).await;
        let (lines, note) = text.split_once("\n\n[").unwrap_or((&text, ""));
        joined.push_str(lines);
        joined.push('\n');
        let next = offset + lines.lines().count();
        if next <= 9_000 {
            let want = format!(
                "Lines {offset} to {} of 9000; {} are left, read on with offset {next}]",
                next - 1,
                9_001 - next
            );
            assert_eq!(note, want);
        }
        (offset, pages) = (next, pages + 1);
    }
    assert!(joined == whole && pages > 2, "{pages} pages");
    scene.write("wide", "x".repeat(1 << 20) + "\nlast");
    let text = scene.text("read_text_file", json!({"path": "wide", "offset": 1})).await;
    let (shown, note) = text.split_once("\n\n").expect("a note");
    assert_eq!(shown, "x".repeat(shown.len()));
    let bytes = shown.len();
    let want = format!(
        "[The first {bytes} bytes of line 1 of 2, which is too long for an answer; read on behind this line with offset 2]"
    );
    assert_eq!(note, want);
    assert_eq!(scene.text("read_text_file", json!({"path": "wide", "offset": 2})).await, "last");
}

#[tokio::test]
async fn the_reference_does_not_know_them() {
    let mut scene = Scene::of(Limits::default(), |tools| tools.compat(Compat::Reference)).await;
    scene.write("f", "one\ntwo\n");
    let answer = scene.call("read_text_file", json!({"path": "f", "offset": 2, "limit": 1})).await;
    assert_eq!(text_of(&answer), "one\ntwo\n");
    let list = scene.client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert!(!list.to_string().contains("\"offset\""));
}
