//! A server of two tools on rmcp, the official Rust SDK: `echo` and `length`. What `mcpool_echo` is with mcpool.
//!
//! `rmcp_echo [THREADS]` speaks HTTP and says on standard error where it listens; `rmcp_echo stdio` has one client,
//! on standard input and output. It has mcpool's allocator, set as mcpool sets it, answers with plain JSON where rmcp
//! can, and uses rmcp's faster way to read pipes.

use axum::Router;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::stdio_pipes;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, ServiceExt, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The allocator of the program `mcpool`, which `main` sets as the program does.
#[global_allocator]
static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;

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
    mcpool_mimalloc::set_purge_delay_ms(0);
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("stdio") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(async {
            Tools.serve(stdio_pipes()).await?.waiting().await?;
            Ok(())
        });
    }
    let threads = argument.map_or(Ok(2), |text| text.parse())?;
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
