//! `mcpool tools` and `mcpool call`: what is printed, where, and the exit code.

use super::{Run, fake_server, mcpool, noted_pid, run, signal, wait_for_note};
use std::process::Stdio;

fn call(mode: &str, arguments: &[&str]) -> Run {
    let server = fake_server(mode);
    let mut all = vec!["call", "--server", &server];
    all.extend(arguments);
    run(&all)
}

#[test]
fn a_server_of_either_era_is_called() {
    for mode in ["modern", "older", "picky"] {
        let run = call(mode, &["read_text_file", "path=a b", "head=3"]);
        assert_eq!(run.code, Some(0), "{mode}: {run:?}");
        assert_eq!(run.stdout, "{\n  \"head\": 3,\n  \"path\": \"a b\"\n}", "{mode}");
        assert_eq!(run.stderr, "", "{mode}");
    }
}

#[test]
fn the_exit_code_says_whose_fault_it_was() {
    let cases: [(&str, &[&str], i32, &str, &str); 10] = [
        ("modern", &["slow"], 0, "done", ""),
        ("modern", &["picture"], 0, "[image image/png, 3 B]", ""),
        ("modern", &["fails"], 1, "", "it went wrong\n"),
        (
            "modern",
            &["read_txt_file"],
            2,
            "",
            "mcpool: the server has no tool \"read_txt_file\"; did you mean \"read_text_file\"?",
        ),
        (
            "modern",
            &["read_text_file"],
            2,
            "",
            "mcpool: missing: path\nArguments of read_text_file:\n  path=string",
        ),
        ("modern", &["slow", "--json", "[1]"], 2, "", "mcpool: --json wants an object"),
        ("modern", &["breaks"], 3, "", "mcpool: the server refused tools/call: broken (code -32603)"),
        (
            "modern",
            &["dies"],
            3,
            "",
            "mcpool: the server ended (exit status: 9) before it answered; it said:\n  fake server (modern) runs\n  out of luck\n",
        ),
        ("dying", &["slow"], 3, "", "mcpool: the server ended (exit status: 7) before it answered; it said:"),
        ("mute", &["slow", "--timeout-ms", "300"], 3, "", "mcpool: no answer to initialize within 300 ms"),
    ];
    for (mode, arguments, code, stdout, stderr) in cases {
        let run = call(mode, arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        assert_eq!(run.stdout, stdout, "{arguments:?}");
        assert!(run.stderr.starts_with(stderr) && run.stderr.is_empty() == stderr.is_empty(), "{run:?}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let run = run(&["call", "--server", "no-such-server --flag", "x"]);
    assert_eq!(run.code, Some(3));
    assert_eq!(
        run.stderr,
        "mcpool: cannot start the server: no program \"no-such-server\" (is it installed, and in PATH?)\n"
    );
}

#[test]
fn one_object_is_sent_as_it_is_and_the_answer_can_be_had_raw() {
    let run = call("modern", &["echo_arguments", "--json", r#"{"z":[1,2],"a":null}"#, "--raw"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, "{\"content\":[],\"structuredContent\":{\"a\":null,\"z\":[1,2]}}\n");
    let same = call("modern", &["echo_arguments", "--args", r#"{"z":[1,2],"a":null}"#, "--raw"]);
    assert_eq!(same.stdout, run.stdout);
}

#[test]
fn tools_are_listed_for_people_and_for_programs() {
    let server = fake_server("older");
    let table = run(&["tools", "--server", &server]);
    assert_eq!(table.code, Some(0), "{table:?}");
    assert_eq!(table.stdout.lines().next(), Some("read_text_file  path [head]  Reads a file."));
    assert_eq!(table.stdout.lines().count(), 8);
    let json = run(&["tools", "--server", &server, "--json"]);
    let tools: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(tools[0]["inputSchema"]["required"], serde_json::json!(["path"]));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let server = fake_server("modern");
    let mut child = mcpool(&["tools", "--server", &server])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn rust_log_shows_what_the_server_says_and_a_wrong_one_is_reported() {
    let server = fake_server("modern");
    let log = |filter: &str| -> Run {
        mcpool(&["call", "--server", &server, "slow"])
            .env("RUST_LOG", filter)
            .output()
            .expect("the program runs")
            .into()
    };
    let run = log("warn,mcpool::client=debug");
    assert!(run.stderr.contains("fake server (modern) runs"), "{run:?}");
    assert_eq!(run.stdout, "done");
    assert_eq!(log("").stderr, "");
    let run = log("mcpool=loud");
    assert!(run.stderr.starts_with("mcpool: RUST_LOG=\"mcpool=loud\" cannot be read"), "{run:?}");
    assert_eq!(run.stdout, "done");
}

#[test]
fn an_interrupt_cancels_the_call_and_ends_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let notes = folder.path().join("notes");
    let server = format!("{} '{}'", fake_server("modern"), notes.display());
    let child = mcpool(&["call", "--server", &server, "hangs"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    wait_for_note(&notes, "hangs");
    assert!(signal("INT", &child.id().to_string()));
    let run = Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(130), "mcpool: interrupted\n"));
    wait_for_note(&notes, "cancelled");
    assert!(!signal("0", &noted_pid(&notes)), "the server ended");
}
