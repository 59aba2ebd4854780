//! Scripts over HTTP: one session, and a connection for each message or batch.

use super::model::{Framing, Model};
use super::{End, Gates, Message, REVISION, Step, in_short, server, settle, slots_in_use, sorted, to_json};
use crate::limits::Limits;
use crate::server::{Drain, FairLimit, Server};
use crate::transport::admission::{Admission, AdmissionConfig, PeerAddress};
use crate::transport::hang_up::Undetected;
use crate::transport::http::{HttpConnection, HttpShared};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// A POST on a connection of its own.
struct Post {
    client: Option<DuplexStream>,
    serving: JoinHandle<()>,
    received: String,
}

struct Talk {
    server: Server,
    gates: Gates,
    drain: Drain,
    shared: Arc<HttpShared>,
    session: String,
    posts: Vec<Post>,
    next_key: u64,
}

impl Talk {
    async fn open() -> Self {
        let (gates, drain) = (Gates::default(), Drain::default());
        let server = server(&gates);
        let admission = Admission::new(AdmissionConfig::default(), &Limits::default()).expect("rules");
        let shared = HttpShared::new(server.clone(), admission, drain.clone()).expect("not served yet");
        let shared = Arc::new(shared);
        let mut talk =
            Self { server, gates, drain, shared, session: String::new(), posts: Vec::new(), next_key: 0 };
        let params = json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        talk.post(&json!({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params})).await;
        settle().await;
        let mut hello = talk.posts.pop().expect("a post");
        hello.read().await;
        let head = hello.received.to_ascii_lowercase();
        let session = head.split("mcp-session-id: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        session.expect("a session").clone_into(&mut talk.session);
        talk
    }

    async fn post(&mut self, message: &Value) {
        let body = message.to_string();
        let session = if self.session.is_empty() {
            String::new()
        } else {
            format!("mcp-session-id: {}\r\nmcp-protocol-version: {REVISION}\r\n", self.session)
        };
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json, \
             text/event-stream\r\nconnection: close\r\n{session}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (mut client, stream) = duplex(1 << 20);
        let address = PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let permit = FairLimit::new(1, 75).acquire(0).expect("a permit");
        let shared = Arc::clone(&self.shared);
        let serving = tokio::spawn(HttpConnection::<_, Undetected>::new(shared, stream, address, permit));
        client.write_all(request.as_bytes()).await.expect("room");
        self.posts.push(Post { client: Some(client), serving, received: String::new() });
    }

    fn message(&mut self, message: Message) -> Value {
        self.next_key += 1;
        to_json(message, self.next_key - 1)
    }

    async fn step(&mut self, step: &Step, opened: Option<u64>) {
        match step {
            Step::Send(message) => {
                let message = self.message(*message);
                self.post(&message).await;
            }
            Step::Batch(messages) => {
                let batch: Vec<_> = messages.iter().map(|message| self.message(*message)).collect();
                self.post(&json!(batch)).await;
            }
            Step::Complete(_) => opened.into_iter().for_each(|key| self.gates.open(key)),
        }
    }

    /// What has come to its end since this was asked last.
    async fn ended(&mut self) -> Vec<String> {
        settle().await;
        let mut ended = Vec::new();
        for (sent, post) in self.posts.iter_mut().enumerate() {
            if post.client.is_some() && post.read().await {
                post.client = None;
                ended.push(show(sent, post.answer().as_deref()));
            }
        }
        ended
    }
}

impl Post {
    /// Reads what is there. Returns whether that is all.
    async fn read(&mut self) -> bool {
        let client = self.client.as_mut().expect("open");
        loop {
            let mut chunk = [0; 4096];
            tokio::select! {
                biased;
                read = client.read(&mut chunk) => match read.expect("a stream") {
                    0 => return true,
                    read => self.received.push_str(std::str::from_utf8(&chunk[..read]).expect("text")),
                },
                () = std::future::ready(()) => return false,
            }
        }
    }

    /// The answer, in short: none where the status says so.
    fn answer(&self) -> Option<String> {
        let (head, body) = self.received.split_once("\r\n\r\n").expect("a head");
        assert!(!head.contains("text/event-stream"), "nothing was sent before the answer: {}", self.received);
        if head.starts_with("HTTP/1.1 202") {
            assert_eq!(body, "");
            return None;
        }
        Some(in_short(&serde_json::from_str(body).unwrap_or_else(|_| panic!("{}", self.received))))
    }
}

fn show(sent: usize, answer: Option<&str>) -> String {
    format!("{sent} {}", answer.unwrap_or("-"))
}

fn ended(model: &mut Model) -> Vec<String> {
    model.take_ended().iter().map(|(sent, answer)| show(*sent, answer.as_deref())).collect()
}

pub(super) async fn run(script: &[Step], end: End) {
    let mut talk = Talk::open().await;
    let mut model = Model::new(Framing::Http);
    for (at, step) in script.iter().enumerate() {
        let opened = model.step(step);
        talk.step(step, opened).await;
        let came = talk.ended().await;
        assert_eq!(sorted(came), sorted(ended(&mut model)), "step {at}");
    }
    match end {
        // Who says nothing more on its connections has nothing to close.
        End::Close => {}
        End::Drain => talk.drain.begin(),
        End::Vanish => talk.posts.iter_mut().for_each(|post| post.client = None),
    }
    while model.waiting() > 0 {
        let opened = model.step(&Step::Complete(0));
        talk.step(&Step::Complete(0), opened).await;
        let came = talk.ended().await;
        let ended = ended(&mut model);
        if end != End::Vanish {
            assert_eq!(sorted(came), sorted(ended), "at the end");
        }
    }
    for post in talk.posts {
        drop(post.client);
        settle().await;
        assert!(post.serving.is_finished(), "the connection has ended");
        post.serving.await.expect("no panic");
    }
    assert_eq!(slots_in_use(&talk.server), 0);
}

/// How often another task has the thread while a batch of that many pings is served, and the answer. Where it `waits`, it
/// has to be continued without its connection first.
pub(super) async fn turns_beside(pings: u8, waits: bool) -> (usize, String) {
    let mut talk = Talk::open().await;
    let first = waits.then_some(Message::Wait { id: 200 });
    let batch: Vec<_> = first.into_iter().chain((0..pings).map(|id| Message::Ping { id })).collect();
    talk.step(&Step::Batch(batch), None).await;
    if waits {
        settle().await;
        talk.gates.open(0);
    }
    let mut post = talk.posts.pop().expect("a post");
    // A task of its own, which comes after the others that are ready; `yield_now` lets them have many turns.
    let counting = tokio::spawn(async move {
        let mut turns = 0;
        while !post.read().await {
            let mut is_awake = false;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut is_awake, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            turns += 1;
        }
        (turns, post.answer().expect("an answer"))
    });
    counting.await.expect("no panic")
}
