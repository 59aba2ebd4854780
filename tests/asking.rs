//! Tools that ask their client: forms from Rust types, and messages of the client's model.

use crate::test_client::TestClient;
use mcpool::{CallContext, Elicited, Server, ToolError};
use serde_json::{Value, json};

/// What is to be built.
#[mcpool::arguments]
struct Build {
    /// Which branch?
    branch: String,
    /// How?
    how: How,
    /// How many at once?
    jobs: Option<u16>,
    /// Whether to remove what was there.
    clean: Option<bool>,
}

#[mcpool::arguments]
#[serde(rename_all = "lowercase")]
enum How {
    /// With checks.
    Debug,
    /// Fast.
    Release,
}

/// Asks what to build.
#[mcpool::tool(text, type = AskBuild)]
async fn build(call: &mut CallContext) -> Result<String, ToolError> {
    Ok(match call.elicit_form::<Build>("build", "What is to be built?").await? {
        Elicited::Accepted(build) => {
            let how = match build.how {
                How::Debug => "debug",
                How::Release => "release",
            };
            format!("{} {how} {:?} {:?}", build.branch, build.jobs, build.clean)
        }
        Elicited::Declined | Elicited::Cancelled => "nothing".to_owned(),
    })
}

#[mcpool::arguments]
struct Nested {
    #[allow(dead_code, reason = "it is never filled in")]
    build: Build,
}

/// Asks for what no form can show.
#[mcpool::tool]
async fn ask_nested(call: &mut CallContext) -> Result<(), ToolError> {
    call.elicit_form::<Nested>("nested", "?").await.map(drop)
}

/// Has the model sum up.
#[mcpool::tool]
async fn sum_up(text: &str, call: &mut CallContext) -> Result<(), ToolError> {
    let question = json!({"role": "user", "content": {"type": "text", "text": text}});
    let answer = call.sample("sum", &json!({"messages": [question], "maxTokens": 9})).await?;
    call.text(answer.sampled_text().as_deref().unwrap_or("no text"));
    Ok(())
}

async fn client(revision: &'static str) -> TestClient {
    let server = Server::builder("asking", "1").tool(AskBuild).tool(AskNested).tool(SumUp).build();
    let capabilities = json!({"elicitation": {}, "sampling": {}});
    TestClient::legacy_with(&server.expect("a server"), revision, capabilities).await
}

/// Calls a tool, answers what it asks for, and gives the question and the answer of the call.
async fn exchange(client: &mut TestClient, tool: &str, arguments: Value, reply: Value) -> (Value, Value) {
    let params = json!({"name": tool, "arguments": arguments});
    client.send(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})).await;
    let asked = client.receive().await;
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": reply})).await;
    (asked, client.receive().await)
}

#[tokio::test]
async fn a_form_has_the_fields_of_its_type() {
    for revision in ["2025-06-18", "2025-11-25"] {
        let mut client = client(revision).await;
        let filled_in = json!({"branch": "main", "how": "release", "jobs": 4});
        let reply = json!({"action": "accept", "content": filled_in});
        let (asked, answer) = exchange(&mut client, "build", json!({}), reply).await;
        assert_eq!(asked["method"], "elicitation/create", "{asked}");
        let schema = &asked["params"]["requestedSchema"];
        assert_eq!(schema["required"], json!(["branch", "how"]));
        assert_eq!(schema["properties"]["how"]["enum"], json!(["debug", "release"]));
        assert_eq!(schema["properties"]["jobs"]["type"], "integer");
        assert_eq!(schema["properties"]["branch"], json!({"type": "string", "description": "Which branch?"}));
        assert_eq!(answer["result"]["content"][0]["text"], "main release Some(4) None", "{answer}");
        let (_, answer) = exchange(&mut client, "build", json!({}), json!({"action": "decline"})).await;
        assert_eq!(answer["result"]["content"][0]["text"], "nothing", "{answer}");
    }
}

#[tokio::test]
async fn what_no_form_can_show_fails_before_anybody_is_asked() {
    let mut client = client("2025-11-25").await;
    let answer = client.call(1, "ask_nested", json!({})).await;
    assert_eq!(answer["isError"], true);
    assert!(
        answer["content"][0]["text"].as_str().is_some_and(|text| text.contains("the field build")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_message_of_the_model_has_its_text() {
    let mut client = client("2025-11-25").await;
    let block = |text: &str| json!({"type": "text", "text": text});
    for (content, text) in
        [(block("short"), "short"), (json!([block("a"), block("b")]), "ab"), (json!([]), "no text")]
    {
        let reply = json!({"role": "assistant", "content": content, "model": "m"});
        let (asked, answer) = exchange(&mut client, "sum_up", json!({"text": "long"}), reply).await;
        assert_eq!(asked["method"], "sampling/createMessage", "{asked}");
        assert_eq!(asked["params"]["messages"][0]["content"]["text"], "long");
        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
    }
}
