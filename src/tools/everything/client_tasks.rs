//! The tools whose request becomes a task of the client (`-async`): the server asks for it, polls how far it is, and fetches
//! what it came to.

use super::ask::{Sampling, is_truthy, shown};
use super::pretty::Pretty;
use super::session::Nothing;
use crate::protocol::{InputKind, InputRequest, InputResponse};
use crate::server::{CallContext, ToolError};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The time between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Polls for a message of a model.
const SAMPLING_POLLS: u32 = 60;
/// Polls for a form: ten minutes for a person.
const FORM_POLLS: u32 = 600;
/// The polls are reported in at most so many lines, each with so many bytes of the client's own words.
const MAX_LINES: usize = 70;
const MAX_WORDS: usize = 128;
/// The longest name that a client may give its task.
const MAX_ID_BYTES: usize = 256;
/// What is held of a task until it is done.
const FOLLOWED_BYTES: usize = 16 * 1024;
/// The form.
const FORM: &str = include_str!("async_form.json");

/// A client's answer that names its task.
#[derive(Debug, Deserialize)]
struct Begun {
    task: Option<Task>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
    status: String,
}

/// How far a task is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    status: String,
    #[serde(default)]
    status_message: String,
}

/// How a task ended, and the lines about its polls.
enum End {
    /// With this result.
    Done(InputResponse, String),
    /// With this text for the model.
    Undone(String),
}

/// Asks the client's model for a message, as a task of the client.
pub(super) async fn sample(sampling: Sampling<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    refuse_newest(call)?;
    let mut params = sampling.params("trigger-sampling-request-async");
    params["task"] = serde_json::json!({"ttl": 300_000});
    let request = InputRequest::sampling_task(params.to_string());
    let response = call.ask("sampling", request.clone()).await?;
    let polls = Polls { request, most: SAMPLING_POLLS, tells: |_, _| true };
    let text = match polls.follow(&response, call).await? {
        None => synchronous(&response),
        Some(End::Undone(text)) => text,
        Some(End::Done(result, progress)) => format!(
            "[COMPLETED] Async sampling completed!\n\n**Progress:**\n{progress}\n\n**Result:**\n{}",
            Pretty(result.as_json())
        ),
    };
    call.text(&text);
    Ok(())
}

/// Asks the user to fill in a form, as a task of the client.
pub(super) async fn fill_in(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    refuse_newest(call)?;
    let request = InputRequest::elicitation_task(FORM.to_owned());
    let response = call.ask("form", request.clone()).await?;
    // A person takes long, and each poll until then is as the one before.
    let tells = |poll: u32, status: &str| poll == 1 || poll.is_multiple_of(10) || status != "input_required";
    let polls = Polls { request, most: FORM_POLLS, tells };
    match polls.follow(&response, call).await? {
        None => call.text(&synchronous(&response)),
        Some(End::Undone(text)) => call.text(&text),
        Some(End::Done(result, progress)) => tell_form(&result, &progress, call),
    }
    Ok(())
}

/// Clients of the newest revision have no tasks of their own.
fn refuse_newest(call: &CallContext) -> Result<(), ToolError> {
    if call.is_modern() {
        return Err(ToolError::failed("clients have tasks of their own in revision 2025-11-25 only"));
    }
    Ok(())
}

fn synchronous(response: &InputResponse) -> String {
    format!("[SYNC] Client executed synchronously:\n{}", Pretty(response.as_json()))
}

/// Tells what became of the form.
fn tell_form(result: &InputResponse, progress: &str, call: &mut CallContext) {
    let filled: Value = result.decode().unwrap_or_default();
    let content = &filled["content"];
    match filled["action"].as_str() {
        Some("accept") if is_truthy(content) => {
            call.text("[COMPLETED] User provided the requested information!");
            let named =
                [("name", "Name"), ("favoriteColor", "Favorite Color"), ("agreeToTerms", "Agreed to terms")];
            let lines = named.iter().filter_map(|(member, name)| {
                let value = content.get(*member)?;
                (*member == "agreeToTerms" || is_truthy(value)).then(|| format!("- {name}: {}", shown(value)))
            });
            call.text(&format!("User inputs:\n{}", lines.collect::<Vec<_>>().join("\n")));
        }
        Some("decline") => call.text("[DECLINED] User declined to provide the requested information."),
        Some("cancel") => call.text("[CANCELLED] User cancelled the elicitation dialog."),
        _ => {}
    }
    call.text(&format!("\nProgress:\n{progress}\n\nRaw result: {}", Pretty(result.as_json())));
}

/// How a task is followed.
struct Polls {
    /// What became the task.
    request: InputRequest,
    most: u32,
    /// Whether a poll of that number and with that status is reported.
    tells: fn(u32, &str) -> bool,
}

impl Polls {
    /// Polls until the task is done; `None` where the answer is no task.
    async fn follow(
        &self,
        response: &InputResponse,
        call: &mut CallContext,
    ) -> Result<Option<End>, ToolError> {
        let Some(task) = response.decode::<Begun>().ok().and_then(|begun| begun.task) else {
            return Ok(None);
        };
        if task.task_id.len() > MAX_ID_BYTES {
            return Err(ToolError::failed(format_args!(
                "the name of the client's task has more than {MAX_ID_BYTES} bytes"
            )));
        }
        let _memory = call.reserve_lasting(FOLLOWED_BYTES)?;
        let mut lines = vec![format!("Task created: {}", task.task_id)];
        let mut now = Status { status: task.status, status_message: String::new() };
        let mut polls = 0;
        while !matches!(now.status.as_str(), "completed" | "failed" | "cancelled") && polls < self.most {
            tokio::time::sleep(POLL_INTERVAL).await;
            polls += 1;
            let asked = self.request.of_task(InputKind::TaskStatus, &task.task_id);
            let answer = call.ask(&format!("poll {polls}"), asked).await?;
            now = answer.decode()?;
            if (self.tells)(polls, &now.status) && lines.len() < MAX_LINES {
                lines.push(format!("Poll {polls}: {}", now.shown()));
            }
        }
        let progress = lines.join("\n");
        if polls >= self.most {
            let text = format!(
                "[TIMEOUT] Task timed out after {} poll attempts\n\nProgress:\n{progress}",
                self.most
            );
            return Ok(Some(End::Undone(text)));
        }
        if now.status != "completed" {
            let message = if now.status_message.is_empty() { "No message" } else { &now.status_message };
            let text = format!("[{}] {message}\n\nProgress:\n{progress}", now.status.to_uppercase());
            return Ok(Some(End::Undone(text)));
        }
        let asked = self.request.of_task(InputKind::TaskResult, &task.task_id);
        Ok(Some(End::Done(call.ask("result", asked).await?, progress)))
    }
}

impl Status {
    fn shown(&self) -> String {
        let words = |text: &str| text[..text.floor_char_boundary(MAX_WORDS)].to_owned();
        let status = words(&self.status);
        if self.status_message.is_empty() {
            status
        } else {
            format!("{status} - {}", words(&self.status_message))
        }
    }
}
