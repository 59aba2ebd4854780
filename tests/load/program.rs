//! `mcpool load` as a person runs it.

use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcpool");

fn load(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("load").args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_is_loaded_and_shown_as_a_table_and_as_json() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.txt"), "x").expect("written");
    let path = folder.path().display().to_string();
    let arguments = serde_json::json!({"path": path}).to_string();
    let server = ["--", PROGRAM, "serve", "--stdio", &path];
    let [page, junit] = ["page.html", "junit.xml"].map(|name| folder.path().join(name).display().to_string());
    let call = ["--count", "20", "--settle", "0s", "--call", "list_directory", "--arguments", &arguments];
    let files = ["--html", &page, "--junit", &junit];
    let table = load(&[&call[..], &["--in-flight", "4"], &files, &server].concat());
    assert_eq!(table.status.code(), Some(0), "{}", text(&table.stderr));
    for part in ["20 answered", "0 failed", "list_directory", "p99.9", "resident before", "generator"] {
        assert!(text(&table.stdout).contains(part), "{part} is missing in\n{}", text(&table.stdout));
    }
    let saved = |path: &str| std::fs::read_to_string(path).expect("saved");
    assert!(saved(&page).contains("Latency by quantile") && saved(&page).contains("20 answered"));
    assert!(saved(&junit).contains("tests=\"2\" failures=\"0\""), "{}", saved(&junit));
    let json = load(&[&call[..], &["--json", "--era", "legacy", "--connections", "2"], &server].concat());
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(report["requests"]["answered"], 20);
    assert_eq!(report["server"]["pids"].as_array().map(Vec::len), Some(2), "one process for each connection");
    assert!(report["server"]["rss_peak_bytes"].as_u64() > Some(0));
    assert_eq!((&report["scenario"]["transport"], text(&json.stderr)), (&"stdio".into(), String::new()));
}

/// A server that does not speak the revision that it is asked for.
const NEWER: &str = "read -r line; echo '{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-06-18\"}}'; read -r line";

#[test]
fn the_exit_code_says_what_came_of_it() {
    let server = ["--", PROGRAM, "serve", "--stdio", "/"];
    let failing =
        load(&[&["--count", "3", "--call", "no_such_tool", "--settle", "0s"][..], &server].concat());
    assert_eq!(failing.status.code(), Some(1), "{}", text(&failing.stderr));
    let shown = text(&failing.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("failures 3 protocol error, the first: "), "{shown}");
    let warm_up = ["--count", "3", "--warm-up", "2s", "--call", "no_such_tool", "--settle", "0s"];
    let shown = text(&load(&[&warm_up[..], &server].concat()).stdout);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("of the warm-up failed or had no answer, the first: protocol error: {"),
        "{shown}"
    );
    for (arguments, code, want) in [
        (&["--count", "0", "--", "true"][..], 2, "--count"),
        (&["--rate", "0", "--", "true"], 2, "how many requests a second"),
        (&["--duration", "5", "--", "true"], 2, "a time with its unit"),
        (&["ftp://x"], 2, "is no server"),
        (&[], 2, "no server was given"),
        (&["--call", "x", "--arguments", "[]", "--", "true"], 2, "write a JSON object"),
        (
            &["--call", "x", "--arguments", "{\"a\":\"{{nope}}\"}", "--era", "modern", "--", "true"],
            2,
            "no placeholder",
        ),
        (&["unix:/nonexistent/mcpool.sock"], 3, "cannot reach the server"),
        (&["--", "mcpool-no-such-program"], 3, "no program"),
        (&["--batch", "2", "--era", "modern", "--", "true"], 2, "only revision 2025-03-26 has batches"),
        (&["--batch", "0", "--", "true"], 2, "--batch"),
        (
            &["--batch", "2", "--", "sh", "-c", NEWER],
            3,
            "it speaks 2025-06-18, and only 2025-03-26 has batches",
        ),
        (&["--era", "legacy", "--", "sh", "-c", "echo out of cheese >&2"], 3, "out of cheese"),
    ] {
        let output = load(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(want), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_server_that_dies_ends_the_test_with_a_report() {
    // It answers the greeting and three requests, and ends.
    let script = "for i in 0 1 2 3; do read -r line; id=${line#*\\\"id\\\":}; \
                  echo \"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":${id%%,*},\\\"result\\\":{}}\"; done; \
                  echo out of cheese >&2; exit 9";
    let ping = ["--era", "modern", "--method", "ping", "--settle", "0s", "--warm-up", "0"];
    let output = load(&[&ping[..], &["--", "sh", "-c", script]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("ENDED EARLY: the server ended (exit status: 9)"), "{shown}");
    assert!(shown.contains("out of cheese") && shown.contains("requests   3 answered"), "{shown}");
}

/// Starts a load test of a shell script, interrupts it when the script has made a file named `here`.
fn interrupted_when_here(script: &str, flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let child = Command::new(PROGRAM)
        .args(["load", "--duration", "1h", "--warm-up", "0", "--settle", "0s"])
        .args(flags)
        .args(["--", "sh", "-c", script])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    while !folder.path().join("here").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("sent");
    child.wait_with_output().expect("ended")
}

#[test]
fn an_interrupt_shows_the_report_so_far() {
    // It answers the greeting, and never the first request.
    let script =
        r#"read -r line; echo '{"jsonrpc":"2.0","id":0,"result":{}}'; read -r line; touch here; cat >&2"#;
    let output = interrupted_when_here(script, &["--era", "modern"]);
    assert_eq!(output.status.code(), Some(130));
    let shown = text(&output.stdout);
    assert!(shown.contains("ENDED EARLY: interrupted"), "{shown}");
    assert!(shown.contains("1 request still without an answer at the end"), "{shown}");
}

#[test]
fn a_server_that_never_greets_can_be_interrupted_and_has_a_time_out() {
    for flags in [&[][..], &["--era", "legacy"], &["--era", "modern"]] {
        let output = interrupted_when_here("touch here; cat >&2", flags);
        assert_eq!(output.status.code(), Some(130), "{flags:?}: {}", text(&output.stderr));
        let silent = ["--time-out", "300ms", "--", "sh", "-c", "cat >&2"];
        let output = load(&[flags, &silent].concat());
        assert_eq!(output.status.code(), Some(3), "{flags:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("the server sh -c cat >&2"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_flag_that_would_be_ignored_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a").display().to_string();
    let empty = folder.path().join("empty.json").display().to_string();
    std::fs::write(&empty, "[]").expect("written");
    std::fs::write(&file, "secret").expect("written");
    for (arguments, want) in [
        (&["--token-file", &file, "--", "true"][..], "over HTTP only"),
        (&["--token-file", &file, "unix-lines:/x"], "over HTTP only"),
        (&["--pid", "1", "--", "true"], "--pid"),
        (&["--settle", "5s", "unix:/x"], "--pid"),
        (&["--baseline", &file, "unix:/x"], "--expect"),
        (&["--churn", "--in-flight", "2", "unix:/x"], "with churn"),
        (&["--scenario", &file, "--era", "modern"], "--era"),
        (&["--scenario", &file, "--pid", "1"], "--pid"),
        (&["--schema", "--churn"], "--schema"),
        (&["--slo", "p99=5ms", "unix:/x"], "--find-max"),
        (&["--find-max", "--slo", "p99=5", "unix:/x"], "write a time"),
        (&["--find-max", "--slo", "p99=+5%", "unix:/x"], "no saved run"),
        (&["--find-max", "--count", "5", "unix:/x"], "--find-max"),
        (&["compare", &file], "<AFTER>"),
        (&["compare", &file, &file], "is no report"),
        (&["compare", &empty, &empty], "there is no report in it"),
        (&["compare", "/dev/zero", &file], "/dev/zero"),
    ] {
        let output = load(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(want), "{arguments:?}: {}", text(&output.stderr));
    }
}

/// A scenario that starts its server, which is asked to end in the midst of the load. Of the requests that began hardly any
/// is lost: those whose client was held up for longer than a connection stays, as one of this machine may be. That none is
/// lost otherwise is shown in `transport`, without a clock.
#[test]
fn a_server_is_started_for_a_scenario_and_ends_under_load_without_a_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("m.sock").display().to_string();
    let file = folder.path().join("load.toml");
    let server = serde_json::json!([PROGRAM, "serve", "--unix", socket, folder.path()]);
    let write = |more: &str| {
        let toml = format!(
            "[[scenario]]\nname = \"shutdown\"\nserver = {server}\ntarget = {}\nduration = \"1m\"\n\
             warm_up = \"0s\"\ntime_out = \"10s\"\nconnections = 20\n{more}\n\
             [scenario.expect]\nerrors = \"5%\"\n",
            serde_json::json!(format!("unix:{socket}"))
        );
        std::fs::write(&file, toml).expect("written");
        load(&["--scenario", &file.display().to_string()])
    };
    let output = write("terminate = { after = \"1s\", within = \"1m\" }");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("met     ended by SIGTERM with exit code 0 <= 60s"), "{shown}");
    assert!(shown.contains("met     errors <= 5%") && !shown.contains("ENDED EARLY"), "{shown}");
    for (more, want) in [
        ("pid = 1", "neither command nor pid"),
        ("terminate = { after = \"soon\", within = \"1m\" }", "write a time"),
    ] {
        let output = write(more);
        assert_eq!(output.status.code(), Some(2), "{more}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(want), "{more}: {}", text(&output.stderr));
    }
    let _taken = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let output = write("");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("another server listens"), "{}", text(&output.stderr));
}

#[test]
fn the_schema_is_printed() {
    let output = load(&["--schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["title"], "LoadOutput");
}

#[test]
fn expectations_decide_the_exit_code_beside_a_saved_run_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("saved.json").display().to_string();
    let server = ["--count", "20", "--settle", "0s", "--", PROGRAM, "serve", "--stdio", "/"];
    let first = load(&[&["--json", "--expect", "errors=0%,max=1m"][..], &server].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    std::fs::write(&saved, &first.stdout).expect("saved");
    for (expectations, code, want) in [
        ("p99=1h,errors=0%", 0, "met     p99 <= 1h"),
        ("p50=1ns,errors=0%", 1, "MISSED  p50 <= 1ns"),
        ("connection_bytes=1GiB", 1, "found not measured"),
        ("p50=+100000000%,rate=-99.99999%", 0, "met     rate >= -99.99999%"),
        ("p50=-99.99999%", 1, "MISSED  p50 <= -99.99999%"),
    ] {
        let flags = ["--expect", expectations, "--baseline", &saved];
        let flags = if want.contains("+1") || want.contains("-99") { &flags[..] } else { &flags[..2] };
        let output = load(&[flags, &server].concat());
        assert_eq!(output.status.code(), Some(code), "{expectations}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(want), "{expectations}: {}", text(&output.stdout));
    }
    let without = load(&[&["--expect", "p99=+5%"][..], &server].concat());
    assert_eq!(without.status.code(), Some(2), "{}", text(&without.stderr));
}

#[test]
fn the_scenarios_of_a_file_run_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("load.toml");
    let command = serde_json::json!([PROGRAM, "serve", "--stdio", folder.path().display().to_string()]);
    let arguments = format!("{{ path = {} }}", serde_json::json!(folder.path().display().to_string()));
    let toml = format!(
        r#"
        [[scenario]]
        name = "first"
        command = {command}
        count = 30
        in_flight = 4
        [[scenario.step]]
        call = "list_directory"
        arguments = {arguments}
        weight = 2
        [[scenario.step]]
        method = "tools/list"
        [scenario.expect]
        p99 = "1h"
        errors = "0%"
        [[scenario]]
        name = "second"
        command = {command}
        duration = "300ms"
        warm_up = "0s"
        in_flight = 64
        pattern = {{ spike = [20, 100, "100ms"] }}
        [scenario.expect]
        rate = 1000000
        "#
    );
    std::fs::write(&file, toml).expect("written");
    let path = file.display().to_string();
    let output = load(&["--scenario", &path, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let reports: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let met = |index: usize| reports[index]["expectations"][0]["is_met"].clone();
    assert_eq!((met(0), met(1)), (true.into(), false.into()), "a million a second is too much to ask");
    assert_eq!(
        (&reports[0]["scenario"]["name"], &reports[0]["requests"]["answered"]),
        (&"first".into(), &30.into())
    );
    assert_eq!(reports[1]["requests"]["scheduled"], 14, "4 + 10 of a spike, in 300 ms");
    for (wrong, want) in [
        ("[[scenario]]\nname = 'x'", "either target"),
        ("[[scenario]]\nnam = 'x'", "unknown field"),
        ("[[scenario]]\nname = 'x'\ntarget = 'unix:/x'\n[scenario.expect]\np1 = '5ms'", "figures are"),
        ("", "no [[scenario]]"),
    ] {
        std::fs::write(&file, wrong).expect("written");
        let output = load(&["--scenario", &path]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(text(&output.stderr).contains(want), "{wrong}: {}", text(&output.stderr));
    }
}
