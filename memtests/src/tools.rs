//! Tools that do what servers find hard: ask back, run on, flood, hold large arguments; and a resource to watch.

use crate::EchoArguments;
use mcpool::{
    CallContext, Limits, LogLevel, ReadContext, Resource, Resources, Server, Tool, ToolDefinition, ToolError,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::future::pending;

/// The URI of the resource of [`Notes`].
pub const NOTE: &str = "note://one";

/// A tool that asks its client for a name, in rounds or over the stream, as the era has it.
#[derive(Debug)]
pub struct Ask;

impl Tool for Ask {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("ask", "Asks who you are.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.carry("asked");
        let answer = call
            .elicit::<serde_json::Value>("who", arguments.text, r#"{"type":"object","properties":{}}"#)
            .await?;
        call.text(if answer.accepted().is_some() { "accepted" } else { "declined" });
        Ok(())
    }
}

/// A tool that goes on as a task, and never ends.
#[derive(Debug)]
pub struct Later;

impl Tool for Later {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("later", "Never ends.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.require_task()?;
        pending::<()>().await;
        call.text(arguments.text);
        Ok(())
    }
}

/// A tool that sends log messages and progress, and then never answers.
#[derive(Debug)]
pub struct Flood;

/// The arguments of [`Flood`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FloodArguments<'a> {
    /// How many messages of each kind.
    pub messages: u32,
    /// What each says.
    pub text: &'a str,
}

impl Tool for Flood {
    type Arguments<'a> = FloodArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("flood", "Says much.").arguments::<FloodArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: FloodArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        for message in 0..arguments.messages {
            call.log(LogLevel::Info, "flood", arguments.text);
            call.progress(f64::from(message), None, Some(arguments.text));
            if message % 16 == 15 {
                tokio::task::yield_now().await;
            }
        }
        pending::<()>().await;
        Ok(())
    }
}

/// A tool that answers with the length of its argument.
#[derive(Debug)]
pub struct Measure;

impl Tool for Measure {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("measure", "Tells how long a text is.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.text(&arguments.text.len().to_string());
        Ok(())
    }
}

/// A resource that others change.
#[derive(Debug)]
pub struct Notes;

impl Resources for Notes {
    fn list(&self) -> Vec<Resource> {
        vec![Resource::new(NOTE, "one")]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        if uri != NOTE {
            return Err(ToolError::NotFound);
        }
        read.text(uri, Some("text/plain"), "contents");
        Ok(())
    }
}

/// A server with all tools of this crate and its resource.
///
/// # Panics
/// When it cannot be built.
pub fn server(limits: &Limits) -> Server {
    // Advice on pools is remembered from its first interval on, a minute after the start: between the looks at the heap,
    // in a test that takes longer.
    let limits = Limits { tune_interval_ms: 0, ..limits.clone() };
    let builder = Server::builder("memtests", "1").limits(limits).tasks().resources(Notes);
    let builder =
        builder.tool(crate::Echo).tool(crate::Stall).tool(Ask).tool(Later).tool(Flood).tool(Measure);
    builder.build().expect("a server")
}
