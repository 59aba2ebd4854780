//! Tasks of revision 2025-11-25: calls that go on in the background, as their sessions see them.

use crate::test_client::{TestClient, assert_valid};
use mcpool::{CallContext, Elicited, Limits, Server, TaskSupport, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const REVISION: &str = "2025-11-25";
const RELATED: &str = "io.modelcontextprotocol/related-task";

#[derive(Deserialize, JsonSchema)]
struct Seconds {
    seconds: u64,
}

/// Waits, and says so.
struct Waits(TaskSupport);

impl Tool for Waits {
    type Arguments<'a> = Seconds;

    fn definition(&self) -> ToolDefinition {
        let name = match self.0 {
            TaskSupport::Forbidden => "never",
            TaskSupport::Optional => "perhaps",
            TaskSupport::Required => "always",
        };
        ToolDefinition::new(name, "Waits.").arguments::<Seconds>().task_support(self.0)
    }

    async fn call(&self, arguments: Seconds, call: &mut CallContext) -> Result<(), ToolError> {
        call.progress(1.0, None, Some("waiting"));
        tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
        match arguments.seconds {
            7 => return Err(ToolError::Protocol { code: 77, message: "no sevens".to_owned() }),
            8 => return Err(ToolError::failed("no eights")),
            seconds => call.text(&format!("waited {seconds} s")),
        }
        Ok(())
    }
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Asks its client's user for a colour, twice.
struct Asks;

impl Tool for Asks {
    type Arguments<'a> = Nothing;

    fn definition(&self) -> ToolDefinition {
        let asks = ToolDefinition::new("asks", "Asks.").arguments::<Nothing>();
        asks.task_support(TaskSupport::Required)
    }

    async fn call(&self, _: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
        #[derive(Debug, Deserialize)]
        struct Colour {
            colour: String,
        }
        let schema = r#"{"type":"object","properties":{"colour":{"type":"string"}}}"#;
        for key in ["first", "second"] {
            match call.elicit::<Colour>(key, "Which colour?", schema).await {
                Ok(Elicited::Accepted(Colour { colour })) => call.text(&colour),
                Ok(other) => call.text(&format!("{other:?}")),
                Err(ToolError::Failed(why)) => call.text(&why),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn server(limits: Limits) -> Server {
    let server = Server::builder("tasks", "1").limits(limits).tool(Asks);
    let server = server.tool(Waits(TaskSupport::Forbidden)).tool(Waits(TaskSupport::Optional));
    server.tool(Waits(TaskSupport::Required)).tasks().build().expect("a server")
}

async fn client(server: &Server) -> TestClient {
    TestClient::legacy_with(server, REVISION, json!({"elicitation": {}})).await
}

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn call(id: u64, tool: &str, arguments: &Value) -> Value {
    request(id, "tools/call", &json!({"name": tool, "arguments": arguments, "task": {"ttl": 60_000}}))
}

/// Begins a task and gives its id.
async fn begin(client: &mut TestClient, id: u64, tool: &str, arguments: &Value) -> String {
    let answer = client.ask(&call(id, tool, arguments)).await;
    let task = &answer["result"]["task"];
    assert_eq!(task["status"], "working", "{answer}");
    task["taskId"].as_str().expect("an id").to_owned()
}

/// Asks for a task; what is answered must be valid.
async fn of_task(client: &mut TestClient, id: u64, method: &str, task: &str) -> Value {
    let answer = client.ask(&request(id, method, &json!({"taskId": task}))).await;
    let kind = match method {
        "tasks/get" => "GetTaskResult",
        "tasks/cancel" => "CancelTaskResult",
        _ => "CallToolResult",
    };
    if let Some(result) = answer.get("result") {
        assert_valid(REVISION, &[kind], result);
    }
    answer
}

async fn status(client: &mut TestClient, task: &str) -> Value {
    of_task(client, 90, "tasks/get", task).await["result"]["status"].take()
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_as_a_task_where_its_client_wants_that() {
    let server = server(Limits::default());
    let mut client = client(&server).await;
    let at_once = client.call(1, "perhaps", json!({"seconds": 2})).await;
    assert_eq!(at_once["content"][0]["text"], "waited 2 s");
    for tool in ["perhaps", "always"] {
        let task = begin(&mut client, 2, tool, &json!({"seconds": 5})).await;
        let now = of_task(&mut client, 3, "tasks/get", &task).await;
        assert_eq!(
            (&now["result"]["status"], &now["result"]["statusMessage"]),
            (&json!("working"), &json!("waiting"))
        );
        for _ in 0..2 {
            let answer = of_task(&mut client, 4, "tasks/result", &task).await;
            let result = &answer["result"];
            assert_eq!(result["content"], json!([{"type": "text", "text": "waited 5 s"}]));
            assert_eq!(result["_meta"][RELATED], json!({"taskId": task}));
        }
        assert_eq!(status(&mut client, &task).await, "completed");
    }
    // Failures are what they would have been.
    let task = begin(&mut client, 5, "perhaps", &json!({"seconds": 7})).await;
    let answer = of_task(&mut client, 6, "tasks/result", &task).await;
    assert_eq!(answer["error"], json!({"code": 77, "message": "no sevens"}));
    assert_eq!(status(&mut client, &task).await, "failed");
    let task = begin(&mut client, 7, "perhaps", &json!({"seconds": 8})).await;
    let answer = of_task(&mut client, 8, "tasks/result", &task).await;
    assert_eq!(
        (&answer["result"]["isError"], &answer["result"]["content"][0]["text"]),
        (&json!(true), &json!("no eights"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_says_whether_its_calls_may_be_tasks() {
    let server = server(Limits::default());
    let mut client = client(&server).await;
    let listed = client.ask(&request(1, "tools/list", &json!({}))).await;
    let support: Vec<_> = listed["result"]["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| &tool["execution"]["taskSupport"])
        .collect();
    assert_eq!(support, ["required", "forbidden", "optional", "required"]);
    let refused = client.ask(&call(2, "never", &json!({"seconds": 1}))).await;
    assert_eq!(refused["error"]["code"], -32_601, "{refused}");
    let arguments = json!({"name": "always", "arguments": {"seconds": 1}});
    let refused = client.ask(&request(3, "tools/call", &arguments)).await;
    assert_eq!(refused["error"]["code"], -32_601, "{refused}");
    // Arguments are looked at before there is a task, and no tool is no task.
    let refused = client.ask(&call(4, "always", &json!({"seconds": "soon"}))).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    let refused = client.ask(&call(5, "no_tool", &json!({}))).await;
    assert_eq!(refused["error"]["code"], -32_602, "{refused}");
    let listed = client.ask(&request(6, "tasks/list", &json!({}))).await;
    assert_eq!(listed["result"]["tasks"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn older_revisions_and_servers_without_tasks_know_nothing_of_them() {
    let with_tasks = server(Limits::default());
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18"] {
        let mut client = TestClient::legacy(&with_tasks, revision).await;
        let answer = client.ask(&call(1, "perhaps", &json!({"seconds": 1}))).await;
        assert_eq!(answer["result"]["content"][0]["text"], "waited 1 s");
        for method in ["tasks/list", "tasks/get", "tasks/result", "tasks/cancel"] {
            let refused = client.ask(&request(2, method, &json!({"taskId": "x"}))).await;
            assert_eq!(refused["error"]["code"], -32_601, "{method}: {refused}");
        }
    }
    let without = Server::builder("t", "1").tool(Waits(TaskSupport::Optional)).build().expect("a server");
    let mut client = TestClient::legacy(&without, REVISION).await;
    let answer = client.ask(&call(1, "perhaps", &json!({"seconds": 1}))).await;
    assert_eq!(answer["result"]["content"][0]["text"], "waited 1 s");
    let refused = client.ask(&request(2, "tasks/list", &json!({}))).await;
    assert_eq!(refused["error"]["code"], -32_601, "{refused}");
    for (server, revision, want) in [
        (&with_tasks, REVISION, json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}})),
        (&with_tasks, "2025-06-18", Value::Null),
        (&without, REVISION, Value::Null),
    ] {
        let mut client = TestClient::open(server);
        client.expect_revision(revision);
        let hello = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let answer = client.ask(&request(1, "initialize", &hello)).await;
        assert_eq!(answer["result"]["capabilities"]["tasks"], want, "{revision}");
    }
}

/// Answers a question of a task, which must say which task it is of.
async fn answer(client: &mut TestClient, task: &str, answer: Value) {
    let asked = client.receive().await;
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    assert_eq!(asked["params"]["_meta"][RELATED], json!({"taskId": task}), "{asked}");
    assert_eq!(asked["params"]["message"], "Which colour?");
    let mut message = answer;
    message["jsonrpc"] = "2.0".into();
    message["id"] = asked["id"].clone();
    client.send(&message).await;
}

fn accepted(colour: &str) -> Value {
    json!({"result": {"action": "accept", "content": {"colour": colour}}})
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_task_is_asked_what_it_asks() {
    let server = server(Limits::default());
    let mut client = client(&server).await;
    let refusal = json!({"error": {"code": -1, "message": "not today"}});
    for (first, second, want) in [
        (accepted("red"), accepted("green"), ["red", "green"]),
        (json!({"result": {"action": "decline"}}), accepted("blue"), ["Declined", "blue"]),
        (
            refusal,
            json!({"result": {"action": "cancel"}}),
            ["the client's answer is no Elicitation", "Cancelled"],
        ),
    ] {
        let task = begin(&mut client, 1, "asks", &json!({})).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(status(&mut client, &task).await, "input_required");
        client.send(&request(2, "tasks/result", &json!({"taskId": task}))).await;
        answer(&mut client, &task, first).await;
        answer(&mut client, &task, second).await;
        let result = client.receive().await;
        let texts: Vec<_> = result["result"]["content"]
            .as_array()
            .expect("content")
            .iter()
            .map(|block| &block["text"])
            .collect();
        assert_eq!(texts, want, "{result}");
        assert_eq!(status(&mut client, &task).await, "completed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answered_is_asked_of_who_waits_next() {
    let server = server(Limits::default());
    let mut client = client(&server).await;
    let task = begin(&mut client, 1, "asks", &json!({})).await;
    for id in 2..5 {
        client.send(&request(id, "tasks/result", &json!({"taskId": task}))).await;
        let asked = client.receive().await;
        assert_eq!(asked["method"], "elicitation/create", "{asked}");
        let cancelled =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
        client.send(&cancelled).await;
    }
    // Of two that wait, one asks, and both are told what it came to.
    for id in [5, 6] {
        client.send(&request(id, "tasks/result", &json!({"taskId": task}))).await;
    }
    answer(&mut client, &task, accepted("red")).await;
    answer(&mut client, &task, accepted("green")).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let result = client.receive().await;
        assert_eq!(result["result"]["content"][1]["text"], "green", "{result}");
        ids.push(result["id"].as_u64().expect("a number"));
    }
    ids.sort_unstable();
    assert_eq!(ids, [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_cancelled_once_and_has_no_result() {
    let server = server(Limits::default());
    let mut client = client(&server).await;
    for (tool, arguments) in [("always", json!({"seconds": 50})), ("asks", json!({}))] {
        let task = begin(&mut client, 1, tool, &arguments).await;
        client.send(&request(2, "tasks/result", &json!({"taskId": task}))).await;
        if tool == "asks" {
            assert_eq!(client.receive().await["method"], "elicitation/create");
        }
        client.send(&request(3, "tasks/cancel", &json!({"taskId": task}))).await;
        let mut answers = [client.receive().await, client.receive().await];
        answers.sort_by_key(|answer| answer["id"].as_u64());
        let [waited, cancelled] = answers;
        assert_eq!((&waited["id"], &waited["error"]["code"]), (&json!(2), &json!(-32_602)), "{waited}");
        assert_valid(REVISION, &["CancelTaskResult"], &cancelled["result"]);
        assert_eq!(cancelled["result"]["status"], "cancelled");
        assert_eq!(cancelled["result"]["statusMessage"], "Client cancelled task execution.");
        let refused = of_task(&mut client, 4, "tasks/cancel", &task).await;
        assert_eq!(refused["error"]["code"], -32_602, "{refused}");
        assert!(
            refused["error"]["message"].as_str().is_some_and(|why| why.contains("cancelled")),
            "{refused}"
        );
        let refused = of_task(&mut client, 5, "tasks/result", &task).await;
        assert_eq!(refused["error"]["code"], -32_602, "{refused}");
    }
}

/// The task and the status of the notification that comes next.
async fn told(client: &mut TestClient) -> (String, Value) {
    let notice = client.receive_any().await;
    assert_eq!(notice["method"], "notifications/tasks/status", "{notice}");
    assert_valid(REVISION, &["TaskStatusNotification"], &notice);
    let params = &notice["params"];
    (params["taskId"].as_str().expect("an id").to_owned(), params["status"].clone())
}

/// A client that asks for nothing is told when the status of its task changed, once for each change; one that asked is not
/// told again.
#[tokio::test(start_paused = true)]
async fn a_client_is_told_of_the_status_of_its_tasks() {
    let server = server(Limits::default());
    let (mut client, mut other) = (client(&server).await, client(&server).await);
    for (seconds, status) in [(5, "completed"), (7, "failed")] {
        let task = begin(&mut client, 1, "always", &json!({"seconds": seconds})).await;
        assert_eq!(told(&mut client).await, (task, json!(status)));
    }
    let task = begin(&mut client, 2, "asks", &json!({})).await;
    assert_eq!(told(&mut client).await, (task.clone(), json!("input_required")));
    // Several at once, each of which is told once.
    let mut begun = Vec::new();
    for id in 3..6 {
        begun.push((begin(&mut client, id, "always", &json!({"seconds": 5})).await, json!("completed")));
    }
    let mut ended = [told(&mut client).await, told(&mut client).await, told(&mut client).await];
    ended.sort_by(|a, b| a.0.cmp(&b.0));
    begun.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(ended.as_slice(), begun);
    // Its answers say it: nothing more comes before the answer to what is asked last.
    let cancelled = of_task(&mut client, 7, "tasks/cancel", &task).await;
    assert_eq!(cancelled["result"]["status"], "cancelled");
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.send(&request(8, "ping", &json!({}))).await;
    assert_eq!(client.receive_any().await["id"], 8);
    other.send(&request(9, "ping", &json!({}))).await;
    assert_eq!(other.receive_any().await["id"], 9, "another session is told nothing");
    assert!(client.task_notices.is_empty() && other.task_notices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_that_its_task_made_room() {
    let server = server(Limits { max_tasks: 2, ..Limits::default() });
    let (mut client, mut other) = (client(&server).await, client(&server).await);
    let mut begun = Vec::new();
    for id in 0..3 {
        let task = begin(&mut client, id, "always", &json!({"seconds": 1})).await;
        of_task(&mut client, 10, "tasks/result", &task).await;
        begun.push(task);
    }
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        for (is_other, task, made_room) in
            [(false, &*begun[0], true), (false, "no task", false), (true, &*begun[0], false)]
        {
            let client = if is_other { &mut other } else { &mut client };
            let refused = of_task(client, 11, method, task).await;
            assert_eq!(refused["error"]["code"], -32_602, "{refused}");
            let why = refused["error"]["message"].as_str().expect("a text");
            assert_eq!(why.contains("made room"), made_room, "{method}: {why}");
        }
    }
    assert_eq!(status(&mut client, &begun[2]).await, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_task_is_kept_as_long_as_its_client_wants_within_bounds() {
    let limits = Limits { task_ttl_ms: 100_000, task_poll_interval_ms: 1_000, ..Limits::default() };
    let server = server(limits);
    let mut client = client(&server).await;
    for (wanted, want) in [
        (json!({"ttl": 60_000}), 60_000),
        (json!({"ttl": 100_001}), 100_000),
        (json!({"ttl": 9_007_199_254_740_991_u64}), 100_000),
        (json!({}), 100_000),
        (json!({"ttl": null}), 100_000),
        (json!({"ttl": 6e4}), 60_000),
        (json!({"ttl": 59_999.5}), 59_999),
        (json!({"ttl": 0}), 2_000),
    ] {
        let params = json!({"name": "always", "arguments": {"seconds": 1}, "task": wanted});
        let answer = client.ask(&request(1, "tools/call", &params)).await;
        let task = &answer["result"]["task"];
        assert_eq!(task["ttl"], want, "{wanted}: {answer}");
        let id = task["taskId"].as_str().expect("an id");
        let now = of_task(&mut client, 2, "tasks/get", id).await;
        assert_eq!(now["result"]["ttl"], want, "{wanted}: {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_sees_its_own_tasks_in_pages() {
    let server = server(Limits { page_entries: 2, ..Limits::default() });
    let (mut client, mut other) = (client(&server).await, client(&server).await);
    let mut begun = Vec::new();
    for id in 0..5 {
        begun.push(begin(&mut client, id, "always", &json!({"seconds": 5})).await);
    }
    let theirs = begin(&mut other, 1, "always", &json!({"seconds": 5})).await;
    let (mut seen, mut params, mut pages) = (Vec::new(), json!({}), 0);
    loop {
        let listed = client.ask(&request(10, "tasks/list", &params)).await;
        assert_valid(REVISION, &["ListTasksResult"], &listed["result"]);
        let tasks = listed["result"]["tasks"].as_array().expect("a list");
        seen.extend(tasks.iter().map(|task| task["taskId"].as_str().expect("an id").to_owned()));
        pages += 1;
        let Some(cursor) = listed["result"]["nextCursor"].as_str() else { break };
        params = json!({"cursor": cursor});
    }
    seen.sort();
    begun.sort();
    assert_eq!((seen, pages), (begun.clone(), 3));
    for method in ["tasks/get", "tasks/cancel", "tasks/result"] {
        for (client, task) in [(&mut client, &theirs), (&mut other, &begun[0])] {
            for task in [task, "", "no task"] {
                let refused = of_task(client, 11, method, task).await;
                assert_eq!(refused["error"]["code"], -32_602, "{method} {task}: {refused}");
            }
        }
        let refused = client.ask(&request(12, method, &json!({}))).await;
        assert_eq!(refused["error"]["code"], -32_602, "{method}: {refused}");
    }
    for cursor in [json!(theirs), json!("x"), json!(7)] {
        let refused = client.ask(&request(13, "tasks/list", &json!({"cursor": cursor}))).await;
        assert_eq!(refused["error"]["code"], -32_602, "{refused}");
    }
}

/// What a call says of the task that it wants is refused by name where it is of another type, and there is no task.
#[tokio::test(start_paused = true)]
async fn a_task_of_the_wrong_type_is_refused_by_name() {
    const NO_TTL: &str = "task.ttl must be a number of milliseconds, 0 or more";
    let server = server(Limits::default());
    let mut client = client(&server).await;
    let mut old = TestClient::legacy(&server, "2025-06-18").await;
    let wrong_ttls =
        [json!("soon"), json!("60000"), json!(true), json!({}), json!([1]), json!(-5), json!(-0.5)];
    let of_ttl = wrong_ttls.into_iter().map(|ttl| (json!({"ttl": ttl}), NO_TTL));
    let of_task = [json!(1), json!("x"), json!([]), json!(true), Value::Null]
        .map(|task| (task, "task must be an object"));
    for (task, want) in of_ttl.chain(of_task) {
        for tool in ["perhaps", "always", "never"] {
            let params = json!({"name": tool, "arguments": {"seconds": 1}, "task": task});
            let refused = client.ask(&request(1, "tools/call", &params)).await;
            assert_eq!(refused["error"]["code"], -32_602, "{tool} {task}: {refused}");
            let why = refused["error"]["message"].as_str().expect("a text");
            assert_eq!(why, format!("Invalid params: {want}"), "{tool} {task}");
        }
        // Older revisions have no such member.
        let params = json!({"name": "perhaps", "arguments": {"seconds": 1}, "task": task});
        let answer = old.ask(&request(2, "tools/call", &params)).await;
        assert_eq!(answer["result"]["content"][0]["text"], "waited 1 s", "{task}");
    }
    assert_eq!((server.tasks(), server.running_tasks()), (0, 0));
}

/// A client that leaves takes its tasks with it, those that run, that ask and that have ended: others find room at once.
#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_client_that_left_end_at_once() {
    let server = server(Limits { max_tasks: 16, ..Limits::default() });
    let (mut leaves, mut stays) = (client(&server).await, client(&server).await);
    let kept = begin(&mut stays, 1, "always", &json!({"seconds": 40})).await;
    for id in 0..3 {
        begin(&mut leaves, id, "always", &json!({"seconds": 1_000_000})).await;
        begin(&mut leaves, id, "asks", &json!({})).await;
        begin(&mut leaves, id, "always", &json!({"seconds": 1})).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((server.tasks(), server.running_tasks()), (10, 7));
    leaves.vanish().await.expect("a good end");
    assert_eq!(server.tasks(), 1, "what nobody can ask for is not kept");
    let all_ended = async {
        while server.running_tasks() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all_ended).await.expect("what ran was cancelled");
    for id in 2..9 {
        begin(&mut stays, id, "always", &json!({"seconds": 5})).await;
    }
    let answer = of_task(&mut stays, 10, "tasks/result", &kept).await;
    assert_eq!(answer["result"]["content"][0]["text"], "waited 40 s", "another client's goes on");
}
