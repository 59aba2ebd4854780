//! The time tools.

use super::{recorded, text_of};
use crate::test_client::TestClient;
use mcpool::Server;
use mcpool::tools::time::{Time, TimeError};
use mcpool::toolsets::Toolset;
use serde_json::{Value, json};

async fn client() -> TestClient {
    let time = Time::new(Some("UTC")).expect("the tools");
    let server = Server::builder("time", "1").toolset(time).build().expect("a server");
    TestClient::legacy(&server, "2025-06-18").await
}

#[test]
fn the_tools_are_those_of_the_reference_word_for_word() {
    let time = Time::new(Some("UTC")).expect("the tools");
    let ours = serde_json::to_value(time.definitions()).expect("JSON");
    assert_eq!(ours, Value::from(recorded("time")));
}

#[test]
fn the_local_zone_is_an_exact_name_and_told_to_the_model() {
    let time = Time::new(Some("Asia/Kathmandu")).expect("the tools");
    let shown = serde_json::to_string(&time.definitions()).expect("JSON");
    assert_eq!(shown.matches("Use 'Asia/Kathmandu' as local timezone").count(), 3, "{shown}");
    for name in ["", "utc", "America", "/etc/localtime"] {
        assert_eq!(Time::new(Some(name)).err(), Some(TimeError::LocalZone { name: name.to_owned() }));
    }
}

#[tokio::test]
async fn an_answer_is_indented_text_and_the_same_structured() {
    let mut client = client().await;
    let result = client.call(1, "get_current_time", json!({"timezone": "Asia/Tokyo", "more": 1})).await;
    let answer = &result["structuredContent"];
    let text = text_of(&result);
    assert!(text.starts_with("{\n  \"timezone\": \"Asia/Tokyo\",\n  \"datetime\": \"2"), "{text}");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), *answer);
    assert!(answer["datetime"].as_str().expect("a text").ends_with("+09:00"), "{answer}");
    let noon = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Kathmandu"});
    let result = client.call(2, "convert_time", noon).await;
    let answer = &result["structuredContent"];
    assert_eq!(serde_json::from_str::<Value>(text_of(&result)).expect("JSON"), *answer);
    assert_eq!(answer["time_difference"], "+5.75h");
    let target = answer["target"]["datetime"].as_str().expect("a text");
    assert!(target.ends_with("T17:45:00+05:45"), "{target}");
}

#[tokio::test]
async fn what_fails_is_told_in_the_words_of_the_reference() {
    let mut client = client().await;
    for (tool, arguments, want) in [
        (
            "get_current_time",
            json!({"timezone": "Mars/Base"}),
            "Error executing tool get_current_time: Invalid timezone: 'No time zone found with key Mars/Base'",
        ),
        (
            "convert_time",
            json!({"source_timezone": "UTC", "time": "25:00", "target_timezone": "UTC"}),
            "Error executing tool convert_time: Invalid time format. Expected HH:MM [24-hour format]",
        ),
    ] {
        let result = client.call(1, tool, arguments).await;
        assert_eq!((result["isError"].as_bool(), text_of(&result)), (Some(true), want));
        assert_eq!(result.get("structuredContent"), None);
    }
}
