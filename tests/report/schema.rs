//! The schema that is checked in is the type's own, and reports follow it.

use super::sample;
use mcpool::memory::{MemoryReport, ReadReportError};
use std::path::PathBuf;

fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/memory/report.schema.json")
}

fn schema() -> serde_json::Value {
    let text = std::fs::read_to_string(checked_in()).expect("a schema is checked in");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_schema_is_that_of_the_type() {
    let mut generated = schemars::schema_for!(MemoryReport).to_value();
    generated.sort_all_objects();
    if std::env::var_os("MCPOOL_WRITE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&generated).expect("written") + "\n";
        std::fs::write(checked_in(), text).expect("saved");
    }
    assert!(
        schema() == generated,
        "src/memory/report.schema.json is not that of MemoryReport: run\n  \
         MCPOOL_WRITE_SCHEMA=1 cargo test --test suite the_schema_is\n\
         and give the report another version (SCHEMA) when old readers would misread it"
    );
}

#[test]
fn reports_follow_the_schema_and_others_do_not() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    for report in [sample::full(), sample::empty(), sample::hostile()] {
        let json = serde_json::to_value(&report).expect("JSON");
        let faults: Vec<_> = validator.iter_errors(&json).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new());
    }
    let mut wrong = serde_json::to_value(sample::full()).expect("JSON");
    wrong["pools"][0]["capacity"] = "many".into();
    assert!(!validator.is_valid(&wrong));
    wrong["pools"][0]["capacity"] = 1.into();
    assert!(validator.is_valid(&wrong));
    wrong.as_object_mut().expect("an object").remove("traffic");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn a_report_reads_back_as_it_was() {
    for report in [sample::full(), sample::empty(), sample::hostile()] {
        let json = serde_json::to_string(&report).expect("JSON");
        assert_eq!(MemoryReport::from_json(&json).expect("read back"), report);
    }
    let future = MemoryReport { schema: "mcpool.memory-report/2".to_owned(), ..sample::empty() };
    let json = serde_json::to_string(&future).expect("JSON");
    assert!(matches!(MemoryReport::from_json(&json), Err(ReadReportError::OtherSchema { .. })));
}
