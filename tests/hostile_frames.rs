//! Malformed and hostile lines, each with the exact answer.
//!
//! Whatever the line, the server then still answers a ping on the same connection, and what it says is valid
//! against the official schema.

use crate::test_client::{self, TestClient, tools};

/// A line, and the lines that answer it.
struct Row {
    name: &'static str,
    line: Vec<u8>,
    answers: &'static [&'static str],
}

#[tokio::test]
async fn every_hostile_line_has_its_answer() {
    let (server, _) = tools::server();
    let mut wrong = Vec::new();
    for Row { name, line, answers } in rows() {
        let mut client = TestClient::legacy(&server, "2025-11-25").await;
        client.send_bytes(&line).await;
        client.send_bytes(b"\n{\"jsonrpc\":\"2.0\",\"id\":\"sentinel\",\"method\":\"ping\"}\n").await;
        let mut got = Vec::new();
        loop {
            let answer = client.receive_line().await;
            if answer == "{\"jsonrpc\":\"2.0\",\"id\":\"sentinel\",\"result\":{}}\n" {
                break;
            }
            assert!(!answer.is_empty(), "{name}: the connection ended");
            validate(&mut client, &answer);
            got.push(answer.trim_end().to_owned());
        }
        assert_eq!(client.finish().await, "", "{name}: more than the sentinel's answer");
        if got != answers {
            wrong.push((name, got));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn validate(client: &mut TestClient, answer: &str) {
    let message: serde_json::Value = serde_json::from_str(answer).expect("an answer is JSON");
    let is_modern = message["error"]["code"] == -32022 || message["result"].get("resultType").is_some();
    client.expect_revision(if is_modern { test_client::MODERN } else { "2025-11-25" });
    client.validate(&message);
}

#[test]
fn the_table_has_no_row_twice() {
    let mut names: Vec<_> = rows().into_iter().map(|row| row.name).collect();
    let rows = names.len();
    assert!(rows >= 60, "{rows}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows);
}

fn rows() -> Vec<Row> {
    let short = ROWS.iter().map(|(name, line, answers)| Row { name, line: line.to_vec(), answers });
    let deep =
        DEEP_ROWS.iter().map(|(name, part, answers)| Row { name, line: part.repeat(100_000), answers });
    short.chain(deep).collect()
}

type Written = (&'static str, &'static [u8], &'static [&'static str]);

/// Lines that are their part 100,000 times over.
#[rustfmt::skip]
const DEEP_ROWS: &[Written] = &[
    ("100,000 open brackets", b"[", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: nested deeper than 127 levels at byte 128"}}"#]),
    ("100,000 open braces", b"{\"a\":", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: nested deeper than 127 levels at byte 636"}}"#]),
];

#[rustfmt::skip]
const ROWS: &[Written] = &[
    ("empty object brace only", b"{", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a comma or the end of the object at byte 1"}}"#]),
    ("a word", b"hello", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a value at byte 0"}}"#]),
    ("a truncated message", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a comma or the end of the object at byte 39"}}"#]),
    ("trailing garbage", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}x", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected the end of the message at byte 40"}}"#]),
    ("two messages on one line", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected the end of the message at byte 40"}}"#]),
    ("a trailing comma", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 40"}}"#]),
    ("a missing colon", b"{\"jsonrpc\" \"2.0\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a colon at byte 11"}}"#]),
    ("a missing comma", b"{\"jsonrpc\":\"2.0\" \"id\":1}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a comma or the end of the object at byte 17"}}"#]),
    ("single quotes", b"{'jsonrpc':'2.0','id':1,'method':'ping'}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 1"}}"#]),
    ("a comment", b"{\"jsonrpc\":\"2.0\",/* hi */\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 17"}}"#]),
    ("an unquoted key", b"{jsonrpc:\"2.0\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 1"}}"#]),
    ("mismatched brackets", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{]}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 50"}}"#]),
    ("a bare closing bracket", b"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a value at byte 0"}}"#]),
    ("an unterminated string", b"{\"jsonrpc\":\"2.0\",\"id\":\"abc", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected the end of the string, or an escaped control character at byte 26"}}"#]),
    ("a raw control character in a string", b"{\"jsonrpc\":\"2.0\",\"id\":\"a\x01b\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected the end of the string, or an escaped control character at byte 24"}}"#]),
    ("a raw tab in a string", b"{\"jsonrpc\":\"2.0\",\"id\":\"a\tb\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected the end of the string, or an escaped control character at byte 24"}}"#]),
    ("a NUL byte", b"{\"jsonrpc\":\"2.0\",\x00\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 17"}}"#]),
    ("an unknown escape", b"{\"jsonrpc\":\"2.0\",\"id\":\"\\x41\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected an escape of JSON at byte 23"}}"#]),
    ("a short unicode escape", b"{\"jsonrpc\":\"2.0\",\"id\":\"\\u12\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected four hexadecimal digits at byte 27"}}"#]),
    ("invalid UTF-8 in a string", b"{\"jsonrpc\":\"2.0\",\"id\":\"\xFF\xFE\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: not UTF-8 at byte 23"}}"#]),
    ("overlong UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":\"\xC0\xAF\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: not UTF-8 at byte 23"}}"#]),
    ("UTF-16", b"{\x00\"\x00i\x00d\x00\"\x00:\x001\x00}\x00", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 1"}}"#]),
    ("a surrogate encoded in UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":\"\xED\xA0\x80\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: not UTF-8 at byte 23"}}"#]),
    ("a leading zero", b"{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a comma or the end of the object at byte 23"}}"#]),
    ("a plus sign", b"{\"jsonrpc\":\"2.0\",\"id\":+1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a value at byte 22"}}"#]),
    ("a number without digits after the point", b"{\"jsonrpc\":\"2.0\",\"id\":1.,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a digit at byte 24"}}"#]),
    ("NaN", b"{\"jsonrpc\":\"2.0\",\"id\":NaN,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a value at byte 22"}}"#]),
    ("True", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":True}}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a value at byte 54"}}"#]),
    ("a literal cut short", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":tru}}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected true, false or null at byte 54"}}"#]),
    ("127 levels below the message", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", &[r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]),
    ("128 levels below the message", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: nested deeper than 127 levels at byte 171"}}"#]),
    ("a number", b"42", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: a message is a JSON object"}}"#]),
    ("a string", b"\"ping\"", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: a message is a JSON object"}}"#]),
    ("null", b"null", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: a message is a JSON object"}}"#]),
    ("true", b"true", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: a message is a JSON object"}}"#]),
    ("an empty object", b"{}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: jsonrpc must be \"2.0\""}}"#]),
    ("an empty array", b"[]", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: batches exist only in revision 2025-03-26"}}"#]),
    ("an array of requests outside of its revision", b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: batches exist only in revision 2025-03-26"}}"#]),
    ("no version", b"{\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: jsonrpc must be \"2.0\""}}"#]),
    ("version 1.0", b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: jsonrpc must be \"2.0\""}}"#]),
    ("version as a number", b"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: jsonrpc must be \"2.0\""}}"#]),
    ("a null id", b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("a fractional id", b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("an id with an exponent", b"{\"jsonrpc\":\"2.0\",\"id\":1e2,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":100,"result":{}}"#]),
    ("an id with an exponent beyond all bounds", b"{\"jsonrpc\":\"2.0\",\"id\":1e999999999999,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("a true id", b"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("an object as id", b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("an array as id", b"{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("an id of 300 bytes", b"{\"jsonrpc\":\"2.0\",\"id\":\"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii\",\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: id must be a string or an integer of at most 256 bytes"}}"#]),
    ("the id twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the method twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"tools/list\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the same key by an escape", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"meth\\u006fd\":\"tools/list\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the parameters twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{},\"params\":{}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the version twice", b"{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("no method", b"{\"jsonrpc\":\"2.0\",\"id\":1}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: method is missing"}}"#]),
    ("a method that is a number", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: method must be a string"}}"#]),
    ("a null method", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":null}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: method must be a string"}}"#]),
    ("an empty method", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: "}}"#]),
    ("an unknown method", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no/such\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: no/such"}}"#]),
    ("a method with quotes and newlines", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\\"b\\nc\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: a\"b\nc"}}"#]),
    ("a method with another case", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: Ping"}}"#]),
    ("params as an array", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[1]}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: params must be an object"}}"#]),
    ("params as a string", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":\"x\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: params must be an object"}}"#]),
    ("null params", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":null}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: params must be an object"}}"#]),
    ("a response nobody waits for", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", &[]),
    ("an error response nobody waits for", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"x\"}}", &[]),
    ("a forged answer to a request for roots", b"{\"jsonrpc\":\"2.0\",\"id\":\"roots-0\",\"result\":{\"roots\":[{\"uri\":\"file:///\"}]}}", &[]),
    ("an unknown notification", b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/whatever\",\"params\":{\"a\":[1]}}", &[]),
    ("a request's method as a notification", b"{\"jsonrpc\":\"2.0\",\"method\":\"tools/list\"}", &[]),
    ("a call of a tool as a notification", b"{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"x\"}}}", &[]),
    ("a cancellation of nothing", b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":99}}", &[]),
    ("a cancellation without an id", b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{}}", &[]),
    ("a notification with params that are no object", b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\",\"params\":7}", &[]),
    ("a tool without a name", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"arguments\":{}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: name must be a string"}}"#]),
    ("a tool named by a number", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":5}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: name must be a string"}}"#]),
    ("tools/call without params", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: name must be a string"}}"#]),
    ("an unknown tool", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"nope\",\"arguments\":{}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool: nope"}}"#]),
    ("an unknown tool with escapes in its name", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\\\"\\u0000\\nb\",\"arguments\":{}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool: a\"\u0000\nb"}}"#]),
    ("an unknown tool with malformed arguments", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"nope\",\"arguments\":{\"a\":}}}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a value at byte 87"}}"#]),
    ("arguments as an array", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":[1]}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: arguments must be an object"}}"#]),
    ("arguments as a string", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":\"text\"}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: arguments must be an object"}}"#]),
    ("null arguments", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":null}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: text is missing: it must be a string"}],"isError":true}}"#]),
    ("the arguments twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},\"arguments\":{\"text\":\"b\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the name twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"name\":\"fail\",\"arguments\":{\"text\":\"a\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the name twice, of two types", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":1,\"name\":\"echo\",\"arguments\":{\"text\":\"a\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("_meta twice, once empty", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"_meta\":{},\"_meta\":{\"a\":1},\"name\":\"echo\",\"arguments\":{\"text\":\"a\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("_meta twice, of two types", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},\"_meta\":{},\"_meta\":7}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("the method twice, of two types", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: method must be a string"}}"#]),
    ("a progress token twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"progressToken\":{},\"progressToken\":1}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("a method of 200 bytes", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm…"}}"#]),
    ("a cancellation with a huge id", b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}", &[]),
    ("an argument twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\",\"text\":\"b\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: duplicate field `text`"}],"isError":true}}"#]),
    ("an argument of the wrong type", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":[\"a\"]}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: text must be a string, not an array"}],"isError":true}}"#]),
    ("a number out of range", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\",\"repeat\":1e999}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: repeat must be a whole number, not 1e999"}],"isError":true}}"#]),
    ("a negative number for an unsigned one", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\",\"repeat\":-1}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: repeat must be at least 0, not -1"}],"isError":true}}"#]),
    ("half of a surrogate pair", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"\\ud800\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: half of a surrogate pair in a string at text"}],"isError":true}}"#]),
    ("the wrong half of a surrogate pair", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"\\udc00\\ud800\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"MCP error -32602: Input validation error: Invalid arguments for tool echo: half of a surrogate pair in a string at text"}],"isError":true}}"#]),
    ("an unknown argument with every kind of value", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"x\":[{},[],\"\",0,-0.0e-0,true,null],\"text\":\"a\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a"}]}}"#]),
    ("malformed arguments behind a good one", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\",}}}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: expected a string at byte 94"}}"#]),
    ("arguments nested too deeply", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}}", &[r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: nested deeper than 127 levels at byte 223"}}"#]),
    ("a progress token of the wrong type", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},\"_meta\":{\"progressToken\":{}}}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a"}]}}"#]),
    ("_meta as a string", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},\"_meta\":\"x\"}}", &[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a"}]}}"#]),
    ("a modern request without capabilities", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Missing or malformed _meta field io.modelcontextprotocol/clientCapabilities"}}"#]),
    ("a modern request with the version twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/protocolVersion\":\"2025-11-25\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("a modern request of a revision to come", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2099-01-01\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"],"requested":"2099-01-01"}}}"#]),
    ("a modern ping", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: ping"}}"#]),
    ("a modern notification of a faulty version", b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1,\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":7}}}", &[]),
    ("_meta twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}},\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: a member came twice"}}"#]),
    ("a handshake without a version", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: missing field `protocolVersion`"}}"#]),
    ("a handshake without params", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: missing field `protocolVersion`"}}"#]),
    ("a log level that does not exist", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{\"level\":\"loud\"}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: level: unknown variant `loud`, expected one of `debug`, `info`, `notice`, `warning`, `error`, `critical`, `alert`, `emergency`"}}"#]),
    ("a cursor that was never given out", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"cursor\":\"\"}}", &[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: this cursor was not given out here, or the list has changed"}}"#]),
    ("white space around a message", b" \t {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} \t ", &[r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]),
    ("a byte order mark", b"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", &[r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]),
    ("a carriage return before the newline", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r", &[r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]),
    ("a blank line", b"   \t ", &[]),
    ("an empty line", b"", &[]),
    ("a lone carriage return", b"\r", &[]),
];
