//! A whole server: one tool, on standard input and output.
//!
//! Try it: `cargo run --release -- call --server 'target/release/examples/echo' echo text=hello`
//! after `cargo build --release --example echo`.

use mcpool::{CallContext, Server, Tool, ToolAnnotations, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct EchoArguments<'a> {
    /// What to say back.
    text: &'a str,
}

struct Echo;

impl Tool for Echo {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says back what it is told.")
            .arguments::<EchoArguments<'_>>()
            .annotations(ToolAnnotations::local_read_only())
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.text(arguments.text);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Server::builder("echo", "1.0.0").tool(Echo).build()?.serve_stdio().await?;
    Ok(())
}
