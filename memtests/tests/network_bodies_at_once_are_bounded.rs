//! A thousand bodies of 1 MiB on their way at once cost a buffer of their own size each, are all answered, and leave nothing.

use mcpool::Limits;
use mcpool_memtests::network::{Host, Way, modern};
use mcpool_memtests::tools::server;
use mcpool_memtests::{Figure, META, Watch, patient, settled_heap};

const BODY_BYTES: usize = 1024 * 1024;
/// The buffer that holds a body and its head.
const BUFFER_BYTES: usize = BODY_BYTES + 1024;
/// Small buffers that a body was in first, and that wait for the next one.
const IDLE_BYTES: usize = 4 * 1024 * 1024;
/// All else that a connection at work needs: its task, its exchange, its request.
const BUSY_BYTES: usize = 16 * 1024;
const SLACK_BYTES: usize = 64 * 1024;

pub(crate) fn network_bodies_at_once_are_bounded() {
    let watch = Watch::with_frames(8);
    let connections = 1_000.min((mcpool_memtests::network::raise_descriptors(2_100) - 100) / 2);
    let server = server(&patient(Limits::default()));
    let host = Host::start(&server);
    let mut buffer = vec![0; 256 * 1024];
    let list = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{{META}}}}}"#);
    let body = format!("{list}{}", " ".repeat(BODY_BYTES - list.len()));
    let request = modern("tools/list", None, &body);
    let (most, rest) = request.split_at(request.len() - 1);
    let mut clients = Vec::with_capacity(connections);
    host.connect(Way::Tcp).exchange(&request, &mut buffer);
    let (_, start_bytes) = settled_heap(&server);
    for _ in 0..connections {
        let mut client = host.connect(Way::Tcp);
        client.send(most);
        clients.push(client);
    }
    for client in &mut clients {
        let length = client.exchange(rest, &mut buffer);
        let answer = String::from_utf8_lossy(&buffer[..length]);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""tools":["#), "{answer}");
    }
    let peak_bytes = watch.stats().max_bytes;
    drop(clients);
    let (_, end_bytes) = settled_heap(&server);
    let allowed = start_bytes + connections * (BUFFER_BYTES + BUSY_BYTES) + IDLE_BYTES;
    println!("{connections} bodies: {peak_bytes} B at most, {start_bytes} B before, {end_bytes} B after");
    // Of some of them a part waits in the system yet, when the first are answered.
    assert!(peak_bytes >= connections * BODY_BYTES / 10 * 9, "the bodies were not there at once");
    if peak_bytes > allowed {
        watch.fail(Figure::Peak, format_args!("{peak_bytes} B, allowed are {allowed} B"));
    }
    if end_bytes > start_bytes + SLACK_BYTES {
        watch.fail(Figure::Live, format_args!("{start_bytes} B before, {end_bytes} B after"));
    }
}
