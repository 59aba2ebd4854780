//! The server of three tools on rmcp that the guide shows beside the same server on mcpool (`docs/src/from_rmcp.md`).
//!
//! `tests/tidy.rs` holds that the guide shows this text, and which of both is longer.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::stdio;
use rmcp::{ServiceExt, schemars, tool, tool_router};
use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Deserialize, schemars::JsonSchema)]
struct Text {
    /// What to say back.
    text: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Summands {
    a: f64,
    b: f64,
}

#[derive(Default)]
struct Tools {
    visits: AtomicU64,
}

#[tool_router(server_handler)]
impl Tools {
    /// Says back what it is told.
    #[tool]
    fn echo(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        text
    }

    /// Adds two numbers.
    #[tool]
    fn add(&self, Parameters(Summands { a, b }): Parameters<Summands>) -> String {
        (a + b).to_string()
    }

    /// Counts a visit.
    #[tool]
    fn visit(&self) -> String {
        (self.visits.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Tools::default().serve(stdio()).await?.waiting().await?;
    Ok(())
}
