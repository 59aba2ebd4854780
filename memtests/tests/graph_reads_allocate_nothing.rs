//! A warm call of the memory tools that reads a small graph allocates nothing.
//!
//! Before the first call the tools are a few hundred bytes, and a graph in memory is little more than its file.

use mcpool::Server;
use mcpool::tools::memory::KnowledgeGraph;
use mcpool::toolsets::Toolset as _;
use mcpool_memtests::network::{Host, Way};
use mcpool_memtests::{HANDSHAKE, Watch, assert_no_allocations};
use std::fmt::Write as _;

/// Heap of the tools before the first call.
const MAX_IDLE_BYTES: usize = 1024;
const ENTITIES: usize = 20_000;
/// Beside the text of a line.
const MAX_LINE_BYTES: usize = 45;

pub(crate) fn graph_reads_allocate_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("memory.jsonl");
    let watch = Watch::begin();
    let before = watch.stats().curr_bytes;
    let graph = KnowledgeGraph::new(&file);
    let idle = watch.stats().curr_bytes - before;
    assert!(idle < MAX_IDLE_BYTES, "{idle} B before the first call");
    drop(watch);
    let server = Server::builder("graph", "1").toolset(graph.clone()).build().expect("a server");
    let host = Host::start(&server);
    let mut client = host.connect(Way::Lines);
    let mut buffer = vec![0; 64 * 1024];
    client.exchange(format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]).as_bytes(), &mut buffer);
    let mut ask = |call: &str, want: &str| {
        let request = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{call}}}"#) + "\n";
        let length = client.exchange(request.as_bytes(), &mut buffer);
        let answer = std::str::from_utf8(&buffer[..length]).expect("text");
        assert!(answer.contains(want), "{answer}");
        request
    };

    std::fs::write(&file, lines(ENTITIES)).expect("a file");
    ask(r#"{"name":"open_nodes","arguments":{"names":["n19999"]}}"#, r#""name":"n19999""#);
    let (bytes, most) = (graph.state_bytes(), lines(ENTITIES).len() + ENTITIES * MAX_LINE_BYTES);
    assert!(bytes < most, "{bytes} B in memory, and {most} may be");

    std::fs::write(&file, lines(3) + SMALL).expect("a file");
    let calls = [
        (r#"{"name":"read_graph","arguments":{}}"#, r#""entityType":"t é""#),
        (r#"{"name":"search_nodes","arguments":{"query":"OBSERVED É"}}"#, r#""observations":["observed é \"#),
        (r#"{"name":"open_nodes","arguments":{"names":["n1","é\n"]}}"#, r#""relationType":"r""#),
    ];
    let requests: Vec<String> = calls.iter().map(|(call, want)| ask(call, want)).collect();
    let mut rounds = |count: usize| {
        for at in 0..count * requests.len() {
            client.exchange(requests[at % requests.len()].as_bytes(), &mut buffer);
        }
    };
    rounds(200);
    server.maintain();
    rounds(200);
    assert_no_allocations(|| rounds(500));
}

/// What has to be decoded, and lowered.
const SMALL: &str = r#"{"type":"entity","name":"\u00e9\n","entityType":"t é","observations":["observed é \"so\""]}
{"type":"relation","from":"\u00e9\n","to":"n2","relationType":"r"}
"#;

fn lines(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let line = writeln!(
            text,
            r#"{{"type":"entity","name":"n{number}","entityType":"t","observations":["seen"]}}"#
        );
        line.expect("memory");
    }
    text
}
