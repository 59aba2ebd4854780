//! Scripts over newline framing: one connection, and all that comes out of it.

use super::model::{Framing, Model};
use super::{End, Gates, Message, REVISION, Step, in_short, server, settle, slots_in_use, sorted, to_json};
use crate::server::{Drain, Server};
use crate::transport::ServeError;
use crate::transport::hang_up::Undetected;
use crate::transport::lines::{LineConnection, LineShared};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

struct Talk {
    server: Server,
    gates: Gates,
    drain: Drain,
    client: Option<DuplexStream>,
    serving: JoinHandle<Result<(), ServeError>>,
    next_key: u64,
}

impl Talk {
    async fn open() -> Self {
        let (gates, drain) = (Gates::default(), Drain::default());
        let server = server(&gates);
        let (client, stream) = duplex(1 << 20);
        let serving = tokio::spawn(LineConnection::<_, Undetected>::new(
            Arc::new(LineShared::new(&server, &drain)),
            None,
            stream,
        ));
        let mut talk = Self { server, gates, drain, client: Some(client), serving, next_key: 0 };
        let params = json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        talk.send(&json!({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params})).await;
        assert_eq!(talk.answers().await, ["\"hello\":pong"]);
        talk
    }

    async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.client.as_mut().expect("open").write_all(line.as_bytes()).await.expect("room");
    }

    fn message(&mut self, message: Message) -> Value {
        self.next_key += 1;
        to_json(message, self.next_key - 1)
    }

    async fn step(&mut self, step: &Step, opened: Option<u64>) {
        match step {
            Step::Send(message) => {
                let message = self.message(*message);
                self.send(&message).await;
            }
            Step::Batch(messages) => {
                let batch: Vec<_> = messages.iter().map(|message| self.message(*message)).collect();
                self.send(&json!(batch)).await;
            }
            Step::Complete(_) => opened.into_iter().for_each(|key| self.gates.open(key)),
        }
    }

    /// All lines that are there.
    async fn answers(&mut self) -> Vec<String> {
        settle().await;
        let mut bytes = Vec::new();
        let client = self.client.as_mut().expect("open");
        loop {
            let mut chunk = [0; 4096];
            tokio::select! {
                biased;
                read = client.read(&mut chunk) => match read.expect("a stream") {
                    0 => break,
                    read => bytes.extend_from_slice(&chunk[..read]),
                },
                () = std::future::ready(()) => break,
            }
        }
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| in_short(&serde_json::from_str(line).expect("JSON"))).collect()
    }
}

fn answers(model: &mut Model) -> Vec<String> {
    model.take_ended().into_iter().filter_map(|(_, answer)| answer).collect()
}

pub(super) async fn run(script: &[Step], end: End) {
    let mut talk = Talk::open().await;
    let mut model = Model::new(Framing::Lines);
    for (at, step) in script.iter().enumerate() {
        let opened = model.step(step);
        talk.step(step, opened).await;
        let came = talk.answers().await;
        assert_eq!(sorted(came), sorted(answers(&mut model)), "step {at}");
    }
    match end {
        End::Close => talk.client.as_mut().expect("open").shutdown().await.expect("closes"),
        End::Drain => {
            talk.drain.begin();
            settle().await;
            tokio::time::advance(Drain::LOCAL_GRACE + Duration::from_millis(1)).await;
        }
        End::Vanish => talk.client = None,
    }
    if end != End::Vanish {
        while model.waiting() > 0 {
            assert!(!talk.serving.is_finished(), "what waits may finish");
            let opened = model.step(&Step::Complete(0));
            talk.step(&Step::Complete(0), opened).await;
            let came = talk.answers().await;
            assert_eq!(sorted(came), sorted(answers(&mut model)), "at the end");
        }
    }
    settle().await;
    // Who is gone may have closed one side only, as far as the server can tell before it writes.
    while model.waiting() > 0 {
        let opened = model.step(&Step::Complete(0));
        talk.step(&Step::Complete(0), opened).await;
        settle().await;
    }
    assert!(talk.serving.is_finished(), "the connection has ended");
    talk.serving.await.expect("no panic").expect("a good end");
    assert_eq!(slots_in_use(&talk.server), 0);
}
