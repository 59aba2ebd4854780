//! The fetch tool and its prompt, asked for pages of a site on this machine.

#[path = "../../src/tools/fetch/tests/site.rs"]
pub(crate) mod site;

use super::{recorded, text_of};
use crate::test_client::TestClient;
use mcpool::tools::fetch::{Fetch, FetchError};
use mcpool::tools::thinking::Thinking;
use mcpool::toolsets::Toolset;
use mcpool::{BlockingTool, CallContext, Limits, Server, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use site::{Deaf, PATIENCE, Site, drip, html, response, wait_for_close};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Asks addresses of this machine.
fn fetch() -> Fetch {
    Fetch::new().allow_private_ips(true)
}

fn server(fetch: Fetch, limits: Limits) -> Server {
    let prompts = fetch.prompts();
    let server = Server::builder("fetch", "1").limits(limits).toolset(fetch).prompts(prompts);
    server.build().expect("a server")
}

async fn client(fetch: Fetch) -> TestClient {
    TestClient::legacy(&server(fetch, Limits::default()), "2025-06-18").await
}

/// Bytes of the line of the memory report.
fn held_bytes(server: &Server) -> u64 {
    server.memory().report().part("fetch tool").expect("a line").bytes
}

async fn prompt(client: &mut TestClient, id: u64, url: &str) -> Value {
    let params = json!({"name": "fetch", "arguments": {"url": url}});
    client.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "prompts/get", "params": params})).await
}

#[tokio::test]
async fn the_tool_and_the_prompt_are_those_of_the_reference_word_for_word() {
    let ours = serde_json::to_value(Fetch::new().definitions()).expect("JSON");
    assert_eq!(ours, Value::from(recorded("fetch")));
    let mut client = client(Fetch::new()).await;
    let prompts = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/list"})).await;
    let recorded: Value =
        serde_json::from_str(include_str!("../fixtures/reference/fetch/prompts.json")).expect("JSON");
    assert_eq!(prompts["result"]["prompts"], recorded);
}

#[tokio::test]
async fn a_page_becomes_markdown_and_is_fetched_as_it_is_when_asked() {
    let words = "Some words, and a few more words, so that there is a main part, which is found. ".repeat(8);
    let page =
        format!("<html><body><nav>Menu</nav><article><h1>Title</h1><p>{words}</p></article></body></html>");
    let sent = page.clone();
    let site = Site::of(move |path| match path {
        "/page" => Some(html(&sent)),
        "/json" => Some(response("200 OK", "application/json", br#"{"a": 1}"#)),
        "/empty" => Some(html("")),
        _ => None,
    });
    let mut client = client(fetch()).await;
    let url = site.url("/page");
    let result = client.call(1, "fetch", json!({"url": url})).await;
    let text = text_of(&result);
    assert!(text.starts_with(&format!("Contents of {url}:\n")), "{text}");
    assert!(text.contains("Some words") && !text.contains("<p>") && !text.contains("Menu"), "{text}");
    let result = client.call(2, "fetch", json!({"url": url, "raw": true})).await;
    let prefix = "Content type text/html cannot be simplified to markdown, but here is the raw content:\n";
    assert_eq!(text_of(&result), format!("{prefix}Contents of {url}:\n{page}"));
    let result = client.call(3, "fetch", json!({"url": site.url("/json")})).await;
    let prefix = prefix.replace("text/html", "application/json");
    assert_eq!(text_of(&result), format!("{prefix}Contents of {}:\n{{\"a\": 1}}", site.url("/json")));
    let result = client.call(4, "fetch", json!({"url": site.url("/empty")})).await;
    assert!(text_of(&result).ends_with("<error>Page failed to be simplified from HTML</error>"), "{result}");
    // The host alone gets its slash.
    let bare = format!("http://{}", site.address());
    let result = client.call(5, "fetch", json!({"url": bare})).await;
    assert_eq!(
        text_of(&result),
        format!("Error executing tool fetch: Failed to fetch {bare}/ - status code 404")
    );
    assert!(site.paths().contains(&"/robots.txt".to_owned()));
    let agents =
        site.heads().iter().filter(|head| head.contains("ModelContextProtocol/1.0 (Autonomous;")).count();
    assert_eq!(agents, site.heads().len());
}

/// What is kept for the next part has its room among the large messages, and gives it up to one that needs it.
#[tokio::test]
async fn a_page_that_is_kept_goes_where_a_message_lacks_its_room() {
    let text = "x".repeat(3 << 19);
    let site = Site::of(move |path| {
        (path != "/robots.txt").then(|| response("200 OK", "text/plain", text.as_bytes()))
    });
    let limits = Limits { max_inflight_bytes: 8 << 20, ..Limits::default() };
    let server = Server::builder("two", "1").limits(limits).toolset(fetch());
    let server = server.toolset(Thinking::new().log_thoughts(false)).build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let url = site.url("/x");
    let idle_bytes = held_bytes(&server);
    let fetched = json!({"url": url, "raw": true, "max_length": 5});
    client.call(1, "fetch", fetched).await;
    assert!(held_bytes(&server) > idle_bytes + (3 << 19), "the page is kept");
    let thought = "a".repeat(7 << 20);
    let thought =
        json!({"thought": thought, "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1});
    let result = client.call(2, "sequentialthinking", thought).await;
    assert!(result.get("isError").is_none(), "{result}");
    assert_eq!(held_bytes(&server), idle_bytes, "the page went for it");
}

#[tokio::test]
async fn the_next_part_is_not_fetched_again() {
    let text = (0..4_000).map(|number| format!("{number} \u{e9}\n")).collect::<Vec<_>>().concat();
    let sent = text.clone();
    let site = Site::of(move |path| {
        (path != "/robots.txt").then(|| response("200 OK", "text/plain", sent.as_bytes()))
    });
    let server = server(fetch(), Limits::default());
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let (url, idle_bytes) = (site.url("/x"), held_bytes(&server));
    let (mut joined, mut start) = (String::new(), Some(0));
    let mut id = 0;
    while let Some(from) = start {
        id += 1;
        let result =
            client.call(id, "fetch", json!({"url": url, "start_index": from, "max_length": 9_999})).await;
        let answer = text_of(&result);
        let (_, part) = answer.split_once(&format!("Contents of {url}:\n")).expect("a part");
        let (part, next) = match part
            .split_once("\n\n<error>Content truncated. Call the fetch tool with a start_index of ")
        {
            Some((part, rest)) => (part, rest.split(' ').next().and_then(|next| next.parse::<usize>().ok())),
            None => (part, None),
        };
        joined.push_str(part);
        assert!(next.is_none_or(|next| next == from + 9_999), "{next:?}");
        start = next;
    }
    assert!(joined == text, "{} of {} bytes", joined.len(), text.len());
    assert!(id > 2);
    assert_eq!(site.paths(), ["/robots.txt", "/x"]);
    let kept_bytes = held_bytes(&server) - idle_bytes;
    assert!((text.len() as u64..4 << 20).contains(&kept_bytes), "{kept_bytes}");
    let beyond = client.call(id + 1, "fetch", json!({"url": url, "start_index": 1_000_000})).await;
    assert!(text_of(&beyond).ends_with(":\n<error>No more content available.</error>"), "{beyond}");
    // Who begins again gets the page as it is now.
    client.call(id + 2, "fetch", json!({"url": url})).await;
    assert_eq!(site.paths(), ["/robots.txt", "/x", "/robots.txt", "/x"]);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let site = Site::of(|_| None);
    let mut client = client(Fetch::new()).await;
    for (arguments, want) in [
        (
            json!({"url": site.url("/")}),
            "resolves to 127.0.0.1, which is not a public address. Start the server with --allow-private-ips",
        ),
        (json!({"url": "http://[::ffff:10.0.0.1]/"}), "which is not a public address"),
        (json!({"url": "example.com"}), "not an absolute URL"),
        (json!({"url": "file:///etc/passwd"}), "only http and https are fetched"),
        (json!({"url": "http://user:secret@example.com/"}), "a user or a password"),
        (json!({"url": site.url("/"), "max_length": 0}), "`max_length` must be from 1 to 999999"),
        (json!({"url": site.url("/"), "max_length": 1_000_000}), "`max_length` must be from 1 to 999999"),
        (json!({"url": site.url("/"), "start_index": -1}), "`start_index` must be 0 or more"),
        (json!({"url": site.url("/"), "raw": "perhaps"}), "raw"),
        (json!({"url": site.url("/"), "raw": "true"}), "raw must be true or false"),
        (json!({"url": site.url("/"), "max_length": "10"}), "max_length must be a whole number"),
        (json!({"url": site.url("/"), "start_index": null}), "start_index must be a whole number"),
        (json!({}), "url"),
    ] {
        let result = client.call(1, "fetch", arguments.clone()).await;
        assert_eq!(result["isError"], true, "{arguments}: {result}");
        let text = text_of(&result);
        assert!(text.contains(want) && !text.contains("secret"), "{arguments}: {text}");
    }
    assert!(site.heads().is_empty());
    for agent in ["", " ", "new\nline", "caf\u{e9}"] {
        assert!(matches!(Fetch::new().user_agent(agent), Err(FetchError::UserAgent(_))), "{agent:?}");
    }
    assert!(matches!(Fetch::new().proxy_url("socks5://p"), Err(FetchError::Proxy { .. })));
}

#[tokio::test]
async fn a_user_gets_what_robots_txt_forbids_and_errors_as_text() {
    let site = Site::of(|path| match path {
        "/robots.txt" => Some(response("200 OK", "text/plain", b"User-agent: *\nDisallow: /")),
        "/x" => Some(response("200 OK", "text/plain", b"the page")),
        _ => None,
    });
    let mut client = client(fetch()).await;
    let result = client.call(1, "fetch", json!({"url": site.url("/x")})).await;
    assert!(
        text_of(&result).contains("specifies that autonomous fetching of this page is not allowed"),
        "{result}"
    );
    let answer = prompt(&mut client, 2, &site.url("/x")).await;
    let message = &answer["result"]["messages"][0];
    assert_eq!(answer["result"]["description"], "Fetch a URL and extract its contents as markdown");
    assert_eq!(message["role"], "user");
    assert!(message["content"]["text"].as_str().expect("a text").ends_with("the page"), "{answer}");
    let answer = prompt(&mut client, 3, &site.url("/missing")).await;
    let text = answer["result"]["messages"][0]["content"]["text"].as_str().expect("a text");
    assert_eq!(text, format!("Failed to fetch {} - status code 404", site.url("/missing")));
    assert_eq!(site.paths(), ["/robots.txt", "/x", "/missing"]);
    assert!(site.heads()[1].contains("ModelContextProtocol/1.0 (User-Specified;"), "{:?}", site.heads());
    let unruly = fetch().ignore_robots_txt(true).user_agent("Mine/1").expect("an agent");
    let mut client = TestClient::legacy(&server(unruly, Limits::default()), "2025-06-18").await;
    let result = client.call(1, "fetch", json!({"url": site.url("/x")})).await;
    assert!(text_of(&result).ends_with("the page"), "{result}");
    assert!(site.heads()[3].to_lowercase().contains("user-agent: mine/1\r\n"), "{:?}", site.heads());
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Answers on a thread.
struct Quick;

impl BlockingTool for Quick {
    type Arguments<'a> = Nothing;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("quick", "Answers.").arguments::<Nothing>()
    }

    fn call(&self, _: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
        call.text("done");
        Ok(())
    }
}

#[tokio::test]
async fn slow_sites_leave_threads_to_others_and_go_when_they_are_cancelled() {
    let site = Site::new(|first, stream| {
        if first.contains("/slow") {
            wait_for_close(stream);
        } else {
            let _ = stream.write_all(&response("200 OK", "text/plain", b"fast"));
        }
    });
    let limits = Limits { fetch_timeout_ms: 3_600_000, max_blocking_threads: 4, ..Limits::default() };
    let fetch = fetch().ignore_robots_txt(true);
    let server = Server::builder("slow", "1").limits(limits).toolset(fetch).blocking_tool(Quick);
    let server = server.build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    for id in 0..16 {
        let params = json!({"name": "fetch", "arguments": {"url": site.url("/slow")}});
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
    }
    let mut other = TestClient::legacy(&server, "2025-06-18").await;
    let result = other.call(100, "quick", json!({})).await;
    assert_eq!(text_of(&result), "done");
    for id in 0..16 {
        let params = json!({"requestId": id, "reason": "test"});
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})).await;
    }
    let result = client.call(101, "fetch", json!({"url": site.url("/fast")})).await;
    assert!(text_of(&result).ends_with("fast"), "{result}");
    assert!(site.paths().iter().filter(|path| *path == "/slow").count() <= 16);
}

/// Waits for what has to come.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Neither a page without end, nor a head without end, nor a server that takes no connection keeps anything of a call that
/// was cancelled.
#[tokio::test]
async fn calls_that_are_cancelled_give_back_their_connections_slots_and_memory() {
    let at_work = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&at_work);
    let site = Site::new(move |first, stream| {
        if first.contains("/fast") {
            let _ = stream.write_all(&response("200 OK", "text/plain", b"fast"));
            return;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        let is_head = first.contains("/head");
        let rest = if is_head { "x-long: " } else { "content-type: text/plain\r\n\r\n" };
        drip(stream, format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes());
        counted.fetch_sub(1, Ordering::SeqCst);
    });
    let deaf = Deaf::new();
    let urls = [site.url("/body"), site.url("/head"), deaf.url("/")];
    let limits = Limits { fetch_timeout_ms: 3_600_000, max_inflight_bytes: 8 << 20, ..Limits::default() };
    let tools = fetch().ignore_robots_txt(true);
    let server = Server::builder("left", "1").limits(limits).toolset(tools);
    let server = server.toolset(Thinking::new().log_thoughts(false)).build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let idle_bytes = held_bytes(&server);
    for id in 0..100 {
        let url = &urls[id % urls.len()];
        let params = json!({"name": "fetch", "arguments": {"url": url}});
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await;
        if url.starts_with(&site.url("")) {
            until("it is asked", || at_work.load(Ordering::SeqCst) == 1).await;
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let params = json!({"requestId": id, "reason": "test"});
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})).await;
        until("the connection is closed", || at_work.load(Ordering::SeqCst) == 0).await;
    }
    let result = client.call(200, "fetch", json!({"url": site.url("/fast")})).await;
    assert!(text_of(&result).ends_with("fast"), "{result}");
    // All but a MiB of the memory for large messages is free again, once the last thread has ended.
    let thought = "a".repeat(7 << 20);
    let thought =
        json!({"thought": thought, "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1});
    let begun = Instant::now();
    let mut id = 201;
    loop {
        let params = json!({"name": "sequentialthinking", "arguments": thought});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let answer = client.ask(&call).await;
        if answer["result"].is_object() && answer["result"].get("isError").is_none() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the memory is not free: {answer}");
        id += 1;
    }
    assert!(held_bytes(&server) <= idle_bytes + (64 << 10), "nothing but a short page is kept");
}

#[tokio::test]
async fn progress_is_told_while_a_page_is_read() {
    let site = Site::of(|_| Some(response("200 OK", "text/plain", "x".repeat(100_000).as_bytes())));
    let mut client = client(fetch().ignore_robots_txt(true)).await;
    let params =
        json!({"name": "fetch", "arguments": {"url": site.url("/x")}, "_meta": {"progressToken": "p"}});
    client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
    let first = client.receive().await;
    assert_eq!(first["method"], "notifications/progress", "{first}");
    assert_eq!(first["params"]["total"], 100_000.0, "{first}");
    loop {
        let message = client.receive().await;
        if message["id"] == 1 {
            break assert!(text_of(&message["result"]).contains("start_index of 5000"));
        }
    }
}
