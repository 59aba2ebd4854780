//! A warm call of a tool that an attribute made of a function allocates nothing, as with the trait.
//!
//! That goes for borrowed arguments, text, numbers and objects in the answer, shared state, limits, and toolsets. One that copies its
//! argument is seen.

#![allow(clippy::unused_async, reason = "an `async fn` is a tool whether it waits or not")]

use mcpool::{CallContext, Server, ToolError};
use mcpool_memtests::network::{Client, Host, Way};
use mcpool_memtests::{HANDSHAKE, Watch, assert_no_allocations};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Says back what it is told.
#[mcpool::tool(read_only)]
fn echo(text: &str) -> &str {
    text
}

/// Says it twice, through the context.
#[mcpool::tool]
#[allow(clippy::needless_pass_by_value, reason = "that is how arguments come")]
async fn twice(
    text: Cow<'_, str>,
    often: Option<Cow<'_, str>>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    call.text(&text);
    call.text(often.as_deref().unwrap_or("never"));
    Ok(())
}

/// Says back what it is told, in time, and in its turn.
#[mcpool::tool(timeout_ms = 60_000, max_concurrent = 4)]
fn limited(text: &str) -> &str {
    text
}

/// What is known of a text.
#[mcpool::answer]
struct Facts<'a> {
    words: usize,
    first: Option<&'a str>,
}

/// Tells what is known.
#[mcpool::tool]
async fn known(text: &str) -> Result<Facts<'_>, ToolError> {
    Ok(Facts { words: text.split(' ').count(), first: text.split(' ').next() })
}

/// Counts its calls.
#[mcpool::tool]
fn count(#[state] calls: &AtomicU64) -> u64 {
    calls.fetch_add(1, Ordering::Relaxed)
}

#[derive(Default)]
struct Sum {
    sum: AtomicU64,
}

#[mcpool::toolset]
impl Sum {
    /// Adds.
    #[tool(text)]
    fn add(&self, #[default(1)] more: u64) -> u64 {
        self.sum.fetch_add(more, Ordering::Relaxed)
    }
}

/// Copies its argument.
#[mcpool::tool]
fn copy_text(text: String) -> String {
    text
}

fn call(tool: &str, arguments: &str) -> String {
    let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#) + "\n"
}

fn ask(client: &mut Client, request: &str, buffer: &mut [u8]) {
    let answered = client.exchange(request.as_bytes(), buffer);
    let answer = String::from_utf8_lossy(&buffer[..answered]);
    assert!(answer.contains("\"result\"") && !answer.contains("isError"), "{answer}");
}

pub(crate) fn attribute_tools_allocate_nothing() {
    let builder = Server::builder("attributes", "1")
        .tool(Echo)
        .tool(Twice)
        .tool(Limited)
        .tool(Known)
        .tool(Count(AtomicU64::new(0).into()));
    let server = builder.toolset(Sum::default().into_toolset()).tool(CopyText).build().expect("a server");
    let host = Host::start(&server);
    let mut buffer = vec![0; 64 * 1024];
    let mut client = host.connect(Way::Lines);
    client.exchange(format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]).as_bytes(), &mut buffer);
    let requests = [
        call("echo", r#"{"text":"a"}"#),
        call("echo", r#"{"text":"with an \"escape\"\n"}"#),
        call("twice", r#"{"text":"a","often":"b\n"}"#),
        call("limited", r#"{"text":"a"}"#),
        call("known", r#"{"text":"one two"}"#),
        call("count", "{}"),
        call("add", r#"{"more":2}"#),
    ];
    let mut ask_all = |times| {
        for request in requests.iter().cycle().take(times * requests.len()) {
            ask(&mut client, request, &mut buffer);
        }
    };
    ask_all(200);
    server.maintain();
    ask_all(200);
    assert_no_allocations(|| ask_all(250));

    let copied = call("copy_text", r#"{"text":"an argument"}"#);
    let mut buffer = vec![0; 64 * 1024];
    let mut ask_to_copy = |times| (0..times).for_each(|_| ask(&mut client, &copied, &mut buffer));
    ask_to_copy(200);
    let watch = Watch::begin();
    ask_to_copy(100);
    assert!(watch.stats().total_blocks >= 100, "{:?}", watch.stats());
}
