//! The rules of admission, as an operator configures them.

use super::error::AdmissionError;
#[cfg(feature = "oauth")]
use super::oauth::OAuthConfig;
use super::tokens::{TokenFile, TokenList};
use std::net::SocketAddr;

/// Which requests are admitted. By default: those addressed to this machine, from no page or a page of this machine.
///
/// ```
/// use mcpool::transport::admission::{AdmissionConfig, Auth, TokenList};
///
/// let config = AdmissionConfig {
///     allowed_hosts: vec!["mcp.example.com".to_owned()],
///     auth: Auth::Tokens(TokenList::parse("laptop:s3cr3t-s3cr3t-s3cr3t\n")?),
///     ..AdmissionConfig::default()
/// };
/// assert!(!format!("{config:?}").contains("s3cr3t"));
/// # Ok::<(), mcpool::transport::admission::AdmissionError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct AdmissionConfig {
    /// Hosts that requests may be addressed to besides this machine's own names and plain IP addresses, which no
    /// foreign page can make a browser use: `mcp.example.com`, or with a port to allow only that.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages that may call besides those of this machine: `https://app.example.com`; with `:*` for
    /// any port.
    pub allowed_origins: Vec<String>,
    /// How a request identifies its sender.
    pub auth: Auth,
    /// Whether answers allow pages of allowed origins to read them (CORS).
    pub cors: bool,
}

/// How a request identifies its sender.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing: for addresses that only this machine can reach.
    #[default]
    None,
    /// One of these bearer tokens.
    Tokens(TokenList),
    /// One of the bearer tokens in a file, which is read again when it changes.
    TokenFile(TokenFile),
    /// An access token of an OAuth 2.1 authorization server.
    #[cfg(feature = "oauth")]
    OAuth(OAuthConfig),
}

/// Refuses an address that other machines can reach while no token is required.
///
/// ```
/// use mcpool::transport::admission::{Auth, check_exposure};
///
/// assert!(check_exposure("127.0.0.1:8080".parse()?, &Auth::None, false).is_ok());
/// assert!(check_exposure("0.0.0.0:8080".parse()?, &Auth::None, false).is_err());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Errors
/// When other machines can reach `address`, `auth` requires nothing, and `insecure` is not set.
pub fn check_exposure(address: SocketAddr, auth: &Auth, insecure: bool) -> Result<(), AdmissionError> {
    if address.ip().is_loopback() || insecure || !matches!(auth, Auth::None) {
        return Ok(());
    }
    Err(AdmissionError::Exposed { address })
}
