//! Which issuer is trusted, and the URLs that say so.

use std::path::PathBuf;
use std::time::Duration;

/// Whose access tokens are accepted, and for what.
#[derive(Debug, Clone)]
pub struct OAuthConfig {
    /// URL of this server as its clients know it: `https://mcp.example.com/mcp`.
    pub resource: String,
    /// Issuer of the tokens, exactly as they name it.
    pub issuer: String,
    /// Audience that tokens must be for; the resource where it is `None`.
    pub audience: Option<String>,
    /// Where clients get tokens; the issuer where it is empty.
    pub authorization_servers: Vec<String>,
    /// Scopes that a token must have, all of them.
    pub scopes: Vec<String>,
    /// Keys of the issuer.
    pub keys: KeySource,
    /// How far the issuer's clock may be from ours.
    pub clock_skew: Duration,
}

/// Where the keys (a JWK set) of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A URL, asked now and then and when a token names a key that is not known.
    Url(String),
}

impl KeySource {
    /// A URL where the text looks like one, else a file.
    pub fn parse(text: &str) -> Self {
        if text.contains("://") { Self::Url(text.to_owned()) } else { Self::File(text.into()) }
    }
}

/// Origin and path of an absolute URL of the web.
pub(super) fn split_url(url: &str) -> Option<(&str, &str)> {
    let parsed: ureq::http::Uri = url.parse().ok().filter(|_| url.bytes().all(is_quotable))?;
    let is_web = matches!(parsed.scheme_str(), Some("https" | "http"));
    let authority = parsed.authority().filter(|authority| is_web && !authority.host().is_empty())?;
    if !is_host_and_port(authority) {
        return None;
    }
    let scheme = url.find("://")? + 3;
    Some(url.split_at(scheme + authority.as_str().len()))
}

/// Whether an authority is a host, with a port or without: no user, no password, no port that is none.
pub(super) fn is_host_and_port(authority: &ureq::http::uri::Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| {
        port.is_empty() || authority.port_u16().is_some_and(|number| port == format!(":{number}"))
    })
}

/// Whether a byte may stand between quotes in a header without a backslash.
pub(super) fn is_quotable(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}
