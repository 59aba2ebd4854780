//! Sessions are told as large as they are.

use crate::load::{Client, Program};

const SESSIONS: usize = 1_500;

#[test]
fn a_session_is_told_as_large_as_it_is() {
    let program = Program::serve(&["--max-sessions", "20000", "--principal-share-percent", "100"]);
    let mut client = Client::connect(program.port());
    let sizes = || {
        let report = program.report();
        (report.usage.heap_bytes.expect("told"), report.part("sessions").expect("a line").bytes)
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
