//! The toolsets beside the filesystem tools, called as a client calls them, and compared with what the reference servers
//! answered.

#[path = "toolsets/everything.rs"]
mod everything;
#[path = "toolsets/fetch.rs"]
pub(crate) mod fetch;
#[path = "toolsets/once.rs"]
mod once;
#[path = "toolsets/thinking.rs"]
mod thinking;
#[path = "toolsets/time.rs"]
mod time;

use serde_json::Value;
use std::path::Path;

/// The tools that a reference server listed.
fn recorded(set: &str) -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference").join(set).join("tools.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("a recording")).expect("JSON")
}

/// The one text of an answer.
fn text_of(result: &Value) -> &str {
    assert_eq!(result["content"].as_array().map(Vec::len), Some(1), "{result}");
    result["content"][0]["text"].as_str().expect("a text")
}
