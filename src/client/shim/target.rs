//! Where a server of Streamable HTTP is, and what is sent to it with each request.

use super::error::ShimError;
use crate::client::tls::Encryption;
#[cfg(feature = "cli")]
use crate::client::wire_http::HttpConnection;
use std::fmt::Write as _;
use std::path::Path;

/// A server that speaks Streamable HTTP.
#[derive(Clone)]
pub struct HttpTarget {
    /// The header `Host`, as in the URL.
    pub(super) host: String,
    /// `host:port`, to connect to.
    pub(super) address: String,
    pub(super) path: String,
    pub(super) url: String,
    /// Headers of each request, as whole lines.
    pub(super) headers: String,
    /// How connections are encrypted, if they are.
    pub(super) encryption: Option<Encryption>,
}

impl std::fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

impl HttpTarget {
    /// A server at `url`, `http://` or in builds with the feature `tls` `https://`, with further headers for each
    /// request: names and values. The certificate of an encrypted one has to be by an authority in `ca_file`, or by a
    /// public one where there is no such file.
    ///
    /// # Errors
    /// When the shim cannot use the URL, a header cannot be sent, or the file has no certificates.
    pub fn new(url: &str, headers: &[(String, String)], ca_file: Option<&Path>) -> Result<Self, ShimError> {
        let refuse = |why: String| Err(ShimError::Target(why));
        let Some((is_encrypted, rest)) = without_scheme(url) else {
            return refuse(format!("{url}: the shim speaks http://, https:// and unix:"));
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (name, port) = name_and_port(host);
        if name.is_empty() || host.contains('@') {
            return refuse(format!("{url}: there is no host"));
        }
        let mut lines = String::new();
        for (name, value) in headers {
            let is_clean = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if name.is_empty() || name.contains([':', ' ']) || !is_clean(name) || !is_clean(value) {
                return refuse(format!("the header {name:?} cannot be sent"));
            }
            let _ = write!(lines, "{name}: {value}\r\n");
        }
        let encryption = is_encrypted
            .then(|| Encryption::new(name.trim_matches(['[', ']']), ca_file))
            .transpose()
            .map_err(|error| ShimError::Target(format!("{url}: {error}")))?;
        let port = port.unwrap_or(if is_encrypted { 443 } else { 80 });
        Ok(Self {
            host: host.to_owned(),
            address: format!("{name}:{port}"),
            path: if path.is_empty() { "/mcp".to_owned() } else { path.to_owned() },
            url: url.to_owned(),
            headers: lines,
            encryption,
        })
    }

    /// Where it is.
    #[cfg(feature = "cli")]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sees whether somebody listens there, and whom to trust.
    #[cfg(feature = "cli")]
    pub(crate) async fn reach(&self) -> std::io::Result<()> {
        HttpConnection::open(&self.address, self.encryption.as_ref()).await.map(drop)
    }
}

/// Whether a URL asks for encryption, and what follows its scheme.
fn without_scheme(url: &str) -> Option<(bool, &str)> {
    let plain = url.strip_prefix("http://").map(|rest| (false, rest));
    plain.or_else(|| url.strip_prefix("https://").map(|rest| (true, rest)))
}

/// The parts of `host:port`, `[::1]:port` and either without a port.
fn name_and_port(host: &str) -> (&str, Option<u16>) {
    let parts = host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
    parts.map_or((host, None), |(name, port)| (name, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask_for() {
        for (url, host, address, path) in [
            ("http://127.0.0.1:8000/mcp", "127.0.0.1:8000", "127.0.0.1:8000", "/mcp"),
            ("http://localhost", "localhost", "localhost:80", "/mcp"),
            ("http://[::1]:8000", "[::1]:8000", "[::1]:8000", "/mcp"),
            ("http://[::1]/x?y=z", "[::1]", "[::1]:80", "/x?y=z"),
        ] {
            let target = HttpTarget::new(url, &[], None).expect(url);
            let found = (target.host.as_str(), target.address.as_str(), target.path.as_str());
            assert_eq!(found, (host, address, path), "{url}");
            assert!(target.encryption.is_none());
        }
        for url in ["http://", "http:///mcp", "http://:80/", "http://me@host/", "ftp://host/"] {
            HttpTarget::new(url, &[], None).expect_err(url);
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_encrypted_url_has_its_own_port_and_a_name_to_be_certified() {
        for (url, host, address) in [
            ("https://example.com", "example.com", "example.com:443"),
            ("https://localhost:8443/x", "localhost:8443", "localhost:8443"),
            ("https://[::1]", "[::1]", "[::1]:443"),
        ] {
            let target = HttpTarget::new(url, &[], None).expect(url);
            assert_eq!((target.host.as_str(), target.address.as_str()), (host, address), "{url}");
            assert!(target.encryption.is_some());
        }
        let told = HttpTarget::new("https://a b/", &[], None).expect_err("no name").to_string();
        assert!(told.contains("is no name that a certificate could have"), "{told}");
        let told =
            HttpTarget::new("https://h/", &[], Some(Path::new("/not/there.pem"))).expect_err("no file");
        assert!(told.to_string().contains("/not/there.pem"), "{told}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_build_without_encryption_says_how_to_get_it() {
        let told = HttpTarget::new("https://example.com", &[], None).expect_err("no TLS").to_string();
        assert!(told.contains("--features"), "{told}");
    }
}
