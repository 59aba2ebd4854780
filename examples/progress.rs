//! A tool that takes its time: it reports progress, and writes its answer piece by piece.
//!
//! Try it: `cargo build --release --example progress`, then
//! `cargo run --release -- call --server 'target/release/examples/progress' count_down from=5`.

use mcpool::{CallContext, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
struct Start {
    /// The number to begin with, 100 at most.
    from: u8,
}

struct CountDown;

impl Tool for CountDown {
    type Arguments<'a> = Start;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("count_down", "Counts down to zero, a number each tenth of a second.")
            .arguments::<Start>()
    }

    async fn call(&self, start: Start, call: &mut CallContext) -> Result<(), ToolError> {
        if start.from > 100 {
            return Err(ToolError::failed("begin with 100 at most"));
        }
        for done in 0..start.from {
            // Sent only if the client asked for it, and not more often than `progress_interval_ms`.
            call.progress(f64::from(done) + 1.0, Some(f64::from(start.from)), Some("counting"));
            // A client that cancels has this future dropped here: nothing else is to be done.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        call.text_with(|text| {
            for number in (0..=start.from).rev() {
                text.push_str(&number.to_string());
                text.push_str(if number > 0 { ", " } else { "." });
            }
        });
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Server::builder("progress", "1.0.0").tool(CountDown).build()?.serve_stdio().await?;
    Ok(())
}
