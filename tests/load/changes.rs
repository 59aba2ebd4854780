//! What is found by several runs: the highest rate that holds, and a tool that got slower.

use super::peer::{Act, line, over_lines, right};
use mcpool::load::{
    ComparedFigure, Era, LoadComparison, LoadOutput, LoadStep, LoadTestReport, LoadTestScenario,
    LoadTestSuite, RateSearch, StepKind, Verdict,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// A report of a server whose tool `steady` takes 100 ms and whose tool `changed` takes so long: asleep, so that it is
/// the same on a machine that has no time.
fn run(changed: Duration) -> LoadTestReport {
    let script = move |_: usize, request: &Value| {
        let is_changed = request["params"]["name"] == "changed";
        let takes = if is_changed { changed } else { Duration::from_millis(100) };
        vec![Act::Sleep(takes), line(&right(request))]
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let scenario = LoadTestScenario::new("two tools", target)
        .era(Era::Modern)
        .connections(16)
        .warm_up(Duration::ZERO)
        .duration(Duration::from_secs(3))
        .step(LoadStep::call("steady", Map::new()))
        .step(LoadStep::call("changed", Map::new()));
    LoadTestSuite::new().run(&scenario, |_| ()).expect("the test begins")
}

#[test]
fn a_tool_that_got_a_fifth_slower_is_named_and_no_other() {
    let before = run(Duration::from_millis(100));
    let after = run(Duration::from_millis(120));
    let comparison = LoadComparison::of(&before, &after, 0.1);
    let verdict = |tool: &str| {
        let figures = comparison.figures.iter().filter(|change| change.operation.as_deref() == Some(tool));
        figures
            .filter(|change| change.figure == ComparedFigure::P50)
            .map(|change| change.verdict)
            .collect::<Vec<_>>()
    };
    assert_eq!(verdict("changed"), [Verdict::Worse], "{comparison:?}");
    assert_eq!(verdict("steady"), [Verdict::Same], "{comparison:?}");
    #[cfg(feature = "cli")]
    the_program_says_the_same(&before, &after);
}

#[cfg(feature = "cli")]
fn the_program_says_the_same(before: &LoadTestReport, after: &LoadTestReport) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [(before, "before.json"), (after, "after.json")].map(|(report, name)| {
        let path = folder.path().join(name);
        std::fs::write(&path, serde_json::to_vec(report).expect("JSON")).expect("saved");
        path.display().to_string()
    });
    for (arguments, code, want) in [
        (&[&files[0], &files[1]][..], 1, "changed got worse beyond the noise"),
        (&[&files[0], &files[0]], 0, "nothing got worse"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcpool"))
            .args(["load", "compare", "--least", "10%"])
            .args(arguments)
            .output()
            .expect("the program runs");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{shown}{}", String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains(want), "{shown}");
    }
}

#[test]
fn the_rate_that_a_server_holds_is_found() {
    // One request after the other, 5 ms each: never more than 200 a second, on a slow machine less.
    let script =
        |_: usize, request: &Value| vec![Act::Sleep(Duration::from_millis(5)), line(&right(request))];
    let (target, _folder) = over_lines(Arc::new(script));
    let scenario = LoadTestScenario::new("knee", target)
        .era(Era::Modern)
        .in_flight(64)
        .duration(Duration::from_secs(1))
        .step(LoadStep::call("echo", Map::new()));
    let search = RateSearch::parse("p90=150ms,errors=10%").expect("a search");
    let mut seen = 0;
    let report = LoadTestSuite::new().find_max(&scenario, &search, |_| seen += 1, |_| ()).expect("a search");
    assert_eq!((seen, report.steps[0].kind), (report.steps.len(), StepKind::Probe));
    // In a second what is 150 ms late is less than a third too much.
    assert!(report.max_rate.is_none_or(|rate| rate < 260.0), "{report:?}");
    assert!(report.failing_rate.is_some(), "{report:?}");
    for step in &report.steps {
        assert!(step.missed.is_empty() || step.rate > 0.0, "a probe has nothing to hold: {step:?}");
        assert!(step.rate < 260.0 || !step.missed.is_empty(), "{step:?}");
    }
    assert_eq!(report.max_rate.is_some(), report.confirmation.is_some() && report.max_rate.is_some());
    let json = serde_json::to_value(LoadOutput::Search(Box::new(report))).expect("JSON");
    super::schema::assert_follows(&json);
}
