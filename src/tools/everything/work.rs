//! The tools that take their time.

use super::js_number::JsNumber;
use crate::protocol::{Capability, InputRequest, InputResponse};
use crate::server::{CallContext, ToolError};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The most steps of a long operation, each of which may be a message.
const MAX_STEPS: f64 = 10_000.0;
/// The longest operation.
const MAX_SECONDS: f64 = 86_400.0;
/// How long each stage of a research takes.
const STAGE: Duration = Duration::from_secs(1);
/// The stages of a research.
const STAGES: [&str; 4] =
    ["Gathering sources", "Analyzing content", "Synthesizing findings", "Generating report"];
/// The stage at which a research asks what is meant.
const UNCLEAR_STAGE: usize = 2;
/// What is said of all researches behind what is said of one.
const ABOUT: &str = include_str!("about.txt");

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct LongRunning {
    #[serde(default = "ten")]
    duration: f64,
    #[serde(default = "five")]
    steps: f64,
}

fn ten() -> f64 {
    10.0
}

fn five() -> f64 {
    5.0
}

/// Waits in steps, and reports each. Dropped when the client cancels.
pub(super) async fn long_running(arguments: LongRunning, call: &mut CallContext) -> Result<(), ToolError> {
    let LongRunning { duration, steps } = arguments;
    if !(0.0..=MAX_SECONDS).contains(&duration) || steps > MAX_STEPS {
        let refusal = "duration must be from 0 to 86400 seconds, with at most 10000 steps";
        return Err(ToolError::failed(refusal));
    }
    let mut step = 1.0;
    while step < steps + 1.0 {
        let pause = Duration::try_from_secs_f64(duration / steps).unwrap_or_default();
        tokio::time::sleep(pause).await;
        call.progress(step, Some(steps), None);
        step += 1.0;
    }
    let (duration, steps) = (JsNumber(duration), JsNumber(steps));
    call.text(&format!("Long running operation completed. Duration: {duration} seconds, Steps: {steps}."));
    Ok(())
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Research<'a> {
    topic: &'a str,
    #[serde(default)]
    ambiguous: bool,
}

/// Goes through the stages of a research, as a task.
pub(super) async fn research(research: Research<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    let Research { topic, ambiguous } = research;
    call.require_task()?;
    let mut clarification = None;
    for (stage, name) in STAGES.iter().enumerate() {
        let so_far = |call: &mut CallContext, message: &str| {
            call.progress(stage as f64, Some(STAGES.len() as f64), Some(message));
        };
        so_far(call, &format!("{name}..."));
        if stage == UNCLEAR_STAGE && ambiguous && call.client_can(Capability::Elicitation) {
            let unclear =
                format!("Found multiple interpretations for \"{topic}\". Requesting clarification...");
            so_far(call, &unclear);
            drop(unclear);
            let meant = match call.ask("interpretation", what_is_meant(topic)).await {
                Ok(response) => meaning(Some(&response)),
                Err(ToolError::Failed(_)) => meaning(None),
                Err(error) => return Err(error),
            };
            so_far(call, &format!("Continuing with interpretation: \"{meant}\"..."));
            clarification = Some(meant);
        }
        tokio::time::sleep(STAGE).await;
    }
    call.text(&report(topic, clarification.as_deref()));
    Ok(())
}

/// The question which topic is meant. Apart from the wait for the answer, which is to hold none of its parts.
fn what_is_meant(topic: &str) -> InputRequest {
    let meanings = if topic.to_lowercase().contains("python") {
        [
            ("programming", "Python programming language"),
            ("snake", "Python snake species"),
            ("comedy", "Monty Python comedy group"),
        ]
    } else {
        [
            ("technical", "Technical/scientific perspective"),
            ("historical", "Historical perspective"),
            ("current", "Current events/news perspective"),
        ]
    };
    let choices = meanings.map(|(value, title)| serde_json::json!({"const": value, "title": title}));
    let schema = serde_json::json!({
        "type": "object",
        "properties": {"interpretation": {
            "type": "string",
            "title": "Clarification",
            "description": "Which interpretation of the topic do you mean?",
            "oneOf": choices,
        }},
        "required": ["interpretation"],
    });
    let message = format!(
        "The research query \"{topic}\" could have multiple interpretations. Please clarify what you're looking for:"
    );
    InputRequest::elicitation(&message, &schema.to_string())
}

/// What the client said is meant; `None` where it could not be asked.
fn meaning(response: Option<&InputResponse>) -> String {
    let Some(response) = response else { return "technical (default - elicitation unavailable)".to_owned() };
    let answer: Value = response.decode().unwrap_or_default();
    match answer["action"].as_str() {
        Some("accept") if answer["content"].is_object() => {
            let chosen = answer["content"]["interpretation"].as_str().filter(|chosen| !chosen.is_empty());
            chosen.unwrap_or("User accepted without selection").to_owned()
        }
        Some("decline") => "User declined - using default interpretation".to_owned(),
        _ => "User cancelled - using default interpretation".to_owned(),
    }
}

/// The report, word for word that of the reference.
fn report(topic: &str, clarification: Option<&str>) -> String {
    let title = clarification.map_or_else(|| topic.to_owned(), |meant| format!("{topic} ({meant})"));
    let parameter = clarification.map(|meant| format!("- **Clarification**: {meant}")).unwrap_or_default();
    let stages: Vec<_> =
        STAGES.iter().enumerate().map(|(index, stage)| format!("- Stage {}: {stage} ✓", index + 1)).collect();
    let flow = clarification.map_or_else(String::new, |meant| {
        let outcome = if meant.contains("unavailable") {
            "**Note:** Elicitation failed and a default interpretation was used.".to_owned()
        } else {
            format!("After receiving clarification (\"{meant}\"), the task resumed processing and completed.")
        };
        format!(
            "**Elicitation Flow:**\nWhen the query was ambiguous, the server sent an `elicitation/create` request\nto the \
             client. The task status changed to `input_required` while awaiting user input.\n{outcome}\n"
        )
    });
    let waited = if clarification.is_some() { "`input_required` → `working` → " } else { "" };
    let about = ABOUT.replace("{waited}", waited).replace("{flow}", &flow);
    format!(
        "# Research Report: {title}\n\n## Research Parameters\n- **Topic**: {topic}\n{parameter}\n\n## Synthesis\nThis research \
         query was processed through {} stages:\n{}\n\n---\n\n{about}",
        STAGES.len(),
        stages.join("\n")
    )
}
