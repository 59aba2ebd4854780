//! `mcpool report changes`: what changed in a record, when, and with which version.

use super::sample;
use mcpool::memory::{LatencyKind, MemoryReport};
use serde_json::Value;
use std::fmt::Write as _;
use std::process::Command;

/// Reports of a minute each; a tool is slower from the report `slower_at` on, which is another version.
fn record(slower_at: usize) -> String {
    let mut text = String::new();
    for at in 0..60 {
        let mut report: MemoryReport = sample::full();
        report.taken_unix_ms += at as u64 * 60_000;
        for latencies in &mut report.latencies {
            let slower = if latencies.kind == LatencyKind::Tool && at >= slower_at { 12 } else { 10 };
            let noise = 1_000 + (at * 37 % 11) as u64;
            latencies
                .windows
                .iter_mut()
                .for_each(|window| window.p95_ns = window.p95_ns * slower / 10 * noise / 1_000);
        }
        if at >= slower_at {
            "0.2.0".clone_into(&mut report.server.version);
        }
        writeln!(text, "{}", serde_json::to_string(&report).expect("JSON")).expect("written");
    }
    text
}

fn changes(text: &str, flags: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.jsonl");
    std::fs::write(&path, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    let output = command
        .env_clear()
        .args(["report", "changes"])
        .arg(path)
        .args(flags)
        .output()
        .expect("the program runs");
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn a_tool_that_got_slower_with_a_version_is_named_with_both() {
    let (code, json) = changes(&record(35), &["--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let found = json["changes"].as_array().expect("a list");
    assert_eq!((code, found.len(), json["reports"].as_u64()), (Some(1), 1, Some(60)), "{json:#}");
    assert_eq!(found[0]["series"], "p95 of tool read_text_file");
    assert_eq!(found[0]["at_unix_ms"], sample::full().taken_unix_ms + 35 * 60_000);
    assert_eq!(found[0]["with"][0], "version 0.1.0 became 0.2.0");
    let (_, text) = changes(&record(35), &[]);
    assert!(text.contains("+20 %") && text.contains("version 0.1.0 became 0.2.0"), "{text}");
    assert_eq!(changes(&record(35), &["--magnitude", "30"]).0, Some(0));
    let (code, text) = changes(&record(60), &[]);
    assert!(code == Some(0) && text.starts_with("0 changes of level in 60 reports."), "{text}");
}
