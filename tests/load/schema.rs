//! The schema that is checked in is the type's own, and reports follow it.

use super::peer::{Act, line, over_lines, right};
use super::{counted, echo, run};
use mcpool::load::{Era, LoadOutput, LoadTestReport, LoadTestReports, ReadLoadReportError};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/load/report.schema.json")
}

fn schema() -> Value {
    let text = std::fs::read_to_string(checked_in()).expect("a schema is checked in");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_schema_is_that_of_the_type() {
    let mut generated = schemars::schema_for!(LoadOutput).to_value();
    generated.sort_all_objects();
    if std::env::var_os("MCPOOL_WRITE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&generated).expect("written") + "\n";
        std::fs::write(checked_in(), text).expect("saved");
    }
    assert!(
        schema() == generated,
        "src/load/report.schema.json is not that of LoadOutput: run\n  \
         MCPOOL_WRITE_SCHEMA=1 cargo test --test suite the_schema_is\n\
         and give the report another version (SCHEMA) when old readers would misread it"
    );
}

/// Fails where `output` is nothing that `mcpool load --json` may print.
pub(crate) fn assert_follows(output: &Value) {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let faults: Vec<_> = validator.iter_errors(output).map(|fault| fault.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn reports_follow_the_schema_and_read_back_as_they_were() {
    let script = |number: usize, request: &Value| match number {
        1 => vec![Act::Close],
        _ => vec![line(&right(request))],
    };
    let (target, _folder) = over_lines(Arc::new(script));
    let report = run(&counted(target, Era::Modern, 9).pid(std::process::id()).step(echo()));
    assert!(report.server.is_some() && !report.failures.is_empty() && report.latency.is_some());
    let json = serde_json::to_value(&report).expect("JSON");
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let faults: Vec<_> = validator.iter_errors(&json).map(|fault| fault.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(LoadTestReport::from_json(&json.to_string()).expect("read back"), report);

    let several = serde_json::json!([json, json]);
    assert!(validator.is_valid(&several), "several scenarios follow it as well");
    let reports = LoadTestReports::from_json(&several.to_string()).expect("read back");
    assert_eq!((reports.reports().len(), reports.of("test")), (2, Some(&report)));
    assert_eq!(reports.of("another"), None);

    let mut other = json.clone();
    other["schema"] = "mcpool.load-test/99".into();
    let refused = LoadTestReport::from_json(&other.to_string());
    assert!(matches!(refused, Err(ReadLoadReportError::OtherSchema { .. })));
    other["requests"]["begun"] = "many".into();
    assert!(!validator.is_valid(&other));
}
