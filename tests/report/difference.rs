//! `mcpool report diff`: what grew, who, and the exit code.

use super::sample;
use mcpool::memory::{LatencyKind, MemoryReport};
use mcpool::report::{FigureChange, FigureGroup, difference};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn find<'f>(figures: &'f [FigureChange], group: FigureGroup, name: &str) -> &'f FigureChange {
    figures
        .iter()
        .find(|figure| (figure.group, figure.name.as_str()) == (group, name))
        .unwrap_or_else(|| panic!("no {name} in {figures:?}"))
}

#[test]
fn equal_reports_differ_in_nothing() {
    let difference = difference(&sample::full(), &sample::full(), 0.0);
    assert!(difference.is_within() && difference.figures.is_empty(), "{difference:?}");
    assert!(difference.settings.is_empty() && difference.is_same_process);
}

/// A later report of the same run, in which a connection, a line of the ledger and a tool have grown.
fn later() -> MemoryReport {
    let mut report = sample::full();
    report.taken_unix_ms += 60_000;
    report.uptime_ms += 60_000;
    report.parts[2].bytes *= 3;
    report.hotspots.connections[4].bytes += 3 << 20;
    report.usage.heap_bytes = report.usage.heap_bytes.map(|bytes| bytes + (3 << 20));
    report.operations[0].counts[0] += 10_000;
    for latencies in &mut report.latencies {
        if latencies.kind == LatencyKind::Tool && latencies.name == "read_text_file" {
            latencies.windows.iter_mut().for_each(|window| window.p95_ns = window.p95_ns * 3 / 2);
        }
    }
    report.settings.insert("arena_capacity".to_owned(), 32);
    report
}

#[test]
fn what_grew_is_named_with_who_and_which_setting_changed() {
    let found = difference(&sample::full(), &later(), 0.1);
    assert!(!found.is_within());
    for (group, name) in [
        (FigureGroup::Process, "heap"),
        (FigureGroup::Each, "one of connections"),
        (FigureGroup::Each, "heap left behind by a request"),
        (FigureGroup::Ledger, "connections"),
        (FigureGroup::Client, "127.0.0.1:40123 #5"),
        (FigureGroup::Latency, "tool read_text_file"),
    ] {
        assert!(find(&found.figures, group, name).is_beyond, "{name}: {:?}", found.figures);
    }
    let left = find(&found.figures, FigureGroup::Each, "heap left behind by a request");
    assert_eq!(left.after, Some(f64::from(3 << 20) / 10_000.0));
    assert_eq!(found.figures.iter().filter(|figure| figure.is_beyond).count(), 6);
    assert_eq!(found.settings.len(), 1);
    assert_eq!((found.settings[0].before, found.settings[0].after), (Some(16), Some(32)));
    // What shrinks is shown, and is nothing to fail for.
    assert!(difference(&later(), &sample::full(), 0.1).is_within());
    // Small growth is within a large tolerance, and the one of another run has no clients in common.
    let mut other = later();
    other.server.pid += 1;
    let other = difference(&sample::full(), &other, 100.0);
    assert!(!other.is_same_process && other.is_within(), "{other:?}");
    assert!(other.figures.iter().all(|figure| figure.group != FigureGroup::Client));
}

#[test]
fn scripts_get_an_exit_code_and_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let save = |name: &str, report: &MemoryReport| {
        let path = folder.path().join(name);
        std::fs::write(&path, serde_json::to_vec(report).expect("JSON")).expect("saved");
        path
    };
    let (before, after) = (save("a.json", &sample::full()), save("b.json", &later()));
    let run = |one: &Path, other: &Path, flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        command.env_clear().args(["report", "diff"]).args([one, other]).args(flags);
        let output = command.output().expect("the program runs");
        assert!(output.stderr.is_empty(), "{output:?}");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (code, text) = run(&before, &after, &[]);
    assert_eq!(code, Some(1));
    for part in ["tool read_text_file", "127.0.0.1:40123 #5", "arena_capacity", "6 figure(s) grew"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let (code, json) = run(&after, &before, &["--json"]);
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["schema"], "mcpool.report-diff/1");
    assert_eq!(run(&before, &after, &["--tolerance", "100000"]).0, Some(0));
}

#[test]
fn names_from_outside_steer_no_terminal() {
    let mut empty = sample::hostile();
    empty.parts.clear();
    let mut out = Vec::new();
    difference(&empty, &sample::hostile(), 0.1).write(80, &mut out).expect("written");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(
        text.contains("a\\nb") && !text.contains(|char: char| char.is_control() && char != '\n'),
        "{text:?}"
    );
}
