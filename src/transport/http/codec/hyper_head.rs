//! What hyper reads from the head of a request: the other side of the differential fuzz of our parser.
//!
//! A hyper server runs on a stream in memory, and its service records the request. The unit test of the codec and the
//! target in `fuzz/` share this file; each brings [`HeadFacts`] from the codec.

use super::HeadFacts;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// The first request of `bytes`, if hyper serves it.
pub(crate) fn read(bytes: &[u8]) -> Option<HeadFacts> {
    let seen = RefCell::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        seen.borrow_mut().get_or_insert_with(|| facts(&request));
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).keep_alive(false);
    let mut serving = pin!(builder.serve_connection(Stream { input: bytes }, service));
    let mut cx = Context::from_waker(Waker::noop());
    // Nothing blocks on a stream in memory: a connection that is still pending waits for nothing.
    for _ in 0..64 {
        if serving.as_mut().poll(&mut cx).is_ready() {
            break;
        }
    }
    seen.take()
}

fn facts(request: &Request<Incoming>) -> HeadFacts {
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    HeadFacts {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        minor_version: u8::from(request.version() == Version::HTTP_11),
        headers,
        body_bytes: request.body().size_hint().exact(),
    }
}

/// A stream that ends after its input and ignores what is written to it.
struct Stream<'a> {
    input: &'a [u8],
}

impl Read for Stream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.input.split_at(self.input.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.input = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
