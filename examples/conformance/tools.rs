//! The tools: one family that dispatches by name.

use super::definitions::definitions;
use super::{inputs, tasks};
use mcpool::toolsets::{Finished, ToolRequest, Toolset};
use mcpool::{CallContext, Capability, LogLevel, ToolDefinition, ToolError};
use serde::Deserialize;
use std::time::Duration;

/// The smallest PNG there is: one red pixel.
pub(crate) const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0,
    0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 0x0c, b'I', b'D', b'A', b'T', 8, 0xd7, 0x63, 0xf8,
    0xcf, 0xc0, 0, 0, 3, 1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42,
    0x60, 0x82,
];
/// A WAV file of no samples.
const WAV: &[u8] =
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0";

/// All arguments of all fixtures.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Arguments<'a> {
    pub(crate) prompt: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) value: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    pub(crate) seconds: Option<f64>,
    pub(crate) filename: Option<&'a str>,
}

pub(crate) struct Fixtures;

impl Toolset for Fixtures {
    fn definitions(&self) -> Vec<ToolDefinition> {
        definitions()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        let decoded = request.admit::<Arguments<'f>>();
        async move {
            match decoded {
                Err(refused) => refused,
                Ok((arguments, mut call)) => {
                    let name = definitions()[index].name().to_owned();
                    let result = run(&name, &arguments, &mut call).await;
                    call.finish(result)
                }
            }
        }
    }
}

async fn run(name: &str, arguments: &Arguments<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    match name {
        "test_simple_text" => call.text("This is a simple text response for testing."),
        "test_image_content" => call.image_with("image/png", |image| image.push(PNG)),
        "test_audio_content" => call.audio_with("audio/wav", |audio| audio.push(WAV)),
        "test_embedded_resource" => {
            call.resource("test://embedded-resource", "text/plain", "This is an embedded resource content.");
        }
        "test_multiple_content_types" => {
            call.text("Multiple content types test:");
            call.image_with("image/png", |image| image.push(PNG));
            call.resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#,
            );
        }
        "test_error_handling" => {
            return Err(ToolError::failed("This tool intentionally returns an error for testing"));
        }
        "test_tool_with_progress" => progress(call).await,
        "test_tool_with_logging" => log(call).await,
        "test_reconnection" => reconnect(call).await,
        "json_schema_2020_12_tool" => call.text("The arguments are valid."),
        "test_missing_capability" => {
            call.require(Capability::Sampling)?;
            call.text("The client can sample.");
        }
        "test_streaming_elicitation" => call.text("Nothing but this answer is on the stream."),
        "test_logging_tool" => {
            call.log(LogLevel::Info, "conformance", "A message for those who asked for one.");
            call.text("Logged.");
        }
        "test_trigger_tool_change" => {
            call.tools_changed();
            call.text("The list of tools changed.");
        }
        "test_trigger_prompt_change" => {
            call.prompts_changed();
            call.text("The list of prompts changed.");
        }
        "test_trigger_resource_update" => {
            call.resource_updated("test://watched-resource");
            call.text("The watched resource changed.");
        }
        "test_custom_header" => call.text(arguments.value.unwrap_or("no value")),
        _ if tasks::knows(name) => return tasks::run(name, arguments, call).await,
        _ => return inputs::run(name, arguments, call).await,
    }
    Ok(())
}

/// Between two notifications of one call: as the suite describes the fixtures.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

async fn progress(call: &mut CallContext) {
    for done in [0.0, 50.0, 100.0] {
        call.progress(done, Some(100.0), Some("working"));
        // Longer than `progress_interval_ms`, so that each of them is sent.
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    call.text("All of it is done.");
}

async fn log(call: &mut CallContext) {
    for text in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        call.log(LogLevel::Info, "conformance", text);
        pause().await;
    }
    call.text("Logged three messages.");
}

async fn reconnect(call: &mut CallContext) {
    pause().await;
    call.release_stream();
    tokio::time::sleep(Duration::from_millis(300)).await;
    call.text("The client came back for this.");
}
