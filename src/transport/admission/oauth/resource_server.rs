//! Checks access tokens, remembers good ones, and says where clients get them.

use super::super::error::AdmissionError;
use super::super::principal::{AdmittedPeer, Principal};
use super::super::refusal::Refusal;
use super::super::tokens::bearer;
use super::jwk::KeySet;
use super::key_store::KeyStore;
use super::settings::{OAuthConfig, is_quotable, split_url};
use super::token::{self, Fault, Rules};
use crate::lock::lock;
use hashlink::LruCache;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// The scope that makes a principal an administrator.
const ADMIN_SCOPE: &str = "admin";

/// Most tokens that are remembered.
const MAX_REMEMBERED: usize = 4_096;
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The checks of one issuer's tokens.
pub(in super::super) struct ResourceServer {
    config: OAuthConfig,
    keys: KeyStore,
    remembered: Mutex<LruCache<[u8; 32], Remembered>>,
    metadata: String,
    metadata_paths: [String; 2],
    metadata_url: String,
}

#[derive(Clone, Copy)]
struct Remembered {
    principal: Principal,
    /// Digest of the key that signed it.
    key: [u8; 32],
    /// Seconds since the epoch, the clock skew included.
    expires: f64,
    has_scopes: bool,
    is_admin: bool,
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ResourceServer {
    pub(in super::super) fn new(config: OAuthConfig) -> Result<Self, AdmissionError> {
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
        // RFC 6749, 3.3: they stand in quotes in a challenge.
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(is_quotable);
        if !config.scopes.iter().all(is_scope) {
            return refuse("a scope of oauth_scopes has characters that no scope may have");
        }
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
            keys: KeyStore::open(&config.keys)?,
            remembered: Mutex::new(LruCache::new(MAX_REMEMBERED)),
            config,
        })
    }

    pub(in super::super) fn metadata_at(&self, path: &[u8]) -> Option<&str> {
        let is_ours = self.metadata_paths.iter().any(|ours| ours.as_bytes() == path);
        is_ours.then_some(self.metadata.as_str())
    }

    /// The principal of the token in the header.
    pub(in super::super) fn identify(&self, authorization: Option<&[u8]>) -> Result<AdmittedPeer, Refusal> {
        let Some(token) = bearer(authorization) else {
            return Err(self.unauthorized(authorization.is_none()));
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let known = self.remembered().get(&digest).copied();
        // Before the key is compared: this reads a changed file again.
        let keys = self.keys.current();
        let known = match known.filter(|known| now < known.expires && keys.holds(&known.key)) {
            Some(known) => known,
            None => match self.check(token, &keys, now) {
                Ok(checked) => {
                    self.remembered().insert(digest, checked);
                    checked
                }
                Err(fault) => {
                    self.remembered().remove(&digest);
                    if fault == Fault::UnknownKey {
                        self.keys.look_again();
                    }
                    // The fault says what is wrong and quotes nothing of the token.
                    tracing::debug!(%fault, "an access token is refused");
                    return Err(self.unauthorized(false));
                }
            },
        };
        if !known.has_scopes {
            return Err(self.forbidden());
        }
        Ok(AdmittedPeer { principal: known.principal, is_admin: known.is_admin })
    }

    fn check(&self, token: &[u8], keys: &KeySet, now: f64) -> Result<Remembered, Fault> {
        let rules = Rules {
            issuer: &self.config.issuer,
            audience: self.config.audience.as_ref().unwrap_or(&self.config.resource),
            clock_skew_seconds: self.config.clock_skew.as_secs_f64(),
        };
        let (claims, key) = token::check(token, keys, &rules, now)?;
        let mut subject = Sha256::new();
        for part in [&self.config.issuer, &claims.subject, &claims.client_id] {
            subject.update((part.len() as u64).to_be_bytes());
            subject.update(part);
        }
        Ok(Remembered {
            principal: Principal::of_subject(&subject.finalize().into()),
            key,
            expires: claims.expires + rules.clock_skew_seconds,
            has_scopes: self.config.scopes.iter().all(|scope| claims.has_scope(scope)),
            is_admin: claims.has_scope(ADMIN_SCOPE),
        })
    }

    /// Reads or fetches the keys again, changed or not.
    #[cfg(feature = "cli")]
    pub(in super::super) fn reload(&self) {
        self.keys.reload();
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
        lock(&self.remembered)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
