//! A server of two tools on rmcp, the official Rust SDK, over HTTP: `echo` and `length`. What `http_echo` is with
//! mcpool.
//!
//! `rmcp_echo [THREADS]` says on standard error where it listens. It has mcpool's allocator, and answers with
//! plain JSON where rmcp can: both help it.

use axum::Router;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The allocator of the program `mcpool`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize, schemars::JsonSchema)]
struct Text {
    /// What to say back, or to measure.
    text: String,
}

#[derive(Clone)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Says back what it is told.")]
    fn echo(Parameters(Text { text }): Parameters<Text>) -> String {
        text
    }

    #[tool(description = "Says how many bytes it is told.")]
    fn length(Parameters(Text { text }): Parameters<Text>) -> String {
        text.len().to_string()
    }
}

#[tool_handler]
impl ServerHandler for Tools {}

fn main() -> Result<(), Box<dyn Error>> {
    let threads = std::env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let mut config = StreamableHttpServerConfig::default();
        config.json_response = true;
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(|| Ok(Tools), sessions, config);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("listening on http://{}/mcp", listener.local_addr()?);
        let listener = axum::serve::ListenerExt::tap_io(listener, |socket| {
            // Without this an answer may wait for the client's acknowledgement of the one before.
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, Router::new().nest_service("/mcp", service)).await?;
        Ok(())
    })
}
