//! The doctor: every rule fires where its trouble is, and says nothing where it is not.
//!
//! What a client or a setting can bring about is brought about on the real program; what only a kernel or another
//! program can (huge pages, stalls, a control group) is written into a real report.

use crate::load::{self, Client, Program, message};
use mcpool::memory::{MemoryReport, PressureLevel};
use mcpool::monitor::{self, Alert, AlertKind};
use mcpool::report::{Diagnosis, Finding, Severity, diagnose};
use mcpool_pools::PoolControl;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Looks until the rule fires, at most a minute: pools are sampled once a second.
fn fires(program: &Program, rule: &str) -> Finding {
    fires_as(program, rule, Severity::Hint)
}

/// The same, for a rule that is of that severity at least.
fn fires_as(program: &Program, rule: &str, severity: Severity) -> Finding {
    fires_after(program, rule, severity, || ())
}

/// The same, for a trouble that may be over before somebody looks: it is brought about before each look.
fn fires_after(program: &Program, rule: &str, severity: Severity, bring_about: impl Fn()) -> Finding {
    let mut last = None;
    for _ in 0..300 {
        bring_about();
        let diagnosis = diagnose(&program.report());
        let is_wanted = |finding: &&Finding| finding.rule == rule && finding.severity >= severity;
        if let Some(finding) = diagnosis.findings.iter().find(is_wanted) {
            let words = [&finding.problem, &finding.cause, &finding.evidence, &finding.remedy, &finding.cost];
            assert!(words.iter().all(|text| text.ends_with('.') && text.len() > 7), "{finding:#?}");
            return finding.clone();
        }
        last = Some(diagnosis);
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{rule} did not fire: {last:#?}");
}

fn rules(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.findings.iter().map(|finding| finding.rule).collect()
}

/// Calls of one tool, by several clients at once.
fn call(program: &Program, clients: usize, calls: usize, tool: &str, params: &str) {
    let call = message("tools/call", params);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::connect(program.port());
                for _ in 0..calls {
                    let (status, body) = client.call("tools/call", Some(tool), &call);
                    assert!(status == 200 && !body.contains(r#""isError":true"#), "{status}: {body}");
                }
            });
        }
    });
}

#[test]
fn a_server_that_is_well_has_no_issues_and_says_what_was_checked() {
    let program = Program::serve(&[]);
    call(&program, 2, 20, "search_files", &program.search_params(100));
    let (text, code) = program.run_doctor(&[]);
    // Others may have the machine short of memory; that is theirs.
    if !text.contains("machine-short-of-memory]") {
        assert!(text.starts_with("No issues: ") && code == Some(0), "{text}");
    }
    let (json, _) = program.run_doctor(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let count = |name: &str| json[name].as_array().map_or(0, Vec::len);
    assert_eq!(count("findings") + count("passed") + count("unchecked"), 26, "{json}");
}

#[test]
fn limits_that_contradict_each_other_are_named_with_the_line_to_change() {
    let sizes = ["--pool-budget-bytes", "64MiB", "--event-store-bytes", "40MiB"];
    let program = Program::serve(&[&sizes[..], &["--memory-limit-bytes", "64MiB"]].concat());
    let pools = fires(&program, "pools-may-fill-the-limit");
    assert_eq!(pools.setting.as_deref(), Some("pool_budget_bytes = \"16MiB\""));
    let events = fires(&program, "events-may-fill-the-limit");
    assert_eq!(events.setting.as_deref(), Some("event_store_bytes = \"8MiB\""));
    let (text, code) = program.run_doctor(&[]);
    assert!(text.contains("pool_budget_bytes = \"16MiB\"") && code == Some(1), "{text}");
}

/// Without other settings, what a limit bounds follows from it.
#[test]
fn a_small_limit_alone_contradicts_nothing() {
    let program = Program::serve(&["--memory-limit-bytes", "64MiB"]);
    let rules = rules(&diagnose(&program.report()));
    for rule in ["pools-may-fill-the-limit", "events-may-fill-the-limit", "under-pressure"] {
        assert!(!rules.contains(&rule), "{rules:?}");
    }
}

#[test]
fn a_limit_that_is_nearly_reached_is_told() {
    let used = Program::serve(&[]).report().usage.rss_bytes.expect("Linux tells");
    // Room for the threads of any machine: a limit that leaves none is refused at the start.
    let limit = used + 64 * MIB;
    // "Nearly" is a setting too: half of what the process has by itself.
    let percent = (used * 50 / limit).to_string();
    let limit = limit.to_string();
    let program = Program::serve(&["--memory-limit-bytes", &limit, "--pressure-elevated-percent", &percent]);
    let finding = fires(&program, "under-pressure");
    assert!(finding.severity >= Severity::Warning, "{finding:?}");
}

#[test]
fn a_limit_that_is_exceeded_is_the_worst_there_is() {
    let used = Program::serve(&[]).report().usage.rss_bytes.expect("Linux tells");
    // The operator allows more in large messages than in all: bodies that never end go beyond the limit.
    let limit = used + 24 * MIB;
    let sizes = ["--max-inflight-bytes", "256MiB", "--pressure-critical-percent", "100"];
    let program = Program::serve(&[&sizes[..], &["--memory-limit-bytes", &limit.to_string()]].concat());
    let body_bytes = 9 * MIB as usize;
    let begun = [load::head(body_bytes, "").into_bytes(), vec![b' '; body_bytes - 1]].concat();
    let mut senders: Vec<Client> = (0..4).map(|_| Client::connect(program.port())).collect();
    for sender in &mut senders {
        sender.send(&begun);
    }
    // A peak that is over already is only a warning.
    let finding = fires_as(&program, "limit-exceeded", Severity::Critical);
    assert_eq!(finding.severity, Severity::Critical, "{finding:?}");
    // Once it is over, the peak still tells.
    let mut report = program.report();
    report.usage.rss_bytes = Some(limit / 2);
    let diagnosis = diagnose(&report);
    let finding = diagnosis.findings.iter().find(|finding| finding.rule == "limit-exceeded");
    assert_eq!(finding.expect("a finding").severity, Severity::Warning);
    report.usage.peak_rss_bytes = Some(limit);
    assert!(!rules(&diagnose(&report)).contains(&"limit-exceeded"));
}

#[test]
fn refused_work_is_the_worst() {
    let program = Program::serve(&["--max-inflight-bytes", "64KiB"]);
    let list = message("tools/list", &format!(r#""pad":"{}""#, "x".repeat(MIB as usize)));
    let (status, body) = Client::connect(program.port()).call("tools/list", None, &list);
    assert!(status == 413 && body.contains("max_inflight_bytes"), "{status}: {body}");
    assert_eq!(fires(&program, "work-refused").severity, Severity::Critical);
    assert_eq!(rules(&diagnose(&program.report()))[0], "work-refused");
}

#[test]
fn a_pool_that_thrashes_is_named_with_the_capacity_it_needs() {
    let program = Program::serve(&["--message-capacity", "1"]);
    // Longer than what is read at once, and the lines that are asked for are few.
    let path = serde_json::to_string(&program.file("large.txt", &"x\n".repeat(50 * 1024))).expect("text");
    let params = format!(r#""name":"read_text_file","arguments":{{"path":{path},"head":1000}}"#);
    call(&program, 16, 150, "read_text_file", &params);
    let finding = fires(&program, "thrashing-pool");
    let setting = finding.setting.expect("a setting");
    let capacity: u64 =
        setting.strip_prefix("message_capacity = ").expect("its name").parse().expect("a number");
    assert!((4..=40).contains(&capacity), "{setting}");
    // A minute later nothing has come, and nobody thrashes any more.
    let mut report = program.report();
    report.pools.iter_mut().for_each(|pool| pool.hit_ratio_1m = None);
    assert!(!rules(&diagnose(&report)).contains(&"thrashing-pool"));
}

#[test]
fn a_spent_budget_is_told() {
    let program = Program::serve(&["--pool-budget-bytes", "64KiB"]);
    call(&program, 4, 200, "search_files", &program.search_params(200 * 1024));
    let finding = fires(&program, "budget-spent");
    assert_eq!(finding.setting.as_deref(), Some("pool_budget_bytes = \"128KiB\""));
}

#[test]
fn arenas_that_are_thrown_away_are_told_with_the_tool() {
    let program = Program::serve(&["--arena-retain-bytes", "4KiB"]);
    // Smaller ones are kept for the next large message.
    call(&program, 2, 30, "edit_file", &program.edit_params(4_300_000));
    let finding = fires(&program, "oversized-arenas");
    assert!(finding.problem.contains("edit_file"), "{finding:?}");
    let setting = finding.setting.expect("a setting");
    assert!(["\"8MiB\"", "\"16MiB\""].iter().any(|size| setting.ends_with(size)), "{setting}");
}

#[test]
fn arenas_that_stay_too_large_are_told() {
    // Otherwise idle arenas go in the second after the burst, which may be over before a busy machine looks.
    let program = Program::serve(&["--arena-retain-bytes", "16MiB", "--pool-decay-ms", "0"]);
    let params = program.edit_params(7_000_000);
    // A machine that is short of memory has half of the idle arenas freed each second, whatever the settings are.
    let finding = fires_after(&program, "arenas-retained", Severity::Hint, || {
        call(&program, 4, 1, "edit_file", &params);
    });
    assert_eq!(finding.setting.as_deref(), Some("arena_retain_bytes = \"4MiB\""));
}

/// A program of one's own that uses the server's buffers and has nobody who frees them.
#[test]
fn large_buffers_that_nobody_frees_are_told() {
    let server = mcpool::Server::builder("test", "1").build().expect("a server");
    let kept = |server: &mcpool::Server| {
        let diagnosis = diagnose(&server.memory().report());
        diagnosis.findings.into_iter().find(|finding| finding.rule == "large-buffers-kept")
    };
    let in_use = [server.buffers().acquire(4 * MIB as usize), server.buffers().acquire(4 * MIB as usize)];
    assert_eq!(kept(&server), None, "they are needed");
    drop(in_use);
    let finding = kept(&server).expect("a finding");
    assert!(finding.bytes >= 8 * MIB && finding.evidence.contains("buffers/4MiB"), "{finding:?}");
    for round in 0..2 {
        let freed: usize = server.buffers().classes().map(PoolControl::trim_unneeded).sum();
        assert_eq!(freed, if round == 0 { 0 } else { 8 * MIB as usize });
    }
    assert_eq!(kept(&server), None, "the remedy helps");
}

/// A program of one's own whose ledger is wrong, both ways: by buffers that nobody has written to, and by memory that
/// has no account.
#[test]
fn a_ledger_that_is_wrong_says_so_with_its_sign() {
    let server = || mcpool::Server::builder("test", "1").build().expect("a server");
    let wrong = |server: &mcpool::Server| {
        let report = server.memory().report();
        let finding = diagnose(&report).findings.into_iter().find(|finding| finding.rule == "ledger-wrong");
        (report.usage.error_ratio.expect("Linux tells"), finding.expect("a finding"))
    };
    let over = server();
    let untouched: Vec<_> = (0..16).map(|_| over.buffers().acquire(16 * MIB as usize)).collect();
    let (error, finding) = wrong(&over);
    assert!(error > 0.05 && finding.bytes > 64 * MIB, "{error} {finding:?}");
    assert!(finding.problem.contains("not resident"), "{finding:?}");
    drop((untouched, over));
    let under = server();
    let unknown = std::hint::black_box(vec![1_u8; 64 * MIB as usize]);
    let (error, finding) = wrong(&under);
    assert!(error < -0.05 && finding.bytes >= 64 * MIB, "{error} {finding:?}");
    assert!(finding.problem.contains("not explained"), "{finding:?}");
    drop(unknown);
}

#[test]
fn who_does_not_read_and_who_holds_most_are_named() {
    let program = Program::serve(&[]);
    let idle: Vec<Client> = (0..4).map(|_| Client::connect(program.port())).collect();
    let mut slow = Client::connect(program.port());
    let call = message("tools/call", &program.edit_params(4 * MIB as usize));
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: edit_file\r\n";
    let request = format!("{}{call}", load::head(call.len(), fields));
    // More of them would not be read: their bodies are large.
    slow.send(request.as_bytes());
    let finding = fires(&program, "slow-readers");
    assert!(finding.evidence.contains("127.0.0.1"), "{finding:?}");
    let finding = fires(&program, "few-clients-hold-most");
    assert!(finding.bytes >= MIB, "{finding:?}");
    drop(idle);
}

#[test]
fn sessions_that_nobody_ends_are_told() {
    let program = Program::serve(&["--max-sessions", "120"]);
    let mut client = Client::connect(program.port());
    (0..110).for_each(|_| drop(client.open_session()));
    assert!(fires(&program, "session-leak").evidence.starts_with("110 opened, 0 ended"));
    assert_eq!(fires(&program, "sessions-full").setting.as_deref(), Some("max_sessions = 240"));
}

/// Sixty subscriptions of a small client are as many bytes as one server has for all.
#[test]
fn a_client_that_keeps_most_is_named() {
    let program = Program::serve(&["--memory-limit-bytes", "64MiB"]);
    let uris: Vec<String> = (0..250).map(|number| format!(r#""file:///{number:0>200}""#)).collect();
    let filter = format!(r#""notifications":{{"resourceSubscriptions":[{}]}}"#, uris.join(","));
    let body = message("subscriptions/listen", &filter);
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
    let subscribed: Vec<Client> = (0..200)
        .map_while(|_| {
            let mut client = Client::connect(program.port());
            client.send(format!("{}{body}", load::head(body.len(), fields)).as_bytes());
            client.await_bytes("HTTP/1.1 ").contains(" 200 ").then_some(client)
        })
        .collect();
    let finding = fires_as(&program, "one-client-keeps-most", Severity::Warning);
    assert!(finding.evidence.starts_with("this machine keeps "), "{finding:?}");
    drop(subscribed);
    assert!(!rules(&diagnose(&program.report())).contains(&"budget-spent"));
}

#[test]
fn connections_that_run_out_are_told() {
    // All from one address, which would otherwise not get the last places.
    let program = Program::serve(&["--max-connections", "10", "--principal-share-percent", "100"]);
    let clients: Vec<Client> = (0..9).map(|_| Client::connect(program.port())).collect();
    assert_eq!(fires(&program, "connections-full").setting.as_deref(), Some("max_connections = 20"));
    drop(clients);
}

#[test]
fn calls_that_are_decoded_twice_are_told_with_the_tool() {
    let program = Program::serve(&[]);
    let path = serde_json::to_string(&program.file("a.txt", "a")).expect("text");
    let params = format!(r#""arguments":{{"path":{path}}},"name":"read_text_file""#);
    call(&program, 1, 120, "read_text_file", &params);
    assert!(fires(&program, "two-pass-decoding").problem.contains("read_text_file"));
}

/// Clients that ask, leave at once and never come back.
#[test]
fn answers_of_clients_that_left_are_told() {
    let program = Program::serve(&[]);
    let search = program.search_params(8 * MIB as usize);
    let call = format!(r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{{search}}}}}"#);
    let mut client = Client::connect(program.port());
    let session = client.open_session();
    let mut calls = 0;
    // A client that is gone before its call began has no answer.
    load::until("an answer has no reader", || {
        let mut leaving = Client::connect(program.port());
        let fields = format!("mcp-session-id: {session}\r\nmcp-protocol-version: 2025-06-18\r\n");
        leaving.send(format!("{}{call}", load::head(call.len(), &fields)).as_bytes());
        calls += 1;
        std::thread::sleep(Duration::from_millis(20 * calls));
        leaving.abort();
        std::thread::sleep(Duration::from_millis(300));
        program.report().traffic.unread_answers > 0
    });
    let finding = fires(&program, "answers-nobody-reads");
    assert!(finding.bytes >= 4 * MIB && finding.evidence.contains("1 min"), "{finding:?}");
    assert_eq!(finding.setting.as_deref(), Some("event_retention_ms = 15000"));
}

/// A rule, and what has it fire.
type Trouble = (&'static str, fn(&mut MemoryReport));

/// Troubles that no client can bring about, each written into the report of a real server.
#[test]
fn what_the_machine_does_is_told() {
    let program = Program::serve(&[]);
    let well = program.report();
    let troubles: [Trouble; 7] = [
        ("limit-above-cgroup", |report| {
            report.pressure.limit_source = Some("configured".to_owned());
            report.pressure.limit_bytes = Some(2_048 * MIB);
            report.pressure.cgroup_limit_bytes = Some(1_024 * MIB);
        }),
        ("machine-short-of-memory", |report| report.pressure.psi_some_avg10 = Some(40.0)),
        ("slower-than-usual", |report| report.alerts.push(alert(AlertKind::Regression))),
        ("slower-than-required", |report| report.alerts.push(alert(AlertKind::Requirement))),
        ("huge-pages", |report| report.usage.huge_page_bytes = report.usage.rss_bytes),
        ("fragmentation", |report| {
            report.usage.private_bytes = Some(100 * MIB);
            let free = report.parts.iter_mut().find(|part| part.name == "allocator, free");
            free.expect("a part").bytes = 80 * MIB;
        }),
        ("pools-too-large", |report| {
            let pool = report.pools.iter_mut().find(|pool| pool.advice.is_some()).expect("advice");
            pool.idle_bytes = pool.advice.as_ref().map_or(0, |advice| advice.bytes) + 9 * MIB;
        }),
    ];
    assert_eq!(well.pressure.level, PressureLevel::Normal);
    let before = rules(&diagnose(&well));
    for (rule, bring) in troubles {
        let mut report = well.clone();
        bring(&mut report);
        let after = rules(&diagnose(&report));
        assert!(after.contains(&rule), "{rule} did not fire: {after:?}");
        assert!(!before.contains(&rule) || rule == "machine-short-of-memory", "{rule} always fires");
    }
}

fn alert(kind: AlertKind) -> Alert {
    Alert {
        severity: monitor::Severity::Critical,
        kind,
        subject: "round trips".to_owned(),
        what: "60 % took more than 5.00 ms in the last 60 s".to_owned(),
        against: "95 % are required to take at most 5.00 ms".to_owned(),
        cause: "tool slow took most of the time beyond the usual".to_owned(),
        command: "mcpool doctor".to_owned(),
        since_unix_ms: 1,
        resolved_unix_ms: None,
        times: 2,
    }
}

#[test]
fn an_alert_that_lasts_is_told_with_its_cause_and_one_that_is_over_is_not() {
    let mut report = Program::serve(&[]).report();
    report.alerts = vec![alert(AlertKind::Requirement)];
    report.taken_unix_ms = 120_001;
    let finding =
        diagnose(&report).findings.into_iter().find(|finding| finding.rule == "slower-than-required");
    let finding = finding.expect("a finding");
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(finding.cause, "tool slow took most of the time beyond the usual.");
    assert!(finding.evidence.starts_with("for 2 min 0 s, 2 times by now: 60 % took more"), "{finding:?}");
    report.alerts[0].resolved_unix_ms = Some(2);
    assert!(!rules(&diagnose(&report)).contains(&"slower-than-required"));
}

#[test]
fn what_cannot_be_seen_is_not_called_well() {
    let mut report = Program::serve(&[]).report();
    report.usage = mcpool::memory::MemoryUsageReport::default();
    report.pressure.psi_some_avg10 = None;
    report.pressure.limit_bytes = None;
    let diagnosis = diagnose(&report);
    let unchecked: Vec<_> = diagnosis.unchecked.iter().map(|unchecked| unchecked.rule).collect();
    for rule in ["under-pressure", "machine-short-of-memory", "huge-pages", "fragmentation", "ledger-wrong"] {
        assert!(unchecked.contains(&rule), "{rule}: {diagnosis:?}");
    }
}
