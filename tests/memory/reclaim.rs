//! A person may ask for idle memory to be given back, on this machine only.

use crate::load::{Client, Program, message};
use mcpool::memory::ReclaimOutcome;
use std::process::Command;

/// What `mcpool report --reclaim` does with those arguments.
fn reclaim(arguments: &[&str]) -> (String, String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_mcpool"))
        .args(["report", "--reclaim"])
        .args(arguments)
        .output()
        .expect("ran");
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    (out, error, output.status.success())
}

#[test]
fn idle_memory_is_given_back_when_somebody_asks() {
    let program = Program::serve(&[]);
    let list = message("tools/list", r#""n":1"#);
    let mut client = Client::connect(program.port());
    assert_eq!(client.call("tools/list", None, &list).0, 200);
    let idle = |program: &Program| program.report().pools.iter().map(|pool| pool.idle_bytes).sum::<u64>();
    let before = idle(&program);
    assert!(before > 0, "the call left its buffers");
    let admin = format!("unix:{}", program.admin());
    let (json, error, is_done) = reclaim(&[&admin, "--json"]);
    assert!(is_done, "{error}");
    let outcome: ReclaimOutcome = serde_json::from_str(&json).expect("an outcome");
    let (was, is) = (outcome.rss_before_bytes.expect("Linux tells"), outcome.rss_after_bytes);
    assert!(was > 1 << 20 && is.expect("Linux tells") > 1 << 20, "{outcome:?}");
    let step = outcome.steps.iter().find(|step| step.step == "idle objects of pools").expect("a step");
    assert!(step.bytes > 0, "{outcome:?}");
    // It is counted with what pressure reclaims, and the next call is served as ever.
    let counted = program.report().pressure.reclaimed;
    let counted = counted.iter().find(|counted| counted.step == step.step).expect("a step");
    assert_eq!((counted.runs, counted.bytes), (step.runs, step.bytes));
    assert_eq!(client.call("tools/list", None, &list).0, 200);
    let (text, error, is_done) = reclaim(&[&admin]);
    assert!(
        is_done && text.starts_with("Given back: ") && text.contains("idle objects of pools: "),
        "{text}{error}"
    );
}

#[test]
fn a_saved_report_has_nothing_to_give_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let program = Program::serve(&[]);
    std::fs::write(&path, program.run_report(&["--json"])).expect("written");
    let (_, error, is_done) = reclaim(&[path.to_str().expect("text")]);
    assert!(!is_done && error.contains("has nothing to give back"), "{error}");
}
