//! The guide as a crate: what its chapters use beside mcpool, and the chapters themselves as documentation, so that
//! `cargo test` compiles and runs their code.

use mcpool::transport::serve_lines;
use mcpool::{Drain, Server};
use serde_json::{Value, json};
use std::error::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes that may wait between the two ends of a stream.
const STREAM_BYTES: usize = 64 * 1024;

/// What `server` answers to a call of a tool: the result, or the error.
///
/// ```
/// let server = mcpool::Server::builder("empty", "1.0.0").build()?;
/// let answer = mcpool_guide::call(&server, "none", serde_json::json!({}))?;
/// assert_eq!(answer["message"], "Unknown tool: none");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the stream breaks, or when the server writes what is no JSON.
pub fn call(server: &Server, tool: &str, arguments: Value) -> Result<Value, Box<dyn Error>> {
    let mut params = json!({"name": tool});
    params["arguments"] = arguments;
    ask(server, "tools/call", params)
}

/// What `server` answers to a request: the result, or the error.
///
/// # Errors
/// As for [`call`].
pub fn ask(server: &Server, method: &str, params: Value) -> Result<Value, Box<dyn Error>> {
    let messages = exchange(server, &[(method, params)])?;
    let mut answer = messages.into_iter().find(|message| message["id"] == 1).ok_or("no answer came")?;
    let part = if answer.get("error").is_some() { "error" } else { "result" };
    Ok(answer[part].take())
}

/// All that `server` sends to a client that opens a session, sends these requests, numbered from 1 on, and leaves when all
/// of them were answered: answers and notifications.
///
/// # Errors
/// As for [`call`].
pub fn exchange(server: &Server, requests: &[(&str, Value)]) -> Result<Vec<Value>, Box<dyn Error>> {
    let client = json!({"name": "guide", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    let mut lines = line(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
    lines += &line(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    for (index, (method, params)) in requests.iter().enumerate() {
        lines += &line(&json!({"jsonrpc": "2.0", "id": index + 1, "method": method, "params": params}));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sent = runtime.block_on(async {
        let (mut near, far) = tokio::io::duplex(STREAM_BYTES);
        let (reader, writer) = tokio::io::split(far);
        let drain = Drain::default();
        let serving = async {
            let ended = serve_lines(server, reader, writer, &drain).await;
            ended.map_err(Box::<dyn Error>::from)
        };
        let asking = async {
            near.write_all(lines.as_bytes()).await?;
            // The server finishes what it has, and ends.
            near.shutdown().await?;
            let mut text = String::new();
            near.read_to_string(&mut text).await?;
            Ok::<String, Box<dyn Error>>(text)
        };
        tokio::try_join!(serving, asking).map(|((), text)| text)
    })?;
    let messages: Result<Vec<Value>, _> = sent.lines().map(serde_json::from_str).collect();
    Ok(messages?.into_iter().filter(|message: &Value| message["id"] != 0).collect())
}

fn line(message: &Value) -> String {
    format!("{message}\n")
}

/// Each chapter with code as the documentation of a module, for `cargo test --doc`.
#[cfg(doctest)]
macro_rules! chapters {
    ($($name:ident: $file:literal,)*) => {
        $(#[doc = include_str!(concat!("src/", $file))] mod $name {})*
    };
}

#[cfg(doctest)]
chapters! {
    first_tool: "first_tool.md",
    arguments: "arguments.md",
    state: "state.md",
    run_time_tools: "run_time_tools.md",
    progress: "progress.md",
    resources: "resources.md",
    prompts: "prompts.md",
    http_auth: "http_auth.md",
    memory_tests: "memory_tests.md",
    from_rmcp: "from_rmcp.md",
}
