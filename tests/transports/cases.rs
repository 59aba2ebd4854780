//! The table: a message, what goes with it over HTTP, and what comes back, the same over every transport but for
//! the status.

use super::host::{Answer, Host, Way, modern, modern_headers, modern_with, session_headers};
use serde_json::{Value, json};

/// A message and its answer.
struct Case {
    name: &'static str,
    message: Value,
    /// The error's code; `None` for a result.
    code: Option<i64>,
    /// The status over HTTP.
    status: u16,
    /// A part of the answer, as JSON text.
    holds: &'static str,
}

fn case(name: &'static str, message: Value, code: Option<i64>, status: u16, holds: &'static str) -> Case {
    Case { name, message, code, status, holds }
}

fn call(name: &str) -> Value {
    modern(1, "tools/call", json!({"name": name, "arguments": {}}))
}

fn modern_cases() -> Vec<Case> {
    [protocol_cases(), offer_cases(), input_cases()].into_iter().flatten().collect()
}

#[rustfmt::skip]
fn protocol_cases() -> Vec<Case> {
    let without = |member: &str| {
        let mut message = call("test_simple_text");
        message["params"]["_meta"].as_object_mut().expect("an object").remove(member);
        message
    };
    let with = |place: &str, value: Value| {
        let mut message = call("test_simple_text");
        message["params"]["_meta"][place] = value;
        message
    };
    let mut null_id = call("test_simple_text");
    null_id["id"] = Value::Null;
    let version = "io.modelcontextprotocol/protocolVersion";
    let level = "io.modelcontextprotocol/logLevel";
    vec![
        case("a call", call("test_simple_text"), None, 200, r#""resultType":"complete""#),
        case("a call without arguments", modern(1, "tools/call", json!({"name": "test_simple_text"})), None, 200, "simple text"),
        case("a tool that fails", call("test_error_handling"), None, 200, r#""isError":true"#),
        case("an unknown tool", call("nope"), Some(-32602), 200, "Unknown tool: nope"),
        case("an unknown method", modern(1, "tools/nope", json!({})), Some(-32601), 404, "tools/nope"),
        case("a method of the other era", modern(1, "ping", json!({})), Some(-32601), 404, "ping"),
        case("no capabilities", without("io.modelcontextprotocol/clientCapabilities"), Some(-32602), 400, "clientCapabilities"),
        case("an unknown revision", with(version, json!("1999-01-01")), Some(-32020), 400, "MCP-Protocol-Version"),
        case("a bad log level", with(level, json!("loud")), Some(-32602), 400, "logLevel"),
        case("a null id", null_id, Some(-32600), 400, "id must be"),
        case("discover", modern(1, "server/discover", json!({})), None, 200, r#""supportedVersions":["2026-07-28"]"#),
        case("a bad cursor", modern(1, "resources/list", json!({"cursor": "nope"})), Some(-32602), 200, "cursor"),
        case("a cursor of another type", modern(1, "prompts/list", json!({"cursor": 1})), Some(-32602), 200, "cursor"),
        case("arguments that break the schema", modern(1, "tools/call", json!({"name": "json_schema_2020_12_tool", "arguments": {"phone": 1}})), None, 200, r#""isError":true"#),
        case("arguments that keep the schema", modern(1, "tools/call", json!({"name": "json_schema_2020_12_tool", "arguments": {"contactMethod": "phone", "phone": "1"}})), None, 200, "valid"),
    ]
}

#[rustfmt::skip]
fn offer_cases() -> Vec<Case> {
    let get = |name: &str, arguments: Value| modern(1, "prompts/get", json!({"name": name, "arguments": arguments}));
    let complete = |reference: Value| {
        modern(1, "completion/complete", json!({"ref": reference, "argument": {"name": "arg1", "value": "par"}}))
    };
    vec![
        case("a list", modern(1, "resources/list", json!({})), None, 200, "test://static-text"),
        case("templates", modern(1, "resources/templates/list", json!({})), None, 200, "test://template/{id}/data"),
        case("a resource", modern(1, "resources/read", json!({"uri": "test://static-text"})), None, 200, r#""ttlMs":0"#),
        case("a resource of a template", modern(1, "resources/read", json!({"uri": "test://template/7/data"})), None, 200, "Data for ID: 7"),
        case("no such resource", modern(1, "resources/read", json!({"uri": "test://nope"})), Some(-32602), 200, r#""data":{"uri":"test://nope"}"#),
        case("a prompt", get("test_simple_prompt", json!({})), None, 200, "simple prompt"),
        case("a prompt with arguments", get("test_prompt_with_arguments", json!({"arg1": "a", "arg2": "b"})), None, 200, "arg1='a', arg2='b'"),
        case("a prompt without its arguments", get("test_prompt_with_arguments", json!({"arg1": "a"})), Some(-32602), 200, "missing"),
        case("a prompt with other arguments", get("test_prompt_with_arguments", json!({"arg1": 1})), Some(-32602), 200, "strings"),
        case("no such prompt", get("nope", json!({})), Some(-32602), 200, "Unknown prompt: nope"),
        case("a completion", complete(json!({"type": "ref/prompt", "name": "test_simple_prompt"})), None, 200, r#""values":["paris","park","party"]"#),
        case("a completion of nothing", complete(json!({"type": "ref/prompt", "name": "nope"})), Some(-32602), 200, "ref"),
        case("a completion that is too long", complete(json!({"type": "ref/prompt", "name": "x".repeat(70_000)})), Some(-32602), 200, "65536 bytes"),
        case("a completion of no kind", complete(json!({"type": "ref/x"})), Some(-32602), 200, "ref"),
    ]
}

#[rustfmt::skip]
fn input_cases() -> Vec<Case> {
    let elicitation = "test_input_required_result_elicitation";
    let answered = |responses: Value| {
        let params = json!({"name": elicitation, "arguments": {}, "inputResponses": responses});
        modern_with(1, "tools/call", params, &json!({"elicitation": {}}))
    };
    let accepted = |name: Value| json!({"user_name": {"action": "accept", "content": {"name": name}}});
    let asked = modern_with(1, "tools/call", json!({"name": elicitation}), &json!({"elicitation": {}}));
    let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    vec![
        case("what a client cannot do", call(elicitation), Some(-32021), 400, r#""requiredCapabilities":{"elicitation":{"form":{}}}"#),
        case("what a client can do", asked, None, 200, r#""inputRequests":{"user_name":"#),
        case("an answer", answered(accepted(json!("Ann"))), None, 200, "Hello, Ann!"),
        case("an answer that does not fit", answered(accepted(json!(7))), None, 200, r#""resultType":"input_required""#),
        case("an answer that is none", answered(json!({"user_name": null})), None, 200, r#""resultType":"input_required""#),
        case("answers that are none", answered(json!(7)), Some(-32602), 200, "inputResponses"),
        case("an answer nobody asked for", answered(json!({"other": {"action": "accept"}})), None, 200, r#""resultType":"input_required""#),
        case("a task without tasks", call("failing_job"), Some(-32021), 400, "io.modelcontextprotocol/tasks"),
        case("no such task", modern_with(1, "tasks/get", json!({"taskId": "nope"}), &tasks), Some(-32602), 200, "no such task"),
    ]
}

#[test]
fn modern_cases_are_answered_alike_over_every_transport() {
    let host = Host::default();
    for way in [Way::Tcp, Way::Unix, Way::Lines] {
        let mut client = host.connect(way);
        for Case { name, message, code, status, holds } in modern_cases() {
            if name == "arguments that break the schema" && cfg!(not(feature = "validation")) {
                continue;
            }
            let headers = modern_headers(&message);
            let answer = match way {
                Way::Lines => client.ask("", &message),
                Way::Tcp | Way::Unix => {
                    let answer = client.post(&headers, &message);
                    assert_eq!(answer.status, status, "{name} over {way:?}: {answer:?}");
                    assert_eq!(answer.header("mcp-session-id"), None, "{name}");
                    answer.json()
                }
            };
            // Without headers the unknown revision itself is at fault.
            let code = if way == Way::Lines && code == Some(-32020) { Some(-32022) } else { code };
            assert_eq!(answer["error"]["code"].as_i64(), code, "{name} over {way:?}: {answer}");
            let holds = if code == Some(-32022) { "2026-07-28" } else { holds };
            assert!(answer.to_string().contains(holds), "{name} over {way:?}: {answer}");
            assert_eq!(answer["id"], if name == "a null id" { Value::Null } else { json!(1) }, "{name}");
        }
    }
}

#[rustfmt::skip]
fn legacy_cases() -> [Case; 10] {
    let request = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let watched = json!({"uri": "test://watched-resource"});
    [
        case("ping", request("ping", json!({})), None, 200, r#""result":{}"#),
        case("a call", request("tools/call", json!({"name": "test_simple_text"})), None, 200, "simple text"),
        case("an unknown method", request("nope", json!({})), Some(-32601), 200, "nope"),
        case("a method of the other era", request("server/discover", json!({})), Some(-32601), 200, "discover"),
        case("no such resource", request("resources/read", json!({"uri": "test://nope"})), Some(-32002), 200, "test://nope"),
        case("a level", request("logging/setLevel", json!({"level": "debug"})), None, 200, r#""result":{}"#),
        case("a level that is none", request("logging/setLevel", json!({"level": "loud"})), Some(-32602), 200, "loud"),
        case("subscribe", request("resources/subscribe", watched.clone()), None, 200, r#""result":{}"#),
        case("unsubscribe", request("resources/unsubscribe", watched), None, 200, r#""result":{}"#),
        case("what a client cannot do", request("tools/call", json!({"name": "test_sampling"})), None, 200, r#""isError":true"#),
    ]
}

#[test]
fn legacy_cases_are_answered_alike_over_every_transport() {
    let host = Host::default();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        for way in [Way::Tcp, Way::Unix, Way::Lines] {
            // A session is of who opened it, and a user of a Unix socket is somebody else.
            let is_lines = way == Way::Lines;
            let session = if is_lines { String::new() } else { host.session_over(way, version, &json!({})) };
            let mut client = host.connect(way);
            if is_lines {
                let client_info = json!({"name": "t", "version": "1"});
                let params =
                    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client_info});
                let opening = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
                let opened = client.ask("", &opening);
                assert_eq!(opened["result"]["protocolVersion"], version);
                assert_eq!(opened["result"]["capabilities"]["extensions"], Value::Null);
            }
            for Case { name, message, code, status, holds } in legacy_cases() {
                let headers = session_headers(&session, version);
                let answer = if is_lines {
                    client.ask("", &message)
                } else {
                    let answer = client.post(&headers, &message);
                    assert_eq!(answer.status, status, "{name} over {way:?}: {answer:?}");
                    answer.json()
                };
                assert_eq!(answer["error"]["code"].as_i64(), code, "{name} over {way:?}: {answer}");
                assert!(answer.to_string().contains(holds), "{name} over {way:?}: {answer}");
                assert_eq!(answer["result"]["resultType"], Value::Null, "{name} over {way:?}");
            }
        }
    }
}

#[test]
fn http_says_what_is_wrong_with_a_request() {
    let host = Host::default();
    let message = call("test_simple_text");
    let (text, good) = (message.to_string(), modern_headers(&message));
    let swap = |from: &str, to: &str| good.replace(from, to);
    let error = |headers: &str, body: &str| {
        let answer = host.connect(Way::Tcp).post_text(headers, body);
        (answer.status, answer.json()["error"]["code"].as_i64().unwrap_or_default(), answer)
    };
    let unknown = "Mcp-Session-Id: 00000000000000000000000000000000\r\n";
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let rows: Vec<(&str, String, &str, u16, i64)> = vec![
        ("another Host", "Host: evil.example.com\r\n".to_owned() + &good, &text, 403, -32600),
        ("another Origin", "Origin: http://evil.example.com\r\n".to_owned() + &good, &text, 403, -32600),
        ("the Origin null", "Origin: null\r\n".to_owned() + &good, &text, 403, -32600),
        ("no JSON", good.clone(), "{", 400, -32700),
        ("an array", good.clone(), "[]", 400, -32600),
        ("an array with a claim", good.clone(), "[{}]", 400, -32600),
        ("a response", good.clone(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 400, -32600),
        ("no _meta", good.clone(), r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, 400, -32602),
        ("no version header", swap("MCP-Protocol-Version: 2026-07-28\r\n", ""), &text, 400, -32020),
        ("another version header", swap("2026-07-28", "2025-11-25"), &text, 400, -32020),
        ("no method header", swap("Mcp-Method: tools/call\r\n", ""), &text, 400, -32020),
        ("another method header", swap("tools/call", "tools/list"), &text, 400, -32020),
        ("no name header", swap("Mcp-Name: test_simple_text\r\n", ""), &text, 400, -32020),
        ("another name header", swap("test_simple_text", "TEST_simple_text"), &text, 400, -32020),
        ("a broken base64 name", swap("test_simple_text", "=?base64?!?="), &text, 400, -32020),
        ("another content type", "Content-Type: text/plain\r\n".to_owned() + &good, &text, 415, -32600),
        ("no session", String::new(), ping, 400, -32600),
        ("an unknown session", unknown.to_owned(), ping, 404, -32600),
        ("a session that is none", "Mcp-Session-Id: x\r\n".to_owned(), ping, 404, -32600),
    ];
    for (name, headers, body, status, code) in rows {
        let found = error(&headers, body);
        assert_eq!((found.0, found.1), (status, code), "{name}: {:?}", found.2);
        assert_eq!(found.2.header("content-type"), Some("application/json"), "{name}");
    }
    for (headers, want) in [
        (swap("test_simple_text", "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?="), 200),
        ("Accept: application/json\r\n".to_owned() + &good, 200),
        ("Accept: */*\r\n".to_owned() + &good, 200),
        ("Origin: http://localhost:3000\r\n".to_owned() + &good, 200),
        ("Mcp-Session-Id: x\r\n".to_owned() + &good, 200),
    ] {
        assert_eq!(host.connect(Way::Tcp).post_text(&headers, &text).status, want, "{headers}");
    }
}

/// What two readers of one header could read differently, and bodies of other types than JSON.
#[test]
fn headers_that_could_be_read_in_two_ways_are_refused() {
    let host = Host::default();
    let message = call("test_simple_text");
    let (text, good) = (message.to_string(), modern_headers(&message));
    let named = call("\u{e9}").to_string();
    let listing = modern(1, "tools/list", json!({}));
    let (swap, typed) = (
        |from: &str, to: &str| good.replace(from, to),
        |media: &str| format!("Content-Type: {media}\r\n{good}"),
    );
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (name, headers, body, status, code) in [
        ("a session", "Mcp-Session-Id: caf\u{e9}\r\n".to_owned(), ping, 404, -32600),
        ("a name", swap("test_simple_text", "test_simple_t\u{e9}xt"), &text, 400, -32020),
        ("a name that the body says", swap("test_simple_text", "\u{e9}"), &named, 400, -32020),
        ("a method", swap("tools/call", "tools/c\u{e4}ll"), &text, 400, -32020),
        ("a version", swap("2026-07-28", "2026-07-2\u{e9}"), &text, 400, -32020),
        ("an argument", good.clone() + "Mcp-Param-X: caf\u{e9}\r\n", &text, 400, -32020),
        ("an argument twice", good.clone() + "Mcp-Param-X: 1\r\nmcp-param-x: 1\r\n", &text, 400, -32020),
        (
            "a name of no use",
            modern_headers(&listing) + "Mcp-Name: \u{e9}\r\n",
            &listing.to_string(),
            400,
            -32020,
        ),
        ("XML", typed("application/xml"), &text, 415, -32600),
        ("Latin-1", typed("application/json; charset=latin1"), &text, 415, -32600),
        ("batches of RPC", typed("application/json-rpc"), &text, 415, -32600),
        ("two types", typed("application/json, text/plain"), &text, 415, -32600),
        ("no type", typed(""), &text, 415, -32600),
    ] {
        let answer = host.connect(Way::Tcp).post_text(&headers, body);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], code, "{name}: {answer:?}");
    }
    for media in
        ["application/json;charset=UTF-8", "Application/JSON ; charset=\"utf-8\"", "application/json;v=1"]
    {
        assert_eq!(host.connect(Way::Tcp).post_text(&typed(media), &text).status, 200, "{media}");
    }
}

/// Verb, path, headers, and the status.
const VERBS: [(&str, &str, &str, u16); 63] = [
    ("PUT", "/mcp", "Content-Length: 0\r\n", 405),
    ("PATCH", "/mcp", "Content-Length: 0\r\n", 405),
    ("HEAD", "/mcp", "", 405),
    ("OPTIONS", "/mcp", "", 405),
    ("GET", "/mcp", "Accept: text/event-stream\r\n", 400),
    ("GET", "/mcp", "Accept: application/json\r\n", 406),
    ("GET", "/mcp", "", 406),
    ("GET", "/mcp", "Accept:\r\n", 406),
    ("GET", "/mcp", "Accept: text/event-stream;q=0\r\n", 406),
    ("GET", "/mcp", "Accept: text/event-stream;q=0, */*\r\n", 406),
    ("GET", "/mcp", "Accept: text/event-stream; q=0.000\r\n", 406),
    ("GET", "/mcp", "Accept: */*\r\n", 400),
    ("GET", "/mcp", "Accept: application/json\r\nAccept: text/*\r\n", 400),
    ("GET", "/mcp", "Accept: text/event-stream\r\nContent-Length: 0\r\n", 400),
    ("GET", "/mcp", "Accept: text/event-stream\r\nMCP-Protocol-Version: 1999-01-01\r\n", 400),
    ("GET", "/mcp", "Accept: text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n", 405),
    ("GET", "/mcp", "MCP-Protocol-Version: 2026-07-28\r\n", 405),
    ("GET", "/mcp", "MCP-Protocol-Version: 2026-07-28\r\nMcp-Session-Id: x\r\n", 405),
    ("DELETE", "/mcp", "MCP-Protocol-Version: 2026-07-28\r\n", 405),
    ("DELETE", "/mcp", "MCP-Protocol-Version: 2026-07-28\r\nMcp-Session-Id: x\r\n", 405),
    ("DELETE", "/mcp", "MCP-Protocol-Version: 1999-01-01\r\nMcp-Session-Id: x\r\n", 400),
    ("DELETE", "/mcp", "Mcp-Session-Id: 00000000000000000000000000000000\r\n", 404),
    ("TRACE", "/mcp", "", 405),
    ("BREW", "/mcp", "", 405),
    ("get", "/mcp", "Accept: text/event-stream\r\n", 405),
    ("GET", "/mcp", "Accept: text/event-stream\r\nMcp-Session-Id: x\r\n", 404),
    ("DELETE", "/mcp", "", 400),
    ("DELETE", "/mcp", "Mcp-Session-Id: x\r\n", 404),
    ("GET", "/", "", 404),
    ("GET", "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", 200),
    ("HEAD", "/", "Accept: text/html\r\n", 200),
    ("POST", "/", "Accept: text/html\r\nContent-Length: 0\r\n", 404),
    ("GET", "/mcp", "Accept: text/html\r\n", 406),
    ("GET", "/mcp/", "", 406),
    ("GET", "/mcp/", "Accept: text/event-stream\r\n", 400),
    ("GET", "/mcp?x=/mcp", "Accept: text/event-stream\r\n", 400),
    ("GET", "http://localhost/mcp", "Accept: text/event-stream\r\n", 400),
    ("DELETE", "/mcp/", "", 400),
    ("PUT", "/mcp/", "Content-Length: 0\r\n", 405),
    ("GET", "/mcp//", "", 404),
    ("GET", "//mcp", "", 404),
    ("GET", "/mcp/x", "", 404),
    ("GET", "/MCP", "", 404),
    ("GET", "/mcp/../mcp", "", 404),
    ("GET", "/./mcp", "", 404),
    ("GET", "/%6dcp", "", 404),
    ("GET", "/mcp%2F", "", 404),
    ("GET", "/mcp;x", "", 404),
    ("GET", "http://localhost", "", 404),
    ("HEAD", "/", "", 404),
    ("TRACE", "/", "", 404),
    ("OPTIONS", "*", "", 404),
    ("POST", "/", "Content-Length: 0\r\n", 404),
    ("POST", "//mcp", "Content-Length: 0\r\n", 404),
    ("DELETE", "/livez", "", 405),
    ("HEAD", "/livez", "", 200),
    ("GET", "/livez?verbose", "", 200),
    ("GET", "/livez/", "", 404),
    ("GET", "/livez", "", 200),
    ("GET", "/readyz", "", 200),
    ("GET", "/healthz", "", 200),
    ("POST", "/healthz", "Content-Length: 0\r\n", 405),
    ("GET", "/.well-known/oauth-protected-resource", "", 404),
];

#[test]
fn verbs_and_paths_are_what_they_are() {
    let host = Host::default();
    for (verb, path, headers, status) in VERBS {
        let mut client = host.connect(Way::Tcp);
        client.send(format!("{verb} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        let is_head = verb == "HEAD";
        let Answer { status: found, head, body } = if is_head {
            let (status, head) = client.head();
            Answer { status, head, body: Vec::new() }
        } else {
            client.answer()
        };
        assert_eq!(found, status, "{verb} {path} {headers}: {head}");
        assert_eq!(head.contains("allow: "), status == 405, "{verb} {path}: {head}");
        let is_modern = headers.contains("2026-07-28");
        assert_eq!(head.contains("allow: POST\r\n"), status == 405 && is_modern, "{verb} {path}: {head}");
        let body = String::from_utf8(body).expect("text");
        assert!(
            status != 404 || is_head || body.contains("/mcp") || body.contains("initialize"),
            "{path}: {body}"
        );
    }
}

#[test]
fn a_browser_is_told_what_is_here() {
    let host = Host::default();
    let answer = host.connect(Way::Tcp).request("GET", "/", "Accept: text/html\r\n");
    assert!(answer.head.contains("content-type: text/html; charset=utf-8\r\n"), "{}", answer.head);
    assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{}", answer.head);
    let page = String::from_utf8(answer.body).expect("text");
    assert!(page.contains("This is an MCP server") && page.contains("<code>/mcp</code>"), "{page}");
}

#[test]
fn a_slash_behind_the_path_is_no_other_path() {
    let host = Host::default();
    let message = call("test_simple_text");
    for (path, status) in [("/mcp", 200), ("/mcp/", 200), ("/mcp?a=b", 200), ("/mcp//", 404), ("/%6Dcp", 404)]
    {
        let (headers, text) = (modern_headers(&message), message.to_string());
        let mut client = host.connect(Way::Tcp);
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        client.send(format!("{head}{headers}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let wants = if status == 200 { "simple text" } else { "MCP is spoken at /mcp" };
        assert!(answer.json().to_string().contains(wants), "{path}: {answer:?}");
    }
}

/// What answers nothing that was asked, or says two things at once.
#[test]
fn responses_that_are_none_are_refused() {
    let host = Host::default();
    for version in ["2025-06-18", "2025-11-25"] {
        let headers = session_headers(&host.session(version, &json!({})), version);
        for (name, body, status) in [
            ("both", r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":"x"}}"#, 400),
            (
                "both, one null",
                r#"{"jsonrpc":"2.0","id":7,"result":null,"error":{"code":1,"message":"x"}}"#,
                400,
            ),
            ("both, no id", r#"{"jsonrpc":"2.0","result":{},"error":{"code":1,"message":"x"}}"#, 400),
            ("no id", r#"{"jsonrpc":"2.0","result":{}}"#, 400),
            ("two results", r#"{"jsonrpc":"2.0","id":7,"result":{},"result":{}}"#, 400),
            ("a null id", r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, 400),
            ("neither", r#"{"jsonrpc":"2.0","id":7}"#, 400),
            ("a result", r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, 202),
            ("an error", r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"x"}}"#, 202),
        ] {
            let answer = host.connect(Way::Tcp).post_text(&headers, body);
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            if status == 400 {
                assert_eq!(answer.json()["error"]["code"], -32600, "{name}");
                // The id would be one of the server's.
                assert!(name == "neither" || answer.json()["id"].is_null(), "{name}: {answer:?}");
            }
        }
    }
    let mut lines = host.connect(Way::Lines);
    lines.send(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{},\"error\":{}}\n");
    let answer = lines.ask("", &json!({"jsonrpc": "2.0", "id": 8, "method": "ping"}));
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32600), &Value::Null), "{answer}");
}

#[test]
fn mirrored_arguments_are_compared() {
    let host = Host::default();
    let mut client = host.connect(Way::Tcp);
    let message =
        modern(1, "tools/call", json!({"name": "test_custom_header", "arguments": {"value": "Hello"}}));
    let headers = modern_headers(&message);
    for (header, status) in [
        ("Mcp-Param-Value: Hello\r\n", 200),
        ("mcp-param-VALUE:  Hello \r\n", 200),
        ("Mcp-Param-Value: =?base64?SGVsbG8=?=\r\n", 200),
        ("Mcp-Param-Value: Hello\r\nMcp-Param-Other: 1\r\n", 200),
        ("", 400),
        ("Mcp-Param-Value: hello\r\n", 400),
        ("Mcp-Param-Value: =?base64?SGVsbG8?=\r\n", 400),
        ("Mcp-Param-Value: \r\n", 400),
    ] {
        let answer = client.post(&(headers.clone() + header), &message);
        assert_eq!(answer.status, status, "{header}: {answer:?}");
        let code = answer.json()["error"]["code"].as_i64();
        assert_eq!(code, (status == 400).then_some(-32020), "{header}");
    }
}
