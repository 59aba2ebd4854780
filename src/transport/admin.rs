//! The admin listener: a few pages over HTTP, apart from the endpoint of MCP.
//!
//! A connection carries one request, and its body is not read; `/events` goes on until the peer leaves. The pages come
//! from [`Pages`]. Any client that reaches the socket may read them, so it is a Unix socket of this user or a port of
//! this machine. The gate of all endpoints ([`Gate`]) refuses foreign host names and foreign pages; requests that change
//! something are refused to web pages altogether. Connections that say nothing do not keep others out ([`Idle`]).

mod idle;

use super::admission::{Gate, PeerAddress, Refusal, RequestSource};
use super::listener::{Peer, Serve, Stream};
use crate::limits::Limits;
use crate::server::Permit;
use idle::Idle;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Headers of a request; more are refused.
const MAX_HEADERS: usize = 64;
/// Most pages that are sent events at once: places are left for commands.
const MAX_STREAMS: usize = 4;
/// Headers that decide who may ask. Given twice, somebody on the way may have read the other one.
const SINGLE: [&str; 3] = ["host", "origin", "sec-fetch-site"];
/// Time between two events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// What asks for a page that is not there is told.
const THERE_IS: &str = "there is GET /, /events, /report, /report.txt, /report.html, /metrics, /black-box and POST /reclaim, /optimize, \
                        /black-box, /pools/NAME/capacity/N\n";
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
    idle: Arc<Idle>,
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
            idle: Arc::default(),
        }
    }

    /// Answers a request. Returns whether the peer wants events.
    async fn exchange(&self, stream: &mut Stream, is_local_user: bool) -> std::io::Result<bool> {
        let head = self.idle.wait_for(self.read_head(stream)).await.transpose()?.flatten();
        let Some(head) = head else { return Ok(false) };
        let answer = match self.answer(&head, is_local_user) {
            None => refusal("431 Request Header Fields Too Large", "the head is too long\n"),
            Some(Answer::Whole(answer)) => answer,
            Some(Answer::Events) => return Ok(true),
        };
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // If the connection closed at once, bytes that the peer still sends would cause a reset and destroy the answer.
        let ignore = async {
            let mut ignored = [0; 512];
            while stream.read(&mut ignored).await? > 0 {}
            Ok(false)
        };
        self.idle.wait_for(ignore).await.unwrap_or(Ok(false))
    }

    /// Reads until there is a head, or as much as one may have; `None` when the peer leaves before.
    async fn read_head(&self, stream: &mut Stream) -> std::io::Result<Option<Vec<u8>>> {
        let mut input = Vec::with_capacity(512);
        loop {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(None);
            }
            let is_whole = !matches!(parse(&input, |_| ()), Ok(None));
            if is_whole || input.len() >= self.max_header_bytes {
                return Ok(Some(input));
            }
        }
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
        match parse(input, |request| self.answer_to(request, is_local_user)) {
            Ok(answer) => answer,
            Err(error) => Some(Answer::Whole(refusal("400 Bad Request", &format!("{error}\n")))),
        }
    }

    fn answer_to(&self, request: &httparse::Request<'_, '_>, is_local_user: bool) -> Answer {
        let values = |name: &'static str| {
            let found = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        if let Some(name) = SINGLE.into_iter().find(|name| values(name).nth(1).is_some()) {
            let text = format!("the header {name} is given twice: send it once\n");
            return Answer::Whole(refusal("400 Bad Request", &text));
        }
        let [host, origin, fetch_site] = SINGLE.map(|name| values(name).next());
        let (verb, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        if let Err(why) = self.check(verb, &RequestSource { host, origin, fetch_site }, is_local_user) {
            return Answer::Whole(refusal("403 Forbidden", why));
        }
        let path = target.split('?').next().unwrap_or_default();
        match verb {
            "GET" if path == "/events" => Answer::Events,
            "HEAD" if path == "/events" => Answer::Whole(EVENTS_HEAD.into()),
            "HEAD" => Answer::Whole(without_body(self.page("GET", path))),
            "GET" | "POST" => Answer::Whole(self.page(verb, path)),
            _ => Answer::Whole(refusal("405 Method Not Allowed", "there is GET, HEAD and POST\n")),
        }
    }

    fn page(&self, verb: &str, path: &str) -> Vec<u8> {
        match self.pages.page(verb, path) {
            Some(page) => response("200 OK", &page),
            None => refusal("404 Not Found", THERE_IS),
        }
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
        if is_page && !matches!(verb, "GET" | "HEAD") {
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
            Peer::Unix { uid, .. } => {
                return tracing::warn!(uid, "refused: another user may not see the reports");
            }
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

/// Gives a head to `answer`, if it is whole.
fn parse<T>(
    input: &[u8],
    answer: impl FnOnce(&httparse::Request<'_, '_>) -> T,
) -> Result<Option<T>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(_) => Ok(Some(answer(&request))),
    }
}

/// The head of an answer, which says how long the body would be.
fn without_body(mut answer: Vec<u8>) -> Vec<u8> {
    if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
        answer.truncate(end + 4);
    }
    answer
}

fn refusal(status: &str, text: &str) -> Vec<u8> {
    let body = text.as_bytes().to_vec();
    response(status, &Page { content_type: "text/plain; charset=utf-8", policy: None, body })
}

fn response(status: &str, page: &Page) -> Vec<u8> {
    let Page { content_type, policy, body } = page;
    let policy = policy.as_deref().unwrap_or("default-src 'none'; frame-ancestors 'none'");
    let allow = if status.starts_with("405 ") { "allow: GET, HEAD, POST\r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n{allow}content-type: {content_type}\r\ncontent-length: {}\r\n\
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
            ("HEAD /a HTTP/1.1\r\n\r\n", true, Some("200 OK")),
            ("HEAD /none HTTP/1.1\r\n\r\n", true, Some("404 Not Found")),
            ("HEAD /events HTTP/1.1\r\n\r\n", true, Some("200 OK")),
            ("HEAD /a HTTP/1.1\r\nHost: evil.example\r\n\r\n", false, Some("403 Forbidden")),
            ("PUT /a HTTP/1.1\r\n\r\n", true, Some("405 Method Not Allowed")),
            ("GET /a HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n", true, Some("400 Bad Request")),
            (
                "GET /a HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
                false,
                Some("400 Bad Request"),
            ),
            (
                "POST /a HTTP/1.1\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n\r\n",
                true,
                Some("400 Bad Request"),
            ),
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

    #[test]
    fn a_head_says_what_the_page_would_be_and_leaves_it_out() {
        let service = AdminService::new(Arc::new(One), &Limits::default());
        let answered = |request: &str| match service.answer(request.as_bytes(), true) {
            Some(Answer::Whole(answer)) => String::from_utf8(answer).expect("text"),
            _ => panic!("no page: {request}"),
        };
        let page = answered("GET /a HTTP/1.1\r\n\r\n");
        let head = answered("HEAD /a HTTP/1.1\r\n\r\n");
        assert_eq!(page.strip_prefix(head.as_str()), Some("GET /a"));
        assert!(head.contains("\r\ncontent-length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        let refused = answered("PUT /a HTTP/1.1\r\n\r\n");
        assert!(refused.contains("\r\nallow: GET, HEAD, POST\r\n"), "{refused}");
    }
}
