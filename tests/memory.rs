//! The memory report, its advice and its limits, of the real program under real load.

#[cfg(feature = "webhook")]
#[path = "memory/alerted.rs"]
mod alerted;
#[path = "memory/batches.rs"]
mod batches;
#[path = "memory/black_box.rs"]
mod black_box;
#[path = "memory/comeback.rs"]
mod comeback;
#[path = "memory/doctor.rs"]
mod doctor;
#[path = "memory/edited.rs"]
mod edited;
#[path = "memory/incoming.rs"]
mod incoming;
#[path = "memory/limit.rs"]
mod limit;
#[path = "memory/load.rs"]
mod load;
#[path = "memory/plan.rs"]
mod plan;
#[path = "memory/received.rs"]
mod received;
#[path = "memory/reclaim.rs"]
mod reclaim;
#[path = "memory/sessions.rs"]
mod sessions;
#[cfg(feature = "tls")]
#[path = "memory/tls.rs"]
mod tls;
#[path = "memory/tuned.rs"]
mod tuned;
#[path = "memory/written.rs"]
mod written;

use load::{Client, Program, message};
use mcpool::memory::{MemoryReport, PressureLevel};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Reads files on blocking threads, so that requests wait and hold their slots and buffers.
fn read_files(program: &Program, clients: usize, calls: usize) {
    let path = program.file("large.txt", &"x".repeat(100 * 1024));
    let arguments = format!(r#"{{"path":{}}}"#, serde_json::to_string(&path).expect("text"));
    let call = message("tools/call", &format!(r#""name":"read_text_file","arguments":{arguments}"#));
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::connect(program.port());
                for _ in 0..calls {
                    let (status, body) = client.call("tools/call", Some("read_text_file"), &call);
                    assert_eq!(status, 200, "{body}");
                }
            });
        }
    });
}

/// The ledger is right within a tenth, at rest and under load.
#[test]
fn memory_is_explained_under_load() {
    const LOADERS: usize = 16;
    let program = Program::serve(&[]);
    // One answer each: a connection that the system has made may still wait to be accepted.
    let list = message("tools/list", r#""cursor":null"#);
    let connect = |_| {
        let mut client = Client::connect(program.port());
        client.call("tools/list", None, &list);
        client
    };
    let idle: Vec<Client> = (0..300).map(connect).collect();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| read_files(&program, LOADERS, 200));
        // One look at least, however late it comes.
        loop {
            let report = program.report();
            let error = report.usage.error_ratio.expect("Linux tells");
            assert!(error.abs() <= 0.1, "{error}: {:#?}", report.parts);
            assert!(report.traffic.connections >= 300, "{}", report.traffic.connections);
            // The two are taken one after the other, and those who make the load come and go meanwhile.
            let counted = report.part("connections").expect("a line").count.expect("a number");
            assert!(counted.abs_diff(report.traffic.connections) <= LOADERS as u64, "{counted}");
            // What the filesystem tools keep: the handles of their directories, and the locks of files.
            let tool_state = report.part("filesystem tools").expect("a line");
            assert!((1_000..10_000).contains(&tool_state.bytes), "{tool_state:?}");
            if load.is_finished() {
                break;
            }
        }
    });
    drop(idle);
}

/// The usual deployment over stdio: whoever runs the same program shares its text, so that less memory is private.
#[test]
fn processes_of_one_program_explain_as_much_as_one_alone() {
    let first = Program::serve(&[]);
    let second = Program::serve(&[]);
    for program in [&first, &second] {
        let report = program.report();
        let usage = &report.usage;
        let (rss, private) =
            (usage.rss_bytes.expect("Linux tells"), usage.private_bytes.expect("Linux tells"));
        let shared = report.part("program, shared").expect("a line").bytes;
        assert!(shared >= MIB, "{shared}");
        assert_eq!((usage.shared_bytes, private + shared), (Some(shared), rss));
        let (ratio, error) = (usage.explained_ratio.expect("Linux tells"), usage.error_ratio);
        assert!((0.9..=1.1).contains(&ratio), "{ratio}, {error:?}: {:#?}", report.parts);
    }
}

/// A release build has 64 MiB in all.
const MORE_THAN_THE_FLOOR: u64 = 58 * MIB;

#[test]
fn a_limit_holds_against_a_thousand_clients() {
    let limit = limit::floor_bytes() + MORE_THAN_THE_FLOOR;
    let program = Program::serve(&["--memory-limit-bytes", &limit.to_string(), "--max-connections", "1200"]);
    holds_against_a_thousand_clients(&program, limit, "configured");
}

/// The same where the kernel kills who has more. It needs a user who may make control groups.
#[test]
fn a_control_group_holds_against_a_thousand_clients() {
    let limit = limit::floor_bytes() + MORE_THAN_THE_FLOOR;
    let group = match load::ControlGroup::new(limit) {
        Ok(group) => group,
        Err(error) => return eprintln!("not run: no control group can be made here ({error})"),
    };
    let program = Program::serve_in(group, &["--max-connections", "1200"]);
    holds_against_a_thousand_clients(&program, limit, "cgroup");
    assert_eq!(program.group().map(load::ControlGroup::killed), Some(0));
}

/// Bursts of large frames by a thousand clients, in a process that may have so many bytes: it stays below, answers all
/// that it accepted, counts what it rejected, and recovers.
fn holds_against_a_thousand_clients(program: &Program, limit: u64, limit_source: &str) {
    const CLIENTS: usize = 1_000;
    load::raise_descriptors();
    let pad = "x".repeat(MIB as usize - 1024);
    let list = message("tools/list", &format!(r#""pad":"{pad}""#));
    // Connections beyond the limit are rejected with 503 as well, and are not counted as work that memory was short for.
    let (refused, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let send = || loop {
                match Client::connect(program.port()).try_call("tools/list", None, &list) {
                    Some((200, body)) => {
                        assert!(body.contains(r#""tools":["#), "{body}");
                        answered.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Some((503, body)) if body.contains("here is no memory") => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Some((503, body)) => assert!(body.contains("too many connections"), "{body}"),
                    Some((status, body)) => panic!("{status}: {body}"),
                    None => {}
                }
                std::thread::sleep(Duration::from_millis(250));
            };
            std::thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, send).expect("a thread");
        }
    });
    assert_eq!(answered.into_inner(), CLIENTS as u64, "nothing that was accepted is lost");
    let mut report = program.report();
    let peak = report.usage.peak_rss_bytes.expect("Linux tells");
    assert!(peak <= limit, "{peak} of {limit}");
    assert_eq!(report.pressure.limit_source.as_deref(), Some(limit_source));
    let (seen, counted) = (refused.into_inner(), report.pressure.refused);
    assert!(counted >= seen, "{seen} refusals were seen and {counted} counted");
    load::until("the pressure is over", || {
        report = program.report();
        report.pressure.level == PressureLevel::Normal && report.part("buffers, idle").is_some()
    });
    let (status, _) = Client::connect(program.port()).call("tools/list", None, &list);
    assert_eq!(status, 200, "large frames are welcome again");
}

/// What people and machines read of a running server.
#[test]
fn a_running_server_is_read_in_every_form() {
    let program = Program::serve(&[]);
    read_files(&program, 4, 50);
    let expected = ["pressure is normal", "by holders", "buffers, idle", "messages", "Pools: "];
    let mut table = String::new();
    // Pools are in it after the first look at them, which is taken once a second.
    load::until("the report has all its lines", || {
        table = program.run_report(&[]);
        expected.iter().all(|line| table.contains(line))
    });
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let json = MemoryReport::from_json(&program.run_report(&["--json"])).expect("a report");
    assert_eq!(json.server.pid, program.pid());
    let metrics = program.page("GET /metrics");
    let mut series = std::collections::HashSet::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(name.to_owned()), "twice: {line}");
        let metric = name.split('{').next().unwrap_or_default();
        let kind_of =
            |metric: &str| metrics.lines().find_map(|l| l.strip_prefix(&format!("# TYPE {metric} ")));
        let part_of = ["_bucket", "_sum", "_count"].iter().find_map(|ending| metric.strip_suffix(ending));
        match part_of.and_then(kind_of) {
            Some(kind) => assert_eq!(kind, "histogram", "{metric}"),
            None => assert_eq!(kind_of(metric) == Some("counter"), metric.ends_with("_total"), "{metric}"),
        }
    }
    let calls = "mcp_server_operation_duration_seconds_count{mcp_method_name=\"tools/call\"} 200";
    assert!(metrics.lines().any(|line| line == calls), "{metrics}");
    assert!(series.contains("mcpool_pool_acquires_total{pool=\"messages\"}"), "{series:?}");
    let optimised = MemoryReport::from_json(&program.page("POST /optimize")).expect("a report");
    assert_eq!(optimised.server.pid, program.pid());
}

/// An agent on this machine reads the report, is asked to tune, and is notified when the report changed; behind the name of
/// another machine there is nothing.
#[test]
fn the_report_is_a_resource_for_operators() {
    const URI: &str = "mcpool://memory/report";
    let program = Program::serve(&[]);
    let read = message("resources/read", &format!(r#""uri":"{URI}""#));
    let (status, body) = Client::connect(program.port()).call("resources/read", Some(URI), &read);
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let [json, markdown] = [0, 1].map(|at| body["result"]["contents"][at].clone());
    let report = MemoryReport::from_json(json["text"].as_str().expect("text")).expect("a report");
    assert_eq!(report.server.pid, program.pid());
    assert!(markdown["text"].as_str().is_some_and(|text| text.contains("| pool")), "{markdown}");
    let get = message("prompts/get", r#""name":"tune-memory""#);
    let (_, body) = Client::connect(program.port()).call("prompts/get", Some("tune-memory"), &get);
    assert!(body.contains("mcpool.toml") && body.contains("| pool"), "{body}");
    assert!(!body.contains(r#""type":"resource""#), "not all clients can take an embedded resource: {body}");

    let listen = format!(r#""notifications":{{"resourceSubscriptions":["{URI}"]}}"#);
    let told = Client::connect(program.port())
        .listen(&message("subscriptions/listen", &listen), "resources/updated");
    assert!(told.contains(URI), "{told}");

    let public = Program::serve(&["--allowed-hosts", "mcp.example.com"]);
    let (_, body) = Client::connect(public.port()).call("resources/read", Some(URI), &read);
    assert!(body.contains(r#""error""#) && !body.contains("contents"), "{body}");
}

/// Files that are no reports are refused in words.
#[test]
fn what_is_no_report_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    for (text, want) in [
        ("{}", "this is no memory report of mcpool"),
        (r#"{"schema":"mcpool.memory-report/9"}"#, "use the mcpool that wrote it"),
        ("nonsense", "this is no memory report of mcpool"),
    ] {
        std::fs::write(&path, text).expect("written");
        let output =
            Command::new(env!("CARGO_BIN_EXE_mcpool")).arg("report").arg(&path).output().expect("ran");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(want), "{text}: {error}");
    }
}
