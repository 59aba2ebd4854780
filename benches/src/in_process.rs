//! A server and one peer in the same thread, without a kernel between them: what a request costs the program itself.
//!
//! The connection is the one that standard input has (`serve_lines`), over streams in memory: what the peer sends is
//! copied into the server's buffer, as a read would; what the server writes is counted, and kept where that is asked
//! for. Each exchange polls the connection once, so a request that waited for something would be a fault here.

use crate::bench_tools::{Echo, Nothing, PutEntries};
use mcpool::tools::filesystem::{Filesystem, FilesystemError};
use mcpool::transport::serve_lines;
use mcpool::{BuildError, Drain, Limits, Server};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What opens a connection of the legacy era.
pub const HANDSHAKE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"benches","version":"1"}}}"#,
    "\n",
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    "\n",
);

/// Why there is no server to measure.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The directory cannot be served.
    #[error(transparent)]
    Filesystem(#[from] FilesystemError),
    /// The server's parts contradict each other.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The tools of the program over `directory`, and those of the benches.
///
/// # Errors
/// When `directory` cannot be served.
pub fn server(directory: &Path) -> Result<Server, SetupError> {
    let (filesystem, _) = Filesystem::new(&[directory.to_owned()], false)?;
    // Sizes that the cycle changes in the middle of a row would be another measurement.
    let limits = Limits { tune_interval_ms: 0, ..Limits::default() };
    let builder = Server::builder("benches", "1").limits(limits);
    Ok(builder.toolset(filesystem).tool(Echo).tool(PutEntries).tool(Nothing).build()?)
}

/// What lies between the peer and the server.
#[derive(Debug, Default)]
struct Between {
    /// What the peer sent, and how much of it was read.
    sent: Option<Rc<[u8]>>,
    read: usize,
    /// How much the server wrote in all.
    written: usize,
    /// What it wrote, while it is kept.
    kept: Option<Vec<u8>>,
}

struct Reading(Rc<RefCell<Between>>);
struct Writing(Rc<RefCell<Between>>);

impl AsyncRead for Reading {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut between = self.0.borrow_mut();
        let between = &mut *between;
        let Some(sent) = &between.sent else { return Poll::Pending };
        let rest = &sent[between.read..];
        let now = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..now]);
        between.read += now;
        if now == rest.len() {
            (between.sent, between.read) = (None, 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Writing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        segments: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut between = self.0.borrow_mut();
        let bytes = segments.iter().map(|segment| segment.len()).sum();
        between.written += bytes;
        if let Some(kept) = &mut between.kept {
            for segment in segments {
                kept.extend_from_slice(segment);
            }
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection whose two ends take turns in one thread.
pub struct InProcess {
    serving: Pin<Box<dyn Future<Output = ()>>>,
    between: Rc<RefCell<Between>>,
}

impl InProcess {
    /// Connects, and shakes hands. To be made and used inside a runtime (`Runtime::enter`): after large messages
    /// the connection sets a timer.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn connect(server: &Server) -> Self {
        let between = Rc::new(RefCell::new(Between::default()));
        let (reader, writer, server) =
            (Reading(Rc::clone(&between)), Writing(Rc::clone(&between)), server.clone());
        let serving = Box::pin(async move {
            let ended = serve_lines(&server, reader, writer, &Drain::default()).await;
            panic!("the connection ended: {ended:?}");
        });
        let mut connection = Self { serving, between };
        let answer = connection.answer(&HANDSHAKE.as_bytes().into());
        assert!(answer.contains(r#""protocolVersion":"2025-11-25""#), "{answer}");
        connection
    }

    /// Sends whole lines and has the server answer them; gives the bytes that it wrote. Allocates nothing.
    ///
    /// # Panics
    /// When the server leaves something unread.
    #[inline]
    pub fn exchange(&mut self, lines: &Rc<[u8]>) -> usize {
        let before = {
            let mut between = self.between.borrow_mut();
            between.sent = Some(Rc::clone(lines));
            between.written
        };
        let polled = self.serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let between = self.between.borrow();
        assert!(
            polled.is_pending() && between.sent.is_none(),
            "all lines are read, and the connection stays"
        );
        between.written - before
    }

    /// Sends whole lines, and gives what the server answers.
    ///
    /// # Panics
    /// When what it writes is no text.
    pub fn answer(&mut self, lines: &Rc<[u8]>) -> String {
        self.between.borrow_mut().kept = Some(Vec::new());
        let bytes = self.exchange(lines);
        let kept = self.between.borrow_mut().kept.take().unwrap_or_default();
        assert_eq!(kept.len(), bytes);
        // invariant: each answer is JSON, which is text.
        String::from_utf8(kept).expect("answers are text")
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}
