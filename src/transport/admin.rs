//! The admin listener: a few pages over HTTP, apart from the endpoint of MCP.
//!
//! A connection carries one request, and its body is not read; `/events` goes on until the peer leaves. The pages come from [`Pages`]. Any client that reaches
//! the socket may read them, so it is a Unix socket of this user or a port of this machine. The gate of all endpoints
//! ([`Gate`]) refuses foreign host names and foreign pages; requests that change something are refused to web pages
//! altogether.

use super::admission::{Gate, PeerAddress, Refusal, RequestSource};
use super::listener::{Peer, Serve, Stream};
use crate::limits::Limits;
use crate::server::Permit;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Headers of a request; more are refused.
const MAX_HEADERS: usize = 64;
/// Most pages that are sent events at once: places are left for commands.
const MAX_STREAMS: usize = 4;
/// Time between two events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
const EVENTS_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
     x-content-type-options: nosniff\r\nconnection: close\r\n\r\n";

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    /// What a browser may do with it: `Content-Security-Policy`.
    pub(crate) policy: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The pages.
pub(crate) trait Pages: Send + Sync + 'static {
    /// The page at `path`, if there is one.
    fn page(&self, verb: &str, path: &str) -> Option<Page>;
    /// The next event of the stream at `/events`, on one line; `None` where there is no such stream.
    fn event(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Serves pages.
#[derive(Clone)]
pub(crate) struct AdminService {
    pages: Arc<dyn Pages>,
    gate: Arc<Gate>,
    max_header_bytes: usize,
    timeout: Duration,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
}

/// What a request is answered with.
enum Answer {
    Whole(Vec<u8>),
    /// One event after the other, until the peer leaves.
    Events,
}

impl AdminService {
    pub(crate) fn new(pages: Arc<dyn Pages>, limits: &Limits) -> Self {
        Self {
            pages,
            gate: Arc::new(Gate::of_this_machine()),
            max_header_bytes: limits.max_header_bytes,
            timeout: limits.header_timeout(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    /// Answers a request. Returns whether the peer wants events.
    async fn exchange(&self, stream: &mut Stream, is_local_user: bool) -> std::io::Result<bool> {
        let mut input = Vec::with_capacity(512);
        let answer = loop {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(false);
            }
            match self.answer(&input, is_local_user) {
                None if input.len() < self.max_header_bytes => {}
                None => break refusal("431 Request Header Fields Too Large", "the head is too long\n"),
                Some(Answer::Whole(answer)) => break answer,
                Some(Answer::Events) => return Ok(true),
            }
        };
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // If the connection closed at once, bytes that the peer still sends would cause a reset and destroy the answer.
        let mut ignored = [0; 512];
        while stream.read(&mut ignored).await? > 0 {}
        Ok(false)
    }

    /// Sends an event each second until the peer leaves, or takes one too slowly.
    async fn send_events(&self, mut stream: Stream) -> std::io::Result<()> {
        let Ok(_place) = self.streams.try_acquire() else {
            let text = "enough pages look on already: close one\n";
            return stream.write_all(&refusal("503 Service Unavailable", text)).await;
        };
        stream.write_all(EVENTS_HEAD.as_bytes()).await?;
        let mut ticks = interval(EVENT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ignored = [0; 64];
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let Some(event) = self.pages.event() else { return Ok(()) };
                    let event = [b"data: ", event.as_slice(), b"\n\n"].concat();
                    timeout(self.timeout, stream.write_all(&event)).await??;
                }
                read = stream.read(&mut ignored) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The answer to a request whose head is whole.
    fn answer(&self, input: &[u8], is_local_user: bool) -> Option<Answer> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(input) {
            Ok(httparse::Status::Partial) => return None,
            Ok(httparse::Status::Complete(_)) => {}
            Err(error) => return Some(Answer::Whole(refusal("400 Bad Request", &format!("{error}\n")))),
        }
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        let source = RequestSource {
            host: header("host"),
            origin: header("origin"),
            fetch_site: header("sec-fetch-site"),
        };
        let (verb, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        if let Err(why) = self.check(verb, &source, is_local_user) {
            return Some(Answer::Whole(refusal("403 Forbidden", why)));
        }
        let path = target.split('?').next().unwrap_or_default();
        if (verb, path) == ("GET", "/events") {
            return Some(Answer::Events);
        }
        Some(Answer::Whole(match self.pages.page(verb, path) {
            Some(page) => response("200 OK", &page),
            None => refusal("404 Not Found", "there is /, /events, /report, /report.txt, /metrics\n"),
        }))
    }
}

impl AdminService {
    /// Lets a request pass, or says why not.
    fn check(&self, verb: &str, source: &RequestSource<'_>, is_local_user: bool) -> Result<(), &'static str> {
        self.gate.check(source, is_local_user).map_err(|refusal| match refusal {
            Refusal::Host => "the Host must be localhost or an address\n",
            _ => "pages of other machines may not look\n",
        })?;
        let is_page = source.origin.is_some() || source.fetch_site.is_some_and(|site| site != b"none");
        if is_page && verb != "GET" {
            return Err("web pages may only look\n");
        }
        Ok(())
    }
}

impl Serve for AdminService {
    async fn serve(self, mut stream: Stream, peer: Peer, _place: Permit) {
        let is_local_user = match peer {
            Peer::Ip(_) => false,
            Peer::Unix { uid, .. } if PeerAddress::Unix { uid }.is_own_user() => true,
            // A mode that lets other users connect is no permission to read the pages.
            Peer::Unix { uid, .. } => return tracing::debug!(uid, "another user may not look on"),
        };
        let limit = self.timeout;
        match timeout(limit, self.exchange(&mut stream, is_local_user)).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => {
                if let Err(error) = self.send_events(stream).await {
                    tracing::debug!(%error, "who looked on is gone");
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "who looked on is gone"),
            Err(_) => tracing::debug!("who looked on took too long"),
        }
    }
}

fn refusal(status: &str, text: &str) -> Vec<u8> {
    let body = text.as_bytes().to_vec();
    response(status, &Page { content_type: "text/plain; charset=utf-8", policy: None, body })
}

fn response(status: &str, page: &Page) -> Vec<u8> {
    let Page { content_type, policy, body } = page;
    let policy = policy.as_deref().unwrap_or("default-src 'none'; frame-ancestors 'none'");
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         content-security-policy: {policy}\r\nreferrer-policy: no-referrer\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Pages for One {
        fn page(&self, verb: &str, path: &str) -> Option<Page> {
            let body = format!("{verb} {path}").into_bytes();
            (path != "/none").then_some(Page { content_type: "text/plain", policy: None, body })
        }
    }

    #[test]
    fn who_may_look_and_who_may_change() {
        let service = AdminService::new(Arc::new(One), &Limits::default());
        for (request, is_local_user, want) in [
            ("GET /a?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n", false, Some("200 OK")),
            ("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", false, Some("200 OK")),
            ("GET /a HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", false, Some("200 OK")),
            ("GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n", false, Some("403 Forbidden")),
            ("GET /a HTTP/1.1\r\n\r\n", false, Some("403 Forbidden")),
            ("GET /a HTTP/1.1\r\n\r\n", true, Some("200 OK")),
            ("POST /a HTTP/1.1\r\nHost: ::1\r\nOrigin: http://x\r\n\r\n", true, Some("403 Forbidden")),
            ("POST /a HTTP/1.1\r\nHost: localhost\r\n\r\n", true, Some("200 OK")),
            ("GET /none HTTP/1.1\r\n\r\n", true, Some("404 Not Found")),
            ("what is this\r\n\r\n", true, Some("400 Bad Request")),
            (
                "GET /events HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n",
                false,
                Some("events"),
            ),
            (
                "GET /events HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
                false,
                Some("403 Forbidden"),
            ),
            ("GET /a HTTP/1.1\r\nHost: loc", true, None),
        ] {
            let text = service.answer(request.as_bytes(), is_local_user).map(|answer| match answer {
                Answer::Whole(answer) => String::from_utf8(answer).expect("text"),
                Answer::Events => "HTTP/1.1 events\r\n".to_owned(),
            });
            let status =
                text.as_deref().and_then(|text| text.strip_prefix("HTTP/1.1 ")?.split("\r\n").next());
            assert_eq!(status, want, "{request:?}");
        }
    }
}
