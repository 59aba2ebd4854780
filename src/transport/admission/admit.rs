//! Decides from the head of a request whether it is admitted, before its body is read.

use super::config::{AdmissionConfig, Auth};
use super::error::AdmissionError;
use super::gate::{Gate, RequestSource};
#[cfg(feature = "oauth")]
use super::oauth::ResourceServer;
use super::principal::{AdmittedPeer, PeerAddress, Principal};
use super::rate::{Failures, RateLimiter};
use super::refusal::Refusal;
use super::tokens::{TokenFile, TokenList};
use crate::limits::Limits;
use std::time::Instant;

/// What a request is admitted by.
#[derive(Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) authorization: Option<&'a [u8]>,
    pub(crate) peer: PeerAddress,
}

/// The rules in force.
pub(crate) struct Admission {
    gate: Gate,
    guard: Guard,
    rate: Option<RateLimiter>,
    request_burst: usize,
    failures: Option<Failures>,
    has_cors: bool,
    /// Whether requests may be addressed to names other than this machine's own.
    is_public: bool,
}

/// How a principal is identified.
enum Guard {
    /// By its address.
    Address,
    Tokens(TokenList),
    TokenFile(TokenFile),
    #[cfg(feature = "oauth")]
    OAuth(Box<ResourceServer>),
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig, limits: &Limits) -> Result<Self, AdmissionError> {
        Ok(Self {
            gate: Gate::new(&config.allowed_hosts, &config.allowed_origins)?,
            guard: match config.auth {
                Auth::None => Guard::Address,
                Auth::Tokens(tokens) => {
                    tokens.tell_names();
                    Guard::Tokens(tokens)
                }
                Auth::TokenFile(tokens) => Guard::TokenFile(tokens),
                #[cfg(feature = "oauth")]
                Auth::OAuth(config) => Guard::OAuth(Box::new(ResourceServer::new(config)?)),
            },
            rate: RateLimiter::new(limits.requests_per_second, limits.request_burst),
            request_burst: limits.request_burst,
            failures: Failures::new(limits.max_auth_failures_per_minute),
            has_cors: config.cors,
            is_public: !config.allowed_hosts.is_empty(),
        })
    }

    /// Lets a request in, whatever it asks for, or says why not: before [`Self::admit`] and before any answer.
    pub(crate) fn check_source(&self, source: &RequestSource<'_>, peer: PeerAddress) -> Result<(), Refusal> {
        self.gate.check(source, matches!(peer, PeerAddress::Unix { .. }))
    }

    /// As [`Self::check_source`], for what may be asked under any name.
    pub(crate) fn check_page(&self, source: &RequestSource<'_>) -> Result<(), Refusal> {
        self.gate.check_page(source)
    }

    /// Admits a request that passed the gate, or says why not.
    pub(crate) fn admit(&self, credentials: &Credentials<'_>, now: Instant) -> Result<AdmittedPeer, Refusal> {
        let admitted = match (&self.failures, credentials.authorization) {
            (Some(failures), Some(shown)) => {
                let address = Principal::of_peer(credentials.peer);
                failures.watch(address.key(), shown, now, || self.identify(credentials))?
            }
            _ => self.identify(credentials)?,
        };
        self.charge(admitted.principal, 1, now)?;
        Ok(admitted)
    }

    /// Charges the messages of a batch. The first was charged with its request.
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
            .map_err(|retry_after_seconds| Refusal::TooMany { retry_after_seconds, principal })
    }

    fn identify(&self, credentials: &Credentials<'_>) -> Result<AdmittedPeer, Refusal> {
        let is_own_user = credentials.peer.is_own_user();
        // Behind a proxy, all requests come from this machine. Foreign host names or required tokens suggest
        // that there may be a proxy.
        let is_admin = match credentials.peer {
            PeerAddress::Unix { .. } => is_own_user,
            PeerAddress::Ip(address) => {
                address.is_loopback() && !self.is_public && matches!(self.guard, Guard::Address)
            }
        };
        let known = |principal| AdmittedPeer { principal, is_admin };
        match &self.guard {
            // A user who may run as this process needs no token.
            _ if is_own_user && credentials.authorization.is_none() => {
                Ok(known(Principal::of_peer(credentials.peer)))
            }
            Guard::Address => match credentials.peer {
                PeerAddress::Unix { .. } if !is_own_user => Err(Refusal::OtherUser),
                peer => Ok(known(Principal::of_peer(peer))),
            },
            Guard::Tokens(tokens) => tokens.identify(credentials.authorization).map(known),
            Guard::TokenFile(tokens) => tokens.identify(credentials.authorization).map(known),
            #[cfg(feature = "oauth")]
            Guard::OAuth(server) => server.identify(credentials.authorization),
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

    /// How often tokens were removed; reads the token file again if it has changed.
    pub(crate) fn removals(&self) -> u64 {
        match &self.guard {
            Guard::TokenFile(tokens) => {
                tokens.follow(false);
                tokens.removals()
            }
            _ => 0,
        }
    }

    /// Whether a principal that was admitted once would be admitted now.
    pub(crate) fn knows(&self, principal: u128) -> bool {
        let principal = Principal::of_key(principal);
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
        self.gate.allows_origin(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::check_exposure;
    use super::super::tokens::bearer;
    use super::*;
    use std::net::IpAddr;

    fn credentials() -> Credentials<'static> {
        let peer = PeerAddress::Ip(IpAddr::from([127, 0, 0, 1]));
        Credentials { authorization: None, peer }
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// The mode of a socket may let every user connect; the server does not admit them.
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
            let admitted = admission.admit(&Credentials { authorization, peer }, now);
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
        let (tcp, unix) = (credentials().peer, PeerAddress::Unix { uid: own_uid() });
        let check = |host: &str, peer| {
            let source = RequestSource { host: Some(host.as_bytes()), ..RequestSource::default() };
            admission.check_source(&source, peer)
        };
        assert_eq!(check("localhost:8000", tcp), Ok(()));
        assert_eq!(check("evil.example.com", tcp), Err(Refusal::Host));
        assert_eq!(check("anything", unix), Ok(()));
        let now = Instant::now();
        assert!(admission.admit(&credentials(), now).is_ok());
        assert!(admission.admit(&Credentials { peer: unix, ..credentials() }, now).is_ok());
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
            (AdmissionConfig::default(), credentials().peer, true),
            (AdmissionConfig::default(), far, false),
            (AdmissionConfig::default(), PeerAddress::Unix { uid: own_uid() }, true),
            (public.clone(), credentials().peer, false),
            (tokens(), credentials().peer, false),
            (tokens(), PeerAddress::Unix { uid: own_uid() }, true),
            (public, PeerAddress::Unix { uid: own_uid() }, true),
        ] {
            let is_own = matches!(peer, PeerAddress::Unix { .. });
            let authorization = (!is_own).then_some(&b"Bearer 0123456789abcdef"[..]);
            let admitted = admission(config).admit(&Credentials { authorization, peer }, now);
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
