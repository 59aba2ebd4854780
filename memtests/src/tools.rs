//! Tools that do what servers find hard: ask back, run on, flood, panic, hold large arguments; a resource to watch,
//! and a prompt.

use crate::EchoArguments;
use mcpool::prompts::{Prompt, PromptArgument, PromptContext, Prompts};
use mcpool::resources::{ReadContext, Resource, Resources};
use mcpool::tools::filesystem::Filesystem;
use mcpool::toolsets::Toolset;
use mcpool::{CallContext, Limits, LogLevel, Role, Server, ServerBuilder, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::future::pending;
use std::path::Path;

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

/// What [`Crash`] panics with.
pub const CRASH: &str = "a tool of the memory tests panics, as it should";

/// A tool that panics with its argument in its hands.
#[derive(Debug)]
pub struct Crash;

impl Tool for Crash {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("crash", "Panics.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let held = arguments.text.to_owned();
        // Begun, so that there is an answer to throw away; and once, so that the request waits first.
        call.text(&held);
        tokio::task::yield_now().await;
        assert!(held.is_empty(), "{CRASH}");
        Ok(())
    }
}

/// A tool that reports each step it takes, and then answers.
#[derive(Debug)]
pub struct Steps;

impl Tool for Steps {
    type Arguments<'a> = FloodArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("steps", "Takes so many steps.").arguments::<FloodArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: FloodArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        for step in 0..arguments.messages {
            call.progress(f64::from(step), Some(f64::from(arguments.messages)), Some(arguments.text));
            tokio::task::yield_now().await;
        }
        call.text("there");
        Ok(())
    }
}

/// A prompt with an argument.
#[derive(Debug)]
pub struct Greeting;

impl Prompts for Greeting {
    fn list(&self) -> Vec<Prompt> {
        vec![Prompt::new("greeting", "Greets.").argument(PromptArgument::new("name").required())]
    }

    async fn get(&self, _: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
        let is_known = prompt.argument("name").is_some_and(|name| !name.is_empty());
        prompt.text(Role::User, if is_known { "welcome" } else { "who is there?" });
        Ok(())
    }
}

/// A server with all tools of this crate, its resource and its prompt.
///
/// # Panics
/// When it cannot be built.
pub fn server(limits: &Limits) -> Server {
    builder(limits).build().expect("a server")
}

/// The same server with the filesystem tools over `folder`.
///
/// # Panics
/// When it cannot be built.
pub fn server_over(folder: &Path, limits: &Limits) -> Server {
    let (filesystem, warnings) = Filesystem::new(&[folder.to_owned()], false).expect("the tools");
    assert!(warnings.is_empty(), "{warnings:?}");
    builder(limits).toolset(filesystem).build().expect("a server")
}

fn builder(limits: &Limits) -> ServerBuilder<impl Toolset> {
    // Advice on pools is remembered from its first interval on, a minute after the start: between the looks at the heap,
    // in a test that takes longer. And what other programs of this machine take must not move what is counted here.
    let limits = Limits { tune_interval_ms: 0, memory_limit_bytes: 512 << 30, ..limits.clone() };
    let builder = Server::builder("memtests", "1").limits(limits).tasks().resources(Notes).prompts(Greeting);
    let builder = builder.tool(crate::Echo).tool(crate::Stall).tool(crate::Offload);
    builder.tool(Ask).tool(Later).tool(Flood).tool(Measure).tool(Crash).tool(Steps)
}
