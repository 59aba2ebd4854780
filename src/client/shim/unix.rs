//! The shim to a Unix socket: copies lines unchanged.

use super::error::ShimError;
use super::lines::{next_line, write_line};
use super::message::{Handshake, InFlight, Summary, lost};
use super::outage::Outage;
use crate::client::line::LineReader;
use crate::limits::Limits;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The most bytes of messages that wait while the server is down; further requests are answered with an error.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// A connection to the server.
struct Server {
    lines: LineReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// What the shim remembers.
#[derive(Default)]
struct Memory {
    handshake: Handshake,
    in_flight: InFlight,
    /// Messages of the client that were not sent yet.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
}

pub(super) async fn run<R, W>(
    path: &Path,
    mut client: LineReader<R>,
    mut output: W,
    limits: &Limits,
) -> Result<(), ShimError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut memory = Memory::default();
    let what = format!("unix:{}", path.display());
    let mut outage = Outage::new(&what);
    loop {
        let mut server = loop {
            tokio::select! {
                opened = open(path, limits, &memory) => match opened {
                    Ok(server) => break server,
                    Err(error) => {
                        // Messages of the client are kept until the server is back.
                        tokio::select! {
                            () = outage.wait(&error) => {}
                            line = next_line(&mut client) => match line? {
                                Some(line) => queue(&mut memory, line, &mut output).await?,
                                None => return Ok(()),
                            },
                        }
                    }
                },
            }
        };
        outage.end();
        if serve(&mut server, &mut client, &mut output, &mut memory).await? {
            return finish(server, &mut output, &mut memory).await;
        }
        for id in memory.in_flight.take() {
            let error = lost(&id, "the server restarted before it answered; send the request again");
            write_line(&mut output, &error).await?;
        }
    }
}

/// Connects, and repeats the handshake of the client.
async fn open(path: &Path, limits: &Limits, memory: &Memory) -> io::Result<Server> {
    let (reader, writer) = UnixStream::connect(path).await?.into_split();
    // An answer may be longer than a request.
    let mut server = Server { lines: LineReader::new(reader, limits.max_reply_bytes), writer };
    if let Some((id, request, initialized)) = memory.handshake.complete() {
        write_line(&mut server.writer, request).await?;
        loop {
            let line = server.lines.next_line().await.map_err(|_| io::ErrorKind::ConnectionReset)?;
            let line = line.ok_or(io::ErrorKind::ConnectionReset)?;
            if Summary::of(line).id.as_deref() == Some(id) {
                break;
            }
        }
        write_line(&mut server.writer, initialized).await?;
    }
    Ok(server)
}

/// Keeps a message while the server is down, or answers it with an error if it does not fit.
async fn queue<W: AsyncWrite + Unpin>(memory: &mut Memory, line: Vec<u8>, output: &mut W) -> io::Result<()> {
    let summary = Summary::of(&line);
    if memory.waiting_bytes + line.len() <= MAX_WAITING_BYTES {
        memory.waiting_bytes += line.len();
        memory.waiting.push_back(line);
        return Ok(());
    }
    match summary.id {
        Some(id) => write_line(output, &lost(&id, "the server cannot be reached")).await,
        None => Ok(()),
    }
}

/// Copies in both directions; `true` when the input of the client has ended, `false` when the server closed the
/// connection.
async fn serve<R, W>(
    server: &mut Server,
    client: &mut LineReader<R>,
    output: &mut W,
    memory: &mut Memory,
) -> Result<bool, ShimError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        if let Some(line) = memory.waiting.pop_front() {
            memory.waiting_bytes -= line.len();
            if send(server, memory, line).await.is_err() {
                return Ok(false);
            }
            continue;
        }
        tokio::select! {
            line = next_line(client) => match line? {
                Some(line) => {
                    if send(server, memory, line).await.is_err() {
                        return Ok(false);
                    }
                }
                None => return Ok(true),
            },
            line = server.lines.next_line() => match line {
                Ok(Some(line)) => {
                    take(line, memory);
                    write_line(output, line).await?;
                }
                Ok(None) | Err(_) => return Ok(false),
            },
        }
    }
}

/// Sends a line. If that fails, the line waits for the next connection.
async fn send(server: &mut Server, memory: &mut Memory, line: Vec<u8>) -> io::Result<()> {
    let summary = Summary::of(&line);
    let sent = write_line(&mut server.writer, &line).await;
    if sent.is_err() {
        memory.waiting_bytes += line.len();
        memory.waiting.push_front(line);
        return sent;
    }
    memory.handshake.watch(&summary, &line);
    if let Some(id) = summary.id.filter(|_| summary.method.is_some()) {
        memory.in_flight.begin(&id);
    }
    Ok(())
}

fn take(line: &[u8], memory: &mut Memory) {
    if memory.in_flight.is_empty() {
        return;
    }
    let summary = Summary::of(line);
    if summary.is_answer()
        && let Some(id) = &summary.id
    {
        memory.in_flight.end(id);
    }
}

/// Passes on the remaining answers after the client has closed its side.
async fn finish<W: AsyncWrite + Unpin>(
    mut server: Server,
    output: &mut W,
    memory: &mut Memory,
) -> Result<(), ShimError> {
    let _ = server.writer.shutdown().await;
    while let Ok(Some(line)) = server.lines.next_line().await {
        take(line, memory);
        write_line(output, line).await?;
    }
    for id in memory.in_flight.take() {
        write_line(output, &lost(&id, "the server ended before it answered")).await?;
    }
    Ok(())
}
