//! Random interleavings of what clients do, checked against a model that knows no transport. They are calls that wait,
//! batches in each other's way, cancellations, completions, and the three ends of a connection. Each answer comes exactly once
//! and where it belongs, what was cancelled is not answered, and nothing is lost.
//!
//! Time stands still and one thread serves all, so that a script always goes the same way.

mod http;
mod lines;
mod model;

use crate::{CallContext, Limits, Server, Tool, ToolDefinition, ToolError};
use model::Framing;
use proptest::collection::vec;
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// The revision that has batches.
const REVISION: &str = "2025-03-26";
/// So few that scripts reach the bound.
const MAX_REQUESTS: usize = 3;

/// A message of a client. Ids are few, so that they meet.
#[derive(Debug, Clone, Copy)]
enum Message {
    /// A call that waits for its gate.
    Wait { id: u8 },
    /// A call that is answered at once.
    Ping { id: u8 },
    /// The client does not want that answer any more.
    Cancel { id: u8 },
    /// Something to be ignored.
    Note,
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Send(Message),
    Batch(Vec<Message>),
    /// One of the calls that wait is done: the one at that place, counted around.
    Complete(usize),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client has said all.
    Close,
    /// The server stops.
    Drain,
    /// The client is gone, and with it what waits.
    Vanish,
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => (0_u8..6).prop_map(|id| Message::Wait { id }),
        2 => (0_u8..6).prop_map(|id| Message::Ping { id }),
        4 => (0_u8..6).prop_map(|id| Message::Cancel { id }),
        1 => Just(Message::Note),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => messages().prop_map(Step::Send),
        4 => vec(messages(), 1..6).prop_map(Step::Batch),
        3 => any::<usize>().prop_map(Step::Complete),
    ];
    vec(step, 0..24)
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Close), Just(End::Drain), Just(End::Vanish)]
}

/// A message as JSON. A call that waits has `key` as its gate.
fn to_json(message: Message, key: u64) -> Value {
    match message {
        Message::Wait { id } => json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "gate", "arguments": {"key": key}}}),
        Message::Ping { id } => json!({"jsonrpc": "2.0", "id": id, "method": "ping"}),
        Message::Cancel { id } => json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": id}}),
        Message::Note => json!({"jsonrpc": "2.0", "method": "notifications/nothing"}),
    }
}

/// An answer in short: whose it is and what it says.
fn in_short(answer: &Value) -> String {
    if let Some(answers) = answer.as_array() {
        let answers: Vec<_> = answers.iter().map(in_short).collect();
        return format!("[{}]", answers.join(" "));
    }
    let said = match (&answer["error"]["code"], &answer["result"]["content"][0]["text"]) {
        (Value::Number(code), _) => code.to_string(),
        (_, Value::String(text)) => text.clone(),
        _ => "pong".to_owned(),
    };
    format!("{}:{said}", answer["id"])
}

/// Calls that wait until the test lets them go.
#[derive(Debug, Default, Clone)]
struct Gates {
    state: Arc<Mutex<GateState>>,
}

#[derive(Debug, Default)]
struct GateState {
    open: HashSet<u64>,
    waiting: HashMap<u64, Waker>,
}

impl Gates {
    fn open(&self, key: u64) {
        let mut state = self.state.lock().expect("no panic");
        state.open.insert(key);
        let waker = state.waiting.remove(&key);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[derive(Deserialize, JsonSchema)]
struct GateArguments {
    key: u64,
}

impl Tool for Gates {
    type Arguments<'a> = GateArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("gate", "Waits.").arguments::<GateArguments>()
    }

    async fn call(
        &self,
        GateArguments { key }: GateArguments,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        poll_fn(|cx| {
            let mut state = self.state.lock().expect("no panic");
            if state.open.contains(&key) {
                return Poll::Ready(());
            }
            state.waiting.insert(key, cx.waker().clone());
            Poll::Pending
        })
        .await;
        call.text(&format!("done {key}"));
        Ok(())
    }
}

fn server(gates: &Gates) -> Server {
    let limits = Limits { max_concurrent_requests: MAX_REQUESTS, ..Limits::default() };
    Server::builder("test", "1").limits(limits).tool(gates.clone()).build().expect("a server")
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

/// Lets all tasks go on until none can any more. The longest way from one to the next is much shorter.
async fn settle() {
    for _ in 0..80 {
        tokio::task::yield_now().await;
    }
}

/// Slots that are not given back.
fn slots_in_use(server: &Server) -> u64 {
    server.pools().find("messages").map_or(0, |pool| pool.snapshot().in_use)
}

/// The order of two answers that became ready at once is nobody's business.
fn sorted(mut answers: Vec<String>) -> Vec<String> {
    answers.sort();
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn over_lines_every_answer_comes_once_and_where_it_belongs(script in steps(), end in ends()) {
        runtime().block_on(lines::run(&script, end));
    }

    #[test]
    fn over_http_every_answer_comes_once_and_where_it_belongs(script in steps(), end in ends()) {
        runtime().block_on(http::run(&script, end));
    }
}

/// What ended the server: a batch cancels the call that another one waits for.
#[test]
fn a_batch_cancels_the_call_of_another_one() {
    let script = [
        Step::Batch(vec![Message::Wait { id: 1 }]),
        Step::Batch(vec![Message::Cancel { id: 1 }, Message::Ping { id: 2 }]),
    ];
    for end in [End::Close, End::Drain, End::Vanish] {
        runtime().block_on(lines::run(&script, end));
        runtime().block_on(http::run(&script, end));
    }
}

/// A batch that went on without its connection looked for the call to cancel among all that run, itself included,
/// and waited for its own lock.
#[test]
fn a_batch_cancels_after_it_had_to_wait() {
    let script = [
        Step::Batch(vec![Message::Wait { id: 1 }, Message::Cancel { id: 2 }, Message::Ping { id: 3 }]),
        Step::Send(Message::Wait { id: 2 }),
        Step::Complete(0),
    ];
    runtime().block_on(lines::run(&script, End::Close));
    runtime().block_on(http::run(&script, End::Close));
}

/// Each batch cancels the call of the one before it, and goes on when its own is cancelled: as deep as there are
/// batches, were one to call the other.
#[test]
fn many_batches_set_each_other_off() {
    let chain = (0..MAX_REQUESTS as u8).map(|id| {
        Step::Batch(vec![
            Message::Wait { id },
            Message::Cancel { id: id + 1 },
            Message::Ping { id: id + 100 },
        ])
    });
    let script: Vec<_> = chain.chain([Step::Send(Message::Cancel { id: 0 })]).collect();
    runtime().block_on(lines::run(&script, End::Close));
    runtime().block_on(http::run(&script, End::Close));
}

/// A batch gave its worker back when it was done only: the others waited for a thousand messages.
#[test]
fn a_long_batch_over_http_gives_its_thread_back_between_its_messages() {
    for waits in [false, true] {
        let (turns_of_few, _) = runtime().block_on(http::turns_beside(1, waits));
        let (turns_of_many, answer) = runtime().block_on(http::turns_beside(160, waits));
        assert!(turns_of_many >= turns_of_few + 4, "{turns_of_many} and {turns_of_few}, waits: {waits}");
        assert!((0..160).all(|id| answer.contains(&format!("{id}:pong"))), "{answer}");
    }
}

/// The second of two requests with one id is refused, whatever they are part of.
#[test]
fn the_second_of_two_requests_with_one_id_is_refused() {
    for framing in [Framing::Lines, Framing::Http] {
        let mut model = model::Model::new(framing);
        model.step(&Step::Batch(vec![Message::Wait { id: 1 }, Message::Ping { id: 1 }]));
        assert_eq!(model.take_ended(), []);
        model.step(&Step::Complete(0));
        assert_eq!(model.take_ended(), [(0, Some("[1:done 0 1:-32600]".to_owned()))]);
    }
    let script = [
        Step::Batch(vec![Message::Wait { id: 1 }, Message::Ping { id: 1 }, Message::Ping { id: 2 }]),
        Step::Send(Message::Ping { id: 1 }),
        Step::Send(Message::Ping { id: 2 }),
        Step::Send(Message::Wait { id: 3 }),
        Step::Batch(vec![Message::Ping { id: 3 }, Message::Wait { id: 2 }]),
        Step::Send(Message::Cancel { id: 2 }),
        Step::Complete(0),
        Step::Send(Message::Ping { id: 1 }),
    ];
    runtime().block_on(lines::run(&script, End::Close));
    runtime().block_on(http::run(&script, End::Close));
}
