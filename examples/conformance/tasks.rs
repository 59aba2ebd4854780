//! Tools that go on as tasks.

use super::inputs::{self, form_of};
use super::tools::Arguments;
use mcpool::{CallContext, InputRequest, ToolError};
use std::time::Duration;

const NAMES: [&str; 7] = [
    "greet",
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];

pub(crate) fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(crate) async fn run(
    name: &str,
    arguments: &Arguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    match name {
        "greet" => call.text(&format!("Hello, {}!", arguments.name.unwrap_or("stranger"))),
        "slow_compute" => {
            call.prefer_task()?;
            let seconds = arguments.seconds.unwrap_or(1.0).clamp(0.0, 60.0);
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            call.text(&format!("{} took {seconds} s", arguments.label.unwrap_or("It")));
        }
        "failing_job" => {
            call.require_task()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(ToolError::failed("The job failed, as it always does."));
        }
        "protocol_error_job" => {
            call.require_task()?;
            return Err(ToolError::Protocol {
                code: -32603,
                message: "The job broke the server.".to_owned(),
            });
        }
        "confirm_delete" => {
            call.require_task()?;
            let question = format!("Delete {}?", arguments.filename.unwrap_or("the file"));
            let schema =
                r#"{"type":"object","properties":{"confirm":{"type":"boolean"}},"required":["confirm"]}"#;
            let answer = call.ask("confirm", InputRequest::elicitation(&question, schema)).await?;
            let said_yes = answer.as_json().contains("true");
            call.text(if said_yes { "Deleted." } else { "Kept." });
        }
        "multi_input" => {
            call.require_task()?;
            let form = |field| InputRequest::elicitation("Fill this in.", &form_of(field));
            let requests = vec![("first".to_owned(), form("first")), ("second".to_owned(), form("second"))];
            let answers = call.ask_all(requests).await?;
            call.text(&format!("{} answers came.", answers.len()));
        }
        _ => {
            let name = inputs::ask_name(call).await?;
            call.require_task()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            call.text(&format!("The task is done, {name}."));
        }
    }
    Ok(())
}
