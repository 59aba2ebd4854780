//! The kinds of request, each with what is said in either era over either kind of transport.

use super::{Asker, Request, Step};
use crate::network::{bodiless, listen, modern, modern_call};
use crate::tools::NOTE;
use mcpool::Limits;

/// All kinds of request, in the order of the table.
pub const REQUESTS: &[Request] = &[
    Request { name: "ping", script: ping, ..USUAL },
    Request { name: "server/discover", script: discover, ..USUAL },
    Request {
        name: "tools/list",
        script: |asker| Ok(exchange(asker, "tools/list", None, "", r#""tools":["#)),
        ..USUAL
    },
    Request { name: "tools/call, 16 B", script: |asker| Ok(echo(asker, "sixteen letters.")), ..USUAL },
    Request {
        name: "tools/call, escaped",
        script: |asker| Ok(echo(asker, r#"tab\t, \"quotes\" and \u00e9"#)),
        ..USUAL
    },
    Request { name: "tools/call, in chunks", script: in_chunks, ..USUAL },
    Request {
        name: "tools/call, 64 KiB",
        script: |asker| Ok(echo(asker, &"x".repeat(64 << 10))),
        measured: 100,
        ..USUAL
    },
    Request {
        name: "tools/call, 1 MiB",
        script: |asker| Ok(echo(asker, &"x".repeat(1 << 20))),
        measured: 8,
        ..USUAL
    },
    Request {
        name: "write_file, 1 MiB",
        script: |asker| Ok(write_file(asker, 1 << 20)),
        measured: 8,
        events: 1,
        ..USUAL
    },
    Request { name: "read_text_file, 1 KiB", script: |asker| Ok(read_text_file(asker)), ..USUAL },
    Request { name: "read_text_file, 3 lines", script: |asker| Ok(read_lines(asker)), ..USUAL },
    Request { name: "resources/read", script: |asker| Ok(read_resource(asker)), ..USUAL },
    Request { name: "prompts/get", script: |asker| Ok(prompt(asker)), ..USUAL },
    Request {
        name: "10 steps of progress",
        script: |asker| Ok(progress(asker)),
        measured: 100,
        events: 11,
        ..USUAL
    },
    Request {
        name: "owned arguments, on a thread",
        script: |asker| Ok(call(asker, "offload", r#"{"text":"owned"}"#, "owned")),
        measured: 40,
        events: 1,
        ..USUAL
    },
    Request {
        name: "error: no such tool",
        script: |asker| Ok(call(asker, "nothing", "{}", r#""error":{"code":-32602"#)),
        ..USUAL
    },
    Request {
        name: "error: wrong arguments",
        script: |asker| Ok(call(asker, "echo", r#"{"text":5}"#, r#""isError":true"#)),
        ..USUAL
    },
    Request { name: "malformed frame", script: |asker| Ok(malformed(asker)), ..USUAL },
    Request {
        name: "cancellation",
        script: |asker| Ok(cancellation(asker)),
        measured: 200,
        events: 2,
        ..USUAL
    },
    Request {
        name: "time-out of an answer",
        events: 2,
        script: answer_timeout,
        limits: |limits| limits.client_request_timeout_ms = 10,
        measured: 20,
    },
    Request {
        name: "time-out of a body",
        script: body_timeout,
        limits: |limits| limits.body_timeout_ms = 10,
        measured: 20,
        ..USUAL
    },
    Request {
        name: "subscription, 100 changes",
        script: |asker| Ok(subscription(asker)),
        measured: 20,
        events: 100,
        ..USUAL
    },
];

/// What most kinds have.
const USUAL: Request =
    Request { name: "", measured: 300, events: 0, limits: |_: &mut Limits| {}, script: ping };

type Script = Result<Vec<Step>, &'static str>;

/// One request, one answer.
fn exchange(
    asker: &Asker<'_>,
    method: &str,
    name: Option<&str>,
    params: &str,
    part: &'static str,
) -> Vec<Step> {
    vec![Step::Send(0, asker.request(method, name, params)), Step::Answer(0, part)]
}

fn call(asker: &Asker<'_>, tool: &str, arguments: &str, part: &'static str) -> Vec<Step> {
    let params = format!(r#""name":"{tool}","arguments":{arguments}"#);
    exchange(asker, "tools/call", Some(tool), &params, part)
}

fn echo(asker: &Asker<'_>, text: &str) -> Vec<Step> {
    call(asker, "echo", &format!(r#"{{"text":"{text}"}}"#), r#""id":7,"result":"#)
}

fn ping(asker: &Asker<'_>) -> Script {
    if asker.column.is_modern {
        return Err("the modern era has no ping");
    }
    Ok(exchange(asker, "ping", None, "", r#""id":7,"result":{}"#))
}

fn discover(asker: &Asker<'_>) -> Script {
    if !asker.column.is_modern {
        return Err("`server/discover` belongs to the modern era");
    }
    Ok(exchange(asker, "server/discover", None, "", r#""supportedVersions":"#))
}

fn in_chunks(asker: &Asker<'_>) -> Script {
    if !asker.column.is_http() {
        return Err("only HTTP has bodies in chunks");
    }
    let whole = String::from_utf8(asker.request(
        "tools/call",
        Some("echo"),
        r#""name":"echo","arguments":{"text":"in chunks"}"#,
    ));
    let whole = whole.expect("a head is ASCII");
    let (head, body) = whole.split_once("\r\n\r\n").expect("a head ends");
    let (before, _) = head.split_once("Content-Length").expect("the last header");
    let (first, second) = body.split_at(40);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let request = format!("{before}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    Ok(vec![Step::Send(0, request.into_bytes()), Step::Answer(0, r#""id":7,"result":"#)])
}

fn read_text_file(asker: &Asker<'_>) -> Vec<Step> {
    let arguments = format!(r#"{{"path":"{}"}}"#, asker.folder.join("one kilobyte.txt").display());
    call(asker, "read_text_file", &arguments, r#"sixteen bytes \"\n"#)
}

fn write_file(asker: &Asker<'_>, bytes: usize) -> Vec<Step> {
    let content = "x".repeat(bytes);
    call(
        asker,
        "write_file",
        &format!(r#"{{"path":"new.txt","content":"{content}"}}"#),
        "Successfully wrote to",
    )
}

fn read_lines(asker: &Asker<'_>) -> Vec<Step> {
    call(asker, "read_text_file", r#"{"path":"one kilobyte.txt","head":3}"#, r#"sixteen bytes \"\n"#)
}

fn read_resource(asker: &Asker<'_>) -> Vec<Step> {
    exchange(asker, "resources/read", Some(NOTE), &format!(r#""uri":"{NOTE}""#), r#""text":"contents""#)
}

fn prompt(asker: &Asker<'_>) -> Vec<Step> {
    let params = r#""name":"greeting","arguments":{"name":"somebody"}"#;
    exchange(asker, "prompts/get", Some("greeting"), params, r#""text":"welcome""#)
}

/// A call that its client wants to hear of while it lasts.
fn reporting_call(asker: &Asker<'_>, tool: &str, arguments: &str) -> Vec<u8> {
    let body = if asker.column.is_modern {
        modern_call(tool, arguments, "")
    } else {
        let params = format!(r#""name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":1}}"#);
        asker.body("tools/call", &params)
    };
    asker.frame("tools/call", Some(tool), &body)
}

fn progress(asker: &Asker<'_>) -> Vec<Step> {
    let call = reporting_call(asker, "steps", r#"{"messages":10,"text":"a step"}"#);
    let end = if asker.column.is_http() {
        Step::Answer(0, "notifications/progress")
    } else {
        Step::Until(0, r#""there""#)
    };
    vec![Step::Send(0, call), end]
}

fn malformed(asker: &Asker<'_>) -> Vec<Step> {
    let broken = asker.frame("tools/list", None, r#"{"jsonrpc":"2.0","id":7,"method":"tools/list""#);
    vec![Step::Send(0, broken), Step::Answer(0, r#""code":-32700"#)]
}

const CANCEL: &str = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;

fn cancellation(asker: &Asker<'_>) -> Vec<Step> {
    let stall = asker.request("tools/call", Some("stall"), r#""name":"stall","arguments":{"text":"x"}"#);
    let cancel = asker.frame("notifications/cancelled", None, CANCEL);
    if !asker.column.is_http() {
        // What is answered behind the cancellation tells that it was read.
        let list = asker.request("tools/list", None, "");
        // All in one write, so that it is not for the system to say how much of it comes in one read.
        return vec![Step::Send(0, [stall, cancel, list].concat()), Step::Answer(0, r#""tools":["#)];
    }
    if asker.column.is_modern {
        // Closing the stream is what cancels; each needs a connection of its own.
        let call = reporting_call(asker, "flood", r#"{"messages":1,"text":"x"}"#);
        return vec![
            Step::Connect(0),
            Step::Send(0, call),
            Step::Until(0, "notifications/progress"),
            Step::Close(0),
        ];
    }
    vec![
        Step::Send(0, reporting_call(asker, "flood", r#"{"messages":1,"text":"x"}"#)),
        Step::Until(0, "notifications/progress"),
        Step::Send(1, cancel),
        Step::Answer(1, "HTTP/1.1 202"),
        Step::Until(0, "0\r\n\r\n"),
    ]
}

fn answer_timeout(asker: &Asker<'_>) -> Script {
    if asker.column.is_modern {
        return Err("the modern era asks in the answer, so that no request waits for its client");
    }
    let ask = asker.request("tools/call", Some("ask"), r#""name":"ask","arguments":{"text":"who?"}"#);
    let end = if asker.column.is_http() {
        Step::Answer(0, "elicitation/create")
    } else {
        Step::Until(0, r#""isError":true"#)
    };
    Ok(vec![Step::Send(0, ask), end])
}

fn body_timeout(asker: &Asker<'_>) -> Script {
    if !asker.column.is_http() {
        return Err(
            "a line may take as long as its peer likes: it costs the buffer it is in, and nobody else's time",
        );
    }
    let mut call = asker.request("tools/call", Some("echo"), r#""name":"echo","arguments":{"text":"x"}"#);
    call.truncate(call.len() - 10);
    Ok(vec![Step::Connect(0), Step::Send(0, call), Step::Answer(0, "HTTP/1.1 408"), Step::Close(0)])
}

const CHANGES: u32 = 100;

fn subscription(asker: &Asker<'_>) -> Vec<Step> {
    let uri = format!(r#""uri":"{NOTE}""#);
    let subscribe = || asker.request("resources/subscribe", None, &uri);
    let unsubscribe = || asker.request("resources/unsubscribe", None, &uri);
    match (asker.column.is_http(), asker.column.is_modern) {
        (true, true) => vec![
            Step::Connect(0),
            Step::Send(0, modern("subscriptions/listen", None, &listen(NOTE))),
            Step::Until(0, "acknowledged"),
            Step::Changes(0, CHANGES),
            Step::Close(0),
        ],
        (true, false) => vec![
            Step::Send(0, subscribe()),
            Step::Answer(0, r#""result":{}"#),
            Step::Connect(1),
            Step::Send(1, bodiless("GET", asker.session)),
            Step::Until(1, "\r\n\r\n"),
            Step::Changes(1, CHANGES),
            Step::Close(1),
            Step::Send(0, unsubscribe()),
            Step::Answer(0, r#""result":{}"#),
        ],
        (false, true) => {
            let cancel = asker.frame("notifications/cancelled", None, CANCEL);
            vec![
                Step::Send(0, asker.frame("subscriptions/listen", None, &listen(NOTE))),
                Step::Until(0, "acknowledged"),
                Step::Changes(0, CHANGES),
                Step::Send(0, [cancel, asker.request("tools/list", None, "")].concat()),
                Step::Until(0, "\"tools\":["),
            ]
        }
        (false, false) => vec![
            Step::Send(0, subscribe()),
            Step::Answer(0, r#""result":{}"#),
            Step::Changes(0, CHANGES),
            Step::Send(0, unsubscribe()),
            Step::Answer(0, r#""result":{}"#),
        ],
    }
}
