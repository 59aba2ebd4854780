//! A server over HTTP whose clients show a token.
//!
//! ```sh
//! echo "laptop:$(openssl rand -hex 32)" > tokens && chmod 600 tokens
//! cargo run --release --example http_auth -- 127.0.0.1:8000 tokens
//! cargo run --release -- call --server http://127.0.0.1:8000/mcp --token-file tokens add a=2 b=3
//! ```

use mcpool::transport::admission::{AdmissionConfig, Auth, TokenFile};
use mcpool::transport::{HttpConfig, Listener, TcpOptions, serve_http};
use mcpool::{CallContext, Drain, Server, Tool, ToolAnnotations, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize, JsonSchema)]
struct Summands {
    a: f64,
    b: f64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: f64,
}

struct Add;

impl Tool for Add {
    type Arguments<'a> = Summands;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("add", "Adds two numbers.")
            .arguments::<Summands>()
            .output::<Sum>()
            .annotations(ToolAnnotations::local_read_only())
    }

    async fn call(&self, summands: Summands, call: &mut CallContext) -> Result<(), ToolError> {
        call.structured(&Sum { sum: summands.a + summands.b })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(tokens)) = (arguments.next(), arguments.next()) else {
        return Err("usage: http_auth ADDRESS:PORT TOKEN_FILE".into());
    };
    // The file is read again when it changes: a token that is taken out of it is refused from then on.
    let auth = Auth::TokenFile(TokenFile::open(Path::new(&tokens))?);
    let config = HttpConfig { admission: AdmissionConfig { auth, ..AdmissionConfig::default() } };
    let server = Server::builder("sums", "1.0.0").tool(Add).build()?;
    let listener = Listener::tcp(address.parse()?, TcpOptions::default())?;
    let drain = Drain::default();
    // Before anybody can know of the server, so that no signal finds nobody.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    eprintln!("listening on {}/mcp", listener.local_addr());
    let serving = serve_http(&server, vec![listener], config, &drain);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // What is in flight ends within `drain_timeout_ms`.
    drain.begin();
    Ok(serving.await?)
}
