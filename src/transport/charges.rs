//! What a large message is charged with while its tool works: its frame once, and what is made of it if anything is.

use crate::limits::{Limits, price};
use crate::protocol::ToolDefinition;
use crate::server::{BlockingTool, CallContext, Drain, Server, Tool, ToolError};
use crate::wire::{Elements, EscapedText, Raw};
use mcpool_pools::Discard;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const KIB: usize = 1024;
/// Below the limit of a frame, escapes and all.
const BYTES: usize = 2 * KIB * KIB;

/// A family of types: what the member `x` of the arguments becomes.
trait Member: Send + Sync + 'static {
    type Of<'a>: Deserialize<'a> + Send;
}

macro_rules! members {
    ($($name:ident $of:ty;)*) => {$(
        struct $name;

        impl Member for $name {
            type Of<'a> = $of;
        }
    )*};
}

members! {
    Borrowed &'a str;
    PassedOn EscapedText<'a>;
    Owned String;
    Any Value;
    Listed Vec<&'a str>;
    ListedLater Elements<'a, &'a str>;
    Keyed BTreeMap<&'a str, u8>;
    Later Raw<'a>;
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Arguments<T> {
    x: T,
}

/// Tells what all large messages are charged with while it works.
struct Charged<M>(PhantomData<M>);

fn tell(call: &mut CallContext) {
    let charged = call.large_messages().used_bytes();
    call.text(&charged.to_string());
}

impl<M: Member> Tool for Charged<M> {
    type Arguments<'a> = Arguments<M::Of<'a>>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("at_once", "Tells.").input_schema(r#"{"type":"object"}"#)
    }

    async fn call<'a>(
        &'a self,
        arguments: Arguments<M::Of<'a>>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        drop(arguments.x);
        tell(call);
        Ok(())
    }
}

impl<M: Member> BlockingTool for Charged<M> {
    type Arguments<'a> = Arguments<M::Of<'a>>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("on_thread", "Tells.").input_schema(r#"{"type":"object"}"#)
    }

    fn call(&self, arguments: Arguments<M::Of<'_>>, call: &mut CallContext) -> Result<(), ToolError> {
        drop(arguments.x);
        tell(call);
        Ok(())
    }
}

fn message(tool: &str, members: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",{members},{meta}}}}}\n"
    )
}

/// The answers to messages, one after the other, of a server that may have so many bytes of large messages; and what
/// they are charged with when all are answered.
async fn answers<M: Member>(max_inflight_bytes: usize, messages: &[String]) -> (Vec<Value>, usize) {
    let (_, told, left) = served::<M>(max_inflight_bytes, messages).await;
    (told, left)
}

/// The same, and the server.
async fn served<M: Member>(max_inflight_bytes: usize, messages: &[String]) -> (Server, Vec<Value>, usize) {
    let limits = Limits { max_inflight_bytes, ..Limits::default() };
    let server = Server::builder("t", "1").limits(limits);
    let server = server.tool(Charged::<M>(PhantomData)).blocking_tool(Charged::<M>(PhantomData));
    let server = server.build().expect("a server");
    let (client, peer) = tokio::io::duplex(64 * KIB);
    let (input, output) = tokio::io::split(peer);
    let (answers, mut requests) = tokio::io::split(client);
    let drain = Drain::default();
    let serving = tokio::spawn({
        let (server, drain) = (server.clone(), drain.clone());
        async move { super::serve_lines(&server, input, output, &drain).await }
    });
    let mut lines = BufReader::new(answers).lines();
    let mut told = Vec::new();
    for message in messages {
        requests.write_all(message.as_bytes()).await.expect("sent");
        let line = lines.next_line().await.expect("read").expect("an answer");
        told.push(serde_json::from_str(&line).expect("JSON"));
    }
    requests.shutdown().await.expect("the end");
    serving.await.expect("no panic").expect("served");
    let left = server.common_pools().queue_for(false, 0).room.memory.used_bytes();
    (server, told, left)
}

/// What the message with `x` is charged with for each of its bytes, in percent: at once, and on a thread.
async fn percent<M: Member>(x: &str) -> [usize; 2] {
    let messages = ["at_once", "on_thread"].map(|tool| message(tool, &format!(r#""arguments":{{"x":{x}}}"#)));
    let (told, left) = answers::<M>(1 << 30, &messages).await;
    assert_eq!(left, 0, "all is given back");
    [0, 1].map(|at| {
        let text = told[at]["result"]["content"][0]["text"].as_str().expect("an answer");
        let charged: usize = text.parse().unwrap_or_else(|_| panic!("{text}"));
        charged * 100 / messages[at].len()
    })
}

fn plain() -> String {
    format!("\"{}\"", "a plain text ".repeat(BYTES / 13))
}

/// Four bytes are sent for each byte that is meant.
fn escaped() -> String {
    format!("\"{}\"", r"x\ny\t\u00e9".repeat(BYTES / 12))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_borrowed_or_passed_on_is_charged_once() {
    for (what, percent) in [
        ("borrowed", percent::<Borrowed>(&plain()).await),
        ("passed on", percent::<PassedOn>(&escaped()).await),
    ] {
        assert!(percent.iter().all(|percent| (100..=105).contains(percent)), "{what}: {percent:?} %");
    }
    let planned = price::message_bytes(BYTES);
    assert!((BYTES..=BYTES * 105 / 100 + 128 * KIB).contains(&planned), "{planned}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arena_is_charged_with_what_is_in_it() {
    let percent = percent::<Borrowed>(&escaped()).await;
    assert!(percent.iter().all(|percent| (150..=215).contains(percent)), "{percent:?} %");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_memory_of_its_own_is_charged_with_twice_its_text() {
    let list = format!("[{}\"\"]", "\"\",".repeat(BYTES / 3));
    let keys: Vec<String> = (0..BYTES / 11).map(|number| format!("\"{number:06}\":1")).collect();
    for (what, percent) in [
        ("owned", percent::<Owned>(&plain()).await),
        ("any", percent::<Any>(&plain()).await),
        ("listed", percent::<Listed>(&list).await),
        ("listed later", percent::<ListedLater>(&list).await),
        ("keyed", percent::<Keyed>(&format!("{{{}}}", keys.join(","))).await),
        ("later", percent::<Later>(&escaped()).await),
    ] {
        assert!(percent.iter().all(|percent| (295..=305).contains(percent)), "{what}: {percent:?} %");
    }
}

/// Strings that nobody asked for are in the arena too, and count before they are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strings_around_the_arguments_are_charged_before_they_are_there() {
    let key = escaped();
    for members in [
        format!(r#"{key}:1,"arguments":{{"x":"y"}}"#),
        format!(r#""arguments":{{{key}:1,"x":"y"}}"#),
        format!(r#""arguments":{{"x":"y"}},{key}:1"#),
    ] {
        let (told, left) =
            answers::<Borrowed>(1 << 30, &["at_once", "on_thread"].map(|tool| message(tool, &members))).await;
        for answer in told {
            assert!(answer["result"]["content"][0]["text"].is_string(), "{answer:.300}");
        }
        assert_eq!(left, 0);
    }
}

/// The arena of a call with many escapes is kept apart for the next one. The slot went with it, and the next call had to
/// make a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_arena_is_kept_apart_and_its_slot_stays() {
    let call = message("at_once", &format!(r#""arguments":{{"x":{}}}"#, escaped()));
    let (server, told, left) = served::<Borrowed>(1 << 30, &[call.clone(), call.clone(), call]).await;
    assert_eq!((told.len(), left), (3, 0));
    let slots = server.pools().find("messages").expect("a pool").snapshot();
    assert_eq!((slots.misses, slots.discarded(Discard::Oversized)), (1, 0), "{slots:?}");
    let retained_bytes = Limits::default().arena_retain_bytes as u64;
    assert!(slots.idle_bytes <= retained_bytes, "{} bytes are kept", slots.idle_bytes);
    let arenas = server.pools().find("large arenas").expect("a pool").snapshot();
    // A machine that stalls for seconds between two calls lets it go.
    assert_eq!((arenas.hits + arenas.misses, arenas.discarded(Discard::Oversized)), (3, 0), "{arenas:?}");
    assert!(arenas.bytes_per_object() > retained_bytes, "{arenas:?}");
}

/// Alone, each message has room: at most what there is beside its frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_alone_is_served_whatever_is_made_of_it() {
    let messages =
        ["at_once", "on_thread"].map(|tool| message(tool, &format!(r#""arguments":{{"x":{}}}"#, escaped())));
    let (told, left) = answers::<Borrowed>(BYTES + 256 * KIB, &messages).await;
    for answer in told {
        let text = answer["result"]["content"][0]["text"].as_str().expect("an answer");
        assert!(text.parse::<usize>().is_ok_and(|charged| charged <= BYTES + 256 * KIB), "{text}");
    }
    assert_eq!(left, 0);
}
