//! Asks a server which era it speaks, before it is loaded.

use super::error::LoadTestError;
use super::http_answer::HttpAnswer;
use super::request::{Era, Wording};
use super::target::LoadTarget;
use crate::client::{Client, ClientError, ClientOptions, MODERN, answers_discover};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TIME_OUT: Duration = Duration::from_secs(30);
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The newest era that the server speaks.
pub(super) fn era(target: &LoadTarget, bearer_token: Option<&str>) -> Result<Era, LoadTestError> {
    match target {
        LoadTarget::Command(_) | LoadTarget::UnixLines(_) => over_lines(target),
        LoadTarget::Http(url) => {
            let address = url.address().map_err(LoadTestError::Connect)?;
            let stream = TcpStream::connect_timeout(&address, TIME_OUT).map_err(LoadTestError::Connect)?;
            stream.set_read_timeout(Some(TIME_OUT)).map_err(LoadTestError::Connect)?;
            over_http(stream, target, bearer_token)
        }
        LoadTarget::UnixHttp(path) => {
            let stream = UnixStream::connect(path).map_err(LoadTestError::Connect)?;
            stream.set_read_timeout(Some(TIME_OUT)).map_err(LoadTestError::Connect)?;
            over_http(stream, target, bearer_token)
        }
    }
}

fn over_lines(target: &LoadTarget) -> Result<Era, LoadTestError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(LoadTestError::Connect)?.block_on(async {
        let options = ClientOptions::default();
        let client = match target {
            LoadTarget::UnixLines(path) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(LoadTestError::Connect)?;
                let (input, output) = stream.into_split();
                Client::over(input, output, options).await
            }
            LoadTarget::Command(command) => Client::start(command, options).await,
            LoadTarget::Http(_) | LoadTarget::UnixHttp(_) => return Ok(Era::Modern),
        };
        let client = client.map_err(|error| LoadTestError::Client(Box::new(error)))?;
        let era = if client.revision() == MODERN { Era::Modern } else { Era::Legacy };
        client.close().await;
        Ok(era)
    })
}

fn over_http(
    mut stream: impl Read + Write,
    target: &LoadTarget,
    bearer_token: Option<&str>,
) -> Result<Era, LoadTestError> {
    let wording = Wording::new(target, Era::Modern, bearer_token);
    let answer = exchange(&mut stream, &wording.discover()).map_err(LoadTestError::Connect)?;
    if matches!(answer.status(), 401 | 403) {
        let why = format!("the server refuses with status {}: give a token, or another one", answer.status());
        return Err(LoadTestError::Greeting(why));
    }
    match answers_discover(answer.body()) {
        Ok(true) => Ok(Era::Modern),
        Ok(false) => Ok(Era::Legacy),
        Err(offered) => Err(LoadTestError::Client(Box::new(ClientError::Revision { offered }))),
    }
}

/// Sends a request and waits for the whole answer.
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<HttpAnswer> {
    stream.write_all(request)?;
    let mut answer = HttpAnswer::new(MAX_BODY_BYTES);
    let mut buffer = [0; 16 * 1024];
    while !answer.is_complete() {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            if answer.ends_with_connection() {
                break;
            }
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        answer.feed(&buffer[..read]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(answer)
}
