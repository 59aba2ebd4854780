//! Long answers of `search_files` and `directory_tree` are sent while they are written: the same bytes as at once.

use super::Scene;
use super::streamed::{KIB, server};
use crate::test_client::TestClient;
use mcpool::Limits;
use serde_json::{Value, json};

#[tokio::test]
async fn long_lists_are_answered_as_if_they_were_written_at_once() {
    let scene = Scene::new().await;
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    for number in 0..900 {
        let long = "\u{20ac}".repeat(50);
        scene.write(&format!("folder/{number:03} \"{long}\u{1}"), "");
    }
    let tools = [("search_files", json!({"pattern": "**"})), ("directory_tree", json!({}))];
    // Where all fits, and where the answer is cut.
    for (max_reply_bytes, is_cut) in [(64 << 20, false), (300 * KIB, true)] {
        let limits = Limits { max_reply_bytes, max_frame_bytes: 64 * KIB, ..Limits::default() };
        let mut client = TestClient::legacy(&server(&scene.path(""), limits), "2025-03-26").await;
        for (tool, arguments) in &tools {
            let mut arguments = arguments.clone();
            arguments["path"] = json!(scene.path("folder"));
            let params = json!({"name": tool, "arguments": arguments});
            let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
            client.send(&call).await;
            let alone = client.receive_line().await;
            // An answer in a batch is written before it is sent.
            client.send(&json!([call])).await;
            let batch = client.receive_line().await;
            let answer: Value = serde_json::from_str(&alone).expect("JSON");
            let result = &answer["result"];
            assert!(
                alone.len() <= max_reply_bytes && result.get("isError").is_none(),
                "{tool}: {alone:.300}"
            );
            assert!(
                format!("[{}]", alone.trim_end()) == batch.trim_end(),
                "{tool}: {alone:.300}\n{batch:.300}"
            );
            let text = result["content"][0]["text"].as_str().expect("a text");
            let entries = text.matches('\u{20ac}').count() / 50;
            assert!(text.len() > 100 * KIB && (entries == 900) != is_cut, "{tool}: {entries}");
            assert_eq!(result["structuredContent"]["content"], text);
            if is_cut {
                let note = format!("{} more ", 900 - entries);
                assert!(result["content"].to_string().contains(&note), "{tool}: {note}");
            }
        }
    }
}

/// Around the limit: an answer that fits is whole; of one that does not, each entry is shown or counted as left.
#[tokio::test]
async fn lists_around_the_limit_are_whole_or_say_what_is_left() {
    const BYTES: usize = 16 * KIB;
    let limits = Limits { max_reply_bytes: BYTES, max_frame_bytes: BYTES, ..Limits::default() };
    let limits = Limits { inline_read_bytes: BYTES / 4, ..limits };
    let mut scene = Scene::with(limits, false).await;
    std::fs::create_dir_all(scene.path("top/deep/er")).expect("directories");
    let tools = [
        ("list_directory", "top/deep/er", json!({})),
        ("list_directory_with_sizes", "top/deep/er", json!({})),
        ("list_directory_with_sizes", "top/deep/er", json!({"sortBy": "size"})),
        ("search_files", "top", json!({"pattern": "*-"})),
        ("directory_tree", "top", json!({})),
    ];
    let mut cut = [0; 5];
    for count in 1..=240 {
        scene.write(&format!("top/deep/er/{count:0>59}-"), "");
        if count < 30 {
            continue;
        }
        for (index, (tool, path, arguments)) in tools.iter().enumerate() {
            let mut arguments = arguments.clone();
            arguments["path"] = json!(path);
            let result = scene.call(tool, arguments).await;
            assert!(result.get("isError").is_none(), "{tool} {count}: {result:.300}");
            let text = result["content"][0]["text"].as_str().expect("a text");
            assert_eq!(result["structuredContent"]["content"], text, "{tool} {count}");
            let shown = text.matches(&"0".repeat(32)).count();
            let all = result["content"].to_string();
            let left: usize = all
                .split_once(" more ")
                .and_then(|(before, _)| before.rsplit(|c: char| !c.is_ascii_digit()).next())
                .map_or(0, |left| left.parse().expect("a number"));
            assert_eq!(shown + left, count, "{tool}: {all:.300}");
            if *tool == "directory_tree" {
                let tree: Value = serde_json::from_str(text).expect("JSON");
                assert_eq!(tree[0]["children"][0]["name"], "er");
            }
            assert!(left > 0 || cut[index] == 0, "{tool} {count}");
            cut[index] += usize::from(left > 0);
        }
    }
    assert!(cut.iter().all(|cut| (1..211).contains(cut)), "{cut:?}");
}

/// Texts around the limit: whole, or their first lines, or the characters of a line that fit.
#[tokio::test]
async fn texts_around_the_limit_are_whole_or_say_what_is_left() {
    const BYTES: usize = 16 * KIB;
    let limits = Limits { max_reply_bytes: BYTES, max_frame_bytes: BYTES, ..Limits::default() };
    let limits = Limits { inline_read_bytes: BYTES / 4, ..limits };
    let mut scene = Scene::with(limits, false).await;
    let fits = (BYTES - 512) / 2;
    for line in ["\u{20ac}", "x", "\"\u{20ac}\u{1}", "x\n", "\u{20ac}y\n", "a \"line\"\n"] {
        let escaped = serde_json::to_string(line).expect("JSON").len() - 2;
        for more in -3..4_i64 {
            let times = i64::try_from(fits / escaped).expect("a small number") + more;
            let whole = line.repeat(times as usize);
            scene.write("f", &whole);
            let text = scene.text("read_text_file", json!({"path": "f"})).await;
            if more <= 0 {
                assert!(text == whole, "{line:?} {more}");
                continue;
            }
            let (begin, note) = text.split_once("\n[").expect("a note");
            assert!(whole.starts_with(begin) && begin.len() > whole.len() / 4, "{line:?}: {}", begin.len());
            let shown = begin.len();
            let left = format!("{} of {} bytes of the file are left", whole.len() - shown, whole.len());
            assert!(note.contains(&left), "{line:?}: {note}");
            assert_eq!(note.contains("too long"), !line.ends_with('\n'), "{note}");
        }
    }
}
