//! Sessions and subscriptions are told as large as they are.

use crate::load::{Client, Program, message};

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

/// A subscription holds the resources that it names once, and nothing of the request that named them.
#[test]
fn what_subscriptions_name_is_told_as_large_as_it_is() {
    const SUBSCRIPTIONS: usize = 200;
    const URIS: usize = 180;
    let program = Program::serve(&["--principal-share-percent", "100", "--max-subscriptions", "1000"]);
    let listen = |number: usize| {
        let uris: Vec<_> = (0..URIS).map(|uri| format!(r#""file:///{number}/{uri:0>260}""#)).collect();
        let uris = format!(r#""notifications":{{"resourceSubscriptions":[{}]}}"#, uris.join(","));
        let mut client = Client::connect(program.port());
        client.listen(&message("subscriptions/listen", &uris), "acknowledged");
        client
    };
    let first: Vec<_> = (0..20).map(listen).collect();
    let sizes = || {
        let report = program.report();
        let told = report.part("subscriptions").expect("a line").bytes;
        (report.usage.heap_bytes.expect("told"), told, report)
    };
    let before = sizes();
    let rest: Vec<_> = (20..SUBSCRIPTIONS).map(listen).collect();
    let after = sizes();
    let (heap, told) = (after.0.saturating_sub(before.0), after.1 - before.1);
    let named = ((SUBSCRIPTIONS - 20) * URIS * 270) as u64;
    println!("{named} B of URIs add {heap} B of heap and are told as {told} B");
    let error = after.2.usage.error_ratio.expect("Linux tells");
    assert!(error.abs() <= 0.05, "{error}: {:#?}", after.2.parts);
    assert!(told.abs_diff(heap) * 10 <= heap, "heap {heap}, told {told}: {:#?}", after.2.parts);
    // Text, a block each, and the entries of two maps and two lists.
    assert!(heap <= named * 2, "{heap} B hold {named} B of URIs: {:#?}", after.2.parts);
    drop((first, rest));
}
