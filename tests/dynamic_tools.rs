//! Tools whose definitions are values: added when the server is built, and while it runs.

use crate::test_client::{TestClient, modern};
use mcpool::{AddToolError, CallContext, DynamicTool, Server, Tool, ToolDefinition, ToolError};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;

/// A tool that says its name and what it is given.
fn named(name: &str) -> DynamicTool {
    let said = name.to_owned();
    let definition = ToolDefinition::new(name.to_owned(), "Says its name.").input_schema(SCHEMA);
    DynamicTool::new(definition, move |arguments, call| {
        let said = said.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            call.text(&format!("{said} {arguments}"));
            Ok(())
        })
    })
}

/// A tool with a type, among the others.
struct Fixed(&'static str);

impl Tool for Fixed {
    type Arguments<'a> = serde::de::IgnoredAny;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new(self.0, "Is always there.")
    }

    async fn call(&self, _: serde::de::IgnoredAny, call: &mut CallContext) -> Result<(), ToolError> {
        call.text(self.0);
        Ok(())
    }
}

fn server(most: usize) -> Server {
    let builder = Server::builder("dynamic", "1").tool(Fixed("first")).dynamic_tools(most);
    builder.tool(Fixed("last")).build().expect("a server")
}

async fn names(client: &mut TestClient) -> Vec<String> {
    let answer = client.ask(&modern("list", "tools/list")).await;
    let tools = answer["result"]["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
}

async fn say(client: &mut TestClient, tool: &str, arguments: Value) -> Value {
    client.call(1, tool, arguments).await["content"][0]["text"].take()
}

/// What a call of a tool that is not there is answered.
async fn refusal(client: &mut TestClient, tool: &str) -> Value {
    let mut request = modern(1, "tools/call");
    request["params"]["name"] = json!(tool);
    client.ask(&request).await["error"]["message"].take()
}

#[tokio::test]
async fn a_tool_may_be_a_value_when_the_server_is_built() {
    let server = Server::builder("dynamic", "1").tool(named("a")).build().expect("a server");
    let mut client = TestClient::open(&server);
    assert_eq!(say(&mut client, "a", json!({"n": 7})).await, r#"a {"n":7}"#);
    assert_eq!(say(&mut client, "a", json!({})).await, "a {}");
    assert!(matches!(server.add_tool(named("b")), Err(AddToolError::NoRoom { most: 0 })));
    assert!(!server.remove_tool("a"), "it was not added while the server runs");
}

#[tokio::test]
async fn a_closure_is_given_an_object_whatever_comes() {
    let any = DynamicTool::new(ToolDefinition::new("any", "Takes what comes."), |arguments, call| {
        Box::pin(async move {
            call.text(arguments);
            Ok(())
        })
    });
    let server = Server::builder("dynamic", "1").tool(any).build().expect("a server");
    let mut client = TestClient::open(&server);
    for (arguments, text) in
        [(json!({"a": [1]}), Some(r#"{"a":[1]}"#)), (Value::Null, Some("{}")), (json!([1]), None)]
    {
        let mut request = modern(2, "tools/call");
        request["params"]["name"] = json!("any");
        request["params"]["arguments"] = arguments;
        let answer = client.ask(&request).await;
        assert_eq!(answer["result"]["content"][0]["text"].as_str(), text, "{answer}");
    }
}

#[tokio::test]
async fn tools_come_and_go_while_the_server_runs_and_listeners_hear_of_it() {
    let server = server(2);
    let mut listener = TestClient::legacy(&server, "2025-11-25").await;
    // Answered after its handshake, and so after its subscription.
    assert_eq!(say(&mut listener, "first", json!({})).await, "first");
    let mut client = TestClient::open(&server);
    assert_eq!(names(&mut client).await, ["first", "last"]);
    assert_eq!(refusal(&mut client, "a").await, "Unknown tool: a");
    for (name, listed) in [("a", vec!["first", "a", "last"]), ("b", vec!["first", "a", "b", "last"])] {
        server.add_tool(named(name)).expect("room for it");
        assert_eq!(listener.receive().await["method"], "notifications/tools/list_changed");
        assert_eq!(names(&mut client).await, listed);
        assert_eq!(say(&mut client, name, json!({"n": 1})).await, format!(r#"{name} {{"n":1}}"#));
    }
    assert!(matches!(server.add_tool(named("c")), Err(AddToolError::NoRoom { most: 2 })));
    assert!(server.remove_tool("a"));
    assert_eq!(listener.receive().await["method"], "notifications/tools/list_changed");
    assert_eq!(names(&mut client).await, ["first", "b", "last"]);
    assert_eq!(refusal(&mut client, "a").await, "Unknown tool: a");
    assert!(!server.remove_tool("a"));
    server.add_tool(named("c")).expect("the room of another one");
    assert_eq!(names(&mut client).await, ["first", "c", "b", "last"]);
    assert_eq!(say(&mut client, "c", json!({})).await, "c {}");
    for name in ["first", "last"] {
        assert_eq!(say(&mut client, name, json!({})).await, name, "it is where it was");
    }
}

#[tokio::test]
async fn a_tool_that_cannot_be_listed_is_refused_and_changes_nothing() {
    let server = server(2);
    let refused = [
        ("first", SCHEMA, "two tools are named first"),
        ("with space", SCHEMA, "is not 1 to 128 characters"),
        ("a", r#"{"type":"string"}"#, "arguments are an object"),
    ];
    for (name, schema, words) in refused {
        let tool = DynamicTool::new(ToolDefinition::new(name, "A tool.").input_schema(schema), |_, _| {
            Box::pin(async { Ok(()) })
        });
        let error = server.add_tool(tool).expect_err(name).to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut client = TestClient::open(&server);
    assert_eq!(names(&mut client).await, ["first", "last"]);
}

#[tokio::test]
async fn a_call_that_has_begun_ends_though_its_tool_is_gone() {
    let server = server(1);
    let permits = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&permits);
    let definition = ToolDefinition::new("wait", "Waits.");
    let wait = DynamicTool::new(definition, move |_, call| {
        let permits = Arc::clone(&held);
        Box::pin(async move {
            permits.acquire().await?.forget();
            call.text("waited");
            Ok(())
        })
    });
    server.add_tool(wait).expect("room");
    let mut client = TestClient::open(&server);
    let mut request = modern("waits", "tools/call");
    request["params"]["name"] = json!("wait");
    client.send(&request).await;
    // Answered after the call has begun.
    assert_eq!(names(&mut client).await, ["first", "wait", "last"]);
    assert!(server.remove_tool("wait"));
    server.add_tool(named("a")).expect("its room");
    assert_eq!(say(&mut client, "a", json!({})).await, "a {}");
    permits.add_permits(1);
    let answer = client.receive().await;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!("waits"), &json!("waited")));
}

#[cfg(feature = "validation")]
#[tokio::test]
async fn calls_of_an_added_tool_are_held_to_its_schema() {
    let server = server(1);
    server.add_tool(named("a")).expect("room");
    let mut client = TestClient::open(&server);
    let answer = client.call(1, "a", json!({"n": "many"})).await;
    assert_eq!(answer["isError"], true, "{answer}");
    assert_eq!(say(&mut client, "a", json!({"n": "7"})).await, r#"a {"n":7}"#, "as its schema says");
    // The one after it has a schema of its own.
    assert!(server.remove_tool("a"));
    let any = ToolDefinition::new("b", "Takes all.").input_schema(r#"{"type":"object"}"#);
    let any = DynamicTool::new(any, |arguments, call| {
        Box::pin(async move {
            call.text(arguments);
            Ok(())
        })
    });
    server.add_tool(any).expect("room");
    assert_eq!(say(&mut client, "b", json!({"n": "many"})).await, r#"{"n":"many"}"#);
}

#[test]
fn tools_that_come_and_go_on_many_threads_are_all_listed_in_the_end() {
    let server = server(64);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..16 {
                    let name = format!("t{thread}_{number}");
                    server.add_tool(named(&name)).expect("room");
                    if number % 2 == 0 {
                        assert!(server.remove_tool(&name));
                    }
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut listed = runtime.block_on(async { names(&mut TestClient::open(&server)).await });
    listed.sort_unstable();
    let mut want: Vec<String> =
        (0..4).flat_map(|thread| (0..8).map(move |n| format!("t{thread}_{}", 2 * n + 1))).collect();
    want.extend(["first".to_owned(), "last".to_owned()]);
    want.sort_unstable();
    assert_eq!(listed, want);
}
