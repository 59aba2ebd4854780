//! What a load test asks: a command, a Unix socket or a URL, and how it is written.

use crate::client::ServerCommand;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The path that MCP is served on, where nothing else is said.
const DEFAULT_PATH: &str = "/mcp";

/// A server to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadTarget {
    /// A command that serves on its standard input and output; each connection starts it once.
    Command(ServerCommand),
    /// A Unix socket that speaks HTTP.
    UnixHttp(PathBuf),
    /// A Unix socket that speaks newline-framed messages.
    UnixLines(PathBuf),
    /// A URL, `http://HOST[:PORT][/PATH]`.
    Http(HttpUrl),
}

/// The parts of an HTTP URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Host and port, as in the header `Host`.
    authority: String,
    /// Host and port to connect to.
    connect_to: String,
    path: String,
}

/// A text that is no target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no server: {why}")]
pub struct TargetError {
    text: String,
    why: &'static str,
}

impl LoadTarget {
    /// Reads `http://HOST:PORT/PATH`, `unix:PATH` (HTTP) or `unix-lines:PATH` (newline-framed messages).
    ///
    /// ```
    /// use mcpool::load::LoadTarget;
    ///
    /// let target = LoadTarget::parse("http://127.0.0.1:8000")?;
    /// assert_eq!(target.to_string(), "http://127.0.0.1:8000/mcp");
    /// # Ok::<(), mcpool::load::TargetError>(())
    /// ```
    ///
    /// # Errors
    /// When the text is none of them.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let refuse = |why| Err(TargetError { text: text.to_owned(), why });
        let path = |path: &str| if path.is_empty() { None } else { Some(PathBuf::from(path)) };
        if let Some(rest) = text.strip_prefix("unix:") {
            path(rest)
                .map_or_else(|| refuse("the path of the socket is missing"), |path| Ok(Self::UnixHttp(path)))
        } else if let Some(rest) = text.strip_prefix("unix-lines:") {
            path(rest)
                .map_or_else(|| refuse("the path of the socket is missing"), |path| Ok(Self::UnixLines(path)))
        } else if let Some(rest) = text.strip_prefix("http://") {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if authority.is_empty() || authority.contains(|c: char| c == '@' || c.is_whitespace()) {
                return refuse("write http://HOST:PORT/PATH");
            }
            let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let connect_to = if has_port { authority.to_owned() } else { format!("{authority}:80") };
            let path = if path.is_empty() { DEFAULT_PATH } else { path };
            Ok(Self::Http(HttpUrl { authority: authority.to_owned(), connect_to, path: path.to_owned() }))
        } else if text.starts_with("https://") {
            refuse("https is not spoken here: load the server behind its proxy, over http")
        } else {
            refuse("write http://HOST:PORT/PATH, unix:PATH, unix-lines:PATH, or a command behind `--`")
        }
    }

    /// How bytes move, for reports.
    pub(super) fn transport(&self) -> &'static str {
        match self {
            Self::Command(_) => "stdio",
            Self::UnixHttp(_) => "HTTP over a Unix socket",
            Self::UnixLines(_) => "lines over a Unix socket",
            Self::Http(_) => "HTTP",
        }
    }

    pub(super) fn is_http(&self) -> bool {
        matches!(self, Self::UnixHttp(_) | Self::Http(_))
    }

    /// The header `Host` and the path of requests over HTTP.
    pub(super) fn host_and_path(&self) -> (&str, &str) {
        match self {
            Self::Http(url) => (&url.authority, &url.path),
            _ => ("localhost", DEFAULT_PATH),
        }
    }
}

impl HttpUrl {
    /// The first address that the host has.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let mut addresses = self.connect_to.to_socket_addrs()?;
        addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
    }
}

impl fmt::Display for LoadTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |path: &Path| path.display().to_string();
        match self {
            Self::Command(ServerCommand { program, arguments }) => {
                write!(out, "{}", program.to_string_lossy())?;
                // Variables are keys and tokens as often as not, and reports are shown to others.
                let mut is_variable = program == "env";
                arguments.iter().try_for_each(|argument| {
                    let argument = argument.to_string_lossy();
                    if let Some((name, _)) = argument.split_once('=').filter(|_| is_variable) {
                        return write!(out, " {name}=...");
                    }
                    is_variable = false;
                    write!(out, " {argument}")
                })
            }
            Self::UnixHttp(path) => write!(out, "unix:{}", name(path)),
            Self::UnixLines(path) => write!(out, "unix-lines:{}", name(path)),
            Self::Http(url) => write!(out, "http://{}{}", url.authority, url.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in
            ["unix:/run/a b.sock", "unix-lines:x", "http://[::1]:8000/mcp", "http://localhost/a/b?c=d"]
        {
            assert_eq!(LoadTarget::parse(text).expect("a target").to_string(), text);
        }
        let LoadTarget::Http(url) = LoadTarget::parse("http://127.0.0.1").expect("a target") else {
            panic!("a URL");
        };
        assert_eq!((url.connect_to.as_str(), url.path.as_str()), ("127.0.0.1:80", "/mcp"));
        assert_eq!(url.address().expect("an address"), SocketAddr::from(([127, 0, 0, 1], 80)));
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_to_write() {
        for text in ["", "unix:", "http://", "http://user@host/", "https://host", "host:80", "http:/x"] {
            let error = LoadTarget::parse(text).expect_err(text).to_string();
            assert!(error.contains("is no server: "), "{error}");
        }
    }
}
