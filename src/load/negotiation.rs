//! Asks a server which era it speaks, before it is loaded.
//!
//! Invariant: this ends within the time-out, and soon after somebody stops the test, whatever the server does.

use super::error::LoadTestError;
use super::http_answer::HttpAnswer;
use super::request::{Era, Wording};
use super::target::LoadTarget;
use super::tls::Encryption;
use crate::client::{Client, ClientError, ClientOptions, MODERN, answers_discover};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often somebody is asked whether the test was stopped.
const TICK: Duration = Duration::from_millis(20);
/// How long a server may take to end after its greeting.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// How long somebody waits for a server.
pub(super) struct Patience<'a> {
    pub(super) time_out: Duration,
    pub(super) stop: &'a dyn Fn() -> bool,
}

/// The newest era that the server speaks.
pub(super) fn era(
    target: &LoadTarget,
    encryption: Option<&Encryption>,
    bearer_token: Option<&str>,
    patience: &Patience<'_>,
) -> Result<Era, LoadTestError> {
    match target {
        LoadTarget::Command(_) | LoadTarget::UnixLines(_) => over_lines(target, patience),
        LoadTarget::Http(url) => {
            let (url, time_out) = (url.clone(), patience.time_out);
            // The name is looked up, too, and neither that nor connecting can be interrupted.
            let connect = move || TcpStream::connect_timeout(&url.address()?, time_out);
            let stream = patience.wait_for(target, connect)?;
            stream.set_read_timeout(Some(TICK)).map_err(LoadTestError::connect(target))?;
            match encryption {
                Some(encryption) => {
                    let encrypted = encryption.over(stream).map_err(LoadTestError::connect(target))?;
                    over_http(encrypted, target, bearer_token, patience)
                }
                None => over_http(stream, target, bearer_token, patience),
            }
        }
        LoadTarget::UnixHttp(path) => {
            let stream = UnixStream::connect(path).map_err(LoadTestError::connect(target))?;
            stream.set_read_timeout(Some(TICK)).map_err(LoadTestError::connect(target))?;
            over_http(stream, target, bearer_token, patience)
        }
    }
}

impl Patience<'_> {
    /// Has a thread of its own do what blocks.
    fn wait_for<T: Send + 'static>(
        &self,
        target: &LoadTarget,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, LoadTestError> {
        let (done, result) = sync_channel(1);
        let begun = Instant::now();
        let thread = thread::Builder::new().name("connect".to_owned()).spawn(move || drop(done.send(work())));
        thread.map_err(LoadTestError::connect(target))?;
        loop {
            match result.recv_timeout(TICK) {
                Ok(result) => return result.map_err(LoadTestError::connect(target)),
                Err(RecvTimeoutError::Timeout) => self.check(target, begun)?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(LoadTestError::greeting(target, "connecting failed"));
                }
            }
        }
    }

    /// An error when nobody waits any more for what began then.
    fn check(&self, target: &LoadTarget, begun: Instant) -> Result<(), LoadTestError> {
        if (self.stop)() {
            return Err(LoadTestError::stopped(target));
        }
        if begun.elapsed() > self.time_out {
            let why = format!("it did not answer the greeting in {:?} (--time-out)", self.time_out);
            return Err(LoadTestError::greeting(target, why));
        }
        Ok(())
    }
}

fn over_lines(target: &LoadTarget, patience: &Patience<'_>) -> Result<Era, LoadTestError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(LoadTestError::connect(target))?.block_on(async {
        let begun = Instant::now();
        let options = ClientOptions {
            // There are two attempts, one for each era.
            connect_timeout: patience.time_out / 2,
            close_timeout: patience.time_out.min(CLOSE_TIMEOUT),
            ..ClientOptions::default()
        };
        let mut asked = std::pin::pin!(ask_over_lines(target, options));
        loop {
            if let Ok(era) = tokio::time::timeout(TICK, asked.as_mut()).await {
                return era;
            }
            if (patience.stop)() {
                return Err(LoadTestError::stopped(target));
            }
            // The client gives up by itself, and says why better than this could.
            patience.check(target, begun + CLOSE_TIMEOUT * 3)?;
        }
    })
}

async fn ask_over_lines(target: &LoadTarget, options: ClientOptions) -> Result<Era, LoadTestError> {
    let client = match target {
        LoadTarget::UnixLines(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            let (input, output) = stream.map_err(LoadTestError::connect(target))?.into_split();
            Client::over(input, output, options).await
        }
        LoadTarget::Command(command) => Client::start(command, options).await,
        LoadTarget::Http(_) | LoadTarget::UnixHttp(_) => return Ok(Era::Modern),
    };
    let client = client.map_err(|error| LoadTestError::client(target, error))?;
    let era = if client.revision() == MODERN { Era::Modern } else { Era::Legacy };
    client.close().await;
    Ok(era)
}

fn over_http(
    mut stream: impl Read + Write,
    target: &LoadTarget,
    bearer_token: Option<&str>,
    patience: &Patience<'_>,
) -> Result<Era, LoadTestError> {
    let wording = Wording::new(target, Era::Modern, bearer_token);
    let answer = exchange(&mut stream, &wording.discover(), target, patience)?;
    if matches!(answer.status(), 401 | 403) {
        let why = format!("it refuses with status {}: give a token, or another one", answer.status());
        return Err(LoadTestError::greeting(target, why));
    }
    match answers_discover(answer.body()) {
        Ok(true) => Ok(Era::Modern),
        Ok(false) => Ok(Era::Legacy),
        Err(offered) => Err(LoadTestError::client(target, ClientError::Revision { offered })),
    }
}

/// Sends a request and waits for the whole answer.
fn exchange(
    stream: &mut (impl Read + Write),
    request: &[u8],
    target: &LoadTarget,
    patience: &Patience<'_>,
) -> Result<HttpAnswer, LoadTestError> {
    let broken = LoadTestError::connect(target);
    let begun = Instant::now();
    stream.write_all(request).map_err(&broken)?;
    let mut answer = HttpAnswer::new(MAX_BODY_BYTES);
    let mut buffer = [0; 16 * 1024];
    while !answer.is_complete() {
        patience.check(target, begun)?;
        let read = match stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if is_patient(&error) => continue,
            Err(error) => return Err(broken(error)),
        };
        if read == 0 {
            if answer.ends_with_connection() {
                break;
            }
            let why = "the server closed the connection";
            return Err(broken(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
        }
        answer
            .feed(&buffer[..read])
            .map_err(|error| broken(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    }
    Ok(answer)
}

/// Whether a read may be tried again.
fn is_patient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
