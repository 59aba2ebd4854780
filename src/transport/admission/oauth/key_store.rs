//! Reads or fetches the keys of an issuer, and follows their rotation.

use super::super::error::AdmissionError;
use super::jwk::KeySet;
use super::settings::{KeySource, is_host_and_port};
use crate::lock::lock;
use crate::watched_file::{self, WatchedFile};
use arc_swap::{ArcSwap, Guard};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use thiserror::Error;
use ureq::http::Uri;

/// Longest answer of a key server.
const MAX_KEYS_BYTES: u64 = watched_file::MAX_BYTES;
/// Shortest time between two fetches for an unknown key: any client can invent one.
const RETRY: Duration = Duration::from_secs(10);
/// How often keys of a URL are fetched anyway.
const REFRESH: Duration = Duration::from_mins(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Stack of the thread that fetches: TLS needs more than the usual helper.
const FETCH_STACK_BYTES: usize = 512 * 1024;

/// The current keys of their source.
pub(super) enum KeyStore {
    File(WatchedFile<KeySet>),
    Url(Fetched),
}

/// Keys that a thread fetches; it ends when this is dropped.
pub(super) struct Fetched {
    keys: Arc<ArcSwap<KeySet>>,
    asked_at: Mutex<Option<Instant>>,
    ask: SyncSender<()>,
}

impl KeyStore {
    pub(super) fn open(source: &KeySource) -> Result<Self, AdmissionError> {
        match source {
            KeySource::File(path) => WatchedFile::open(path, read).map(Self::File),
            KeySource::Url(url) => {
                let url = key_url(url).map_err(|fault| AdmissionError::OAuth(fault.to_owned()))?;
                let keys = Arc::new(ArcSwap::from_pointee(KeySet::default()));
                let ask = fetch_in_background(url, Arc::clone(&keys))?;
                Ok(Self::Url(Fetched { keys, asked_at: Mutex::new(None), ask }))
            }
        }
    }

    /// The keys in force. A file is read again if it has changed.
    pub(super) fn current(&self) -> Guard<Arc<KeySet>> {
        match self {
            Self::File(followed) => {
                follow(followed, false);
                followed.current()
            }
            Self::Url(fetched) => fetched.keys.load(),
        }
    }

    /// Fetches the keys of a URL again, unless that was just done.
    pub(super) fn look_again(&self) {
        let Self::Url(fetched) = self else { return };
        let mut asked_at = lock(&fetched.asked_at);
        if asked_at.is_none_or(|at| at.elapsed() >= RETRY) {
            *asked_at = Some(Instant::now());
            // A fetch that is due already is enough.
            let _ = fetched.ask.try_send(());
        }
    }

    /// Reads or fetches the keys again now.
    #[cfg(feature = "cli")]
    pub(super) fn reload(&self) {
        match self {
            Self::File(followed) => follow(followed, true),
            Self::Url(fetched) => {
                let _ = fetched.ask.try_send(());
            }
        }
    }
}

fn follow(followed: &WatchedFile<KeySet>, is_forced: bool) {
    if followed.reload(is_forced, read).is_some() {
        tracing::info!(path = %followed.path().display(), "the keys were read again");
    }
}

fn read(path: &Path) -> Result<KeySet, AdmissionError> {
    let unreadable = |source| AdmissionError::Unreadable { path: path.to_owned(), source };
    let text = watched_file::read(path, MAX_KEYS_BYTES).map_err(unreadable)?;
    KeySet::parse(&text)
        .map_err(|fault| AdmissionError::OAuth(format!("{} is no JWK set: {fault}", path.display())))
}

/// A URL that keys may come from: over https, or without it from this machine alone.
///
/// Read by the parser of the client that fetches it, so that the two cannot differ about the host.
fn key_url(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "oauth_jwks is no URL")?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err("oauth_jwks must be a file or an absolute URL");
    };
    if !is_host_and_port(authority) {
        return Err("oauth_jwks must have a host and at most a port between // and the path");
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_local = host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match scheme {
        "https" if !host.is_empty() => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err("keys are fetched over https only, or from this machine (setting oauth_jwks)"),
    }
}

/// Fetches keys at once, then every [`REFRESH`] and whenever it is asked to.
fn fetch_in_background(url: Uri, keys: Arc<ArcSwap<KeySet>>) -> Result<SyncSender<()>, AdmissionError> {
    let (ask, asked) = sync_channel(1);
    let has_failed = AtomicBool::new(false);
    let work = move || {
        loop {
            match fetch(&url) {
                Ok(fetched) => {
                    keys.store(Arc::new(fetched));
                    has_failed.store(false, Ordering::Relaxed);
                }
                Err(error) if !has_failed.swap(true, Ordering::Relaxed) => {
                    tracing::error!(%error, %url, "cannot fetch keys; those fetched last stay");
                }
                Err(_) => {}
            }
            let pause = if has_failed.load(Ordering::Relaxed) { RETRY } else { REFRESH };
            if asked.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("mcpool-keys".to_owned()).stack_size(FETCH_STACK_BYTES);
    thread.spawn(work).map_err(|error| AdmissionError::OAuth(format!("cannot start a thread: {error}")))?;
    Ok(ask)
}

/// Why keys were not fetched.
#[derive(Debug, Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] Box<ureq::Error>),
    #[error(
        "it redirects, which is not followed: whom else to trust is for the operator to say (setting oauth_jwks)"
    )]
    Redirect,
    #[error("it answered {0}")]
    Status(u16),
    #[error("it is no JWK set: {0}")]
    Syntax(#[from] serde_json::Error),
}

fn fetch(url: &Uri) -> Result<KeySet, FetchError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .https_only(url.scheme_str() == Some("https"))
        .build()
        .into();
    let mut answer = agent.get(url).call().map_err(Box::new)?;
    match answer.status().as_u16() {
        200 => {}
        300..=399 => return Err(FetchError::Redirect),
        status => return Err(FetchError::Status(status)),
    }
    let text = answer.body_mut().with_config().limit(MAX_KEYS_BYTES).read_to_vec().map_err(Box::new)?;
    Ok(KeySet::parse(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for (url, want) in [
            ("https://keys.example.com/jwks", true),
            ("https://keys.example.com:8443/jwks?x=1", true),
            ("HTTPS://keys.example.com/", true),
            ("http://localhost/jwks", true),
            ("http://LocalHost:8080", true),
            ("http://127.0.0.1:1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:1/", true),
            ("http://localhost.evil.com/jwks", false),
            ("http://localhost.evil.com:80/", false),
            ("http://127.0.0.1.evil.com/", false),
            ("http://127.0.0.1:80.evil.com/", false),
            ("http://localhost:/", false),
            ("http://localhost:99999/", false),
            ("http://localhost@evil.com/", false),
            ("http://localhost:80@evil.com/", false),
            ("http://evil.com\\@localhost/", false),
            ("http://evil.com#@localhost/", false),
            ("http://evil.com?localhost", false),
            ("http://evil.com/localhost", false),
            ("http://[::1].evil.com/", false),
            ("http://[::ffff:1.2.3.4]/", false),
            ("http://0.0.0.0/", false),
            ("http://2130706433/", false),
            ("http://192.168.1.1/", false),
            ("http://localhost%2eevil.com/", false),
            ("http:///jwks", false),
            ("https:///jwks", false),
            ("https://user:secret@keys.example.com/", false),
            ("ftp://localhost/", false),
            ("file:///etc/passwd", false),
            ("unix://localhost/", false),
            ("http://local host/", false),
            ("://", false),
        ] {
            assert_eq!(key_url(url).is_ok(), want, "{url}");
        }
    }

    /// Answers one request, and gives how many came.
    fn answering(answer: Vec<u8>) -> (Uri, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            let _ = stream.read(&mut [0; 1024]).expect("a request");
            // The client may have heard enough.
            let _ = stream.write_all(&answer);
        });
        (url.parse().expect("a URL"), serving)
    }

    #[test]
    fn nothing_but_a_short_answer_of_the_server_itself_is_taken() {
        let with = |head: &str, body: &[u8]| {
            let head =
                format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        other.set_nonblocking(true).expect("a socket");
        let elsewhere = format!("302 Found\r\nlocation: http://{}/", other.local_addr().expect("an address"));
        let long = [br#"{"keys":[]}"#.as_slice(), &vec![b' '; 2 << 20]].concat();
        let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".iter().copied();
        let endless: Vec<u8> = endless
            .chain(
                b"10000\r\n".iter().chain(&vec![b' '; 0x10000]).chain(b"\r\n").copied().cycle().take(2 << 20),
            )
            .collect();
        for (what, answer, want) in [
            ("keys", with("200 OK", br#"{"keys":[]}"#), None),
            ("elsewhere", with(&elsewhere, br#"{"keys":[]}"#), Some("it redirects")),
            ("an error", with("500 Oops", br#"{"keys":[]}"#), Some("it answered 500")),
            ("a part", with("206 Partial Content", br#"{"keys":[]}"#), Some("it answered 206")),
            ("no keys", with("200 OK", b"{}"), Some("no JWK set")),
            ("twice", with("200 OK", br#"{"keys":[],"keys":[]}"#), Some("no JWK set")),
            ("long", with("200 OK", &long), Some("")),
            ("endless", endless, Some("")),
        ] {
            let (url, serving) = answering(answer);
            let outcome = fetch(&url);
            serving.join().expect("answered");
            match (outcome, want) {
                (Ok(_), None) => {}
                (Err(error), Some(want)) => assert!(error.to_string().contains(want), "{what}: {error}"),
                (outcome, _) => panic!("{what}: {outcome:?}"),
            }
        }
        assert!(other.accept().is_err(), "nobody was sent elsewhere");
    }
}
