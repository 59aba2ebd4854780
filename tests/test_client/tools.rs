//! Tools that behave in every way a tool may.

use mcpool::{CallContext, Limits, LogLevel, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many calls of a kind were dropped before they were done.
pub type Stopped = Arc<AtomicUsize>;

/// A server with all of these tools, and what it counts.
pub fn server() -> (Server, Stopped) {
    let stopped = Stopped::default();
    (build(Limits::default(), &stopped), stopped)
}

/// The same within other limits.
pub fn server_with(limits: Limits) -> Server {
    build(limits, &Stopped::default())
}

fn build(limits: Limits, stopped: &Stopped) -> Server {
    Server::builder("test", "1.0")
        .limits(limits)
        .instructions("For tests.")
        .tool(Echo)
        .tool(Wait { stopped: Arc::clone(stopped) })
        .tool(Grind { stopped: Arc::clone(stopped) })
        .tool(Fail)
        .tool(Glance)
        .tool(Panic)
        .tool(Measure)
        .tool(Flood)
        .build()
        .expect("a server")
}

/// Says back what it is told, at once.
pub struct Echo;

#[derive(Deserialize, JsonSchema)]
pub struct EchoArguments<'a> {
    text: &'a str,
    #[serde(default)]
    repeat: Option<u32>,
}

impl Tool for Echo {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says back what it is told.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        for _ in 0..arguments.repeat.unwrap_or(1) {
            call.text(arguments.text);
        }
        Ok(())
    }
}

/// Waits on a timer, still holding its borrowed arguments.
struct Wait {
    stopped: Stopped,
}

#[derive(Deserialize, JsonSchema)]
struct WaitArguments<'a> {
    milliseconds: u64,
    label: &'a str,
}

impl Tool for Wait {
    type Arguments<'a> = WaitArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("wait", "Answers later.").arguments::<WaitArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: WaitArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let mut unfinished = CountOnDrop(Some(Arc::clone(&self.stopped)));
        tokio::time::sleep(Duration::from_millis(arguments.milliseconds)).await;
        unfinished.is_done();
        call.text(arguments.label);
        Ok(())
    }
}

struct CountOnDrop(Option<Stopped>);

impl CountOnDrop {
    fn is_done(&mut self) {
        self.0 = None;
    }
}

impl Drop for CountOnDrop {
    fn drop(&mut self) {
        if let Some(stopped) = &self.0 {
            stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Works on a blocking thread in steps, reporting each, until it is done or cancelled.
struct Grind {
    stopped: Stopped,
}

#[derive(Deserialize, JsonSchema)]
struct GrindArguments {
    steps: u32,
    step_milliseconds: u64,
}

impl Tool for Grind {
    type Arguments<'a> = GrindArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("grind", "Works and reports.").arguments::<GrindArguments>()
    }

    async fn call(&self, arguments: GrindArguments, call: &mut CallContext) -> Result<(), ToolError> {
        // A call may be cancelled before its thread begins.
        let mut unfinished = CountOnDrop(Some(Arc::clone(&self.stopped)));
        call.offload(move |call| {
            for step in 0..arguments.steps {
                if call.is_cancelled() {
                    return Err(ToolError::Cancelled);
                }
                call.progress(f64::from(step), Some(f64::from(arguments.steps)), Some("grinding"));
                std::thread::sleep(Duration::from_millis(arguments.step_milliseconds));
            }
            unfinished.is_done();
            call.text("ground");
            Ok(())
        })
        .await
    }
}

/// Reports progress and is done at once.
struct Glance;

#[derive(Deserialize, JsonSchema)]
struct GlanceArguments {}

impl Tool for Glance {
    type Arguments<'a> = GlanceArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("glance", "Reports once.").arguments::<GlanceArguments>()
    }

    async fn call(&self, _: GlanceArguments, call: &mut CallContext) -> Result<(), ToolError> {
        call.progress(1.0, None, None);
        call.text("glanced");
        Ok(())
    }
}

/// Fails in the way that it is told.
struct Fail;

#[derive(Deserialize, JsonSchema)]
struct FailArguments<'a> {
    how: &'a str,
}

impl Tool for Fail {
    type Arguments<'a> = FailArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("fail", "Fails.").arguments::<FailArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: FailArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.text("lost");
        match arguments.how {
            "params" => Err(ToolError::InvalidParams("how is wrong")),
            "io" => Err(std::fs::read("/nonexistent/file").expect_err("there is no such file"))?,
            how => Err(ToolError::failed(format_args!("failed: {how}"))),
        }
    }
}

/// Panics, at once or on a thread.
struct Panic;

#[derive(Deserialize, JsonSchema)]
struct PanicArguments {
    offloaded: bool,
}

impl Tool for Panic {
    type Arguments<'a> = PanicArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("panic", "Panics.").arguments::<PanicArguments>()
    }

    async fn call(&self, arguments: PanicArguments, call: &mut CallContext) -> Result<(), ToolError> {
        assert!(arguments.offloaded, "this tool panics");
        call.offload(|_| panic!("this tool panics on a thread")).await
    }
}

/// Gives a structured answer, a log message, and blocks of every kind.
struct Measure;

#[derive(Deserialize, JsonSchema)]
struct MeasureArguments<'a> {
    kind: &'a str,
}

#[derive(Serialize, JsonSchema)]
struct Measured {
    celsius: f64,
    place: &'static str,
}

impl Tool for Measure {
    type Arguments<'a> = MeasureArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("measure", "Measures.").title("Measure").arguments::<MeasureArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: MeasureArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.log(LogLevel::Debug, "measure", "looking");
        call.log(LogLevel::Warning, "measure", &["cold", "wet"]);
        match arguments.kind {
            "structured" => call.structured(&Measured { celsius: 21.5, place: "a \"quoted\" place" })?,
            "text twice" => {
                call.text_with(|text| {
                    text.push_lossy(b"caf\xC3");
                    text.push_lossy(b"\xA9 \xFF\n");
                });
                call.structured_from_text();
            }
            "blocks" => {
                call.image_with("image/png", |data| {
                    data.push(b"a");
                    data.push(b"bcd");
                });
                call.audio_with("audio/wav", |data| data.push(b"ab"));
                call.blob_with("file:///x", "application/octet-stream", |data| data.push(&[0, 255]));
                call.structured_from_block();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Answers with as many bytes as it is told.
struct Flood;

#[derive(Deserialize, JsonSchema)]
struct FloodArguments {
    bytes: usize,
}

impl Tool for Flood {
    type Arguments<'a> = FloodArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("flood", "Answers at length.").arguments::<FloodArguments>()
    }

    async fn call(&self, arguments: FloodArguments, call: &mut CallContext) -> Result<(), ToolError> {
        call.text_with(|text| {
            for _ in 0..arguments.bytes / 1_000 {
                text.push_str(&"x".repeat(1_000));
            }
        });
        Ok(())
    }
}
