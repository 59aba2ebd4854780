//! The memory report and the alerts as resources that agents read and subscribe to, and a prompt that asks them to tune.
//!
//! For a caller that is not an administrator neither exists. Invariant: the report is made only when somebody reads
//! it.

use crate::memory::MemoryReport;
use crate::protocol::{Prompt, Resource, Role};
use crate::report::write_markdown;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::prompts::{PromptContext, Prompts};
use crate::server::handler::resources::{ALERTS_URI, REPORT_URI, ReadContext, Resources, is_withheld};

/// The prompt that asks for tuning.
const TUNE_PROMPT: &str = "tune-memory";

const ASK: &str = "Read the memory report of this MCP server below. Name what is wrong, worst first, with the \
    figures that show it. Then give the settings to change as lines of mcpool.toml, each with what it costs and \
    what it gains. Leave alone what is well.";

/// The resource and the prompt, for a server that offers them.
#[derive(Clone, Copy)]
pub(crate) struct MemoryResource;

impl Resources for MemoryResource {
    fn list(&self) -> Vec<Resource> {
        let report =
            Resource::new(REPORT_URI, "memory-report").title("Memory report").mime_type("application/json");
        let report = report.description(
            "Where every byte of this server is, how its pools are used and how large they should be: as JSON, and \
             the same as Markdown.",
        );
        let alerts = Resource::new(ALERTS_URI, "alerts").title("Alerts").mime_type("application/json");
        let alerts = alerts.description(
            "What takes longer than usual or than it may: since when, against what, its likely cause, and the command \
             that shows more. Empty where all is well.",
        );
        vec![report, alerts]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        if ![REPORT_URI, ALERTS_URI].contains(&uri) || is_withheld(uri, read.is_admin()) {
            return Err(ToolError::NotFound);
        }
        let report = read.memory().report();
        if uri == ALERTS_URI {
            read.text(uri, Some("application/json"), &serde_json::to_string(&report.alerts)?);
            return Ok(());
        }
        read.text(uri, Some("application/json"), &serde_json::to_string(&report)?);
        read.text(uri, Some("text/markdown"), &markdown(&report)?);
        Ok(())
    }
}

impl Prompts for MemoryResource {
    fn list(&self) -> Vec<Prompt> {
        vec![Prompt::new(TUNE_PROMPT, "Reads the memory report of this server and asks for better settings.")]
    }

    async fn get(&self, _name: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
        if !prompt.is_admin() {
            return Err(ToolError::NotFound);
        }
        let report = markdown(&prompt.memory().report())?;
        prompt.text(Role::User, ASK);
        // Text, not an embedded resource: every client can show it.
        prompt.text(Role::User, &report);
        Ok(())
    }
}

fn markdown(report: &MemoryReport) -> Result<String, ToolError> {
    let mut text = Vec::new();
    write_markdown(report, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
