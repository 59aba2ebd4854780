//! The thinking tool.

use super::{recorded, text_of};
use crate::test_client::{TestClient, modern};
use mcpool::Server;
use mcpool::tools::thinking::Thinking;
use mcpool::toolsets::Toolset;
use serde_json::{Value, json};

fn server() -> Server {
    let thinking = Thinking::new().log_thoughts(false);
    Server::builder("thinking", "1").toolset(thinking).build().expect("a server")
}

fn thought(number: u64, more: &Value) -> Value {
    let mut all =
        json!({"thought": "hm", "nextThoughtNeeded": true, "thoughtNumber": number, "totalThoughts": 2});
    all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    all
}

#[test]
fn the_tool_is_that_of_the_reference_word_for_word() {
    let ours = serde_json::to_value(Thinking::new().definitions()).expect("JSON");
    assert_eq!(ours, Value::from(recorded("sequential-thinking")));
}

#[tokio::test]
async fn thoughts_are_counted_and_branches_are_listed() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let first = client.call(1, "sequentialthinking", thought(1, &json!({}))).await;
    let text = "{\n  \"thoughtNumber\": 1,\n  \"totalThoughts\": 2,\n  \"nextThoughtNeeded\": true,\n  \
                \"branches\": [],\n  \"thoughtHistoryLength\": 1\n}";
    assert_eq!(text_of(&first), text);
    assert_eq!(first["structuredContent"], serde_json::from_str::<Value>(text).expect("JSON"));
    let steps = [
        (thought(3, &json!({"nextThoughtNeeded": "FALSE"})), json!([3, 3, false, [], 2])),
        (thought(1, &json!({"branchFromThought": 1, "branchId": "b"})), json!([1, 2, true, ["b"], 3])),
        (thought(1, &json!({"branchId": "not one"})), json!([1, 2, true, ["b"], 4])),
        (
            thought(1, &json!({"branchFromThought": " 2 ", "branchId": "7"})),
            json!([1, 2, true, ["7", "b"], 5]),
        ),
        (
            thought(1, &json!({"thoughtNumber": "0x2", "totalThoughts": [1]})),
            json!([2, 2, true, ["7", "b"], 6]),
        ),
        (
            thought(1, &json!({"branchFromThought": 1, "branchId": "b", "isRevision": null})),
            json!([1, 2, true, ["7", "b"], 7]),
        ),
    ];
    for (arguments, want) in steps {
        let result = client.call(2, "sequentialthinking", arguments.clone()).await;
        let answer = &result["structuredContent"];
        let found = json!([
            answer["thoughtNumber"],
            answer["totalThoughts"],
            answer["nextThoughtNeeded"],
            answer["branches"],
            answer["thoughtHistoryLength"]
        ]);
        assert_eq!(found, want, "{arguments}: {result}");
        assert_eq!(serde_json::from_str::<Value>(text_of(&result)).expect("JSON"), *answer);
    }
    // What is refused does not count.
    for wrong in
        [json!({"thoughtNumber": 0}), json!({"totalThoughts": "two"}), json!({"nextThoughtNeeded": "maybe"})]
    {
        let refused = client.call(3, "sequentialthinking", thought(1, &wrong)).await;
        assert_eq!(refused["isError"], true, "{wrong}: {refused}");
    }
    let last = client.call(4, "sequentialthinking", thought(1, &json!({}))).await;
    assert_eq!(last["structuredContent"]["thoughtHistoryLength"], 8);
}

/// Texts of any length and with all that is escaped, or of several bytes a character, come out as they went in, twice.
#[tokio::test]
async fn long_branches_are_the_same_in_the_text_and_in_the_structured_answer() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let mut branches = Vec::new();
    for (number, piece) in
        [(1, "x"), (170, "\u{e9}"), (255, "\"\\"), (257, "\u{1f600}"), (300, "a\n"), (511, "y")]
    {
        branches.push(format!("{number}{}", piece.repeat(number)));
        let more = json!({"branchFromThought": 1, "branchId": branches.last()});
        let result = client.call(1, "sequentialthinking", thought(1, &more)).await;
        let answer = serde_json::from_str::<Value>(text_of(&result)).expect("JSON");
        assert_eq!(answer, result["structuredContent"], "{number}");
        assert_eq!(answer["branches"], json!(branches), "{number}");
        let listed =
            branches.iter().map(|branch| format!("    {}", json!(branch))).collect::<Vec<_>>().join(",\n");
        assert!(text_of(&result).contains(&format!("\"branches\": [\n{listed}\n  ],")), "{result}");
    }
}

#[tokio::test]
async fn each_session_has_its_own_history_and_the_one_that_started_the_process_has_one_in_either_era() {
    let server = server();
    let mut one = TestClient::legacy(&server, "2025-06-18").await;
    let mut other = TestClient::open(&server);
    let history = |result: &Value| result["structuredContent"]["thoughtHistoryLength"].clone();
    for want in [1, 2] {
        assert_eq!(history(&one.call(1, "sequentialthinking", thought(1, &json!({}))).await), want);
        let mut call = modern(want, "tools/call");
        call["params"]["name"] = "sequentialthinking".into();
        call["params"]["arguments"] = thought(1, &json!({}));
        let answer = other.ask(&call).await;
        assert_eq!(history(&answer["result"]), want, "{answer}");
    }
}
