//! Tools with state: a counter that all clients share, and a note that each session keeps for itself.
//!
//! Try it: `cargo build --release --example stateful`, then
//! `cargo run --release -- call --server 'target/release/examples/stateful' count_visit`.

use mcpool::{CallContext, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest note: what is kept for a client has a bound.
const MAX_NOTE_BYTES: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// State of all clients is a field of the tool.
struct CountVisit {
    visits: AtomicU64,
}

impl Tool for CountVisit {
    type Arguments<'a> = Nothing;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("count_visit", "Counts one visit and says how many there were.")
            .arguments::<Nothing>()
    }

    async fn call(&self, _: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
        let visits = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
        call.text(&visits.to_string());
        Ok(())
    }
}

#[derive(Deserialize, JsonSchema)]
struct NoteArguments<'a> {
    /// What to keep. Without it the tool says what was kept.
    text: Option<&'a str>,
}

/// State of one client is stored in its session, by type.
struct Note(String);

struct KeepNote;

impl Tool for KeepNote {
    type Arguments<'a> = NoteArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("keep_note", "Keeps a note for this session, or shows it.")
            .arguments::<NoteArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: NoteArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let Some(text) = arguments.text else {
            let note = call.session_values().find::<Note>();
            call.text(note.as_ref().map_or("nothing was kept", |note| &note.0));
            return Ok(());
        };
        if text.len() > MAX_NOTE_BYTES {
            return Err(ToolError::failed(format_args!("a note may have {MAX_NOTE_BYTES} bytes")));
        }
        // The memory report shows these bytes as part of the sessions.
        call.session_values().put(Arc::new(Note(text.to_owned())), text.len());
        call.text("kept");
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count_visit = CountVisit { visits: AtomicU64::new(0) };
    Server::builder("stateful", "1.0.0").tool(count_visit).tool(KeepNote).build()?.serve_stdio().await?;
    Ok(())
}
