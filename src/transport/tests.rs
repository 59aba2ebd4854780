//! Whatever a handler writes, however long, comes out as whole messages, one a line.

use crate::limits::Limits;
use crate::protocol::{InputRequest, LogLevel, Prompt, PromptArgument, Resource, Role, ToolDefinition};
use crate::server::{
    CallContext, Completer, CompletionRequest, Completions, Drain, PromptContext, Prompts, ReadContext,
    RequestContext, Resources, Server, Tool, ToolError,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::sync::Notify;

/// Bytes of the longest answer here.
const LIMIT: usize = 4096;

/// A handler of everything, which writes in the way that it is told.
#[derive(Clone)]
struct Writes {
    way: &'static str,
    bytes: usize,
}

impl Writes {
    fn text(&self) -> String {
        "\u{e9}\"x\n".chars().cycle().take(self.bytes / 2).collect()
    }

    /// JSON of others, as they would indent it.
    fn pretty(&self) -> String {
        serde_json::to_string_pretty(&json!({"type": "object", "x": [self.text()]})).expect("JSON")
    }
}

impl Tool for Writes {
    type Arguments<'a> = BTreeMap<&'a str, bool>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("writes", "Writes.").input_schema(r#"{"type": "object"}"#)
    }

    async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        let (text, bytes) = (self.text(), vec![0xE9; self.bytes / 2]);
        match self.way {
            "text" => call.text(&text),
            "lossy" => call.text_with(|block| block.push_lossy(&bytes)),
            "text twice" => {
                call.text(&text[..text.len() / 4]);
                call.structured_from_text();
            }
            "blocks" => {
                call.image_with("image/png", |data| data.push(&bytes));
                call.audio_with(&text, |_| ());
                call.blob_with("x:/", "a/b", |data| data.push(&bytes[..bytes.len() / 4]));
                call.resource("x:/", "a/b", "text");
                call.structured_from_block();
            }
            "structured" => call.structured(&json!({"text": text}))?,
            "structured beside a block" => {
                call.text("short");
                call.structured(&json!({"text": text}))?;
            }
            "structured by others" => call.structured(&RawValue::from_string(self.pretty())?)?,
            "error" => return Err(ToolError::failed(text)),
            "protocol error" => return Err(ToolError::Protocol { code: 7, message: text }),
            "log" => call.log(LogLevel::Emergency, &text, &RawValue::from_string(self.pretty())?),
            "log of no JSON" => call.log(LogLevel::Emergency, "log", &BTreeMap::from([((1, 2), text)])),
            "progress" => call.progress(1.0, None, Some(&text)),
            "form" => drop(call.elicit::<Value>("key", "?", &self.pretty()).await?),
            "no form" => drop(call.elicit::<Value>("key", "?", &format!("{{}}\n!{text}")).await?),
            "state" => {
                call.carry(&text);
                call.ask("key", InputRequest::sampling(self.pretty())).await?;
            }
            "no sampling" => drop(call.ask("key", InputRequest::sampling(text)).await?),
            "task" => {
                call.require_task()?;
                call.text(&text);
            }
            "task that asks" => {
                call.require_task()?;
                call.elicit::<Value>("key", "?", &self.pretty()).await?;
            }
            "resource changed" => call.resource_updated(&text),
            _ => {}
        }
        Ok(())
    }
}

impl Resources for Writes {
    fn list(&self) -> Vec<Resource> {
        let text = if self.way == "list" { self.text() } else { String::new() };
        vec![Resource::new("x:/", "x").description(text)]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        match self.way {
            "resource" => read.text(uri, Some(&self.text()), &self.text()),
            "blob" => read.blob(uri, None, &vec![7; self.bytes]),
            _ => return Err(ToolError::NotFound),
        }
        Ok(())
    }
}

impl Prompts for Writes {
    fn list(&self) -> Vec<Prompt> {
        vec![Prompt::new("p", "p").argument(PromptArgument::new("a"))]
    }

    async fn get(&self, _: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
        prompt.text(Role::User, &self.text());
        prompt.image(Role::Assistant, "image/png", &vec![7; self.bytes / 4]);
        prompt.resource(Role::User, "x:/", "a/b", &self.text()[..0]);
        prompt.description(self.text());
        Ok(())
    }
}

impl Completer for Writes {
    async fn complete(
        &self,
        _: &CompletionRequest,
        _: &mut RequestContext,
    ) -> Result<Completions, ToolError> {
        Ok(Completions { values: vec![self.text()], total: None })
    }
}

/// Requests that lead to each way of writing, and in which era.
const WAYS: [(&str, &str, bool); 28] = [
    ("text", "tools/call", true),
    ("lossy", "tools/call", false),
    ("text twice", "tools/call", true),
    ("blocks", "tools/call", false),
    ("structured", "tools/call", true),
    ("structured beside a block", "tools/call", false),
    ("structured by others", "tools/call", true),
    ("error", "tools/call", true),
    ("protocol error", "tools/call", false),
    ("log", "tools/call", false),
    ("log of no JSON", "tools/call", false),
    ("progress", "tools/call", true),
    ("form", "tools/call", true),
    ("form", "tools/call", false),
    ("no form", "tools/call", true),
    ("no form", "tools/call", false),
    ("state", "tools/call", true),
    ("no sampling", "tools/call", false),
    ("task", "tools/call", true),
    ("task that asks", "tools/call", true),
    ("list", "resources/list", true),
    ("list", "resources/list", false),
    ("resource", "resources/read", true),
    ("blob", "resources/read", false),
    ("prompt", "prompts/get", true),
    ("completion", "completion/complete", false),
    ("listen", "subscriptions/listen", true),
    ("resource changed", "tools/call", false),
];

/// A client that demands that each line is one message.
struct Client<R> {
    lines: Lines<R>,
    requests: tokio::io::WriteHalf<tokio::io::DuplexStream>,
}

impl<R: tokio::io::AsyncBufRead + Unpin> Client<R> {
    async fn send(&mut self, message: &Value) {
        self.requests.write_all(format!("{message}\n").as_bytes()).await.expect("the server reads");
    }

    /// The next message, whatever it is.
    async fn message(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_mins(1), self.lines.next_line());
        let line = line.await.expect("a message").expect("the server writes").expect("the server goes on");
        assert!(line.len() <= LIMIT, "{} bytes", line.len());
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer to the request of that id; what else comes is read, and answered where it wants an answer.
    async fn answer(&mut self, id: &Value) -> Value {
        loop {
            let message = self.message().await;
            if message.get("method").is_none() && message["id"] == *id {
                return message;
            }
            // A subscription is answered at its end; that it was accepted is enough here.
            if message["method"] == "notifications/subscriptions/acknowledged" {
                return message;
            }
            if message.get("method").is_some() && message.get("id").is_some() {
                let result = json!({"action": "cancel", "role": "user"});
                self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).await;
            }
        }
    }

    /// What became of a task when it works no longer.
    async fn end_of_task(&mut self, task: &Value) -> Value {
        loop {
            let get = json!({"jsonrpc": "2.0", "id": "get", "method": "tasks/get", "params": {
                "taskId": task, "_meta": meta()}});
            self.send(&get).await;
            let answer = self.answer(&json!("get")).await;
            if answer["result"]["status"] != "working" {
                return answer;
            }
        }
    }
}

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities(),
        "progressToken": "p",
    })
}

fn capabilities() -> Value {
    json!({"elicitation": {}, "sampling": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}})
}

fn request(method: &str, text: &str, is_modern: bool) -> Value {
    let mut params = match method {
        "tools/call" => json!({"name": "writes", "arguments": {}}),
        "resources/read" => json!({"uri": "x:/"}),
        "prompts/get" => json!({"name": "p"}),
        "completion/complete" => {
            json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}})
        }
        "subscriptions/listen" => json!({"notifications": {"resourceSubscriptions": [text]}}),
        _ => json!({}),
    };
    params["_meta"] = if is_modern { meta() } else { json!({"progressToken": "p"}) };
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

async fn converse((way, method, is_modern): (&'static str, &'static str, bool), bytes: usize) {
    let limits = Limits {
        max_reply_bytes: LIMIT,
        max_frame_bytes: LIMIT,
        inline_read_bytes: LIMIT,
        ..Limits::default()
    };
    let writes = Writes { way, bytes };
    let server = Server::builder("t", "1").limits(limits).tool(writes.clone()).resources(writes.clone());
    let server = server.prompts(writes.clone()).completer(writes.clone()).tasks().build().expect("a server");
    let (client, peer) = tokio::io::duplex(1 << 20);
    let (input, output) = tokio::io::split(peer);
    let (answers, requests) = tokio::io::split(client);
    let drain = Drain::default();
    let serving = tokio::spawn({
        let (server, drain) = (server.clone(), drain.clone());
        async move { super::serve_lines(&server, input, output, &drain).await }
    });
    let mut client = Client { lines: BufReader::new(answers).lines(), requests };
    let text = writes.text();
    if !is_modern {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities(),
            "clientInfo": {"name": "t", "version": "1"}});
        client.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})).await;
        client.answer(&json!(0)).await;
        if way == "resource changed" {
            let params = json!({"uri": text});
            client
                .send(&json!({"jsonrpc": "2.0", "id": 0, "method": "resources/subscribe", "params": params}))
                .await;
            // Where the request itself is too long it has no id.
            if text.len() + text.matches(['"', '\n']).count() < LIMIT - 200 {
                client.answer(&json!(0)).await;
            }
        }
    }
    let asked = request(method, &text, is_modern);
    if asked.to_string().len() <= LIMIT {
        client.send(&asked).await;
        let answer = client.answer(&json!(1)).await;
        let task = &answer["result"]["taskId"];
        if way.starts_with("task") {
            assert!(task.is_string(), "{answer}");
            client.end_of_task(task).await;
        }
        if way == "no form" || way == "no sampling" {
            let text = answer["result"]["content"][0]["text"].as_str().expect("a text");
            assert!(text.contains("must be JSON") || text.contains("max_reply_bytes"), "{text}");
        }
    }
    drain.begin();
    drop(client);
    serving.await.expect("no panic").ok();
}

/// Asks for two things at once.
struct AsksTwice;

impl Tool for AsksTwice {
    type Arguments<'a> = BTreeMap<&'a str, bool>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("asks", "Asks.").input_schema(r#"{"type": "object"}"#)
    }

    async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        let question = || InputRequest::elicitation(&"x".repeat(1_500), "{}");
        call.ask_all(["first", "second"].map(|key| (key.to_owned(), question())).into()).await?;
        call.text("answered");
        Ok(())
    }
}

/// A question that waits until another one is answered is counted, and is not any more once it is sent.
#[tokio::test]
async fn a_question_that_waits_is_counted_until_it_is_sent() {
    // For one question of the tool, not for two.
    let limits = Limits { max_task_bytes: Some(2_048), ..Limits::default() };
    let server = Server::builder("t", "1").limits(limits).tool(AsksTwice).build().expect("a server");
    let (client, peer) = tokio::io::duplex(1 << 20);
    let (input, output) = tokio::io::split(peer);
    let (answers, requests) = tokio::io::split(client);
    let drain = Drain::default();
    let serving = tokio::spawn({
        let drain = drain.clone();
        async move { super::serve_lines(&server, input, output, &drain).await }
    });
    let mut client = Client { lines: BufReader::new(answers).lines(), requests };
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities(),
        "clientInfo": {"name": "t", "version": "1"}});
    client.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})).await;
    client.answer(&json!(0)).await;
    let call = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "asks", "arguments": {}}});
    let answer_to = |question: &Value| {
        assert_eq!(question["method"], "elicitation/create", "{question}");
        json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "cancel"}})
    };
    client.send(&call(1)).await;
    let first = client.message().await;
    client.send(&call(2)).await;
    let refused = client.message().await;
    assert_eq!(refused["id"], 2, "it is refused before it asks: {refused}");
    assert!(refused.to_string().contains("max_task_bytes"), "{refused}");
    client.send(&answer_to(&first)).await;
    let second = client.message().await;
    // No question waits now for another one.
    client.send(&call(3)).await;
    let first_of_third = client.message().await;
    client.send(&answer_to(&second)).await;
    let answered = client.message().await;
    assert_eq!((&answered["id"], &answered["result"]["content"][0]["text"]), (&json!(1), &json!("answered")));
    client.send(&answer_to(&first_of_third)).await;
    let last = client.message().await;
    client.send(&answer_to(&last)).await;
    assert_eq!(client.message().await["id"], 3);
    drain.begin();
    drop(client);
    serving.await.expect("no panic").ok();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 3_000 }))]

    #[test]
    fn every_way_out_gives_whole_messages(
        way in select(WAYS.to_vec()),
        bytes in prop_oneof![LIMIT - 1_200..LIMIT + 200, 0..3 * LIMIT, 0..200_usize],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(converse(way, bytes));
    }
}

/// Goes on as a task until it is told to end.
struct Lasts {
    end: Arc<Notify>,
    alive: Arc<AtomicUsize>,
}

/// One that is alive, while it is.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tool for Lasts {
    type Arguments<'a> = BTreeMap<&'a str, bool>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("writes", "Lasts.").input_schema(r#"{"type": "object"}"#)
    }

    async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        call.require_task()?;
        self.alive.fetch_add(1, Ordering::SeqCst);
        let _alive = Alive(Arc::clone(&self.alive));
        self.end.notified().await;
        call.text("done");
        Ok(())
    }
}

/// A drain waits for a task that ends, and cancels one that does not.
#[tokio::test]
async fn a_drain_knows_tasks() {
    for (ends, drain_timeout_ms) in [(true, 600_000), (false, 10)] {
        let (end, alive) = <(Arc<Notify>, Arc<AtomicUsize>)>::default();
        let limits = Limits { drain_timeout_ms, ..Limits::default() };
        let tool = Lasts { end: Arc::clone(&end), alive: Arc::clone(&alive) };
        let server = Server::builder("t", "1").limits(limits).tool(tool).tasks().build().expect("a server");
        let (client, peer) = tokio::io::duplex(1 << 16);
        let (input, output) = tokio::io::split(peer);
        let (answers, requests) = tokio::io::split(client);
        let drain = Drain::default();
        let serving = tokio::spawn({
            let (server, drain) = (server.clone(), drain.clone());
            async move { server.with_tasks(&drain, super::serve_lines(&server, input, output, &drain)).await }
        });
        let mut client = Client { lines: BufReader::new(answers).lines(), requests };
        client.send(&request("tools/call", "", true)).await;
        let task = client.answer(&json!(1)).await["result"]["taskId"].clone();
        while alive.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.running_tasks(), 1);
        drain.begin();
        // The connection ends at once; its task has its time.
        assert!(client.lines.next_line().await.expect("an end").is_none());
        if ends {
            assert!(!serving.is_finished());
            end.notify_one();
        }
        let ended = tokio::time::timeout(Duration::from_mins(1), serving).await;
        ended.expect("in time").expect("no panic").expect("a good end");
        assert_eq!((server.running_tasks(), alive.load(Ordering::SeqCst)), (0, 0));
        assert!(task.is_string() && server.tasks() == 1, "{task}");
    }
}
