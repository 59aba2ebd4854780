//! What web pages can have a browser send to the program: no endpoint answers a foreign one.

use super::mcpool;
use super::sockets::Serving;
use std::io::{Read, Write};
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
const ADMIN: [(&str, &str); 8] = [
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/report"),
    ("GET", "/report.txt"),
    ("POST", "/reclaim"),
    ("POST", "/optimize"),
    ("POST", "/pools/arenas/capacity/5"),
    ("GET", "/nothing"),
];

/// The status that a request is answered with.
fn status(address: &str, verb: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("accepted");
    let rest = "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 0\r\n";
    write!(stream, "{verb} {path} HTTP/1.1\r\n{headers}{rest}\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn no_endpoint_answers_a_foreign_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut serving = Serving::start(mcpool(&arguments).arg(folder.path()).env("RUST_LOG", "info"));
    let mut address_after = |mark: &str| loop {
        let line = serving.line();
        assert!(!line.is_empty(), "the program ended before it said {mark:?}");
        if let Some((_, address)) = line.split_once(mark) {
            return address.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        }
    };
    let (admin, mcp) = (address_after("admin address="), address_after("listening on "));
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
