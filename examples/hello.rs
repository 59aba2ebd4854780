//! A whole server: one tool, on standard input and output.

use mcpool::Server;

/// Says back what it is told.
#[mcpool::tool(read_only, open_world = false)]
fn echo(text: &str) -> &str {
    text
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(Server::builder("echo", "1.0.0").tool(Echo).build()?.serve_stdio().await?)
}
