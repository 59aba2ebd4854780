//! The fixtures of the official conformance suite, on the library's public API.
//!
//! `cargo run --release --example conformance -- 127.0.0.1:8080`, then
//! `npx @modelcontextprotocol/conformance server --url http://127.0.0.1:8080/mcp --requirements 2026-07-28`.
//! It is also the place to look how each part of the protocol is served: progress, logging, sampling and
//! elicitation in both eras, multi round-trip requests, tasks, resources, prompts and completion.

mod definitions;
mod inputs;
mod prompts;
mod resources;
mod tasks;
mod tools;

use mcpool::transport::{HttpConfig, Listener, TcpOptions, serve_http};
use mcpool::{Drain, Server};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Server::builder("mcpool-conformance", env!("CARGO_PKG_VERSION"))
        .instructions("Fixtures of the conformance suite.")
        .toolset(tools::Fixtures)
        .resources(resources::Fixtures)
        .prompts(prompts::Fixtures)
        .completer(prompts::Arguments)
        .tasks()
        .build()?;
    let listener = Listener::tcp(address.parse()?, TcpOptions::default())?;
    let drain = Drain::default();
    // Before anybody can know of the server, so that no signal finds nobody.
    let told = tokio::spawn(wait_for_a_signal(drain.clone())?);
    eprintln!("listening on {}/mcp", listener.local_addr());
    serve_http(&server, vec![listener], HttpConfig::default(), &drain).await?;
    told.abort();
    Ok(())
}

/// Begins the drain at SIGTERM or SIGINT; a second one ends the process at once.
fn wait_for_a_signal(drain: Drain) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if drain.has_begun() {
                std::process::exit(0);
            }
            drain.begin();
        }
    })
}
