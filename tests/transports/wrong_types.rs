//! Parameters of the wrong type: none is dropped in silence, each refusal names the member.

use super::host::{Host, Way, modern_with};
use serde_json::{Value, json};

/// A method, its parameters, what is wrong with them in the words of the refusal.
type Row = (&'static str, Value, &'static str);

/// Both eras have these.
fn rows() -> Vec<Row> {
    let completion = |reference: Value, argument: Value| json!({"ref": reference, "argument": argument});
    let (prompt, argument) = (json!({"type": "ref/prompt", "name": "p"}), json!({"name": "a", "value": "v"}));
    let with_context = |context: Value| {
        let mut params = completion(prompt.clone(), argument.clone());
        params["context"] = context;
        params
    };
    vec![
        ("completion/complete", json!({"ref": 1, "argument": argument}), "ref: "),
        (
            "completion/complete",
            completion(json!({"type": "ref/prompt", "name": 7}), argument.clone()),
            "ref.name: ",
        ),
        (
            "completion/complete",
            completion(json!({"type": "ref/prompt", "name": "p", "uri": 7}), argument.clone()),
            "ref.uri: ",
        ),
        ("completion/complete", completion(json!({"type": 7}), argument.clone()), "ref.type: "),
        (
            "completion/complete",
            completion(prompt.clone(), json!({"name": 1, "value": "v"})),
            "argument.name: ",
        ),
        (
            "completion/complete",
            completion(prompt.clone(), json!({"name": "a", "value": ["v"]})),
            "argument.value: ",
        ),
        ("completion/complete", with_context(json!("c")), "context: "),
        ("completion/complete", with_context(json!({"arguments": ["x"]})), "context.arguments: "),
        (
            "completion/complete",
            with_context(json!({"arguments": {"other": 5}})),
            "context.arguments.other: ",
        ),
        ("tools/list", json!({"cursor": 1}), "cursor must be a string"),
        ("resources/list", json!({"cursor": {}}), "cursor must be a string"),
        ("tasks/get", json!({"taskId": 1}), "taskId must be a string"),
        ("tasks/cancel", json!({"taskId": ["x"]}), "taskId must be a string"),
    ]
}

fn legacy_rows() -> Vec<Row> {
    vec![
        ("tasks/result", json!({"taskId": {}}), "taskId must be a string"),
        ("tasks/list", json!({"cursor": 1}), "cursor must be a string"),
        ("tasks/list", json!({"cursor": ["x"]}), "cursor must be a string"),
        ("logging/setLevel", json!({"level": 3}), "level: "),
        ("logging/setLevel", json!({"level": null}), "level: "),
        ("logging/setLevel", json!({"level": "loud"}), "level: "),
        ("resources/subscribe", json!({"uri": 1}), "uri must be a string"),
        ("resources/unsubscribe", json!({"uri": ["x"]}), "uri must be a string"),
    ]
}

fn modern_rows() -> Vec<Row> {
    let listen = |member: &str, value: Value| json!({"notifications": {member: value}});
    vec![
        ("subscriptions/listen", json!({"notifications": "all"}), "notifications: "),
        (
            "subscriptions/listen",
            listen("toolsListChanged", json!("yes")),
            "notifications.toolsListChanged: ",
        ),
        (
            "subscriptions/listen",
            listen("promptsListChanged", json!(1)),
            "notifications.promptsListChanged: ",
        ),
        (
            "subscriptions/listen",
            listen("resourcesListChanged", json!([])),
            "notifications.resourcesListChanged: ",
        ),
        (
            "subscriptions/listen",
            listen("resourceSubscriptions", json!("x")),
            "notifications.resourceSubscriptions: ",
        ),
        (
            "subscriptions/listen",
            listen("resourceSubscriptions", json!([1])),
            "notifications.resourceSubscriptions[0]: ",
        ),
        ("tasks/update", json!({"taskId": 1, "inputResponses": {}}), "taskId must be a string"),
        ("tasks/update", json!({"taskId": "x", "inputResponses": 5}), "inputResponses: "),
        (
            "tasks/update",
            json!({"taskId": "x", "inputResponses": {"k": 5}}),
            "each of inputResponses must be an object",
        ),
    ]
}

#[test]
fn parameters_of_the_wrong_type_are_refused_by_name() {
    let host = Host::default();
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let mut modern = host.connect(Way::Lines);
    let mut legacy = host.connect(Way::Lines);
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    legacy.ask("", &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}));
    let check = |answer: &Value, (method, params, want): &Row| {
        let why = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(answer["error"]["code"], -32602, "{method} {params}: {answer}");
        assert!(why.starts_with(&format!("Invalid params: {want}")), "{method} {params}: {why}");
    };
    for row in rows().into_iter().chain(modern_rows()) {
        check(&modern.ask("", &modern_with(1, row.0, row.1.clone(), &capabilities)), &row);
    }
    for row in rows().into_iter().chain(legacy_rows()) {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": row.0, "params": row.1});
        check(&legacy.ask("", &message), &row);
    }
}
