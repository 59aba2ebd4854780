//! Servers of HTTP that answer in each form that is allowed, and in some that are not.

use super::peer::{Act, body, over_http, right};
use super::{assert_adds_up, counted, echo, failures, ping, run};
use mcpool::load::{Era, FailureKind};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn stream(events: &str) -> Act {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    Act::Say(format!("{head}{:x}\r\n{events}\r\n0\r\n\r\n", events.len()))
}

#[test]
fn json_streams_chunks_and_closed_connections_are_all_answers() {
    let script = |number: usize, request: &Value| {
        let answer = right(request);
        match number % 4 {
            0 => vec![body("200 OK", &answer)],
            1 => {
                let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
                vec![stream(&format!("event: message\ndata: {progress}\n\nid: 2\ndata: {answer}\n\n"))]
            }
            2 => {
                let text = answer.to_string();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                vec![Act::Say(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len())), Act::Close]
            }
            _ => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
                vec![Act::Say(format!("{head}{answer}")), Act::Close]
            }
        }
    };
    for era in [Era::Modern, Era::Legacy] {
        let report = run(&counted(over_http(Arc::new(script)), era, 40).connections(3).step(echo()));
        assert_adds_up(&report);
        assert!(report.is_flawless(), "{era:?} {report:?}");
        assert_eq!(report.requests.broken_connections, 0, "{era:?}");
    }
}

#[test]
fn each_kind_of_failure_is_counted_as_such() {
    let script = |number: usize, request: &Value| {
        let mut answer = right(request);
        match number {
            0 => return vec![body("503 Service Unavailable", &json!({}))],
            1 => return vec![body("429 Too Many Requests", &json!({}))],
            2 => return vec![body("500 Internal Server Error", &json!({}))],
            3 => {
                return vec![
                    Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{".to_owned()),
                    Act::Close,
                ];
            }
            4 => return vec![stream("data: {}\n\n")],
            5 => return vec![stream(": nothing\n\n")],
            6 => return vec![body("202 Accepted", &json!({}))],
            7 => return vec![Act::Say("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned())],
            8 => answer["id"] = json!(4711),
            9 => answer["result"]["isError"] = true.into(),
            10 => answer = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "?"}}),
            _ => {}
        }
        vec![body("200 OK", &answer)]
    };
    let report = run(&counted(over_http(Arc::new(script)), Era::Modern, 20).step(echo()));
    assert_adds_up(&report);
    let want = [
        (FailureKind::Transport, 1),
        (FailureKind::Refused, 2),
        (FailureKind::Protocol, 2),
        (FailureKind::ToolError, 1),
        (FailureKind::WrongAnswer, 5),
    ];
    assert_eq!((failures(&report), report.requests.answered), (want.to_vec(), 9));
}

#[test]
fn a_server_of_fixed_bodies_answers_with_whatever_id() {
    let fixed = json!({"jsonrpc": "2.0", "id": 4711, "result": {"content": []}});
    let script = move |number: usize, _: &Value| match number {
        3 => vec![body("200 OK", &json!({"jsonrpc": "2.0", "id": 4711, "result": {}}))],
        4 => {
            vec![body("200 OK", &json!({"jsonrpc": "2.0", "id": 4711, "error": {"code": 1, "message": ""}}))]
        }
        _ => vec![body("200 OK", &fixed)],
    };
    let report = run(&counted(over_http(Arc::new(script)), Era::Modern, 9).step(echo().any_id()));
    assert_adds_up(&report);
    let want = [(FailureKind::Protocol, 1), (FailureKind::WrongAnswer, 1)];
    assert_eq!((failures(&report), report.requests.answered), (want.to_vec(), 7), "the rest is checked");
}

#[test]
fn an_answer_that_never_comes_ends_with_its_connection() {
    let script = |number: usize, request: &Value| match number {
        // Behind the time-out comes an answer that must not be taken for that to the next request.
        0 => vec![Act::Sleep(Duration::from_secs(4)), body("200 OK", &right(request))],
        _ => vec![body("200 OK", &right(request))],
    };
    let scenario =
        counted(over_http(Arc::new(script)), Era::Modern, 6).time_out(Duration::from_secs(3)).step(ping());
    let report = run(&scenario);
    assert_adds_up(&report);
    assert_eq!((failures(&report), report.requests.answered), (vec![(FailureKind::TimeOut, 1)], 5));
}

#[test]
fn a_session_that_is_gone_is_opened_anew() {
    let script = |number: usize, request: &Value| match number {
        2 => vec![body("404 Not Found", &json!({}))],
        _ => vec![body("200 OK", &right(request))],
    };
    let report = run(&counted(over_http(Arc::new(script)), Era::Legacy, 6).step(ping()));
    assert_adds_up(&report);
    assert_eq!((failures(&report), report.requests.answered), (vec![(FailureKind::Protocol, 1)], 5));
}

#[test]
fn requests_in_flight_take_a_socket_each() {
    let script = |_: usize, request: &Value| vec![body("200 OK", &right(request))];
    let report =
        run(&counted(over_http(Arc::new(script)), Era::Legacy, 30).connections(2).in_flight(3).step(ping()));
    assert!(report.is_flawless(), "{report:?}");
    assert_eq!((report.scenario.connections, report.scenario.in_flight), (6, 1));
}
