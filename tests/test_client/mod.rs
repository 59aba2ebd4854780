//! A client of a server in the same process.
//!
//! Every message that the server sends is validated against the official JSON schema of the revision in
//! force before a test sees it, so each test of the protocol is a test of conformance too.

#![allow(dead_code, unreachable_pub, reason = "of a helper, each test uses a part")]

pub mod tools;

use jsonschema::Validator;
use mcpool::transport::{ServeError, serve_lines};
use mcpool::{Drain, Server};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

/// The modern revision.
pub const MODERN: &str = "2026-07-28";
/// The handshake revisions.
pub const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// How long a test waits for a message that must come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to a server, seen from the client.
pub struct TestClient {
    requests: WriteHalf<DuplexStream>,
    answers: BufReader<ReadHalf<DuplexStream>>,
    serving: JoinHandle<Result<(), ServeError>>,
    /// The revision in force; decides the schema.
    revision: &'static str,
    /// Methods of requests by the JSON text of their id.
    asked: HashMap<String, String>,
    /// Notifications on the status of tasks, whenever they came.
    pub task_notices: Vec<Value>,
    pub drain: Drain,
}

impl TestClient {
    /// Connects without saying anything.
    pub fn open(server: &Server) -> Self {
        Self::open_with(server, 64 * 1024)
    }

    /// Connects over streams that hold `capacity` bytes.
    pub fn open_with(server: &Server, capacity: usize) -> Self {
        let (client, peer) = tokio::io::duplex(capacity);
        let (reader, writer) = tokio::io::split(peer);
        let (answers, requests) = tokio::io::split(client);
        let (server, drain) = (server.clone(), Drain::default());
        let signal = drain.clone();
        let serving = tokio::spawn(async move { serve_lines(&server, reader, writer, &signal).await });
        Self {
            requests,
            answers: BufReader::new(answers),
            serving,
            revision: MODERN,
            asked: HashMap::new(),
            task_notices: Vec::new(),
            drain,
        }
    }

    /// Connects and shakes hands.
    pub async fn legacy(server: &Server, revision: &'static str) -> Self {
        Self::legacy_with(server, revision, json!({})).await
    }

    /// Connects and shakes hands with those capabilities.
    pub async fn legacy_with(server: &Server, revision: &'static str, capabilities: Value) -> Self {
        let mut client = Self::open(server);
        client.revision = revision;
        let answer = client
            .ask(&json!({"jsonrpc": "2.0", "id": "handshake", "method": "initialize", "params": {
                "protocolVersion": revision,
                "capabilities": capabilities,
                "clientInfo": {"name": "test", "version": "1"},
            }}))
            .await;
        assert_eq!(answer["result"]["protocolVersion"], revision);
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        client
    }

    /// Sends a message.
    pub async fn send(&mut self, message: &Value) {
        let messages = message.as_array().map_or(std::slice::from_ref(message), Vec::as_slice);
        for message in messages {
            if let (Some(id), Some(method)) = (message.get("id"), message["method"].as_str()) {
                self.asked.insert(id.to_string(), method.to_owned());
            }
        }
        self.send_bytes(format!("{message}\n").as_bytes()).await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.requests.write_all(bytes).await.expect("the server reads");
    }

    /// Sends a request and receives one message.
    pub async fn ask(&mut self, message: &Value) -> Value {
        self.send(message).await;
        self.receive().await
    }

    /// Calls a tool in the era of the connection and gives the result.
    pub async fn call(&mut self, id: u64, tool: &str, arguments: Value) -> Value {
        let mut params = json!({"name": tool, "arguments": arguments});
        if self.revision == MODERN {
            params["_meta"] = meta();
        }
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let mut answer = self.ask(&request).await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].take()
    }

    /// Receives one line as it is; empty when the server has closed its side.
    pub async fn receive_line(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        tokio::time::timeout(PATIENCE, read).await.expect("a message in time").expect("the server writes");
        line
    }

    /// Receives bytes of a message that has begun.
    pub async fn receive_some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        let read = self.answers.read(&mut bytes);
        let read = tokio::time::timeout(PATIENCE, read).await.expect("bytes in time").expect("it writes");
        assert!(read > 0, "the server closed its side");
        bytes.truncate(read);
        bytes
    }

    /// Receives one message and validates it. Those on the status of tasks, which come at any time, are put aside.
    pub async fn receive(&mut self) -> Value {
        loop {
            let message = self.receive_any().await;
            if message["method"] != "notifications/tasks/status" {
                return message;
            }
            self.task_notices.push(message);
        }
    }

    /// Receives one message of any kind and validates it.
    pub async fn receive_any(&mut self) -> Value {
        let line = self.receive_line().await;
        assert!(line.ends_with('\n'), "the server closed its side: {line:?}");
        let message: Value = serde_json::from_str(&line).expect("the server writes JSON");
        self.validate(&message);
        message
    }

    /// Validates a message of the server, or each message of a batch.
    pub fn validate(&self, message: &Value) {
        if let Some(batch) = message.as_array() {
            assert_eq!(self.revision, "2025-03-26", "a batch in another revision");
            return batch.iter().for_each(|message| self.validate(message));
        }
        let has_string_version = message["jsonrpc"] == "2.0";
        assert!(has_string_version, "no version in {message}");
        if let Some(result) = message.get("result") {
            assert_valid(self.revision, &["JSONRPCResultResponse", "JSONRPCResponse"], message);
            let method = self.asked.get(&message["id"].to_string()).map(String::as_str);
            if let Some(name) = method.and_then(result_type) {
                // A call that goes on as a task is answered with that, in the one revision that has such calls.
                let is_task =
                    name == "CallToolResult" && self.revision == "2025-11-25" && result.get("task").is_some();
                assert_valid(self.revision, &[if is_task { "CreateTaskResult" } else { name }], result);
            }
        } else if message.get("error").is_some() {
            let mut message = message.clone();
            if message["id"].is_null() && self.revision < "2025-11-25" {
                // The schema demands an id where none could be read, and JSON-RPC 2.0 says null.
                message["id"] = json!(0);
            }
            assert_valid(self.revision, &["JSONRPCErrorResponse", "JSONRPCError"], &message);
        } else if message.get("id").is_some() {
            assert_valid(self.revision, &["ServerRequest"], message);
        } else {
            assert_valid(self.revision, &["ServerNotification"], message);
        }
    }

    /// Validates later messages against another revision's schema.
    pub fn expect_revision(&mut self, revision: &'static str) {
        self.revision = revision;
    }

    /// Closes the client's side of the input; the output stays open.
    pub async fn close_input(&mut self) {
        self.requests.shutdown().await.expect("the stream closes");
    }

    /// Closes the input, reads what is left, and waits for the server to end the connection.
    pub async fn finish(mut self) -> String {
        self.close_input().await;
        let mut rest = String::new();
        let read = self.answers.read_to_string(&mut rest);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the server ends in time")
            .expect("the rest is text");
        self.serving.await.expect("the server does not panic").expect("the connection ends well");
        rest
    }

    /// Drops the client's side altogether and waits for the server to end the connection.
    pub async fn vanish(self) -> Result<(), ServeError> {
        drop((self.requests, self.answers));
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .expect("in time")
            .expect("the server does not panic")
    }
}

/// The `_meta` of a modern request.
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A modern request.
pub fn modern(id: impl Into<Value>, method: &str) -> Value {
    let id = id.into();
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"_meta": meta()}})
}

fn result_type(method: &str) -> Option<&'static str> {
    Some(match method {
        "initialize" => "InitializeResult",
        "server/discover" => "DiscoverResult",
        "tools/list" => "ListToolsResult",
        "tools/call" => "CallToolResult",
        "ping" | "logging/setLevel" => "EmptyResult",
        _ => return None,
    })
}

/// Asserts that `value` is valid as the first of `names` that the revision's schema defines.
pub fn assert_valid(revision: &'static str, names: &[&str], value: &Value) {
    let validator = validator(revision, names);
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert!(errors.is_empty(), "not a valid {names:?} of {revision}: {errors:?}\n{value:#}");
}

fn validator(revision: &'static str, names: &[&str]) -> Arc<Validator> {
    type Validators = Mutex<HashMap<(&'static str, String), Arc<Validator>>>;
    static VALIDATORS: OnceLock<Validators> = OnceLock::new();
    let schema = schema(revision);
    let definitions = if schema.get("$defs").is_some() { "$defs" } else { "definitions" };
    let name = names
        .iter()
        .find(|name| schema[definitions].get(**name).is_some())
        .unwrap_or_else(|| panic!("{revision} defines none of {names:?}"));
    let mut validators = VALIDATORS.get_or_init(Mutex::default).lock().expect("no validator panicked");
    let validator = validators.entry((revision, (*name).to_owned())).or_insert_with(|| {
        let mut root = schema.clone();
        root["$ref"] = json!(format!("#/{definitions}/{name}"));
        if definitions == "definitions" {
            // Draft 7 ignores what stands beside a reference.
            root["allOf"] = json!([{"$ref": root["$ref"].take()}]);
            root.as_object_mut().expect("a schema is an object").remove("$ref");
        }
        Arc::new(jsonschema::validator_for(&root).expect("the official schema is valid"))
    });
    Arc::clone(validator)
}

fn schema(revision: &'static str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/fixtures/schema").join(revision).join("schema.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("the official schema is JSON")
}
