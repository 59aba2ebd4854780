//! A warm call of a tool that is a value allocates the box of its future, and so does one through a layer of `tower`.
//!
//! A tool that was added while the server runs costs what one costs that it was built with.

use mcpool::tower::TowerLayer;
use mcpool::{DynamicTool, Layered, Server, ToolDefinition};
use mcpool_memtests::network::{Client, Host, Way};
use mcpool_memtests::{HANDSHAKE, Watch};

const CALLS: usize = 1_000;

/// Says back what it is told, in one piece.
#[mcpool::tool]
fn echo(text: &str) -> &str {
    text
}

fn dynamic(name: &'static str) -> DynamicTool {
    DynamicTool::new(ToolDefinition::new(name, "Says its arguments."), |arguments, call| {
        Box::pin(async move {
            call.text(arguments);
            Ok(())
        })
    })
}

/// Blocks that a call allocates, on average.
fn blocks_of(client: &mut Client, tool: &str) -> f64 {
    let params = format!(r#"{{"name":"{tool}","arguments":{{"text":"a"}}}}"#);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#) + "\n";
    let mut buffer = vec![0; 64 * 1024];
    let mut ask = |times| {
        for _ in 0..times {
            let answered = client.exchange(request.as_bytes(), &mut buffer);
            let answer = String::from_utf8_lossy(&buffer[..answered]);
            assert!(answer.contains("\"result\"") && !answer.contains("isError"), "{answer}");
        }
    };
    ask(200);
    let watch = Watch::begin();
    ask(CALLS);
    watch.stats().total_blocks as f64 / CALLS as f64
}

pub(crate) fn dynamic_calls_allocate_one_block() {
    let builder = Server::builder("dynamic", "1").tool(dynamic("built")).dynamic_tools(4).tool(Echo);
    let layered = Layered::new(TowerLayer::new(tower_layer::Identity::new()), dynamic("layered"));
    let server = builder.tool(layered).build().expect("a server");
    server.add_tool(dynamic("added")).expect("room");
    let host = Host::start(&server);
    let mut client = host.connect(Way::Lines);
    client.exchange(format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]).as_bytes(), &mut vec![0; 64 * 1024]);
    // The layered one has its own box, and that of the layer.
    for (tool, blocks) in [("echo", 0.0), ("built", 1.0), ("added", 1.0), ("layered", 2.0)] {
        let found = blocks_of(&mut client, tool);
        // What the server does each second may come between.
        assert!((found - blocks).abs() < 0.1, "{tool}: {found} blocks a call");
    }
}
