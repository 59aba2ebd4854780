//! Arguments that do not fit their schema: what has one meaning is taken for it, and all that is wrong is told.

use super::{Scene, text_of};
use mcpool::tools::filesystem::Filesystem;
use mcpool::toolsets::Toolset;
use serde_json::{Value, json};

/// A value of each kind that JSON has, and whether it is one, or spells one, of a type.
fn kinds() -> Vec<(Value, &'static [&'static str])> {
    vec![
        (json!(null), &[]),
        (json!("text"), &["string"]),
        (json!("2"), &["string", "number"]),
        (json!("true"), &["string", "boolean"]),
        (json!("[]"), &["string", "array"]),
        (json!("{}"), &["string", "object"]),
        (json!(2), &["number"]),
        (json!(2.0), &["number"]),
        (json!(1.5), &["number"]),
        (json!(true), &["boolean"]),
        (json!([]), &["array"]),
        (json!({}), &["object"]),
    ]
}

/// Whether a schema takes a value that is right in its type.
fn takes(schema: &Value, value: &Value, types: &[&str]) -> bool {
    let kind = schema["type"].as_str().expect("a type");
    let is_choice = schema["enum"].as_array().is_none_or(|choices| choices.contains(value));
    types.contains(&kind) && is_choice && schema.get("minItems").is_none()
}

/// Every argument of every tool, with a value of every kind.
#[tokio::test]
async fn each_argument_takes_what_has_one_meaning_and_no_more() {
    let (filesystem, _) = Filesystem::new(&[], false).expect("no directories");
    let definitions = serde_json::to_value(filesystem.definitions()).expect("JSON");
    let mut scene = Scene::new().await;
    scene.write("f", "one\n");
    let mut rows = 0;
    for definition in definitions.as_array().expect("a list") {
        let (tool, schema) = (definition["name"].as_str().expect("a name"), &definition["inputSchema"]);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            for (value, types) in kinds() {
                let mut arguments = json!({});
                for other in required.iter().filter_map(Value::as_str) {
                    arguments[other] = match schema["properties"][other]["type"].as_str() {
                        Some("array") if other == "edits" => json!([]),
                        Some("array") => json!(["no such file"]),
                        _ => json!("no such file"),
                    };
                }
                arguments[name] = value.clone();
                let is_absent = value.is_null() && !required.contains(&json!(name));
                let is_taken = is_absent || takes(property, &value, types);
                let answer = text_of(&scene.call(tool, arguments.clone()).await);
                let is_refused = answer.contains("Invalid arguments for tool");
                assert_eq!(is_refused, !is_taken, "{tool} {arguments}: {answer}");
                assert!(!is_refused || answer.contains(&format!("{tool}: {name} must ")), "{answer}");
                for word in ["f64", "usize", "unit", "sequence", "invalid type", "struct", "borrowed"] {
                    assert!(!answer.contains(word), "{answer}");
                }
                rows += 1;
            }
        }
    }
    assert!(rows > 200, "only {rows} rows");
}

#[tokio::test]
async fn what_is_meant_is_done() {
    let mut scene = Scene::new().await;
    scene.write("f", "1\n2\n3\n");
    for (arguments, want) in [
        (json!({"path": "f", "head": null, "tail": "2"}), "3\n"),
        (json!({"path": "f", "head": "2"}), "1\n2"),
        (json!({"path": "f", "head": 2.0}), "1\n2"),
        (json!({"path": "f", "tail": null}), "1\n2\n3\n"),
    ] {
        assert_eq!(
            scene.text("read_text_file", arguments.clone()).await.trim_end(),
            want.trim_end(),
            "{arguments}"
        );
    }
    // Work that goes to a thread has the arguments as they are meant, too.
    let edits = json!([{"oldText": "2", "newText": "two", "replaceAll": null}]).to_string();
    let shown = scene.text("edit_file", json!({"path": "f", "edits": edits, "dryRun": "true"})).await;
    assert!(shown.contains("-2\n+two\n"), "{shown}");
    assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), "1\n2\n3\n", "a dry run");
    scene.text("edit_file", json!({"path": "f", "edits": edits, "dryRun": "false"})).await;
    assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), "1\ntwo\n3\n");
    // A string is a string, whatever it looks like.
    scene.text("write_file", json!({"path": "2", "content": "[1]"})).await;
    assert_eq!(std::fs::read_to_string(scene.path("2")).expect("the file"), "[1]");
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let mut scene = Scene::new().await;
    for (tool, arguments, want) in [
        ("read_multiple_files", json!({"paths": []}), "paths must have at least 1 item, and has 0"),
        ("read_multiple_files", json!({}), "paths is missing: it must be an array"),
        (
            "read_text_file",
            json!({"path": 1, "head": "two", "tail": []}),
            "path must be a string, not the number 1; head must be a number, not the string \"two\"; \
             tail must be a number, not an array",
        ),
        (
            "edit_file",
            json!({"edits": [{"oldText": 1}], "dryRun": "yes"}),
            "edits[0].oldText must be a string, not the number 1; edits[0].newText is missing: it must be a string; \
             dryRun must be true or false, not the string \"yes\"; path is missing: it must be a string",
        ),
        (
            "list_directory_with_sizes",
            json!({"path": ".", "sortBy": "date"}),
            "sortBy must be one of \"name\", \"size\", not the string \"date\"",
        ),
    ] {
        let said = scene.error(tool, arguments).await;
        let (_, faults) =
            said.split_once(&format!("Invalid arguments for tool {tool}: ")).expect("the usual start");
        // Members of an object come in any order.
        let sorted = |faults: &str| {
            let mut faults: Vec<String> = faults.split("; ").map(str::to_owned).collect();
            faults.sort();
            faults
        };
        assert_eq!(sorted(faults), sorted(want));
    }
}
