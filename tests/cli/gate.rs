//! What web pages can have a browser send to the program: no endpoint answers a foreign one.

use super::mcpool;
use super::sockets::Serving;
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// What browsers send for a page of another machine or of none, or under a name that was made to lead here.
const FOREIGN: [&str; 6] = [
    "Host: localhost\r\nOrigin: https://evil.example\r\n",
    "Host: localhost\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
    "Host: localhost\r\nOrigin: null\r\n",
    "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
    "Host: evil.example\r\n",
    "Host: evil.example\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
];
/// What programs send, and pages of this machine.
const OWN: [&str; 4] = [
    "Host: localhost\r\n",
    "Host: 127.0.0.1:1\r\nSec-Fetch-Site: none\r\n",
    "Host: localhost\r\nSec-Fetch-Site: same-origin\r\n",
    "Host: localhost\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n",
];

/// Verb and path of everything that the port of MCP answers; health is asked for under any name.
const MCP: [(&str, &str); 13] = [
    ("POST", "/mcp"),
    ("POST", "/mcp/"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("OPTIONS", "/mcp"),
    ("PUT", "/mcp"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/livez"),
    ("HEAD", "/readyz"),
    ("POST", "/healthz"),
];
const HEALTH: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// Verb and path of everything that the admin listener answers.
const ADMIN: [(&str, &str); 9] = [
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/report"),
    ("GET", "/report.txt"),
    ("GET", "/report.html"),
    ("POST", "/reclaim"),
    ("POST", "/optimize"),
    ("POST", "/pools/arenas/capacity/5"),
    ("GET", "/nothing"),
];

/// The status that a request is answered with.
fn status(address: &str, verb: &str, path: &str, headers: &str) -> String {
    try_status(address, verb, path, headers).expect("answered")
}

fn try_status(address: &str, verb: &str, path: &str, headers: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let rest = "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 0\r\n";
    write!(stream, "{verb} {path} HTTP/1.1\r\n{headers}{rest}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut serving = Serving::start(mcpool(&arguments).arg(folder.path()).env("RUST_LOG", "info"));
    let admin = address_after(&mut serving, "admin address=");
    let connect = || TcpStream::connect(&admin).expect("accepted");
    // More than there are places, silent or in the middle of their heads, and some that had an answer and stay.
    let mut kept: Vec<_> = (0..20).map(|_| connect()).collect();
    for at in 0..40 {
        let mut stream = connect();
        let head = if at % 2 == 0 {
            "GET /report HTTP/1.1\r\nHost: loc"
        } else {
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        };
        // Who waited longest may be gone by then.
        let _ = stream.write_all(head.as_bytes());
        kept.push(stream);
    }
    let begun = std::time::Instant::now();
    let mut answers = Vec::new();
    // A burst may find all places taken for a moment; what counts is that nobody waits for the time-out of a head.
    while answers.last().is_none_or(|status| status != "200") {
        answers.push(try_status(&admin, "GET", "/metrics", "Host: localhost\r\n").unwrap_or_default());
        assert!(answers.len() < 1_000 && begun.elapsed().as_secs() < 60, "{answers:?}");
    }
    // The first that came waited longest, so they had to leave.
    let mut rest = Vec::new();
    kept[0].set_read_timeout(Some(std::time::Duration::from_mins(1))).expect("a time-out");
    assert_eq!(kept[0].read_to_end(&mut rest).unwrap_or_default(), 0, "it was asked for nothing");
    drop(kept);
}

/// What the program says behind `mark`, as an address.
fn address_after(serving: &mut Serving, mark: &str) -> String {
    loop {
        let line = serving.any_line();
        assert!(!line.is_empty(), "the program ended before it said {mark:?}");
        if let Some((_, address)) = line.split_once(mark) {
            return address.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        }
    }
}

#[test]
fn no_endpoint_answers_a_foreign_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut serving = Serving::start(mcpool(&arguments).arg(folder.path()).env("RUST_LOG", "info"));
    let admin = address_after(&mut serving, "admin address=");
    let mcp = address_after(&mut serving, "listening on ");
    for (address, endpoints) in [(&admin, &ADMIN[..]), (&mcp, &MCP[..])] {
        for (verb, path) in endpoints {
            for headers in FOREIGN {
                let is_health = address == &mcp && HEALTH.contains(path);
                let is_open = is_health && headers == "Host: evil.example\r\n";
                let found = status(address, verb, path, headers);
                assert_eq!(found == "403", !is_open, "{found}: {verb} {path} {headers}");
            }
            for headers in OWN {
                // Pages of this machine may look, and change nothing.
                let is_change = address == &admin && *verb == "POST";
                let is_page = headers.contains("same-");
                let found = status(address, verb, path, headers);
                assert_eq!(found == "403", is_change && is_page, "{found}: {verb} {path} {headers}");
            }
        }
    }
}
