//! Sessions and subscriptions are told as large as they are.

use crate::load::{Client, Program, head, message, until};

const SESSIONS: usize = 1_500;

#[test]
fn a_session_is_told_as_large_as_it_is() {
    let program = Program::serve(&["--max-sessions", "20000", "--principal-share-percent", "100"]);
    let mut client = Client::connect(program.port());
    let sizes = || {
        let report = program.report();
        // Histograms are made as time passes and threads come to serve, whatever there is of sessions.
        let monitor = report.part("monitor").expect("a line").bytes;
        (report.usage.heap_bytes.expect("told") - monitor, report.part("sessions").expect("a line").bytes)
    };
    // What the first ones leave stays: pooled objects, the room of reports.
    (0..100).for_each(|_| drop(client.open_session()));
    let before = sizes();
    (0..SESSIONS).for_each(|_| drop(client.open_session()));
    let after = sizes();
    let (heap, told) = (after.0.saturating_sub(before.0), after.1 - before.1);
    let each = |bytes: u64| bytes / SESSIONS as u64;
    println!("a session adds {} B of heap and is told as {} B", each(heap), each(told));
    assert!(told.abs_diff(heap) * 10 <= heap, "heap {heap}, told {told}");
}

/// A subscription knows the resources that it names by their hashes, and holds no text that named them.
#[test]
fn what_subscriptions_name_is_told_as_large_as_it_is() {
    const SUBSCRIPTIONS: usize = 60;
    const URIS: usize = 1_200;
    const FIRST: usize = 10;
    let program = Program::serve(&["--principal-share-percent", "100", "--max-subscribed-uris", "2000"]);
    let listen = |number: usize| {
        let uris: Vec<_> = (0..URIS).map(|uri| format!(r#""file:///{number}/{uri:0>260}""#)).collect();
        let uris = format!(r#""notifications":{{"resourceSubscriptions":[{}]}}"#, uris.join(","));
        let mut client = Client::connect(program.port());
        client.listen(&message("subscriptions/listen", &uris), "acknowledged");
        client
    };
    let first: Vec<_> = (0..FIRST).map(listen).collect();
    let sizes = || {
        let report = program.report();
        let told = report.part("subscriptions").expect("a line").bytes;
        (report.usage.heap_bytes.expect("told"), told, report)
    };
    let before = sizes();
    let rest: Vec<_> = (FIRST..SUBSCRIPTIONS).map(listen).collect();
    let after = sizes();
    let (heap, told) = (after.0.saturating_sub(before.0), after.1 - before.1);
    let named = ((SUBSCRIPTIONS - FIRST) * URIS * 270) as u64;
    println!("{named} B of URIs add {heap} B of heap and are told as {told} B");
    let error = after.2.usage.error_ratio.expect("Linux tells");
    assert!(error.abs() <= 0.05, "{error}: {:#?}", after.2.parts);
    assert!(told.abs_diff(heap) * 10 <= heap, "heap {heap}, told {told}: {:#?}", after.2.parts);
    assert!(heap < named, "{heap} B hold {named} B of URIs: {:#?}", after.2.parts);
    drop((first, rest));
}

/// A text that is kept for a client which may come back is in one line: that of the events, which bounds it.
#[test]
fn a_text_that_is_kept_for_a_session_is_told_once() {
    const TEXT: u64 = 2 << 20;
    let program = Program::serve(&[]);
    let mut client = Client::connect(program.port());
    let session = client.open_session();
    let params = program.search_params(2 * TEXT as usize);
    let body = format!(r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{{params}}}}}"#);
    let fields = format!("mcp-session-id: {session}\r\nmcp-protocol-version: 2025-06-18\r\n");
    let part = |name| program.report().part(name).map_or(0, |part| part.bytes);
    let before = part("filesystem tools");
    // Nobody reads it: sockets take less.
    client.send(format!("{}{body}", head(body.len(), &fields)).as_bytes());
    until("the answer is kept", || part("event stores") > TEXT);
    assert!(part("event stores") < TEXT * 5 / 2, "{} B", part("event stores"));
    let told = part("filesystem tools");
    assert!(told <= before + TEXT / 100, "{told} B beside the events, {before} before");
    drop(client);
}
