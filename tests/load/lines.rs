//! Servers of newline-framed messages that are wrong in each way.

use super::peer::{Act, line, over_lines, right};
use super::{assert_adds_up, counted, echo, failures, ping, run};
use mcpool::load::{Era, FailureKind, LoadPattern, LoadTestScenario, LoadTestSuite};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longer than an answer takes on any machine; a test that waits for a time-out takes so long.
const TIME_OUT: Duration = Duration::from_secs(3);

#[test]
fn each_kind_of_failure_is_counted_as_such() {
    let script = |number: usize, request: &Value| {
        let mut answer = right(request);
        match number {
            0 | 1 => answer["result"]["isError"] = true.into(),
            2 => answer["result"] = json!({"tools": []}),
            3..=5 => {
                answer =
                    json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "x"}});
            }
            _ => {}
        }
        vec![line(&answer)]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Legacy, 10).step(echo()));
    assert_adds_up(&report);
    let want = [(FailureKind::Protocol, 3), (FailureKind::ToolError, 2), (FailureKind::WrongAnswer, 1)];
    assert_eq!((failures(&report), report.requests.answered), (want.to_vec(), 4));
    assert!(report.failures[1].example.as_ref().is_some_and(|text| text.contains("isError")));
    assert_eq!(
        (report.scenario.revision.as_str(), report.operations[0].tool.as_deref()),
        ("2025-06-18", Some("echo"))
    );
    assert!(!report.is_flawless());
}

#[test]
fn an_answer_with_a_wrong_id_answers_nothing() {
    let script = |number: usize, request: &Value| {
        let mut answer = right(request);
        if number == 3 {
            answer["id"] = json!(request["id"].as_u64().expect("a number") + 1_000_000);
        }
        vec![line(&answer)]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Modern, 8).in_flight(8).time_out(TIME_OUT).step(echo()));
    assert_adds_up(&report);
    assert_eq!(failures(&report), [(FailureKind::WrongAnswer, 1)], "told by what came, not by what did not");
    assert_eq!((report.requests.answered, report.requests.unexpected), (7, 0));
}

#[test]
fn what_never_comes_is_a_time_out_and_no_latency_of_an_answer() {
    let script = |number: usize, request: &Value| match number {
        2 => Vec::new(),
        _ => vec![line(&right(request))],
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Modern, 8).in_flight(8).time_out(TIME_OUT).step(echo()));
    assert_adds_up(&report);
    assert_eq!((failures(&report), report.operations[0].timed_out), (vec![(FailureKind::TimeOut, 1)], 1));
    let (right, all) = (report.latency.expect("answers"), report.latency_with_time_outs.expect("a time-out"));
    assert_eq!((right.count, all.count), (7, 8));
    assert!(all.max_us >= TIME_OUT.as_secs_f64() * 0.999e6, "with the time that was waited: {all:?}");
}

#[test]
fn with_one_request_in_flight_a_wrong_answer_is_known_before_the_time_out() {
    let script = |number: usize, request: &Value| {
        let mut answer = right(request);
        match number {
            1 => answer["id"] = json!(999_999_999_u64),
            2 => answer["id"] = json!(request["id"].as_u64().expect("a number").to_string()),
            3 => return vec![Act::Say("}{garbage\n".to_owned())],
            _ => {}
        }
        vec![line(&answer)]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    // A time-out of an hour would be one for this test, too.
    let report = run(&counted(target, Era::Legacy, 6).time_out(Duration::from_hours(1)).step(ping()));
    assert_adds_up(&report);
    assert_eq!((failures(&report), report.requests.answered), (vec![(FailureKind::WrongAnswer, 3)], 3));
    assert_eq!(report.requests.unexpected, 0);
    let example = report.failures[0].example.as_deref().unwrap_or_default();
    assert!(example.contains("in place of an answer to ping") && example.contains("999999999"), "{example}");
}

#[test]
fn what_the_warm_up_was_not_answered_is_told() {
    let script = |number: usize, request: &Value| match number {
        0 => Vec::new(),
        _ => vec![line(&right(request))],
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let scenario = LoadTestScenario::new("warm-up", target)
        .era(Era::Modern)
        .warm_up(Duration::from_millis(500))
        .duration(Duration::from_millis(100))
        .time_out(Duration::from_secs(1))
        .step(ping());
    let report = run(&scenario);
    assert_eq!((report.requests.warm_up_failed, report.requests.begun), (1, 0), "{:?}", report.requests);
    assert!(!report.is_passed());
}

#[test]
fn what_is_no_message_and_what_nobody_asked_for_is_counted() {
    let script = |number: usize, request: &Value| {
        let mut acts = match number {
            0 => vec![Act::Say("oh no\n".to_owned()), Act::Say("\r\n".to_owned())],
            1 => vec![line(&json!({"jsonrpc": "2.0", "id": "ghost", "result": {}}))],
            2 => vec![line(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}))],
            _ => Vec::new(),
        };
        acts.push(line(&right(request)));
        acts
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Legacy, 5).step(ping()));
    assert_eq!((report.requests.answered, report.requests.unexpected), (5, 2));
    assert!(!report.is_flawless(), "an answer to nothing is a fault");
}

#[test]
fn answers_in_any_order_find_their_requests() {
    let held = std::sync::Mutex::new(Vec::new());
    let script = move |_: usize, request: &Value| {
        let mut held = held.lock().expect("held");
        held.push(right(request));
        if held.len() < 4 { Vec::new() } else { held.drain(..).rev().map(|answer| line(&answer)).collect() }
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Modern, 40).in_flight(4).step(echo()).step(ping()));
    assert_adds_up(&report);
    assert!(report.is_flawless(), "{report:?}");
    assert_eq!(report.requests.answered, 40);
}

#[test]
fn a_late_answer_is_neither_right_nor_a_riddle() {
    let script = |number: usize, request: &Value| {
        let mut acts = vec![line(&right(request))];
        if number == 0 {
            acts.insert(0, Act::Sleep(Duration::from_millis(1_500)));
        }
        acts
    };
    let (target, _folder) = over_lines(Arc::new(script));
    // The second request waits behind the first, and has its own time to do so.
    let scenario = counted(target, Era::Modern, 2).time_out(Duration::from_secs(1)).step(ping());
    let report = run(&scenario);
    assert_adds_up(&report);
    assert_eq!((failures(&report), report.requests.answered), (vec![(FailureKind::TimeOut, 1)], 1));
    assert_eq!(report.requests.unexpected, 0);
}

#[test]
fn a_connection_that_breaks_fails_what_was_on_it_and_is_opened_anew() {
    let script = |number: usize, request: &Value| match number {
        4 => vec![Act::Close],
        _ => vec![line(&right(request))],
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Legacy, 20).step(ping()));
    assert_adds_up(&report);
    assert_eq!((failures(&report), report.requests.answered), (vec![(FailureKind::Transport, 1)], 19));
    assert_eq!((report.requests.broken_connections, report.ended_early), (1, None));
}

#[test]
fn a_server_that_pings_is_answered() {
    let pongs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&pongs);
    let script = move |_: usize, request: &Value| {
        if request["id"] == "srv-1" {
            seen.fetch_add(usize::from(request["result"] == json!({})), Ordering::SeqCst);
            return Vec::new();
        }
        let ask = json!({"jsonrpc": "2.0", "id": "srv-1", "method": "ping"});
        vec![line(&ask), line(&right(request))]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Legacy, 3).step(ping()));
    assert!(report.is_flawless(), "{report:?}");
    // The answer to the last one may still be on its way when the connection ends.
    assert!(pongs.load(Ordering::SeqCst) >= 2);
}

#[test]
fn a_server_that_stands_still_shows_in_the_quantiles_of_an_open_loop() {
    let script = |number: usize, request: &Value| {
        let mut acts = vec![line(&right(request))];
        if number == 0 {
            acts.insert(0, Act::Sleep(Duration::from_millis(600)));
        }
        acts
    };
    let (target, _folder) = over_lines(Arc::new(script));
    // One request in flight: a generator that measured from the send would see one slow request of a hundred.
    let scenario =
        counted(target, Era::Modern, 100).pattern(LoadPattern::Constant { rate: 100.0 }).step(ping());
    let report = run(&scenario);
    assert_adds_up(&report);
    let latency = report.latency.expect("answers");
    assert!(latency.p50_us >= 50_000.0, "half of them were due while it stood still: {latency:?}");
    assert!(latency.p95_us >= 500_000.0, "{latency:?}");
    assert!(report.requests.late >= 50, "{:?}", report.requests);
}

#[test]
fn what_could_not_begin_in_time_is_dropped_and_counts_as_an_error() {
    let script =
        |_: usize, request: &Value| vec![Act::Sleep(Duration::from_millis(200)), line(&right(request))];
    let (target, _folder) = over_lines(Arc::new(script));
    let scenario = LoadTestScenario::new("slow", target)
        .era(Era::Modern)
        .warm_up(Duration::ZERO)
        .duration(Duration::from_secs(1))
        .pattern(LoadPattern::Constant { rate: 100.0 })
        .step(ping());
    let report = run(&scenario);
    assert_adds_up(&report);
    assert_eq!(report.requests.scheduled, 100);
    assert!(report.requests.dropped >= 90, "at most one in 200 ms: {:?}", report.requests);
    assert!(report.requests.error_ratio >= 0.9);
    let seconds: f64 = report.seconds.iter().filter_map(|second| second.scheduled).sum();
    assert!((seconds - 100.0).abs() < 1.0, "{seconds}");
}

#[test]
fn whoever_stops_a_test_gets_its_report() {
    let suite = LoadTestSuite::new();
    let stop = suite.stop_flag();
    let script = move |number: usize, request: &Value| {
        if number == 20 {
            stop.store(true, Ordering::Relaxed);
        }
        vec![line(&right(request))]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let scenario = LoadTestScenario::new("stopped", target)
        .era(Era::Modern)
        .warm_up(Duration::ZERO)
        .duration(Duration::from_hours(1))
        .step(ping());
    let report = suite.run(&scenario, |_| ()).expect("a report");
    assert_eq!(report.ended_early.as_deref(), Some("interrupted"));
    assert!(report.requests.answered >= 20, "{:?}", report.requests);
    assert_adds_up(&report);
}
