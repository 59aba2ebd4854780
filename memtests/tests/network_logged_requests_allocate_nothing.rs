//! A warm request allocates nothing where each has a line in an access log either: neither the thread that serves it nor the
//! one that writes the lines.

use mcpool::traffic::AccessLog;
use mcpool_memtests::network::{Client, Host, Way, legacy, modern, open_session};
use mcpool_memtests::{META, assert_no_allocations, server};
use std::time::Duration;

const WARM_UP: usize = 300;
const MEASURED: usize = 2_000;
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn network_logged_requests_allocate_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let log = AccessLog::open(&path).expect("opened");
    let server = server();
    server.report_requests_to({
        let log = log.clone();
        move |request| log.write(request)
    });
    let host = Host::start(&server);
    let mut client = host.connect(Way::Unix);
    let session = open_session(&mut client);
    let call = |meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"a \"b\" \n"}}{meta}}}}}"#
        )
    };
    let requests = [
        legacy(&session, r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#),
        legacy(&session, &call("")),
        modern("tools/call", Some("echo"), &call(&format!(",{META}"))),
    ];
    let mut buffer = vec![0; 64 * 1024];
    for request in &requests {
        (0..WARM_UP).for_each(|_| ask(&mut client, request, &mut buffer));
        // Pools are watched from the first sample that follows their first use: that is part of warming up.
        server.maintain();
        (0..WARM_UP).for_each(|_| ask(&mut client, request, &mut buffer));
    }
    // Once a second a look takes all figures down, for which each thread needs something once.
    let _ = server.memory().current_memory_usage();
    assert_no_allocations(|| {
        (0..MEASURED).for_each(|at| ask(&mut client, &requests[at % requests.len()], &mut buffer));
    });
    assert!(log.finish(PATIENCE), "all is written");
    let text = std::fs::read_to_string(&path).expect("a log");
    let written = text.matches(r#""tool":"echo","result":"ok""#).count();
    assert!(written >= WARM_UP + MEASURED / 3, "{written} requests have a line");
}

fn ask(client: &mut Client, request: &[u8], buffer: &mut [u8]) {
    let length = client.exchange(request, buffer);
    let is_there = buffer[..length].windows(16).any(|part| part == br#""id":7,"result":"#);
    assert!(is_there, "{}", String::from_utf8_lossy(&buffer[..length]));
}
