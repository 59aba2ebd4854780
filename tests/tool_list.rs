//! Tools that are known at run time only: by condition, from a list, shown and hidden.

use crate::test_client::TestClient;
use mcpool::toolsets::Single;
use mcpool::{BlockingTool, BoxedTool, CallContext, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Says its name, and what it is told.
struct Say(&'static str);

#[derive(Deserialize, JsonSchema)]
struct Said<'a> {
    text: &'a str,
}

impl Tool for Say {
    type Arguments<'a> = Said<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new(self.0, "Says.").arguments::<Said<'_>>()
    }

    async fn call<'a>(&'a self, said: Said<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        tokio::task::yield_now().await;
        call.text_with(|text| {
            text.push_str(self.0);
            text.push_str(said.text);
        });
        Ok(())
    }
}

impl BlockingTool for Say {
    type Arguments<'a> = Said<'a>;

    fn definition(&self) -> ToolDefinition {
        Tool::definition(self)
    }

    fn call(&self, said: Said<'_>, call: &mut CallContext) -> Result<(), ToolError> {
        call.text(&format!("{} on a thread: {}", self.0, said.text));
        Ok(())
    }
}

async fn names(client: &mut TestClient) -> Vec<String> {
    let answer = client.ask(&crate::test_client::modern("list", "tools/list")).await;
    let tools = answer["result"]["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
}

async fn say(client: &mut TestClient, tool: &str) -> Value {
    client.call(1, tool, json!({"text": "!"})).await["content"][0]["text"].take()
}

#[tokio::test]
async fn tools_of_a_list_are_called_by_their_names() {
    let inner = vec![BoxedTool::new(Say("c")), BoxedTool::blocking(Say("d"))];
    let inner: mcpool::toolsets::ToolList = inner.into_iter().collect();
    let nothing = BoxedTool::of_toolset(None::<Single<Say>>);
    let list =
        vec![BoxedTool::new(Say("b")), nothing, BoxedTool::of_toolset(inner), BoxedTool::new(Say("e"))];
    let builder = Server::builder("list", "1").tool(Say("a")).tools(list).tool(Say("f")).tools([]);
    let mut client = TestClient::open(&builder.build().expect("a server"));
    assert_eq!(names(&mut client).await, ["a", "b", "c", "d", "e", "f"]);
    for (tool, said) in
        [("a", "a!"), ("b", "b!"), ("c", "c!"), ("d", "d on a thread: !"), ("e", "e!"), ("f", "f!")]
    {
        assert_eq!(say(&mut client, tool).await, said);
    }
}

#[tokio::test]
async fn a_tool_may_be_left_out_by_condition() {
    for is_wanted in [true, false] {
        let optional = is_wanted.then(|| Single::new(Say("b")));
        let builder = Server::builder("list", "1").tool(Say("a")).toolset(optional).tool(Say("c"));
        let mut client = TestClient::open(&builder.build().expect("a server"));
        let want: &[&str] = if is_wanted { &["a", "b", "c"] } else { &["a", "c"] };
        assert_eq!(names(&mut client).await, want);
        assert_eq!(say(&mut client, "c").await, "c!");
    }
}

#[tokio::test]
async fn two_tools_of_a_name_are_refused() {
    let list = [BoxedTool::new(Say("a")), BoxedTool::blocking(Say("a"))];
    assert!(Server::builder("list", "1").tools(list).build().is_err());
}

#[tokio::test]
async fn a_tool_of_a_list_is_hidden_and_shown_while_the_server_runs() {
    let server = Server::builder("list", "1").tools([BoxedTool::new(Say("a")), BoxedTool::new(Say("b"))]);
    let server = server.build().expect("a server");
    let mut listener = TestClient::legacy(&server, "2025-11-25").await;
    // Answered after its handshake, and so after its subscription.
    assert_eq!(say(&mut listener, "a").await, "a!");
    let mut client = TestClient::open(&server);
    server.offer_tool("a", false);
    assert_eq!(listener.receive().await["method"], "notifications/tools/list_changed");
    assert_eq!(names(&mut client).await, ["b"]);
    server.offer_tool("a", true);
    assert_eq!(listener.receive().await["method"], "notifications/tools/list_changed");
    assert_eq!(names(&mut client).await, ["a", "b"]);
    assert_eq!(say(&mut client, "a").await, "a!");
}
