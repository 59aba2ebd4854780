//! A memory test to copy: how a server of your own has its memory checked.
//!
//! dhat's profiler is one for the whole process. So such a file is a module beside a line like those of `claims.rs`, which
//! has the allocator and runs each test in a process of its own; or it is a test binary with one `#[test]` and the allocator
//! in it.

use mcpool::{CallContext, Server, Tool, ToolDefinition, ToolError};
use mcpool_memtests::network::{Host, Way};
use mcpool_memtests::{HANDSHAKE, assert_no_allocations, assert_no_leaks, bytes_per};
use schemars::JsonSchema;
use serde::Deserialize;

/// A tool of yours.
struct CountWords;

#[derive(Deserialize, JsonSchema)]
struct Words<'a> {
    /// The text whose words are counted.
    text: &'a str,
}

impl Tool for CountWords {
    type Arguments<'a> = Words<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("count_words", "Counts the words of a text.").arguments::<Words<'_>>()
    }

    async fn call<'a>(&'a self, arguments: Words<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        call.structured(&arguments.text.split_whitespace().count())
    }
}

pub(crate) fn your_own_server() {
    let server = Server::builder("words", "1.0.0").tool(CountWords).build().expect("a server");
    let host = Host::start(&server);
    let opening = format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]);
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_words","arguments":{"text":"one two"}}}"#;
    let request = format!("{request}\n");
    let mut buffer = vec![0; 64 * 1024];
    let mut connect = || {
        let mut client = host.connect(Way::Lines);
        client.exchange(opening.as_bytes(), &mut buffer);
        client
    };

    // Warm up first: what is made once and kept is not what a request costs.
    let mut client = connect();
    let mut answer = [0; 1024];
    let mut ask = |times| {
        for _ in 0..times {
            client.exchange(request.as_bytes(), &mut answer);
        }
    };
    ask(200);
    server.maintain();
    ask(200);
    assert_no_allocations(|| ask(1_000));

    bytes_per(&mut connect, 100).at_most(1_536);

    assert_no_leaks(|| {
        for _ in 0..100 {
            let mut client = connect();
            client.send(request.as_bytes());
        }
    });
}
