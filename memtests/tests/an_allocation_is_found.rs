//! What allocates where nothing may is found, and named: in words, and in a file for DHAT's viewer.

use mcpool_memtests::{Profile, assert_no_allocations};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[inline(never)]
fn makes_a_box() -> Box<[u8; 100]> {
    black_box(Box::new([7; 100]))
}

pub(crate) fn an_allocation_is_found() {
    let mut kept = Vec::with_capacity(2);
    kept.push(1);
    let sum = assert_no_allocations(|| {
        kept.push(2);
        kept.iter().sum::<i32>()
    });
    assert_eq!(sum, 3, "what the work gives comes back");
    // Freeing is no allocation, nor does what is there before count.
    let boxed = makes_a_box();
    assert_no_allocations(|| drop(boxed));

    let message = message_of(|| drop(assert_no_allocations(makes_a_box)));
    assert!(message.starts_with("1 blocks were allocated where none may be"), "{message}");
    assert!(message.contains("1 blocks, 100 B:"), "{message}");
    // Its file and line follow it where the build has line tables.
    let function = "an_allocation_is_found::makes_a_box";
    assert!(message.contains(function), "the function is not named: {message}");
    let (_, path) = message.split_once("All of them: ").expect("where the file is");
    let (path, _) = path.split_once(" (open it").expect("what to do with it");
    assert!(path.ends_with("dhat/an_allocation_is_found/dhat-heap.json"), "{path}");
    is_for_the_viewer(Path::new(path));

    // Another thread's blocks count.
    let message = message_of(|| drop(assert_no_allocations(|| std::thread::spawn(makes_a_box).join())));
    assert!(message.contains("makes_a_box"), "{message}");
    // The heap can be watched again after a failure.
    assert_no_allocations(|| kept.len());
}

/// The message of a panic.
fn message_of(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("the assertion holds");
    *panic.downcast::<String>().expect("a message")
}

/// What the viewer asks of a file, read without our own reader.
fn is_for_the_viewer(path: &Path) {
    let text = std::fs::read(path).expect("the file is there");
    let profile: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(profile["dhatFileVersion"], 2);
    for member in ["mode", "verb", "bklt", "tu", "Mtu", "cmd", "pid", "te", "pps", "ftbl"] {
        assert!(!profile[member].is_null(), "no `{member}`");
    }
    let frames = profile["ftbl"].as_array().expect("frames");
    let named = |frame: &serde_json::Value| frame.as_str().is_some_and(|name| name.contains("makes_a_box"));
    let place = frames.iter().position(named).expect("the function is among the frames");
    let points = profile["pps"].as_array().expect("places");
    let leads_there = |point: &serde_json::Value| {
        point["fs"].as_array().is_some_and(|frames| frames.iter().any(|frame| *frame == place))
    };
    assert!(points.iter().any(leads_there), "no place leads to the function");
    Profile::read(path).expect("our reader takes it too");
}
