//! The exerciser.

use super::{recorded, text_of};
use crate::test_client::{TestClient, modern};
use mcpool::tools::everything::{Demo, Everything};
use mcpool::toolsets::Toolset;
use mcpool::{Limits, Server};
use serde_json::{Value, json};

fn server() -> Server {
    let server =
        Server::builder("everything", "1").toolset(Everything::default()).resources(Demo).prompts(Demo);
    server.completer(Demo).tasks().limits(Limits::default()).build().expect("a server")
}

fn recorded_list(name: &str) -> Vec<Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference/everything");
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).expect("a recording")).expect("JSON")
}

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn tools_are_those_of_the_reference_word_for_word() {
    let ours = serde_json::to_value(Everything::default().definitions()).expect("JSON");
    let theirs = recorded_list("tools-all-client-capabilities.json");
    assert_eq!(ours, Value::from(theirs.clone()));
    for tool in recorded("everything") {
        assert!(theirs.contains(&tool), "{tool}");
    }
}

fn names_of(tools: &Value) -> Vec<&str> {
    tools.as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect()
}

#[tokio::test]
async fn a_client_is_shown_the_tools_that_can_ask_it() {
    let server = server();
    let all = recorded_list("tools-all-client-capabilities.json");
    let plain = Value::from(recorded_list("tools.json"));
    for (declared, more) in [
        (json!({}), &[][..]),
        (json!({"roots": {"listChanged": true}}), &["get-roots-list"]),
        (json!({"sampling": {}}), &["trigger-sampling-request"]),
        (json!({"elicitation": {}}), &["trigger-elicitation-request"]),
        (json!({"elicitation": {"url": {}}}), &["trigger-url-elicitation"]),
        (
            async_client(),
            &[
                "trigger-elicitation-request",
                "trigger-sampling-request",
                "trigger-sampling-request-async",
                "trigger-elicitation-request-async",
            ],
        ),
    ] {
        let is_wanted = |tool: &&Value| {
            let name = tool["name"].as_str().expect("a name");
            names_of(&plain).contains(&name) || more.contains(&name)
        };
        let want: Vec<Value> = all.iter().filter(is_wanted).cloned().collect();
        let mut client = TestClient::legacy_with(&server, "2025-11-25", declared.clone()).await;
        let listed = client.ask(&request(1, "tools/list", &json!({}))).await;
        assert_eq!(listed["result"]["tools"], Value::from(want.clone()), "{declared}");
        let mut newest = TestClient::open(&server);
        let mut list = modern(1, "tools/list");
        list["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = declared.clone();
        let listed = newest.ask(&list).await;
        assert_eq!(names_of(&listed["result"]["tools"]), names_of(&Value::from(want)), "{declared}");
        assert_eq!(listed["result"]["cacheScope"], "private", "clients see other tools: {listed}");
    }
    // What is not shown is served, and says what is missing.
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let refused = client.call(2, "get-roots-list", json!({})).await;
    assert_eq!(text_of(&refused), "the client does not support roots");
}

#[tokio::test]
async fn prompts_and_templates_are_those_of_the_reference() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let prompts = client.ask(&request(1, "prompts/list", &json!({}))).await;
    assert_eq!(prompts["result"]["prompts"], Value::from(recorded_list("prompts.json")));
    let templates = client.ask(&request(2, "resources/templates/list", &json!({}))).await;
    assert_eq!(
        templates["result"]["resourceTemplates"],
        Value::from(recorded_list("resource-templates.json"))
    );
    let arguments =
        json!({"name": "resource-prompt", "arguments": {"resourceType": "Blob", "resourceId": "7"}});
    let prompt = client.ask(&request(3, "prompts/get", &arguments)).await;
    let embedded = &prompt["result"]["messages"][1]["content"]["resource"];
    assert_eq!(embedded["uri"], "demo://resource/dynamic/blob/7");
    let read =
        client.ask(&request(4, "resources/read", &json!({"uri": "demo://resource/dynamic/text/12"}))).await;
    let text = read["result"]["contents"][0]["text"].as_str().expect("a text");
    assert!(text.starts_with("Resource 12: This is a plaintext resource created at "), "{text}");
    let unknown =
        client.ask(&request(5, "resources/read", &json!({"uri": "demo://resource/dynamic/text/0"}))).await;
    assert!(unknown["error"]["code"].is_i64(), "{unknown}");
    let named = json!({"type": "ref/prompt", "name": "completable-prompt"});
    let wanted = json!({
        "ref": named, "argument": {"name": "name", "value": "E"}, "context": {"arguments": {"department": "Sales"}}
    });
    let completed = client.ask(&request(6, "completion/complete", &wanted)).await;
    assert_eq!(completed["result"]["completion"]["values"], json!(["Eve"]));
}

#[tokio::test]
async fn documents_are_listed_as_those_of_the_reference() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let listed = client.ask(&request(1, "resources/list", &json!({}))).await;
    assert_eq!(listed["result"]["resources"], Value::from(recorded_list("resources.json")));
    for resource in listed["result"]["resources"].as_array().expect("a list") {
        let read = client.ask(&request(2, "resources/read", &json!({"uri": resource["uri"]}))).await;
        let [document] = read["result"]["contents"].as_array().expect("contents").as_slice() else {
            panic!("one document: {read}")
        };
        assert_eq!((&document["uri"], &document["mimeType"]), (&resource["uri"], &json!("text/markdown")));
        assert!(document["text"].as_str().is_some_and(|text| text.starts_with("# Everything")), "{read}");
    }
    let uri = "demo://resource/static/document/../mod.rs";
    let unknown = client.ask(&request(3, "resources/read", &json!({"uri": uri}))).await;
    assert!(unknown["error"]["code"].is_i64(), "{unknown}");
    // Whatever is subscribed to, as in the reference.
    let subscribed = client.ask(&request(4, "resources/subscribe", &json!({"uri": "demo://nothing"}))).await;
    assert_eq!(subscribed["result"], json!({}));
}

#[tokio::test]
async fn plain_tools_answer_as_the_reference() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    for (tool, arguments, want) in [
        ("echo", json!({"message": "a \"b\"\n"}), "Echo: a \"b\"\n"),
        ("get-sum", json!({"a": 0.1, "b": 0.2}), "The sum of 0.1 and 0.2 is 0.30000000000000004."),
        (
            "get-structured-content",
            json!({"location": "Chicago"}),
            r#"{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}"#,
        ),
        (
            "trigger-long-running-operation",
            json!({"duration": 0.01, "steps": 2}),
            "Long running operation completed. Duration: 0.01 seconds, Steps: 2.",
        ),
    ] {
        let result = client.call(1, tool, arguments).await;
        assert_eq!(text_of(&result), want);
    }
    let annotated =
        client.call(2, "get-annotated-message", json!({"messageType": "error", "includeImage": true})).await;
    assert_eq!(
        annotated["content"][0]["annotations"],
        json!({"priority": 1.0, "audience": ["user", "assistant"]})
    );
    assert_eq!(annotated["content"][1]["mimeType"], "image/png");
    let links = client.call(3, "get-resource-links", json!({"count": 2})).await;
    assert_eq!(links["content"][2]["uri"], "demo://resource/dynamic/text/2");
    let refused = client.call(4, "get-resource-links", json!({"count": 11})).await;
    assert_eq!(refused["isError"], true, "{refused}");
}

#[tokio::test]
async fn names_of_files_are_plain_and_encoded_in_uris() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let name = "a b%20?\u{e9}.gz";
    let linked = client.call(1, "gzip-file-as-resource", json!({"name": name, "data": "data:,x"})).await;
    assert_eq!(linked["content"][0]["uri"], "demo://resource/session/a%20b%2520%3F%C3%A9.gz", "{linked}");
    assert_eq!(linked["content"][0]["name"], name);
    let read = request(2, "resources/read", &json!({"uri": linked["content"][0]["uri"]}));
    let read = client.ask(&read).await;
    assert!(read["result"]["contents"][0]["blob"].is_string(), "{read}");
    for name in ["", "a/b", "..", "a\\b", "a\0", "a\nb", &"x".repeat(256)] {
        let refused = client.call(3, "gzip-file-as-resource", json!({"name": name, "data": "data:,x"})).await;
        assert_eq!(refused["isError"], true, "{refused}");
        assert!(text_of(&refused).contains("name must be that of a file"), "{refused}");
    }
}

#[tokio::test]
async fn files_are_compressed_and_kept_for_the_session() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let linked =
        client.call(1, "gzip-file-as-resource", json!({"name": "a.gz", "data": "data:,hello%20you"})).await;
    let link = json!({"type": "resource_link", "uri": "demo://resource/session/a.gz", "name": "a.gz", "mimeType": "application/gzip"});
    assert_eq!(linked["content"][0], link);
    let read = client.ask(&request(2, "resources/read", &json!({"uri": link["uri"]}))).await;
    let kept = read["result"]["contents"][0]["blob"].as_str().expect("a blob");
    assert!(kept.starts_with("H4sI"), "{kept}");
    let wanted =
        json!({"name": "a.gz", "data": "data:text/plain;base64,aGVsbG8geW91", "outputType": "resource"});
    let embedded = client.call(3, "gzip-file-as-resource", wanted).await;
    assert_eq!(embedded["content"][0]["resource"]["blob"], kept, "the same text");
    for (data, want) in [
        ("ftp://example.com/a", "Only http, https, and data URLs are supported."),
        ("http://127.0.0.1:9/", "is not a public address"),
        ("no url", "data must be a URL"),
    ] {
        let refused = client.call(4, "gzip-file-as-resource", json!({"data": data})).await;
        assert_eq!(refused["isError"], true, "{refused}");
        assert!(text_of(&refused).contains(want), "{refused}");
    }
    for number in 1..16 {
        let kept = client
            .call(5, "gzip-file-as-resource", json!({"name": number.to_string(), "data": "data:,x"}))
            .await;
        assert_eq!(kept["isError"], Value::Null, "{kept}");
    }
    let refused =
        client.call(6, "gzip-file-as-resource", json!({"name": "one more", "data": "data:,x"})).await;
    assert!(text_of(&refused).contains("this session has 16 files"), "{refused}");
    let again = client.call(7, "gzip-file-as-resource", json!({"name": "a.gz", "data": "data:,x"})).await;
    assert_eq!(again["isError"], Value::Null, "{again}");
    // Another session does not see them.
    let mut other = TestClient::legacy(&server, "2025-11-25").await;
    let unknown = other.ask(&request(1, "resources/read", &json!({"uri": link["uri"]}))).await;
    assert!(unknown["error"]["code"].is_i64(), "{unknown}");
}

#[tokio::test]
async fn what_is_simulated_begins_at_once_and_ends_with_its_toggle() {
    let server = server();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let uri = "demo://resource/dynamic/text/1";
    client.ask(&request(1, "resources/subscribe", &json!({"uri": uri}))).await;
    client.ask(&request(2, "logging/setLevel", &json!({"level": "debug"}))).await;
    for (tool, method) in [
        ("toggle-subscriber-updates", "notifications/resources/updated"),
        ("toggle-simulated-logging", "notifications/message"),
    ] {
        client.send(&request(3, "tools/call", &json!({"name": tool, "arguments": {}}))).await;
        let (mut answer, mut notice) = (None, None);
        while answer.is_none() || notice.is_none() {
            let message = client.receive().await;
            if message["id"] == 3 {
                answer = Some(message);
            } else if message["method"] == method {
                // One of what ran before may still have been on its way.
                notice = Some(message);
            }
        }
        let answer = answer.expect("an answer");
        assert!(text_of(&answer["result"]).starts_with("Started simulated"), "{answer}");
        client.send(&request(4, "tools/call", &json!({"name": tool, "arguments": {}}))).await;
        let stopped = loop {
            let message = client.receive().await;
            if message["id"] == 4 {
                break message;
            }
        };
        assert!(text_of(&stopped["result"]).starts_with("Stopped simulated"), "{stopped}");
    }
}

/// Answers the one request of the server that comes before the answer to a call.
async fn answered(client: &mut TestClient, call: &Value, answer: &Value) -> (Value, Value) {
    client.send(call).await;
    let asked = client.receive().await;
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": answer})).await;
    (asked, client.receive().await["result"].clone())
}

#[tokio::test]
async fn a_legacy_client_is_asked_by_requests() {
    let server = server();
    let capabilities = json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}});
    let mut client = TestClient::legacy_with(&server, "2025-11-25", capabilities).await;
    let call = |tool: &str, arguments: Value| {
        request(9, "tools/call", &json!({"name": tool, "arguments": arguments}))
    };
    let filled =
        json!({"action": "accept", "content": {"name": "Ann", "integer": 42, "check": false, "email": ""}});
    let (asked, answer) =
        answered(&mut client, &call("trigger-elicitation-request", json!({})), &filled).await;
    assert_eq!(asked["params"]["requestedSchema"]["properties"]["integer"]["default"], 42);
    let inputs = "User inputs:\n- Name: Ann\n- Agreed to terms: false\n- Favorite Integer: 42";
    assert_eq!(answer["content"][1]["text"], inputs);
    let declined = json!({"action": "decline"});
    let (asked, answer) = answered(
        &mut client,
        &call("trigger-url-elicitation", json!({"url": "https://example.com"})),
        &declined,
    )
    .await;
    let id = asked["params"]["elicitationId"].as_str().expect("an id");
    assert_eq!(
        answer["content"][0]["text"],
        format!("❌ User declined to open the URL (Elicitation ID: {id}).")
    );
    assert_eq!(answer["content"][1]["text"], "\nRaw result: {\n  \"action\": \"decline\"\n}");
    let written = json!({"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"});
    let (asked, answer) =
        answered(&mut client, &call("trigger-sampling-request", json!({"prompt": "p"})), &written).await;
    assert_eq!(asked["params"]["maxTokens"], 100);
    assert!(text_of(&answer).starts_with("LLM sampling result: \n{\n  \""), "{answer}");
    let roots = json!({"roots": [{"uri": "file:///a", "name": "A"}, {"uri": "file:///b"}]});
    let (_, answer) = answered(&mut client, &call("get-roots-list", json!({})), &roots).await;
    let listed = "Current MCP Roots (2 total):\n\n1. A\n   URI: file:///a\n\n2. Unnamed Root\n   URI: file:///b\n\nNote: ";
    assert!(text_of(&answer).starts_with(listed), "{answer}");
}

#[tokio::test]
async fn a_visit_that_comes_first_is_an_error_once() {
    let server = server();
    let capabilities = json!({"elicitation": {"form": {}, "url": {}}});
    let mut client = TestClient::legacy_with(&server, "2025-11-25", capabilities).await;
    let call = |url: &str| {
        let arguments = json!({"url": url, "errorPath": true});
        request(9, "tools/call", &json!({"name": "trigger-url-elicitation", "arguments": arguments}))
    };
    for _ in 0..2 {
        let refused = client.ask(&call("https://example.com/a")).await;
        assert_eq!(refused["error"]["code"], -32_042, "{refused}");
        let visit = &refused["error"]["data"]["elicitations"][0];
        assert_eq!(
            (&visit["mode"], &visit["url"]),
            (&json!("url"), &json!("https://modelcontextprotocol.io"))
        );
        assert_eq!(visit["elicitationId"].as_str().map(str::len), Some(36), "{visit}");
        // Another call does not count as its repetition.
        let other = client.ask(&call("https://example.com/b")).await;
        assert_eq!(other["error"]["code"], -32_042, "{other}");
        for url in ["https://example.com/a", "https://example.com/b"] {
            let (asked, answer) = answered(&mut client, &call(url), &json!({"action": "accept"})).await;
            assert_eq!(asked["params"]["url"], url);
            let text = answer["content"][0]["text"].as_str().expect("a text");
            assert!(text.starts_with("✅ User completed"), "{answer}");
        }
    }
    // Of many that are not repeated, the last are known.
    for number in 0..40 {
        let refused = client.ask(&call(&format!("https://example.com/{number}"))).await;
        assert_eq!(refused["error"]["code"], -32_042, "{refused}");
    }
    let forgotten = client.ask(&call("https://example.com/0")).await;
    assert_eq!(forgotten["error"]["code"], -32_042, "{forgotten}");
    let (asked, _) =
        answered(&mut client, &call("https://example.com/39"), &json!({"action": "cancel"})).await;
    assert_eq!(asked["method"], "elicitation/create");
    let mut other = TestClient::legacy(&server, "2025-11-25").await;
    let refused = other.ask(&call("https://example.com/a")).await;
    assert_eq!(text_of(&refused["result"]), "the client does not support elicitation by URL");
}

/// Serves the requests of a call as tasks: `answers` come to `tasks/get`, one after the other. Returns all requests and
/// the result of the call.
async fn followed(
    client: &mut TestClient,
    call: &Value,
    answers: &[Value],
    result: &Value,
) -> (Vec<Value>, Value) {
    client.send(call).await;
    let (mut asked, mut answers) = (Vec::new(), answers.iter());
    loop {
        let message = client.receive().await;
        let answer = match message["method"].as_str() {
            None => return (asked, message["result"].clone()),
            Some("tasks/get") => answers.next().expect("no more polls than answers"),
            Some("tasks/result") => result,
            Some(_) => {
                &json!({"task": {"taskId": "t \u{e9}", "status": "working", "ttl": 1, "pollInterval": 1}})
            }
        };
        client.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": answer})).await;
        asked.push(message);
    }
}

fn async_client() -> Value {
    let requests = json!({"sampling": {"createMessage": {}}, "elicitation": {"create": {}}});
    json!({"elicitation": {"form": {}}, "sampling": {}, "tasks": {"list": {}, "requests": requests}})
}

#[tokio::test]
async fn a_task_of_the_client_is_polled_until_it_is_done() {
    let server = server();
    let mut client = TestClient::legacy_with(&server, "2025-11-25", async_client()).await;
    let call = |tool: &str, arguments: Value| {
        request(9, "tools/call", &json!({"name": tool, "arguments": arguments}))
    };
    let sample = call("trigger-sampling-request-async", json!({"prompt": "p", "maxTokens": 7}));
    let written = json!({"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"});
    let polls = [json!({"status": "working", "statusMessage": "thinks"}), json!({"status": "completed"})];
    let (asked, answer) = followed(&mut client, &sample, &polls, &written).await;
    let methods: Vec<&str> = asked.iter().filter_map(|message| message["method"].as_str()).collect();
    assert_eq!(methods, ["sampling/createMessage", "tasks/get", "tasks/get", "tasks/result"]);
    assert_eq!(asked[0]["params"]["task"], json!({"ttl": 300_000}));
    assert_eq!(asked[0]["params"]["maxTokens"], 7);
    assert_eq!(asked[1]["params"], json!({"taskId": "t \u{e9}"}));
    let begin = "[COMPLETED] Async sampling completed!\n\n**Progress:**\nTask created: t \u{e9}\nPoll 1: working - thinks\n\
                 Poll 2: completed\n\n**Result:**\n{\n  \"";
    assert!(text_of(&answer).starts_with(begin), "{answer}");
    let form = call("trigger-elicitation-request-async", json!({}));
    let filled =
        json!({"action": "accept", "content": {"name": "Ann", "favoriteColor": "", "agreeToTerms": false}});
    let polls = [
        json!({"status": "input_required"}),
        json!({"status": "input_required"}),
        json!({"status": "completed"}),
    ];
    let (asked, answer) = followed(&mut client, &form, &polls, &filled).await;
    assert_eq!(asked[0]["params"]["requestedSchema"]["required"], json!(["name"]));
    assert_eq!(answer["content"][1]["text"], "User inputs:\n- Name: Ann\n- Agreed to terms: false");
    let progress =
        "\nProgress:\nTask created: t \u{e9}\nPoll 1: input_required\nPoll 3: completed\n\nRaw result: {";
    assert!(answer["content"][2]["text"].as_str().is_some_and(|text| text.starts_with(progress)), "{answer}");
    let failed = [json!({"status": "failed", "statusMessage": "no model"})];
    let (_, answer) = followed(&mut client, &sample, &failed, &written).await;
    let text = "[FAILED] no model\n\nProgress:\nTask created: t \u{e9}\nPoll 1: failed - no model";
    assert_eq!(text_of(&answer), text);
}

#[tokio::test]
async fn a_client_without_tasks_of_its_own_is_not_asked_for_one() {
    let server = server();
    let mut client = TestClient::legacy_with(&server, "2025-11-25", async_client()).await;
    let sample = json!({"name": "trigger-sampling-request-async", "arguments": {"prompt": "p"}});
    let written = json!({"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"});
    // It may answer at once.
    let (_, answer) = answered(&mut client, &request(9, "tools/call", &sample), &written).await;
    assert!(text_of(&answer).starts_with("[SYNC] Client executed synchronously:\n{"), "{answer}");
    let (_, answer) = answered(&mut client, &request(9, "tools/call", &sample), &json!({"task": 7})).await;
    assert_eq!(answer["isError"], true, "neither a task nor a message: {answer}");
    let capabilities =
        json!({"elicitation": {"form": {}}, "sampling": {}, "tasks": {"requests": {"tools": {}}}});
    let mut other = TestClient::legacy_with(&server, "2025-11-25", capabilities.clone()).await;
    for (tool, what) in [
        ("trigger-sampling-request-async", "sampling as a task of its own"),
        ("trigger-elicitation-request-async", "elicitation as a task of its own"),
    ] {
        let refused = other.call(1, tool, json!({"prompt": "p"})).await;
        assert_eq!(text_of(&refused), format!("the client does not support {what}"));
    }
    let mut newest = TestClient::open(&server);
    let mut call = modern(1, "tools/call");
    call["params"]["name"] = "trigger-elicitation-request-async".into();
    call["params"]["arguments"] = json!({});
    call["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = async_client();
    let refused = newest.ask(&call).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_research_is_a_task_of_its_session() {
    let server = server();
    let mut client = TestClient::legacy_with(&server, "2025-11-25", json!({"elicitation": {}})).await;
    let call = |ambiguous: bool| {
        let arguments = json!({"topic": "python", "ambiguous": ambiguous});
        let params = json!({"name": "simulate-research-query", "arguments": arguments, "task": {}});
        request(1, "tools/call", &params)
    };
    let begun = client.ask(&call(false)).await;
    let task = begun["result"]["task"]["taskId"].clone();
    client.send(&request(2, "tasks/result", &json!({"taskId": task}))).await;
    let report = client.receive().await;
    assert!(text_of(&report["result"]).starts_with("# Research Report: python\n"), "{report}");
    let begun = client.ask(&call(true)).await;
    let task = begun["result"]["task"]["taskId"].clone();
    let mut messages = Vec::new();
    // Until it asks, which it does when somebody waits for it.
    loop {
        let now = client.ask(&request(3, "tasks/get", &json!({"taskId": task}))).await;
        let message = now["result"]["statusMessage"].as_str().unwrap_or_default().to_owned();
        if messages.last() != Some(&message) {
            messages.push(message);
        }
        if now["result"]["status"] == "input_required" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let unclear = "Found multiple interpretations for \"python\". Requesting clarification...";
    assert_eq!(messages[messages.len() - 3..], ["Gathering sources...", "Analyzing content...", unclear]);
    let waits = request(4, "tasks/result", &json!({"taskId": task}));
    let meant = json!({"action": "accept", "content": {"interpretation": "snake"}});
    let (asked, answer) = answered(&mut client, &waits, &meant).await;
    let choices = &asked["params"]["requestedSchema"]["properties"]["interpretation"]["oneOf"];
    assert_eq!(choices[1]["const"], "snake");
    assert!(text_of(&answer).starts_with("# Research Report: python (snake)\n"), "{answer}");
}

#[tokio::test]
async fn a_modern_client_is_asked_in_rounds() {
    let server = server();
    let mut client = TestClient::open(&server);
    let mut call = modern(1, "tools/call");
    call["params"]["name"] = "trigger-elicitation-request".into();
    call["params"]["arguments"] = json!({});
    call["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {"form": {}}});
    client.send(&call).await;
    // An answer of another shape than that of a call that ends.
    let asked: Value = serde_json::from_str(&client.receive_line().await).expect("JSON");
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    call["id"] = 2.into();
    call["params"]["requestState"] = asked["result"]["requestState"].clone();
    if call["params"]["requestState"].is_null() {
        call["params"].as_object_mut().expect("an object").remove("requestState");
    }
    call["params"]["inputResponses"] = json!({"form": {"action": "cancel"}});
    let answer = client.ask(&call).await;
    assert_eq!(
        answer["result"]["content"][0]["text"], "⚠️ User cancelled the elicitation dialog.",
        "{answer}"
    );
    // What goes on without a call needs a session.
    let mut toggle = modern(3, "tools/call");
    toggle["params"]["name"] = "toggle-simulated-logging".into();
    toggle["params"]["arguments"] = json!({});
    let refused = client.ask(&toggle).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
}
