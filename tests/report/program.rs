//! `mcpool report` as a person runs it.

use super::sample;
use mcpool::memory::MemoryReport;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn mcpool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    told(mcpool(arguments).stdin(Stdio::null()).output().expect("the program runs"))
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A folder with a file of that text.
fn saved(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("saved report.json");
    std::fs::write(&path, text).expect("saved");
    (folder, path.display().to_string())
}

fn json(report: &MemoryReport) -> String {
    serde_json::to_string(report).expect("JSON")
}

#[test]
fn a_saved_report_is_shown_in_every_form() {
    let report = sample::full();
    let (_folder, path) = saved(&serde_json::to_string_pretty(&report).expect("JSON"));
    let mut want = Vec::new();
    mcpool::report::write_table(&report, 80, &mut want).expect("written");
    let table = String::from_utf8(want).expect("UTF-8");
    let hint = "\nWhat the words mean: mcpool report --explain\n";
    assert_eq!(run(&["report", &path]), (Some(0), format!("{table}{hint}"), String::new()));
    let (code, explained, _) = run(&["report", &path, "--explain"]);
    let mut legend = Vec::new();
    mcpool::report::write_legend(80, &mut legend).expect("written");
    let legend = String::from_utf8(legend).expect("UTF-8");
    assert_eq!((code, explained), (Some(0), format!("{table}\n{legend}")));
    let mut want = Vec::new();
    mcpool::report::write_markdown(&report, &mut want).expect("written");
    let want = String::from_utf8(want).expect("UTF-8");
    assert_eq!(run(&["report", "--markdown", &path]), (Some(0), want, String::new()));
    let (code, stdout, stderr) = run(&["report", &path, "--json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(MemoryReport::from_json(&stdout).expect("a report"), report);
}

#[test]
fn of_a_record_the_last_whole_report_is_shown() {
    let first = sample::empty();
    let last = sample::full();
    let torn = &json(&first)[..100];
    let (first, shown) = (json(&first), json(&last));
    for text in
        [format!("{first}\n{shown}\n"), format!("{first}\n{shown}"), format!("{first}\n{shown}\n{torn}")]
    {
        let (_folder, path) = saved(&text);
        let (code, stdout, stderr) = run(&["report", &path, "--json"]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(MemoryReport::from_json(&stdout).expect("a report"), last);
    }
}

#[test]
fn standard_input_is_a_dash() {
    let mut child = mcpool(&["report", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("its stdin");
    stdin.write_all(json(&sample::full()).as_bytes()).expect("sent");
    drop(stdin);
    let (code, stdout, stderr) = told(child.wait_with_output().expect("it ends"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("files 0.1.0 (pid 4711) holds 20.0 MiB"), "{stdout}");
}

#[test]
fn what_is_no_report_is_refused_with_its_reason() {
    let future = MemoryReport { schema: "mcpool.memory-report/2".to_owned(), ..sample::full() };
    let other = r#"the report has schema "mcpool.memory-report/2" and this program reads "mcpool.memory-report/1": use the mcpool that wrote it"#;
    let no_report = "this is no memory report of mcpool: ";
    for (text, reason) in [
        (json(&future), other),
        (format!("{}\n{}\n", json(&sample::full()), json(&future)), other),
        (String::new(), "is empty: `serve --record FILE` writes the first report"),
        ("{}".to_owned(), no_report),
        ("hello\n".to_owned(), no_report),
        (r#"{"schema":"mcpool.memory-report/1"}"#.to_owned(), no_report),
        (format!("{}\n{{\"schema\":\n", json(&sample::full())), no_report),
    ] {
        let (_folder, path) = saved(&text);
        let (code, stdout, stderr) = run(&["report", &path]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{text:?}");
        assert!(stderr.starts_with("mcpool: ") && stderr.contains(reason), "{text:?}: {stderr}");
        assert!(stderr.contains("saved report.json"), "{stderr}");
    }
}

#[test]
fn wrong_usage_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.json").display().to_string();
    for (arguments, reason) in [
        (vec!["report", &missing], "cannot read \""),
        (vec!["report", "--json", "--markdown", "-"], "cannot be used with"),
        (vec!["report", "--schema", "-"], "cannot be used with"),
    ] {
        let (code, stdout, stderr) = run(&arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_schema_that_is_printed_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/memory/report.schema.json");
    let want = std::fs::read_to_string(path).expect("a schema is checked in");
    assert_eq!(run(&["report", "--schema"]), (Some(0), want, String::new()));
}

#[test]
fn nobody_reading_on_is_no_error() {
    let mut report = sample::full();
    // Far more than a pipe holds, so that the program is still writing when its reader goes.
    report.timeline = vec![report.timeline[0].clone(); 20_000];
    let (_folder, path) = saved(&json(&report));
    let mut child = mcpool(&["report", &path, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdout = child.stdout.take().expect("its stdout");
    stdout.read_exact(&mut [0; 10]).expect("its first bytes");
    drop(stdout);
    let (code, _, stderr) = told(child.wait_with_output().expect("it ends"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}
