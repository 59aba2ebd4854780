//! A server on the library mcpool, for `versus` and `soak`. It has `echo` and `length`, as `rmcp_echo` has, and for a
//! soak `count`, which reports progress, `change`, which notifies all who listen, and the tools of a folder.
//!
//! `mcpool_echo [THREADS] [LIMIT=VALUE]... [FOLDER]` speaks HTTP, says on standard error where it listens, and ends
//! with SIGTERM. `mcpool_echo stdio` has `echo` and `length` for one client, on standard input and output.

use mcpool::limits::LimitOption;
use mcpool::tools::filesystem::Filesystem;
use mcpool::transport::{HttpConfig, Listener, TcpOptions, serve_http};
use mcpool::{CallContext, Drain, Limits, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The allocator of the program `mcpool`, which `main` sets as the program does.
#[global_allocator]
static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;

#[derive(Deserialize, JsonSchema)]
struct Text<'a> {
    /// What to say back, or to measure.
    text: &'a str,
}

struct Echo;

impl Tool for Echo {
    type Arguments<'a> = Text<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says back what it is told.").arguments::<Text<'_>>()
    }

    async fn call<'a>(&'a self, arguments: Text<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        call.text(arguments.text);
        Ok(())
    }
}

struct Length;

impl Tool for Length {
    type Arguments<'a> = Text<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("length", "Says how many bytes it is told.").arguments::<Text<'_>>()
    }

    async fn call<'a>(&'a self, arguments: Text<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        call.text(&arguments.text.len().to_string());
        Ok(())
    }
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    /// How far to count.
    steps: u32,
    /// Milliseconds between two steps.
    interval_ms: u64,
}

struct Count;

impl Tool for Count {
    type Arguments<'a> = Steps;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("count", "Counts, and reports each step.").arguments::<Steps>()
    }

    async fn call(&self, arguments: Steps, call: &mut CallContext) -> Result<(), ToolError> {
        for step in 1..=arguments.steps {
            call.progress(f64::from(step), Some(f64::from(arguments.steps)), Some("counting"));
            tokio::time::sleep(Duration::from_millis(arguments.interval_ms)).await;
        }
        call.text("counted");
        Ok(())
    }
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

struct Change;

impl Tool for Change {
    type Arguments<'a> = Nothing;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("change", "Tells all who listen that tools changed.").arguments::<Nothing>()
    }

    async fn call(&self, _: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
        call.tools_changed();
        call.text("changed");
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    mcpool_mimalloc::set_purge_delay_ms(0);
    if std::env::args().nth(1).as_deref() == Some("stdio") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Server::builder("mcpool_echo", "1").tool(Echo).tool(Length).build()?;
        return Ok(runtime.block_on(server.serve_stdio())?);
    }
    let (mut threads, mut folders, mut limits) = (2, Vec::new(), Limits::default());
    for argument in std::env::args().skip(1) {
        if let Some((name, value)) = argument.split_once('=') {
            let option = LimitOption::named(name).ok_or_else(|| format!("no limit is called {name}"))?;
            option.store(&mut limits, option.parse(value)?)?;
        } else if let Ok(number) = argument.parse() {
            threads = number;
        } else {
            folders.push(PathBuf::from(argument));
        }
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).max_blocking_threads(limits.max_blocking_threads).enable_all();
    // As the program has it: mimalloc gives pages back when a thread ends, which would take ten seconds otherwise.
    let runtime = runtime.thread_keep_alive(Duration::from_secs(1)).build()?;
    let builder = Server::builder("mcpool_echo", "1").limits(limits);
    let builder = builder.tool(Echo).tool(Length).tool(Count).tool(Change);
    runtime.block_on(async {
        let server = if folders.is_empty() {
            builder.build()?
        } else {
            builder.toolset(Filesystem::new(&folders, false)?.0).build()?
        };
        let listener = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0)), TcpOptions::default())?;
        eprintln!("listening on {}/mcp", listener.local_addr());
        let drain = Drain::default();
        let mut told_to_end = signal(SignalKind::terminate())?;
        let ends = drain.clone();
        tokio::spawn(async move {
            told_to_end.recv().await;
            ends.begin();
        });
        serve_http(&server, vec![listener], HttpConfig::default(), &drain).await?;
        Ok(())
    })
}
