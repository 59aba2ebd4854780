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
    /// A URL, `http://HOST[:PORT][/PATH]`, or `https://` in builds with the feature `tls`.
    Http(HttpUrl),
}

/// The parts of an HTTP URL.
///
/// ```
/// use mcpool::load::{HttpUrl, LoadTarget};
///
/// fn url(target: &LoadTarget) -> Option<&HttpUrl> {
///     match target {
///         LoadTarget::Http(url) => Some(url),
///         _ => None,
///     }
/// }
/// assert!(url(&LoadTarget::parse("http://127.0.0.1:8000")?).is_some());
/// # Ok::<(), mcpool::load::TargetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Host and port, as in the header `Host`.
    authority: String,
    /// Host and port to connect to.
    connect_to: String,
    path: String,
    is_encrypted: bool,
}

/// A text that is no target.
///
/// ```
/// use mcpool::load::LoadTarget;
///
/// let error = LoadTarget::parse("127.0.0.1").err().map(|error| error.to_string());
/// assert!(error.is_some_and(|text| text.contains("is no server")));
/// ```
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no server: {why}")]
pub struct TargetError {
    text: String,
    why: &'static str,
}

impl LoadTarget {
    /// Reads `http://HOST:PORT/PATH` (or `https://`), `unix:PATH` (HTTP) or `unix-lines:PATH` (newline-framed messages).
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
        } else if let Some((is_encrypted, rest)) = without_scheme(text) {
            if is_encrypted && cfg!(not(feature = "tls")) {
                return refuse(crate::client::NO_TLS);
            }
            HttpUrl::parse(rest, is_encrypted)
                .map_or_else(|| refuse("write http://HOST:PORT/PATH"), |url| Ok(Self::Http(url)))
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
            Self::Http(url) if url.is_encrypted => "HTTPS",
            Self::Http(_) => "HTTP",
        }
    }

    pub(super) fn is_http(&self) -> bool {
        matches!(self, Self::UnixHttp(_) | Self::Http(_))
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Http(url) if url.is_encrypted)
    }

    /// The header `Host` and the path of requests over HTTP.
    pub(super) fn host_and_path(&self) -> (&str, &str) {
        match self {
            Self::Http(url) => (&url.authority, &url.path),
            _ => ("localhost", DEFAULT_PATH),
        }
    }
}

/// Whether a URL asks for encryption, and what follows its scheme.
fn without_scheme(text: &str) -> Option<(bool, &str)> {
    let plain = text.strip_prefix("http://").map(|rest| (false, rest));
    plain.or_else(|| text.strip_prefix("https://").map(|rest| (true, rest)))
}

impl HttpUrl {
    fn parse(rest: &str, is_encrypted: bool) -> Option<Self> {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains(|c: char| c == '@' || c.is_whitespace()) {
            return None;
        }
        let port = if is_encrypted { 443 } else { 80 };
        let connect_to =
            if port_of(authority).is_some() { authority.to_owned() } else { format!("{authority}:{port}") };
        let path = if path.is_empty() { DEFAULT_PATH } else { path };
        Some(Self { authority: authority.to_owned(), connect_to, path: path.to_owned(), is_encrypted })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The host without its port, and an address without its brackets.
    pub(super) fn host(&self) -> &str {
        let host = port_of(&self.authority).map_or(self.authority.as_str(), |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The first address that the host has.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let mut addresses = self.connect_to.to_socket_addrs()?;
        addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
    }
}

/// The host and the port of an authority, if it has one.
fn port_of(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    port.parse().ok().map(|port| (host, port))
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
            Self::Http(url) => {
                let scheme = if url.is_encrypted { "https" } else { "http" };
                write!(out, "{scheme}://{}{}", url.authority, url.path)
            }
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

    #[cfg(feature = "tls")]
    #[test]
    fn an_encrypted_url_has_its_own_port_and_a_host_to_be_certified() {
        for (text, host, connect_to) in [
            ("https://example.com", "example.com", "example.com:443"),
            ("https://localhost:8443/x", "localhost", "localhost:8443"),
            ("https://[::1]:8443/", "::1", "[::1]:8443"),
            ("https://[::1]", "::1", "[::1]:443"),
            ("https://127.0.0.1", "127.0.0.1", "127.0.0.1:443"),
        ] {
            let target = LoadTarget::parse(text).expect("a target");
            assert!(target.is_encrypted() && target.to_string().starts_with(text), "{target}");
            let LoadTarget::Http(url) = target else { panic!("a URL") };
            assert_eq!((url.host(), url.connect_to.as_str()), (host, connect_to));
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_encryption_a_url_that_asks_for_it_is_refused() {
        let error = LoadTarget::parse("https://example.com").expect_err("no TLS").to_string();
        assert!(error.contains("the feature `tls`"), "{error}");
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_to_write() {
        for text in ["", "unix:", "http://", "http://user@host/", "https://", "host:80", "http:/x"] {
            let error = LoadTarget::parse(text).expect_err(text).to_string();
            assert!(error.contains("is no server: "), "{error}");
        }
    }
}
