//! Tools that ask their client: forms, models, roots. One implementation serves both eras.

use super::tools::Arguments;
use mcpool::{CallContext, Capability, InputRequest, ToolError};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
}

/// The schema of a form that asks for one text.
pub(crate) fn form_of(field: &str) -> String {
    format!(r#"{{"type":"object","properties":{{"{field}":{{"type":"string"}}}},"required":["{field}"]}}"#)
}

const DEFAULTS: &str = r#"{"type":"object","properties":{"name":{"type":"string","description":"User name","default":"John Doe"},"age":{"type":"integer","description":"User age","default":30},"score":{"type":"number","description":"User score","default":95.5},"status":{"type":"string","description":"User status","enum":["active","inactive","pending"],"default":"active"},"verified":{"type":"boolean","description":"Verification status","default":true}},"required":[]}"#;
const ENUMS: &str = r#"{"type":"object","properties":{"untitledSingle":{"type":"string","description":"Select one option","enum":["option1","option2","option3"]},"titledSingle":{"type":"string","description":"Select one option with titles","oneOf":[{"const":"value1","title":"First Option"},{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},"legacyEnum":{"type":"string","description":"Select one option (legacy)","enum":["opt1","opt2","opt3"],"enumNames":["Option One","Option Two","Option Three"]},"untitledMulti":{"type":"array","description":"Select multiple options","minItems":1,"maxItems":3,"items":{"type":"string","enum":["option1","option2","option3"]}},"titledMulti":{"type":"array","description":"Select multiple options with titles","minItems":1,"maxItems":3,"items":{"anyOf":[{"const":"value1","title":"First Choice"},{"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}}},"required":[]}"#;
const USER: &str = r#"{"type":"object","properties":{"username":{"type":"string","description":"User's response"},"email":{"type":"string","description":"User's email address"}},"required":["username","email"]}"#;
const CONFIRM: &str = r#"{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}"#;

fn sampling(prompt: &str) -> InputRequest {
    let text = serde_json::Value::from(prompt);
    InputRequest::sampling(format!(
        r#"{{"messages":[{{"role":"user","content":{{"type":"text","text":{text}}}}}],"maxTokens":100}}"#
    ))
}

pub(crate) async fn run(
    name: &str,
    arguments: &Arguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    match name {
        "test_sampling" => {
            let answer = call.ask("sample", sampling(arguments.prompt.unwrap_or("Say hello."))).await?;
            call.text(&format!("LLM response: {}", answer.as_json()));
        }
        "test_elicitation" => {
            let message = arguments.message.unwrap_or("Who are you?");
            elicited(call, "user", message, USER).await?;
        }
        "test_elicitation_sep1034_defaults" => {
            elicited(call, "defaults", "Please review and update the form fields with defaults", DEFAULTS)
                .await?;
        }
        "test_elicitation_sep1330_enums" => {
            elicited(call, "enums", "Please select options from the enum fields", ENUMS).await?;
        }
        "test_input_required_result_elicitation" => {
            let name = ask_name(call).await?;
            call.text(&format!("Hello, {name}!"));
        }
        "test_input_required_result_sampling" => {
            let answer = call.ask("capital_question", sampling("What is the capital of France?")).await?;
            call.text(&format!("The model said: {}", answer.as_json()));
        }
        "test_input_required_result_list_roots" => {
            let roots = call.ask("client_roots", InputRequest::roots()).await?;
            call.text(&format!("The client offers: {}", roots.as_json()));
        }
        _ => return run_with_state(name, call).await,
    }
    Ok(())
}

/// Those that keep something from one round to the next, or ask for several things.
async fn run_with_state(name: &str, call: &mut CallContext) -> Result<(), ToolError> {
    match name {
        "test_input_required_result_request_state" => {
            call.carry("asked-for-confirmation");
            call.elicit::<serde_json::Value>("confirm", "Go on?", CONFIRM).await?;
            call.text(match call.carried() {
                Some("asked-for-confirmation") => "state-ok",
                _ => "the state is missing",
            });
        }
        "test_input_required_result_tampered_state" => {
            call.carry("untouched");
            call.elicit::<serde_json::Value>("confirm", "Go on?", CONFIRM).await?;
            call.text("The state came back as it was.");
        }
        "test_input_required_result_multiple_inputs" => {
            call.carry("three-at-once");
            let requests = vec![
                ("user_name".to_owned(), InputRequest::elicitation("Who are you?", &form_of("name"))),
                ("greeting".to_owned(), sampling("Write a greeting.")),
                ("client_roots".to_owned(), InputRequest::roots()),
            ];
            let answers = call.ask_all(requests).await?;
            call.text(&format!("All {} answers are there.", answers.len()));
        }
        "test_input_required_result_multi_round" => {
            call.carry("two steps");
            let step = |n: u8| format!("Step {n}: go on?");
            elicit_text(call, "step1", &step(1)).await?;
            elicit_text(call, "step2", &step(2)).await?;
            call.text("Both steps are done.");
        }
        "test_input_required_result_capabilities" => {
            let mut requests = Vec::new();
            if call.client_can(Capability::Sampling) {
                requests.push(("sample".to_owned(), sampling("Say something.")));
            }
            if call.client_can(Capability::Elicitation) {
                let form = InputRequest::elicitation("Who are you?", &form_of("name"));
                requests.push(("user_name".to_owned(), form));
            }
            let answers = call.ask_all(requests).await?;
            call.text(&format!("{} answers.", answers.len()));
        }
        _ => return Err(ToolError::failed(format_args!("there is no fixture {name}"))),
    }
    Ok(())
}

/// Asks for a name until there is one.
pub(crate) async fn ask_name(call: &mut CallContext) -> Result<String, ToolError> {
    let elicited = call.elicit::<Name>("user_name", "What is your name?", &form_of("name")).await?;
    Ok(elicited.accepted().map_or_else(|| "stranger".to_owned(), |answer| answer.name))
}

async fn elicit_text(call: &mut CallContext, key: &str, message: &str) -> Result<(), ToolError> {
    call.elicit::<serde_json::Value>(key, message, &form_of("answer")).await.map(drop)
}

async fn elicited(call: &mut CallContext, key: &str, message: &str, schema: &str) -> Result<(), ToolError> {
    let answer = call.ask(key, InputRequest::elicitation(message, schema)).await?;
    call.text(&format!("Elicitation completed: {}", answer.as_json()));
    Ok(())
}
