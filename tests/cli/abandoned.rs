//! Clients that leave while a page is fetched for them: what the program has then.

use super::mcpool;
use super::sockets::Serving;
use crate::toolsets::fetch::site::{Deaf, PATIENCE, Site, drip};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The settings that have nothing end by itself.
const SETTINGS: [&str; 9] = [
    "serve",
    "--http",
    "127.0.0.1:0",
    "--tools",
    "fetch",
    "--allow-private-ips",
    "--ignore-robots-txt",
    "--fetch-timeout-ms",
    "3600000",
];

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What the kernel says of a process.
struct Process(PathBuf);

impl Process {
    fn sockets(&self) -> usize {
        let entries = fs::read_dir(self.0.join("fd")).expect("it runs").flatten();
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// The names of its threads.
    fn threads(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("task")).expect("it runs").flatten();
        entries.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok()).collect()
    }
}

/// Asks for a page, without waiting for it.
fn ask(address: &str, url: &str) -> TcpStream {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "fetch", "arguments": {"url": url}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n\
         mcp-name: fetch\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    stream
}

#[test]
fn no_thread_and_no_socket_is_left_of_a_hundred_clients_that_left() {
    let at_work = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&at_work);
    let site = Site::new(move |first, stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let rest = if first.contains("/head") { "x-long: " } else { "content-type: text/plain\r\n\r\n" };
        drip(stream, format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes());
        counted.fetch_sub(1, Ordering::SeqCst);
    });
    let deaf = Deaf::new();
    let by_name = format!("http://localhost:{}/body", site.address().port());
    let urls = [site.url("/body"), site.url("/head"), deaf.url("/"), by_name];
    let mut serving = Serving::start(&mut mcpool(&SETTINGS));
    let listening = serving.line();
    let address = listening.strip_prefix("mcpool: listening on http://").expect(&listening);
    let address = address.strip_suffix("/mcp").expect(&listening).to_owned();
    let process = Process(format!("/proc/{}", serving.id()).into());
    let (sockets, threads) = (process.sockets(), process.threads().len());
    for turn in 0..100 {
        let url = &urls[turn % urls.len()];
        let client = ask(&address, url);
        if *url == deaf.url("/") {
            until("it is taken", || process.sockets() > sockets);
        } else {
            until("the page is asked for", || at_work.load(Ordering::SeqCst) == 1);
        }
        drop(client);
        until("the page is given up", || at_work.load(Ordering::SeqCst) == 0);
    }
    // One or two may be its own, made since then.
    until("all sockets are closed", || process.sockets() <= sockets + 2);
    until("no lookup goes on", || process.threads().iter().all(|name| !name.starts_with("lookup")));
    // Those of the pool stay for a while.
    let now = process.threads();
    assert!(now.len() <= threads + 8, "{now:?}");
}
