//! The server as an OAuth 2.1 resource server: access tokens (JWT, RFC 9068) checked, and metadata (RFC 9728)
//! that tells clients where to get them.
//!
//! A token that was found good is remembered by its digest until it expires, so that the next request with it
//! costs a hash. Keys come from a file or a URL and follow their rotation; while a URL fails the keys it gave
//! last stay. Only asymmetric algorithms are known: a public key can never pass for a shared secret.

use super::{AdmissionError, Admitted, Principal, Refusal, bearer};
use hashlink::LruCache;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The scope of those who may see what concerns the operator.
const ADMIN_SCOPE: &str = "admin";

/// Tokens that are remembered.
const MAX_REMEMBERED: usize = 4_096;
/// Longest answer of a key server, and longest key file.
const MAX_KEYS_BYTES: u64 = 1024 * 1024;
/// Shortest time between two looks for a key that is not known: anybody can make one up.
const RETRY: Duration = Duration::from_secs(10);
/// How often keys of a URL are fetched anyway.
const REFRESH: Duration = Duration::from_mins(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// What signs access tokens: never a shared secret.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

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

/// What a token says.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    #[serde(default)]
    scope: Option<Scopes>,
    #[serde(default)]
    scp: Option<Scopes>,
    exp: u64,
}

/// Scopes, as a text with spaces between them or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Scopes {
    fn has(&self, scope: &str) -> bool {
        match self {
            Self::Text(text) => text.split(' ').any(|one| one == scope),
            Self::List(list) => list.iter().any(|one| one == scope),
        }
    }
}

/// The checks of one issuer's tokens.
pub(super) struct ResourceServer {
    config: OAuthConfig,
    validation: Validation,
    keys: KeyStore,
    remembered: Mutex<LruCache<[u8; 32], Remembered>>,
    metadata: String,
    metadata_paths: [String; 2],
    metadata_url: String,
}

#[derive(Clone, Copy)]
struct Remembered {
    principal: Principal,
    /// Seconds since the epoch, the clock skew included.
    expires: u64,
    has_scopes: bool,
    is_admin: bool,
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ResourceServer {
    pub(super) fn new(config: OAuthConfig) -> Result<Self, AdmissionError> {
        let refuse = |what: &str| Err(AdmissionError::OAuth(what.to_owned()));
        let Some((origin, path)) = split_url(&config.resource) else {
            return refuse("oauth_resource must be a URL such as https://mcp.example.com/mcp");
        };
        if config.resource.contains('#') {
            return refuse("oauth_resource must not have a fragment");
        }
        if config.issuer.is_empty() {
            return refuse("oauth_issuer is missing");
        }
        let mut validation = Validation::new(Algorithm::RS256);
        validation.algorithms = ALGORITHMS.to_vec();
        validation.leeway = config.clock_skew.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[config.audience.as_ref().unwrap_or(&config.resource)]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let servers = if config.authorization_servers.is_empty() {
            vec![config.issuer.clone()]
        } else {
            config.authorization_servers.clone()
        };
        let metadata = serde_json::json!({
            "resource": config.resource,
            "authorization_servers": servers,
            "scopes_supported": config.scopes,
            "bearer_methods_supported": ["header"],
        });
        let path = path.trim_end_matches('/');
        Ok(Self {
            metadata: metadata.to_string(),
            metadata_url: format!("{origin}{WELL_KNOWN}{path}"),
            metadata_paths: [WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}{path}")],
            keys: KeyStore::open(config.keys.clone())?,
            remembered: Mutex::new(LruCache::new(MAX_REMEMBERED)),
            validation,
            config,
        })
    }

    pub(super) fn metadata_at(&self, path: &[u8]) -> Option<&str> {
        let is_ours = self.metadata_paths.iter().any(|ours| ours.as_bytes() == path);
        is_ours.then_some(self.metadata.as_str())
    }

    /// Whose token a request shows.
    pub(super) fn identify(&self, authorization: Option<&[u8]>) -> Result<Admitted, Refusal> {
        let Some(token) = bearer(authorization) else {
            return Err(self.unauthorized(authorization.is_none()));
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let known = self.remembered().get(&digest).copied();
        let known = if let Some(known) = known.filter(|known| now < known.expires) {
            known
        } else {
            let checked = self.check(token).ok_or_else(|| self.unauthorized(false))?;
            self.remembered().insert(digest, checked);
            checked
        };
        if !known.has_scopes {
            return Err(self.forbidden());
        }
        Ok(Admitted { principal: known.principal, is_admin: known.is_admin })
    }

    fn check(&self, token: &[u8]) -> Option<Remembered> {
        let header = decode_header(token).ok()?;
        if !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg)?;
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let claims = match decode::<Claims>(token, &key, &validation) {
            Ok(decoded) => decoded.claims,
            Err(error) => {
                // The kind says what is wrong and nothing of the token.
                tracing::debug!(reason = ?error.kind(), "an access token is refused");
                return None;
            }
        };
        let has =
            |scope: &str| [&claims.scope, &claims.scp].into_iter().flatten().any(|scopes| scopes.has(scope));
        let mut subject = Sha256::new();
        subject.update(&self.config.issuer);
        subject.update([0]);
        subject.update(claims.sub.as_deref().unwrap_or_default());
        Some(Remembered {
            principal: Principal::of_subject(&subject.finalize().into()),
            expires: claims.exp.saturating_add(self.config.clock_skew.as_secs()),
            has_scopes: self.config.scopes.iter().all(|scope| has(scope)),
            is_admin: has(ADMIN_SCOPE),
        })
    }

    fn unauthorized(&self, is_expected: bool) -> Refusal {
        let error = if is_expected { "" } else { r#"error="invalid_token", "# };
        let challenge =
            format!(r#"Bearer {error}resource_metadata="{}"{}"#, self.metadata_url, self.scope_parameter());
        Refusal::Unauthorized { challenge: challenge.into(), is_expected }
    }

    fn forbidden(&self) -> Refusal {
        let challenge = format!(
            r#"Bearer error="insufficient_scope", resource_metadata="{}"{}"#,
            self.metadata_url,
            self.scope_parameter()
        );
        Refusal::Forbidden { challenge: challenge.into() }
    }

    fn scope_parameter(&self) -> String {
        if self.config.scopes.is_empty() {
            String::new()
        } else {
            format!(r#", scope="{}""#, self.config.scopes.join(" "))
        }
    }

    fn remembered(&self) -> MutexGuard<'_, LruCache<[u8; 32], Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Origin and path of an absolute URL.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let scheme = url.len() - rest.len();
    let host = rest.find('/').unwrap_or(rest.len());
    (host > 0).then(|| url.split_at(scheme + host))
}

/// The keys of an issuer.
struct KeyStore {
    source: KeySource,
    keys: Arc<RwLock<JwkSet>>,
    looked: Mutex<Looked>,
    /// Asks the thread that fetches; it ends when this is dropped.
    fetch: Option<SyncSender<()>>,
}

struct Looked {
    at: Option<Instant>,
    changed: Option<SystemTime>,
}

impl KeyStore {
    fn open(source: KeySource) -> Result<Self, AdmissionError> {
        let keys = Arc::new(RwLock::new(JwkSet { keys: Vec::new() }));
        let mut store =
            Self { source, keys, looked: Mutex::new(Looked { at: None, changed: None }), fetch: None };
        match store.source.clone() {
            KeySource::File(path) => store.read_file(&path)?,
            KeySource::Url(url) => store.fetch = Some(fetch_in_background(url, Arc::clone(&store.keys))?),
        }
        Ok(store)
    }

    /// The key that a token names; where it names none, the only one that fits.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        if let Some(key) = self.find_now(kid, algorithm) {
            return Some(key);
        }
        self.look_again();
        self.find_now(kid, algorithm)
    }

    fn find_now(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        self.follow_file();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = keys.keys.iter().filter_map(|key| {
            let is_meant = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
            let decoding = DecodingKey::from_jwk(key).ok().filter(|_| is_meant)?;
            (decoding.family() == algorithm.family()).then_some(decoding)
        });
        let first = fitting.next()?;
        (kid.is_some() || fitting.next().is_none()).then_some(first)
    }

    /// Reads the file again if it is another one than before.
    fn follow_file(&self) {
        let KeySource::File(path) = &self.source else { return };
        let changed = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        if changed.is_some()
            && changed != self.looked().changed
            && let Err(error) = self.read_file(path)
        {
            tracing::error!(%error, "the keys stay as they were");
        }
    }

    /// Has a URL asked for keys, unless that was just done.
    fn look_again(&self) {
        let mut looked = self.looked();
        if looked.at.is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        looked.at = Some(Instant::now());
        if let Some(fetch) = &self.fetch {
            // A fetch that is due already is enough.
            let _ = fetch.try_send(());
        }
    }

    fn read_file(&self, path: &Path) -> Result<(), AdmissionError> {
        let unreadable = |source| AdmissionError::Unreadable { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let changed = file.metadata().and_then(|file| file.modified()).ok();
        self.looked().changed = changed;
        let mut text = Vec::new();
        file.take(MAX_KEYS_BYTES).read_to_end(&mut text).map_err(unreadable)?;
        let keys = parse_keys(&text)
            .map_err(|fault| AdmissionError::OAuth(format!("{} is no JWK set: {fault}", path.display())))?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that cannot be used are left out: an issuer may publish some for other purposes.
fn parse_keys(text: &[u8]) -> Result<JwkSet, serde_json::Error> {
    #[derive(Deserialize)]
    struct Any {
        keys: Vec<serde_json::Value>,
    }
    let Any { keys } = serde_json::from_slice(text)?;
    let usable = keys.iter().filter_map(|key| serde_json::from_str(&key.to_string()).ok());
    Ok(JwkSet { keys: usable.collect() })
}

/// Stack of the thread that fetches: TLS needs more than the usual helper.
const FETCH_STACK_BYTES: usize = 512 * 1024;

/// Fetches keys at once, then every [`REFRESH`] and whenever it is asked to.
fn fetch_in_background(url: String, keys: Arc<RwLock<JwkSet>>) -> Result<SyncSender<()>, AdmissionError> {
    let is_local = split_url(&url).is_some_and(|(origin, _)| {
        ["http://localhost", "http://127.0.0.1", "http://[::1]"].iter().any(|own| origin.starts_with(own))
    });
    if !url.starts_with("https://") && !is_local {
        return Err(AdmissionError::OAuth(
            "keys are fetched over https only (setting oauth_jwks)".to_owned(),
        ));
    }
    let (ask, asked) = sync_channel(1);
    let has_failed = AtomicBool::new(false);
    let work = move || {
        loop {
            match fetch(&url) {
                Ok(fetched) => {
                    *keys.write().unwrap_or_else(PoisonError::into_inner) = fetched;
                    has_failed.store(false, Ordering::Relaxed);
                }
                Err(error) if !has_failed.swap(true, Ordering::Relaxed) => {
                    tracing::error!(%error, url, "cannot fetch keys; those fetched last stay");
                }
                Err(_) => {}
            }
            let pause = if has_failed.load(Ordering::Relaxed) { RETRY } else { REFRESH };
            if asked.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("mcpool-keys".to_owned()).stack_size(FETCH_STACK_BYTES);
    thread.spawn(work).map_err(|error| AdmissionError::OAuth(format!("cannot start a thread: {error}")))?;
    Ok(ask)
}

fn fetch(url: &str) -> Result<JwkSet, Box<dyn std::error::Error>> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT)).max_redirects(3).build().into();
    let mut answer = agent.get(url).call()?;
    let text = answer.body_mut().with_config().limit(MAX_KEYS_BYTES).read_to_vec()?;
    Ok(parse_keys(&text)?)
}

#[cfg(test)]
#[path = "oauth_tests.rs"]
mod tests;
