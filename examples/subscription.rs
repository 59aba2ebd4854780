//! A resource that clients subscribe to, and a tool that changes it.
//!
//! Try it: `cargo build --release --example subscription`, then
//! `cargo run --release -- call --server 'target/release/examples/subscription' set_status text=open`.

use mcpool::resources::{ReadContext, Resource, Resources};
use mcpool::{CallContext, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};

const STATUS_URI: &str = "board://status";
const MAX_STATUS_BYTES: usize = 1_000;

/// What the tool writes and the resource shows.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<String>>);

impl Board {
    fn status(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_status(&self, text: &str) {
        text.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Resources for Board {
    fn list(&self) -> Vec<Resource> {
        vec![Resource::new(STATUS_URI, "status").description("What is going on.").mime_type("text/plain")]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        if uri != STATUS_URI {
            return Err(ToolError::NotFound);
        }
        read.text(uri, Some("text/plain"), &self.status());
        Ok(())
    }
}

#[derive(Deserialize, JsonSchema)]
struct Status<'a> {
    /// What is going on now.
    text: &'a str,
}

struct SetStatus(Board);

impl Tool for SetStatus {
    type Arguments<'a> = Status<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("set_status", "Says what is going on.").arguments::<Status<'_>>()
    }

    async fn call<'a>(&'a self, status: Status<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        if status.text.len() > MAX_STATUS_BYTES {
            return Err(ToolError::failed(format_args!("a status may have {MAX_STATUS_BYTES} bytes")));
        }
        self.0.set_status(status.text);
        // Who subscribed hears of it and reads the resource again.
        call.resource_updated(STATUS_URI);
        call.text("done");
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let board = Board::default();
    let server = Server::builder("board", "1.0.0").tool(SetStatus(board.clone())).resources(board).build()?;
    server.serve_stdio().await?;
    Ok(())
}
