//! Batches of revision 2025-03-26: each answer in one is checked.

use super::own_server::with_server;
use super::peer::{Act, body, line, over_http, over_lines, right};
use super::{assert_adds_up, counted, echo, failures, ping, run};
use mcpool::load::{Era, FailureKind, LoadTestSuite};
use serde_json::{Value, json};
use std::sync::Arc;

const MESSAGES: usize = 70;

fn answers(request: &Value) -> Vec<Value> {
    let messages = request.as_array().expect("a batch");
    assert_eq!(messages.len(), MESSAGES);
    messages.iter().map(right).collect()
}

#[test]
fn this_server_answers_batches_over_each_transport() {
    with_server(|target| {
        let scenario = counted(target.clone(), Era::Legacy, 30).connections(2).in_flight(2);
        let report = run(&scenario.step(echo().batch(MESSAGES)).step(ping()));
        assert_adds_up(&report);
        assert!(report.is_flawless(), "{target} {report:?}");
        assert_eq!(report.scenario.revision, "2025-03-26", "{target}");
        assert_eq!((report.operations[0].batch, report.operations[1].batch), (MESSAGES as u64, 1));
        assert!(report.operations.iter().all(|one| one.answered > 0), "{:?}", report.operations);
    });
}

#[test]
fn one_wrong_answer_makes_a_batch_wrong_over_lines() {
    let script = |number: usize, request: &Value| {
        let mut all = answers(request);
        match number {
            0 => drop(all.pop()),
            1 => all[5] = all[4].clone(),
            2 => all[MESSAGES - 1]["result"]["isError"] = true.into(),
            3 => {
                all[9] =
                    json!({"jsonrpc": "2.0", "id": all[9]["id"], "error": {"code": -32603, "message": "x"}});
            }
            4 => all[9]["result"] = json!({}),
            5 => all.push(all[0].clone()),
            // In any order, and each in a line of its own.
            6 => all.reverse(),
            7 => return all.iter().map(line).collect(),
            _ => {}
        }
        vec![line(&Value::from(all))]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Legacy, 12).step(echo().batch(MESSAGES)));
    assert_adds_up(&report);
    let want = [(FailureKind::Protocol, 1), (FailureKind::ToolError, 1), (FailureKind::WrongAnswer, 4)];
    assert_eq!((failures(&report), report.requests.answered), (want.to_vec(), 6), "{:?}", report.failures);
    let examples: Vec<_> = report.failures.iter().filter_map(|failure| failure.example.as_deref()).collect();
    assert!(
        examples[0].starts_with("in a batch: {") && examples[2].contains("1 answers of a batch"),
        "{examples:?}"
    );
}

#[test]
fn one_wrong_answer_makes_a_batch_wrong_over_http() {
    let events = |all: &[Value]| {
        let text = all.iter().fold(String::new(), |text, one| text + &format!("data: {one}\n\n"));
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
        vec![Act::Say(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()))]
    };
    let script = move |number: usize, request: &Value| {
        let mut all = answers(request);
        match number {
            0 => return events(&all),
            1 => return events(&all[1..]),
            2 => drop(all.pop()),
            3 => {
                let refused =
                    json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "x"}});
                return vec![body("200 OK", &refused)];
            }
            4 => all[3]["id"] = 1.into(),
            _ => {}
        }
        vec![body("200 OK", &Value::from(all))]
    };
    let target = over_http(Arc::new(script));
    let report = run(&counted(target, Era::Legacy, 9).step(echo().batch(MESSAGES)));
    assert_adds_up(&report);
    let want = [(FailureKind::Protocol, 1), (FailureKind::WrongAnswer, 3)];
    assert_eq!((failures(&report), report.requests.answered), (want.to_vec(), 5), "{:?}", report.failures);
}

#[test]
fn what_does_not_go_with_batches_is_said() {
    let (target, _folder) = over_lines(Arc::new(|_, _| Vec::new()));
    for (scenario, want) in [
        (counted(target.clone(), Era::Modern, 1).step(echo().batch(2)), "only revision 2025-03-26"),
        (counted(target.clone(), Era::Legacy, 1).step(echo().batch(0)), "a batch has 1 to"),
        (counted(target, Era::Legacy, 1).step(echo().batch(2).any_id()), "any_id"),
    ] {
        let error = LoadTestSuite::new().run(&scenario, |_| ()).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
}
