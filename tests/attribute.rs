//! Tools that are functions: what the attributes make of parameters, results and options.

#![allow(clippy::unused_async, reason = "an `async fn` is a tool whether it waits or not")]

use crate::test_client::TestClient;
use mcpool::{CallContext, RequestContext, Server, ToolDefinition, ToolError};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Says back what it is told.
///
/// # Panics
/// Never; and clients are not told so.
#[mcpool::tool(title = "Echo", read_only, open_world = false)]
fn echo(
    /// What to say.
    text: &str,
) -> &str {
    text
}

/// Shows each way
/// to give a text.
#[mcpool::tool(name = "all.texts", type = Texts)]
#[allow(elided_lifetimes_in_paths, reason = "the attribute knows what `Cow<str>` leaves out")]
#[allow(clippy::needless_pass_by_value, reason = "that is how arguments come")]
fn texts(
    borrowed: &str,
    cow: Cow<'_, str>,
    elided: Cow<str>,
    optional: Option<&str>,
    optional_cow: Option<Cow<'_, str>>,
) -> Result<Value, std::num::ParseIntError> {
    let is_borrowed = |cow: &Cow<'_, str>| matches!(cow, Cow::Borrowed(_));
    let are_borrowed =
        [is_borrowed(&cow), is_borrowed(&elided), optional_cow.as_ref().is_none_or(is_borrowed)];
    let number: i64 = borrowed.parse()?;
    Ok(json!({
        "number": number, "cow": cow, "elided": elided, "optional": optional, "optional_cow": optional_cow,
        "are_borrowed": are_borrowed,
    }))
}

/// Shows other ways.
#[mcpool::tool]
#[allow(clippy::needless_pass_by_value, reason = "that is how arguments come")]
fn others(
    list: Vec<&str>,
    slice: &[u32],
    #[default(7)] count: u64,
    #[default] flag: bool,
    /// Another name.
    #[serde(rename = "in")]
    mut r#where: Option<String>,
) -> Value {
    if let Some(place) = &mut r#where {
        place.push('!');
    }
    json!({"list": list, "sum": slice.iter().sum::<u32>(), "count": count, "flag": flag, "where": r#where})
}

#[mcpool::arguments]
#[derive(Debug)]
struct Pair<'a> {
    /// Left.
    left: Cow<'a, str>,
    /// Right, of its own kind.
    right: Inner<'a>,
}

#[mcpool::arguments]
#[derive(Debug)]
struct Inner<'a> {
    words: Vec<&'a str>,
}

#[mcpool::answer]
struct Joined<'a> {
    /// Both.
    text: String,
    /// Borrowed from the arguments.
    first: Option<&'a str>,
}

/// Joins.
#[mcpool::tool]
fn join(#[arguments] pair: Pair<'_>) -> Result<Joined<'_>, String> {
    let Pair { left, right } = pair;
    if !matches!(left, Cow::Borrowed(_)) {
        return Err("it was copied".to_owned());
    }
    Ok(Joined { text: format!("{left}{}", right.words.concat()), first: right.words.first().copied() })
}

/// Joins as well.
#[mcpool::tool(text)]
async fn join_all(Pair { left, right }: Pair<'_>, call: &mut CallContext) -> usize {
    call.text(&left);
    right.words.len()
}

/// Measures, by reference.
#[mcpool::tool]
async fn measure(#[arguments] pair: &Pair<'_>) -> usize {
    tokio::task::yield_now().await;
    pair.left.len()
}

/// Fails as it is told to.
#[mcpool::tool]
async fn fail(how: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err(how.into())
}

/// Fails with an error of the protocol.
#[mcpool::tool]
fn refuse() -> Result<String, ToolError> {
    Err(ToolError::NotFound)
}

/// Writes its answer.
#[mcpool::tool(destructive = false, idempotent)]
async fn write(text: &str, call: &mut CallContext) -> Result<(), ToolError> {
    call.text(text);
    call.text(text);
    Ok(())
}

/// Looks at its request.
#[mcpool::tool]
fn look(request: &mut RequestContext) -> bool {
    request.progress(1.0, None, None);
    request.is_cancelled()
}

/// Counts its calls.
#[mcpool::tool]
fn tick(#[state] calls: &AtomicUsize) -> usize {
    calls.fetch_add(1, Ordering::Relaxed) + 1
}

/// Counts the calls of the other one.
#[mcpool::tool]
async fn ticks(#[state] calls: &Arc<AtomicUsize>) -> usize {
    calls.load(Ordering::Relaxed)
}

/// Sleeps.
#[mcpool::tool(blocking)]
fn sleep(name: &str, #[state] calls: &AtomicUsize) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("nobody sleeps");
    }
    calls.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{name} slept"))
}

#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
}

#[mcpool::toolset]
impl Notes {
    /// Adds a line.
    #[tool(destructive = false)]
    fn add(&self, line: &str) -> Result<usize, String> {
        let mut lines = self.lines.lock().map_err(|_| "the notes are lost")?;
        lines.push(line.to_owned());
        Ok(lines.len())
    }

    /// Lists the lines.
    #[mcpool::tool(read_only, name = "list")]
    async fn all(&self, call: &mut CallContext) -> Result<(), ToolError> {
        tokio::task::yield_now().await;
        for line in self.copy() {
            call.text(&line);
        }
        Ok(())
    }

    /// Counts the lines, slowly.
    #[tool(blocking)]
    fn count(self: &Arc<Self>, #[default] more: usize) -> usize {
        self.copy().len() + more
    }

    /// Is no tool.
    fn copy(&self) -> Vec<String> {
        self.lines.lock().map(|lines| lines.clone()).unwrap_or_default()
    }
}

fn shown(definition: &ToolDefinition) -> Value {
    serde_json::to_value(definition).expect("JSON")
}

fn server() -> Server {
    let calls = Arc::new(AtomicUsize::new(0));
    let builder = Server::builder("attributes", "1")
        .tool(Echo)
        .tool(Texts)
        .tool(Others)
        .tool(Join)
        .tool(JoinAll)
        .tool(Measure);
    let builder = builder.tool(Fail).tool(Refuse).tool(Write).tool(Look);
    let builder =
        builder.tool(Tick(Arc::clone(&calls))).tool(Ticks(Arc::clone(&calls))).blocking_tool(Sleep(calls));
    builder.toolset(Notes::default().into_toolset()).build().expect("a server")
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

#[test]
fn a_definition_is_made_of_the_function() {
    use mcpool::Tool;
    let definition = shown(&Echo.definition());
    assert_eq!(definition["name"], "echo");
    assert_eq!(definition["title"], "Echo");
    assert_eq!(definition["description"], "Says back what it is told.");
    assert_eq!(definition["annotations"], json!({"readOnlyHint": true, "openWorldHint": false}));
    assert_eq!(definition["inputSchema"]["properties"]["text"]["description"], "What to say.");
    assert_eq!(definition["inputSchema"]["required"], json!(["text"]));
    assert_eq!(definition.get("outputSchema"), None);
    assert_eq!(echo("still a function"), "still a function");

    let definition = shown(&Texts.definition());
    assert_eq!(definition["name"], "all.texts");
    assert_eq!(definition["description"], "Shows each way to give a text.");
    assert_eq!(definition.get("annotations"), None);
    assert_eq!(definition["inputSchema"]["required"], json!(["borrowed", "cow", "elided"]));
    let schema = &shown(&Others.definition())["inputSchema"];
    assert_eq!(schema["required"], json!(["list", "slice"]));
    assert_eq!(schema["properties"]["count"]["default"], 7);
    assert_eq!(schema["properties"]["in"]["description"], "Another name.");

    let definition = shown(&Refuse.definition());
    assert_eq!(definition["inputSchema"]["additionalProperties"], false);
    assert_eq!(definition.get("outputSchema"), None);
    let definition = shown(&Measure.definition());
    assert_eq!(definition["outputSchema"]["required"], json!(["result"]), "a number is no object");
    let definition = shown(&Join.definition());
    assert_eq!(definition["outputSchema"]["properties"]["text"]["description"], "Both.");
    assert_eq!(definition["inputSchema"]["properties"]["left"]["type"], "string");
}

#[tokio::test]
async fn arguments_come_in_every_way() {
    let mut client = TestClient::open(&server());
    let answer = client.call(1, "echo", json!({"text": "a \"b\"\n"})).await;
    assert_eq!(answer["content"], json!([{"type": "text", "text": "a \"b\"\n"}]));
    let given = json!({"borrowed": "12", "cow": "c\n", "elided": "e", "optional_cow": "o\""});
    let answer = client.call(2, "all.texts", given.clone()).await;
    let want = json!({
        "number": 12, "cow": "c\n", "elided": "e", "optional": null, "optional_cow": "o\"",
        "are_borrowed": [true, true, true],
    });
    // The schema of any JSON is none of an object.
    assert_eq!(answer["structuredContent"], json!({"result": want}), "{answer}");
    let mut wrong = given;
    wrong["borrowed"] = json!("twelve");
    let answer = client.call(3, "all.texts", wrong).await;
    assert_eq!((&answer["isError"], text(&answer)), (&json!(true), "invalid digit found in string"));
    let answer = client.call(4, "all.texts", json!({"borrowed": "1", "elided": ""})).await;
    assert!(answer["isError"] == true && text(&answer).contains("cow"), "{answer}");
    let answer =
        client.call(5, "others", json!({"list": ["x", "y\t"], "slice": [1, 2, 3], "in": "here"})).await;
    let want = json!({"list": ["x", "y\t"], "sum": 6, "count": 7, "flag": false, "where": "here!"});
    assert_eq!(answer["structuredContent"], json!({"result": want}), "{answer}");
}

#[tokio::test]
async fn one_value_may_be_all_arguments() {
    let mut client = TestClient::open(&server());
    let pair = json!({"left": "a\\", "right": {"words": ["b", "c\u{1}"]}});
    let answer = client.call(1, "join", pair.clone()).await;
    assert_eq!(answer["structuredContent"], json!({"text": "a\\bc\u{1}", "first": "b"}), "{answer}");
    let answer = client.call(2, "join_all", pair.clone()).await;
    assert_eq!(answer["content"][0]["text"], "a\\");
    assert_eq!(answer["content"][1]["text"], "2");
    let answer = client.call(3, "measure", pair).await;
    assert_eq!(answer["structuredContent"], json!({"result": 2}));
}

#[tokio::test]
async fn errors_and_written_answers_are_as_with_the_trait() {
    let mut client = TestClient::open(&server());
    let answer = client.call(1, "fail", json!({"how": "badly"})).await;
    assert_eq!((&answer["isError"], text(&answer)), (&json!(true), "badly"));
    let answer = client.call(2, "write", json!({"text": "t"})).await;
    assert_eq!(answer["content"].as_array().map(Vec::len), Some(2));
    let answer = client.call(3, "look", json!({"ignored": 1})).await;
    assert_eq!(answer["structuredContent"], json!({"result": false}));
    let meta = crate::test_client::meta();
    let params = json!({"name": "refuse", "arguments": {}, "_meta": meta});
    let answer =
        client.ask(&json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": params})).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[tokio::test]
async fn calls_share_their_state() {
    let mut client = TestClient::open(&server());
    assert_eq!(client.call(1, "tick", json!({})).await["structuredContent"], json!({"result": 1}));
    assert_eq!(client.call(2, "tick", json!({})).await["structuredContent"], json!({"result": 2}));
    assert_eq!(text(&client.call(3, "sleep", json!({"name": "x"})).await), "x slept");
    assert_eq!(text(&client.call(3, "sleep", json!({"name": ""})).await), "nobody sleeps");
    assert_eq!(client.call(4, "ticks", json!({})).await["structuredContent"], json!({"result": 3}));
    assert_eq!(
        client.call(5, "add", json!({"line": "one"})).await["structuredContent"],
        json!({"result": 1})
    );
    assert_eq!(
        client.call(6, "add", json!({"line": "two"})).await["structuredContent"],
        json!({"result": 2})
    );
    assert_eq!(client.call(7, "list", json!({})).await["content"][1]["text"], "two");
    assert_eq!(client.call(8, "count", json!({"more": 5})).await["structuredContent"], json!({"result": 7}));
}

#[tokio::test]
async fn a_toolset_may_be_shared_with_others() {
    let notes = Arc::new(Notes::default());
    let server = Server::builder("notes", "1").toolset(Notes::shared_toolset(Arc::clone(&notes)));
    let mut client = TestClient::open(&server.build().expect("a server"));
    client.call(1, "add", json!({"line": "one"})).await;
    assert_eq!(notes.copy(), ["one"]);
}
