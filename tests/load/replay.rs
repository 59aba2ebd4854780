//! Traffic that is recorded by one server and made again for another.

use super::{assert_adds_up, counted, failures, run};
use mcpool::client::ServerCommand;
use mcpool::load::{
    Era, FailureKind, LoadStep, LoadTarget, LoadTestReport, LoadTestScenario, LoadTestSuite, LoadTrace,
    StartedServer,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcpool");
const PATIENCE: Duration = Duration::from_mins(1);
const REQUESTS: u64 = 60;

/// How often each method and tool was asked for.
type Counts = BTreeMap<(String, String), u64>;

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("served")).expect("a folder");
        std::fs::write(folder.path().join("served/canary.txt"), "content").expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn target(&self, scheme: &str) -> LoadTarget {
        LoadTarget::parse(&format!("{scheme}:{}", self.path("m.sock").display())).expect("a target")
    }

    /// A server of this folder, with these flags besides.
    fn start(&self, flags: &[&str]) -> StartedServer {
        let (socket, served) = (self.path("m.sock"), self.path("served"));
        let socket = socket.display().to_string();
        let mut arguments = vec!["serve", "--unix", &socket];
        arguments.extend(flags);
        let mut arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
        arguments.push(served.into());
        let command = ServerCommand { program: PROGRAM.into(), arguments };
        StartedServer::start(&command, &self.target("unix"), PATIENCE).expect("a server")
    }

    fn read(&self) -> Map<String, Value> {
        let path = self.path("served/canary.txt").display().to_string();
        json!({"path": path, "head": 1}).as_object().cloned().expect("an object")
    }

    /// Loads a server that records, and ends it. The trace is in the file `trace`.
    fn record(&self, scenario: LoadTestScenario, flags: &[&str]) -> LoadTestReport {
        let trace = self.path("trace").display().to_string();
        let mut server = self.start(&[&["--record-traffic", &trace], flags].concat());
        let scenario = scenario
            .step(LoadStep::call("read_text_file", self.read()))
            .step(LoadStep::call("list_allowed_directories", Map::new()))
            .step(LoadStep::call("canary_tool", json!({"key": "canary"}).as_object().cloned().expect("one")))
            .step(LoadStep::method(
                "resources/read",
                json!({"uri": "canary://x"}).as_object().cloned().expect("one"),
            ))
            .step(LoadStep::method("tools/list", Map::new()));
        let report = run(&scenario);
        server.terminate();
        assert!(server.ended_within(PATIENCE).is_some_and(|status| status.success()), "it ends");
        report
    }
}

fn of_report(report: &LoadTestReport) -> Counts {
    let operations = report.operations.iter();
    operations
        .map(|one| ((one.method.clone(), one.tool.clone().unwrap_or_default()), one.answered + one.failed))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// The requests of a trace, without handshakes.
fn of_trace(path: &Path) -> (Counts, Vec<Value>) {
    let text = std::fs::read_to_string(path).expect("a trace");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let requests: Vec<_> = lines.filter_map(|line| line.get("request").cloned()).collect();
    let mut counts = Counts::new();
    for request in &requests {
        let method = request["method"].as_str().expect("a method").to_owned();
        if method != "initialize" && !method.starts_with("notifications/") {
            // A tool that the server does not know has a length and no name, and other names are not told apart.
            let name = request["name"].as_str().map(str::to_owned);
            let name =
                name.or_else(|| request["name_bytes"].as_u64().map(|length| "x".repeat(length as usize)));
            let name = name.filter(|_| method == "tools/call").unwrap_or_default();
            *counts.entry((method, name)).or_default() += 1;
        }
    }
    (counts, requests)
}

/// The same, with the tool that no server knows under another name.
fn with_unknown_tool_named(counts: Counts, name: &str) -> Counts {
    let rename = |((method, tool), count): ((String, String), u64)| {
        let tool = if tool == "canary_tool" { name.to_owned() } else { tool };
        ((method, tool), count)
    };
    counts.into_iter().map(rename).collect()
}

#[test]
fn a_trace_is_redacted_and_replayed_request_for_request() {
    for (scheme, era) in [("unix", Era::Modern), ("unix-lines", Era::Legacy)] {
        let host = Host::new();
        let asked = host.record(counted(host.target(scheme), era, REQUESTS).connections(3), &[]);
        let path = host.path("trace");
        let (recorded, requests) = of_trace(&path);
        let hidden = "x".repeat("canary_tool".len());
        assert_eq!(recorded, with_unknown_tool_named(of_report(&asked), &hidden), "{scheme}");
        let text = std::fs::read_to_string(&path).expect("a trace");
        assert!(!text.contains("canary"), "of arguments and names of a client nothing is written: {text}");
        for request in &requests {
            assert!(request["request_bytes"].as_u64() > Some(20), "{request}");
            let has_answer = request["method"] != "notifications/initialized";
            assert_eq!(request["answer_bytes"].as_u64() > Some(20), has_answer, "{request}");
        }
        let is_read = |request: &&Value| request["name"] == "read_text_file";
        let read = requests.iter().find(is_read).expect("a file was read");
        let length = host.path("served/canary.txt").as_os_str().len();
        let want = json!({"arguments": {"path": format!("{{{{text {length}}}}}"), "head": 0}});
        assert_eq!((&read["params"], &read["outcome"]), (&want, &"ok".into()));
        let reads = requests.iter().filter(is_read).count() as u64;
        assert!(reads > 0);

        // Made again without the values, a file cannot be read.
        let mut server = host.start(&[]);
        let again = |scenario: LoadTestScenario| {
            let trace = LoadTrace::read(&path).and_then(|trace| trace.speed(100.0)).expect("a trace");
            assert_eq!((trace.requests() as u64, trace.peers()), (REQUESTS, 3));
            let report = run(&scenario.replay(trace));
            assert_adds_up(&report);
            assert_eq!(of_report(&report), recorded, "{scheme}");
            report
        };
        let scenario =
            || LoadTestScenario::new("again", host.target(scheme)).era(era).connections(2).in_flight(4);
        let report = again(scenario());
        let replay = report.replay.as_ref().expect("a replay");
        let (unknown, unlisted) = (
            recorded[&("tools/call".to_owned(), hidden)],
            recorded[&("resources/read".to_owned(), String::new())],
        );
        assert_eq!((replay.redacted, replay.replaced), (reads + unknown + unlisted, 0));
        assert_eq!(
            failures(&report).iter().find(|(kind, _)| *kind == FailureKind::ToolError),
            Some(&(FailureKind::ToolError, reads))
        );
        let handshakes: u64 = replay.skipped.iter().map(|skipped| skipped.count).sum();
        assert_eq!(handshakes, if era == Era::Legacy { 6 } else { 0 }, "{:?}", replay.skipped);

        // With arguments of the test it can.
        let report = again(scenario().step(LoadStep::call("read_text_file", host.read())));
        let replay = report.replay.as_ref().expect("a replay");
        assert_eq!((replay.redacted, replay.replaced), (unknown + unlisted, reads));
        assert!(failures(&report).iter().all(|(kind, _)| *kind != FailureKind::ToolError), "{report:?}");
        server.terminate();
        server.ended_within(PATIENCE);
    }
}

fn load(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("load").args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn whole_arguments_are_replayed_as_they_were_by_the_program_too() {
    let host = Host::new();
    let target = host.target("unix");
    host.record(counted(target.clone(), Era::Modern, 20), &["--record-arguments"]);
    let trace = host.path("trace").display().to_string();
    let (recorded, _) = of_trace(Path::new(&trace));
    assert!(std::fs::read_to_string(&trace).expect("a trace").contains("canary.txt"));
    let _server = host.start(&[]);
    let target = target.to_string();
    let output = load(&["--replay", &trace, "--speed", "50", "--json", &target]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    super::schema::assert_follows(&report);
    assert_eq!((&report["replay"]["redacted"], &report["replay"]["recorded"]), (&0.into(), &20.into()));
    let report = LoadTestReport::from_json(&report.to_string()).expect("a report");
    assert_eq!(of_report(&report), recorded);
    let tool_errors = failures(&report).into_iter().filter(|(kind, _)| *kind == FailureKind::ToolError);
    assert_eq!(tool_errors.count(), 0, "the file is there");

    let file = host.path("load.toml");
    let scenario = format!(
        "[[scenario]]\nname = \"again\"\ntarget = {}\npattern = {{ replay = \"trace\" }}\nspeed = 50\n",
        json!(target)
    );
    std::fs::write(&file, scenario).expect("written");
    let output = load(&["--scenario", &file.display().to_string()]);
    let shown = text(&output.stdout);
    assert!(shown.contains("replay of a trace, 50 times as fast"), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("20 requests of 1 connection in the trace"), "{shown}");
}

/// The trace ends when it ends: a server that is gone is not waited for until the time-out.
#[test]
fn a_replay_does_not_outlast_its_trace_for_a_server_that_is_gone() {
    let host = Host::new();
    let mut server = host.start(&[]);
    let header = r#"{"header":{"schema":"mcpool.traffic/1","version":"1","started_unix_ms":0,"arguments":"redacted"}}"#;
    let requests = (0..20).map(|n| {
        let at_us = if n < 10 { n * 100_000 } else { 2_500_000 };
        format!(
            r#"{{"request":{{"at_us":{at_us},"peer":1,"era":"modern","method":"tools/list","request_bytes":1,"answer_bytes":1,"took_us":1,"outcome":"ok"}}}}"#
        )
    });
    let lines: Vec<_> = std::iter::once(header.to_owned()).chain(requests).collect();
    std::fs::write(host.path("trace"), lines.join("\n")).expect("written");
    let trace = LoadTrace::read(&host.path("trace")).expect("a trace");
    let scenario = LoadTestScenario::new("gone", host.target("unix")).era(Era::Modern).replay(trace);
    let report = LoadTestSuite::new().run(&scenario, |_| server.terminate()).expect("it was there");
    // It would be given up after the time-out of half a minute otherwise, and the report would say so.
    assert_eq!(report.ended_early, None, "{report:?}");
    assert_adds_up(&report);
    assert_eq!(report.requests.scheduled, 20, "{report:?}");
}

/// What a file or the environment names for servers of clients is not written to by one that is started for one call.
#[test]
fn a_call_from_the_command_line_is_not_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let [trace, record] = ["trace", "record"].map(|name| folder.path().join(name));
    for arguments in [&["tools"][..], &["call", "list_allowed_directories"]] {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .current_dir(folder.path())
            .env("MCPOOL_RECORD_TRAFFIC", &trace)
            .env("MCPOOL_RECORD_ARGUMENTS", "true")
            .env("MCPOOL_RECORD", &record)
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!trace.exists() && !record.exists(), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("broken"), "{\"header\":\n").expect("written");
    for (arguments, want) in [
        (&["--replay", &path("none"), "unix:/x"][..], "none: No such file"),
        (&["--replay", &path("broken"), "unix:/x"], "broken:1: this is no line of a trace"),
        (&["--replay", "/dev/zero", "unix:/x"], "no plain file"),
        (&["--replay", &path("broken"), "--count", "3", "unix:/x"], "--count"),
        (&["--replay", &path("broken"), "--rate", "3", "unix:/x"], "--rate"),
        (&["--speed", "2", "unix:/x"], "--replay"),
        (&["--call", "a", "--call", "b", "unix:/x"], "several go with --replay"),
    ] {
        let output = load(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(want), "{arguments:?}: {}", text(&output.stderr));
    }
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    for (flags, want) in [
        (&["--record-traffic", &path("pipe")][..], "no plain file"),
        (&["--record-arguments"], "record_traffic"),
        (&["--record-traffic", "a", "--record", "./a"], "record and record_traffic are both set"),
    ] {
        let output =
            Command::new(PROGRAM).arg("serve").args(flags).arg(folder.path()).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(want), "{}", text(&output.stderr));
    }
}
