//! Who may come in: names that requests are addressed to, pages that send them, tokens, and how often.
//!
//! Told from the head of a request, before its body is read. Invariants: nothing here prints a token, or
//! compares one in a time that depends on it; an admitted request without a new access token allocates nothing.

mod names;
#[cfg(feature = "oauth")]
mod oauth;
mod rate;
mod tokens;

#[cfg(feature = "oauth")]
pub use oauth::{KeySource, OAuthConfig};
pub use tokens::{TokenFile, TokenList};

use crate::limits::Limits;
use names::{Hosts, Origins};
use rate::{Failures, RateLimiter};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;
use thiserror::Error;

/// Who may come in. By default: requests addressed to this machine, from no page or one of this machine.
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
    /// What a request has to show.
    pub auth: Auth,
    /// Whether browsers are told that pages of allowed origins may read the answers.
    pub cors: bool,
}

/// What a request has to show.
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

/// Why the rules of admission cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// An address beyond this machine without anything to show.
    #[error(
        "{address} can be reached from other machines: ask for tokens (token_file or oauth_issuer), or say --insecure"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// A host name that is none.
    #[error("allowed host {text:?} is no host name, with or without a port")]
    Host {
        /// What was given.
        text: String,
    },
    /// An origin that is none.
    #[error("allowed origin {text:?} must look like https://app.example.com or http://localhost:*")]
    Origin {
        /// What was given.
        text: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list of tokens with nothing useful in it.
    #[error("line {line} of the tokens: {fault}")]
    Token {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// A list without any token.
    #[error("there is no token in the list: write one on a line of its own, NAME:TOKEN or TOKEN")]
    NoToken,
    /// The settings of OAuth contradict each other.
    #[error("OAuth: {0}")]
    OAuth(String),
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerAddress {
    Ip(IpAddr),
    /// A process of that user, as the system vouches for it.
    Unix {
        uid: u32,
    },
}

impl PeerAddress {
    /// Whether the peer may do what this process may anyway: it is of the same user, or root's. The mode of a
    /// socket tells nothing of that, as a service manager or somebody with chmod may have opened it to all.
    pub(crate) fn is_own_user(self) -> bool {
        match self {
            Self::Unix { uid } => uid == 0 || uid == rustix::process::geteuid().as_raw(),
            Self::Ip(_) => false,
        }
    }
}

/// What a request shows at the door.
#[derive(Clone, Copy)]
pub(crate) struct Knock<'a> {
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) origin: Option<&'a [u8]>,
    pub(crate) authorization: Option<&'a [u8]>,
    pub(crate) peer: PeerAddress,
}

/// What `localhost` may mean.
const THIS_MACHINE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Who makes a request: a key to compare, not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Principal(u128);

impl Principal {
    /// Bits that tell how a principal is known, so that no two ways meet.
    const KIND_SHIFT: u32 = 124;
    const TOKEN: u128 = 5;

    fn new(kind: u128, digest: u128) -> Self {
        Self(kind << Self::KIND_SHIFT | digest & ((1 << Self::KIND_SHIFT) - 1))
    }

    /// Who speaks on a connection that shows nothing else.
    pub(crate) fn of_peer(peer: PeerAddress) -> Self {
        match peer {
            // One machine under two names: who found it by either is the same.
            PeerAddress::Ip(address) if THIS_MACHINE.contains(&address) => Self::new(1, 0),
            PeerAddress::Ip(IpAddr::V4(address)) => Self::new(2, u128::from(u32::from(address))),
            // A machine has many addresses of one network in IPv6, and changes them.
            PeerAddress::Ip(IpAddr::V6(address)) => Self::new(3, u128::from(address) >> 64),
            PeerAddress::Unix { uid } => Self::new(4, u128::from(uid)),
        }
    }

    fn of_token(digest: &[u8; 32]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self::new(Self::TOKEN, u128::from_be_bytes(key))
    }

    fn is_of_token(self) -> bool {
        self.0 >> Self::KIND_SHIFT == Self::TOKEN
    }

    #[cfg(feature = "oauth")]
    fn of_subject(digest: &[u8; 32]) -> Self {
        Self::new(6, Self::of_token(digest).0)
    }

    pub(crate) fn key(self) -> u128 {
        self.0
    }
}

/// Who was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) principal: Principal,
    /// May see what concerns the operator.
    pub(crate) is_admin: bool,
}

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    /// A process of another user on a Unix socket, where nobody is asked who they are.
    OtherUser,
    /// No token, or one that is not accepted.
    Unauthorized {
        challenge: Box<str>,
        is_expected: bool,
    },
    /// A token that is good for something else.
    #[cfg_attr(not(feature = "oauth"), allow(dead_code, reason = "only access tokens have scopes"))]
    Forbidden {
        challenge: Box<str>,
    },
    TooMany {
        retry_after_seconds: u32,
    },
    /// More messages at once than are ever let in.
    TooLong {
        request_burst: usize,
    },
    /// Too many tokens that were none.
    TooManyFailures {
        retry_after_seconds: u32,
    },
}

/// What a process of another user is told.
pub(crate) const OTHER_USER: &str = "This socket is for processes of the server's own user and of root; those of \
    others need a token, sent over HTTP (setting token_file or oauth_issuer)";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "Host not allowed: this server is not known by that name (setting allowed_hosts)",
            Self::Origin => "Origin not allowed: pages of that origin may not call (setting allowed_origins)",
            Self::OtherUser => OTHER_USER,
            Self::Unauthorized { is_expected: true, .. } => "Authorization required: send a bearer token",
            Self::Unauthorized { .. } => "The bearer token is not accepted",
            Self::Forbidden { .. } => "The bearer token lacks a scope",
            Self::TooMany { .. } => "Too many requests (setting requests_per_second)",
            Self::TooLong { request_burst } => {
                return write!(
                    f,
                    "A batch of more than {request_burst} messages is never let in (setting request_burst)"
                );
            }
            Self::TooManyFailures { .. } => {
                "Too many tokens from this address were not accepted (setting max_auth_failures_per_minute)"
            }
        })
    }
}

impl Refusal {
    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Host | Self::Origin | Self::OtherUser | Self::Forbidden { .. } => 403,
            Self::Unauthorized { .. } => 401,
            Self::TooMany { .. } | Self::TooLong { .. } | Self::TooManyFailures { .. } => 429,
        }
    }

    /// The value of `WWW-Authenticate`.
    pub(crate) fn challenge(&self) -> Option<&str> {
        match self {
            Self::Unauthorized { challenge, .. } | Self::Forbidden { challenge } => Some(challenge),
            _ => None,
        }
    }

    /// After how many seconds another request may be let in.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooMany { retry_after_seconds } | Self::TooManyFailures { retry_after_seconds } => {
                Some(*retry_after_seconds)
            }
            _ => None,
        }
    }
}

/// The rules in force.
pub(crate) struct Admission {
    hosts: Hosts,
    origins: Origins,
    guard: Guard,
    rate: Option<RateLimiter>,
    request_burst: usize,
    failures: Option<Failures>,
    has_cors: bool,
    /// Names other than this machine's own are answered to.
    is_public: bool,
}

/// What tells who comes.
enum Guard {
    /// Where they come from.
    Address,
    Tokens(TokenList),
    TokenFile(TokenFile),
    #[cfg(feature = "oauth")]
    OAuth(Box<oauth::ResourceServer>),
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig, limits: &Limits) -> Result<Self, AdmissionError> {
        Ok(Self {
            hosts: Hosts::new(&config.allowed_hosts)?,
            origins: Origins::new(&config.allowed_origins)?,
            guard: match config.auth {
                Auth::None => Guard::Address,
                Auth::Tokens(tokens) => Guard::Tokens(tokens),
                Auth::TokenFile(tokens) => Guard::TokenFile(tokens),
                #[cfg(feature = "oauth")]
                Auth::OAuth(config) => Guard::OAuth(Box::new(oauth::ResourceServer::new(config)?)),
            },
            rate: RateLimiter::new(limits.requests_per_second, limits.request_burst),
            request_burst: limits.request_burst,
            failures: Failures::new(limits.max_auth_failures_per_minute),
            has_cors: config.cors,
            is_public: !config.allowed_hosts.is_empty(),
        })
    }

    /// Lets a request in, or tells why not.
    pub(crate) fn admit(&self, knock: &Knock<'_>, now: Instant) -> Result<Admitted, Refusal> {
        let is_unix = matches!(knock.peer, PeerAddress::Unix { .. });
        // No browser reaches a Unix socket, and the name in its requests means nothing.
        if !is_unix && !knock.host.is_some_and(|host| self.hosts.allow(host)) {
            return Err(Refusal::Host);
        }
        if knock.origin.is_some_and(|origin| !self.origins.allow(origin)) {
            return Err(Refusal::Origin);
        }
        let admitted = match (&self.failures, knock.authorization) {
            (Some(failures), Some(shown)) => {
                let address = Principal::of_peer(knock.peer);
                failures.watch(address.key(), shown, now, || self.identify(knock))?
            }
            _ => self.identify(knock)?,
        };
        self.charge(admitted.principal, 1, now)?;
        Ok(admitted)
    }

    /// Takes the messages of a batch into account, whose first was counted with its request.
    pub(crate) fn charge_batch(
        &self,
        principal: Principal,
        messages: usize,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.rate.is_some() && messages > self.request_burst {
            return Err(Refusal::TooLong { request_burst: self.request_burst });
        }
        self.charge(principal, messages.saturating_sub(1), now)
    }

    fn charge(&self, principal: Principal, messages: usize, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        rate.admit(principal.key(), messages, now)
            .map_err(|retry_after_seconds| Refusal::TooMany { retry_after_seconds })
    }

    fn identify(&self, knock: &Knock<'_>) -> Result<Admitted, Refusal> {
        let is_own_user = knock.peer.is_own_user();
        // Behind a proxy everybody comes from this machine; names of others, or that tokens are asked for, is what
        // tells that there may be one.
        let is_admin = match knock.peer {
            PeerAddress::Unix { .. } => is_own_user,
            PeerAddress::Ip(address) => {
                address.is_loopback() && !self.is_public && matches!(self.guard, Guard::Address)
            }
        };
        let known = |principal| Admitted { principal, is_admin };
        match &self.guard {
            // Whoever may be this process need not show that they may talk to it.
            _ if is_own_user && knock.authorization.is_none() => Ok(known(Principal::of_peer(knock.peer))),
            Guard::Address => match knock.peer {
                PeerAddress::Unix { .. } if !is_own_user => Err(Refusal::OtherUser),
                peer => Ok(known(Principal::of_peer(peer))),
            },
            Guard::Tokens(tokens) => tokens.identify(knock.authorization).map(known),
            Guard::TokenFile(tokens) => tokens.identify(knock.authorization).map(known),
            #[cfg(feature = "oauth")]
            Guard::OAuth(server) => server.identify(knock.authorization),
        }
    }

    /// Reads tokens and keys again, changed or not.
    #[cfg(feature = "cli")]
    pub(crate) fn reload(&self) {
        match &self.guard {
            Guard::Address | Guard::Tokens(_) => {}
            Guard::TokenFile(tokens) => tokens.follow(true),
            #[cfg(feature = "oauth")]
            Guard::OAuth(server) => server.reload(),
        }
    }

    /// How often somebody who was let in has lost that right; looks whether it happened just now.
    pub(crate) fn removals(&self) -> u64 {
        match &self.guard {
            Guard::TokenFile(tokens) => {
                tokens.follow(false);
                tokens.removals()
            }
            _ => 0,
        }
    }

    /// Whether somebody who was let in once would still be.
    pub(crate) fn knows(&self, principal: u128) -> bool {
        let principal = Principal(principal);
        match &self.guard {
            Guard::TokenFile(tokens) => !principal.is_of_token() || tokens.knows(principal),
            _ => true,
        }
    }

    /// The metadata of the protected resource (RFC 9728), if it is asked for at `path`.
    pub(crate) fn metadata_at(&self, path: &[u8]) -> Option<&str> {
        match &self.guard {
            #[cfg(feature = "oauth")]
            Guard::OAuth(server) => server.metadata_at(path),
            _ => {
                let _ = path;
                None
            }
        }
    }

    /// Whether pages of allowed origins may read answers.
    pub(crate) fn allows_cors(&self) -> bool {
        self.has_cors
    }

    pub(crate) fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.allow(origin)
    }
}

/// The token of an `Authorization` header: one, of the characters that RFC 6750 allows.
fn bearer(authorization: Option<&[u8]>) -> Option<&[u8]> {
    const MAX_TOKEN_BYTES: usize = 8 * 1024;
    let (scheme, token) = authorization?.split_at_checked(7)?;
    let token = token.trim_ascii();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let is_good = scheme.eq_ignore_ascii_case(b"Bearer ")
        && (1..=MAX_TOKEN_BYTES).contains(&token.len())
        && token.iter().all(is_token);
    is_good.then_some(token)
}

/// Refuses an address that other machines can reach without asking them for anything.
///
/// # Errors
/// When `address` is beyond this machine, `auth` asks for nothing, and nobody said that this is meant.
pub fn check_exposure(address: SocketAddr, auth: &Auth, insecure: bool) -> Result<(), AdmissionError> {
    if address.ip().is_loopback() || insecure || !matches!(auth, Auth::None) {
        return Ok(());
    }
    Err(AdmissionError::Exposed { address })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn knock(host: &str) -> Knock<'_> {
        let peer = PeerAddress::Ip(IpAddr::from([127, 0, 0, 1]));
        Knock { host: Some(host.as_bytes()), origin: None, authorization: None, peer }
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// The mode of a socket may let in anybody of this machine; the server does not.
    #[test]
    fn users_are_told_apart_on_a_unix_socket() {
        let now = Instant::now();
        let (good, bad) = (format!("Bearer {TOKEN}"), "Bearer fedcba9876543210".to_owned());
        let (own, other) = (own_uid(), own_uid() + 1);
        for (has_tokens, uid, shown, want) in [
            (false, own, None, Ok(true)),
            (false, 0, None, Ok(true)),
            (false, other, None, Err(403)),
            (false, other, Some(&good), Err(403)),
            (true, own, None, Ok(true)),
            (true, 0, None, Ok(true)),
            (true, other, None, Err(401)),
            (true, other, Some(&bad), Err(401)),
            (true, other, Some(&good), Ok(false)),
            (true, own, Some(&bad), Err(401)),
            (true, own, Some(&good), Ok(true)),
            // What the system says of users that have no number in this namespace.
            (false, 65_534, None, Err(403)),
            (false, u32::MAX, None, Err(403)),
        ] {
            let admission = admission(if has_tokens { tokens() } else { AdmissionConfig::default() });
            let peer = PeerAddress::Unix { uid };
            let authorization = shown.map(String::as_bytes);
            let admitted = admission.admit(&Knock { authorization, peer, ..knock("x") }, now);
            let found = admitted.map(|admitted| admitted.is_admin).map_err(|refusal| refusal.status());
            assert_eq!(found, want, "tokens {has_tokens}, user {uid}, {shown:?}");
        }
    }

    const TOKEN: &str = "0123456789abcdef";

    fn tokens() -> AdmissionConfig {
        AdmissionConfig {
            auth: Auth::Tokens(TokenList::parse(TOKEN).expect("a token")),
            ..AdmissionConfig::default()
        }
    }

    fn admission(config: AdmissionConfig) -> Admission {
        Admission::new(config, &Limits::default()).expect("rules")
    }

    #[test]
    fn by_default_only_this_machine_comes_in() {
        let admission = admission(AdmissionConfig::default());
        let now = Instant::now();
        assert!(admission.admit(&knock("localhost:8000"), now).is_ok());
        assert_eq!(admission.admit(&knock("evil.example.com"), now), Err(Refusal::Host));
        assert_eq!(admission.admit(&Knock { host: None, ..knock("") }, now), Err(Refusal::Host));
        let page =
            |origin: &'static str| Knock { origin: Some(origin.as_bytes()), ..knock("localhost:8000") };
        assert!(admission.admit(&page("http://localhost:3000"), now).is_ok());
        assert_eq!(admission.admit(&page("http://evil.example.com"), now), Err(Refusal::Origin));
        assert_eq!(admission.admit(&page("null"), now), Err(Refusal::Origin));
        let unix = Knock { peer: PeerAddress::Unix { uid: own_uid() }, ..knock("anything") };
        assert!(admission.admit(&unix, now).is_ok());
    }

    #[test]
    fn operators_are_of_this_machine_while_the_server_is_for_it_alone() {
        let now = Instant::now();
        let far = PeerAddress::Ip(IpAddr::from([192, 0, 2, 1]));
        let public = AdmissionConfig {
            allowed_hosts: vec!["mcp.example.com".to_owned()],
            ..AdmissionConfig::default()
        };
        for (config, peer, want) in [
            (AdmissionConfig::default(), knock("").peer, true),
            (AdmissionConfig::default(), far, false),
            (AdmissionConfig::default(), PeerAddress::Unix { uid: own_uid() }, true),
            (public.clone(), knock("").peer, false),
            (tokens(), knock("").peer, false),
            (tokens(), PeerAddress::Unix { uid: own_uid() }, true),
            (public, PeerAddress::Unix { uid: own_uid() }, true),
        ] {
            let is_own = matches!(peer, PeerAddress::Unix { .. });
            let authorization = (!is_own).then_some(&b"Bearer 0123456789abcdef"[..]);
            let admitted = admission(config).admit(&Knock { authorization, peer, ..knock("localhost") }, now);
            assert_eq!(admitted.expect("comes in").is_admin, want, "{peer:?}");
        }
    }

    #[test]
    fn principals_of_different_kinds_never_meet() {
        let peers = [
            PeerAddress::Ip(IpAddr::from([127, 0, 0, 1])),
            PeerAddress::Ip(IpAddr::from([127, 0, 0, 2])),
            PeerAddress::Ip(IpAddr::from([0, 0, 0, 1])),
            PeerAddress::Ip(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 2])),
            PeerAddress::Unix { uid: 1 },
            PeerAddress::Unix { uid: 0 },
        ];
        let mut keys: Vec<_> = peers.iter().map(|peer| Principal::of_peer(*peer).key()).collect();
        keys.push(Principal::of_token(&[0; 32]).key());
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 7);
    }

    #[test]
    fn one_machine_is_one_principal_by_whatever_address_it_comes() {
        let key = |text: &str| {
            let address: IpAddr = text.parse().expect("an address");
            Principal::of_peer(PeerAddress::Ip(address)).key()
        };
        assert_eq!(key("127.0.0.1"), key("::1"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"), "one network of IPv6");
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn authorization_is_one_bearer_token() {
        for (header, want) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("BEARER a.b-c_d~e+f/g=", Some("a.b-c_d~e+f/g=")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer a b", None),
            ("Bearer a,Bearer b", None),
            ("Basic abc", None),
            ("Bearer \u{e9}", None),
        ] {
            assert_eq!(bearer(Some(header.as_bytes())), want.map(str::as_bytes), "{header}");
        }
        assert_eq!(bearer(Some(format!("Bearer {}", "a".repeat(9_000)).as_bytes())), None);
        assert_eq!(bearer(None), None);
    }

    #[test]
    fn exposure_needs_a_reason() {
        let (inside, outside) =
            ("[::1]:1".parse().expect("an address"), "0.0.0.0:1".parse().expect("an address"));
        let tokens = Auth::Tokens(TokenList::parse("some-long-token-0123").expect("a token"));
        assert!(check_exposure(inside, &Auth::None, false).is_ok());
        assert!(check_exposure(outside, &Auth::None, true).is_ok());
        assert!(check_exposure(outside, &tokens, false).is_ok());
        let error = check_exposure(outside, &Auth::None, false).expect_err("exposed").to_string();
        assert!(error.contains("0.0.0.0:1") && error.contains("--insecure"), "{error}");
    }
}
