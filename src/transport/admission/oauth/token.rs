//! An access token: a signed JWT (RFC 7515, 7519) of the profile for access tokens (RFC 9068), read as RFC 8725 says.
//!
//! Owns the rules for tokens. Must not know where keys come from, nor who is admitted. Invariant: before its signature
//! is verified, nothing of a token is used but the names that choose a key among the trusted ones; a key that the
//! token brings along (`jwk`, `jku`, `x5u`, `x5c`) is never used.

use super::jwk::{Algorithm, KeySet};
use super::strict_json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use thiserror::Error;

/// Most keys that are tried for one token, where several have its key id or it has none.
const MAX_CANDIDATES: usize = 4;

/// Why a token is refused. The text quotes nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Fault {
    #[error("it is not three parts of base64url without padding (RFC 7515, 7.1)")]
    Form,
    #[error("its header is no JSON object, or has a member twice (RFC 7515, 4)")]
    Header,
    #[error("its header demands what is not understood: crit, b64 or zip (RFC 7515, 4.1.11)")]
    Critical,
    #[error("its typ is not at+jwt (RFC 9068, 2.1): have the issuer make tokens of that profile")]
    Type,
    #[error("another token is in it (RFC 7519, 5.2)")]
    Nested,
    #[error("it is signed by an algorithm that is not accepted (RFC 8725, 3.1)")]
    Algorithm,
    #[error("no key of the issuer has its kid and alg")]
    UnknownKey,
    #[error("its signature is not of that key")]
    Signature,
    #[error("its claims are no JSON object, or have a member twice (RFC 7519, 4)")]
    Claims,
    #[error("its claim {0} is missing, or is none (RFC 9068, 2.2)")]
    Claim(&'static str),
    #[error("it is of another issuer (RFC 9068, 4)")]
    Issuer,
    #[error("it is for somebody else (RFC 9068, 4)")]
    Audience,
    #[error("it has expired (RFC 7519, 4.1.4)")]
    Expired,
    #[error("it is not valid yet (RFC 7519, 4.1.5)")]
    NotYet,
}

/// The rules that tokens are checked by.
pub(super) struct Rules<'r> {
    pub(super) issuer: &'r str,
    pub(super) audience: &'r str,
    pub(super) clock_skew_seconds: f64,
}

/// The claims of a valid token.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) client_id: String,
    /// Seconds since the epoch.
    pub(super) expires: f64,
    scopes: Vec<Value>,
}

impl Claims {
    /// Scopes are a text with spaces between them (RFC 8693, 4.2), with some issuers a list.
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|scopes| match scopes {
            Value::String(text) => text.split(' ').any(|one| one == scope),
            Value::Array(list) => list.iter().any(|one| one == scope),
            _ => false,
        })
    }
}

/// Checks a token; gives what it says and the digest of its key. `now` in seconds since the epoch.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn check(
    token: &[u8],
    keys: &KeySet,
    rules: &Rules<'_>,
    now: f64,
) -> Result<(Claims, [u8; 32]), Fault> {
    let mut dots = memchr::memchr_iter(b'.', token);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(Fault::Form);
    };
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Form);
    let header = decode(&token[..first])?;
    let payload = decode(&token[first + 1..second])?;
    let signature = decode(&token[second + 1..])?;
    let header = strict_json::object(&header).ok_or(Fault::Header)?;
    let (algorithm, id) = read_header(&header)?;
    let mut candidates = keys.fitting(id, algorithm).take(MAX_CANDIDATES).peekable();
    if candidates.peek().is_none() {
        return Err(Fault::UnknownKey);
    }
    let key = candidates.find(|key| key.verify(&token[..second], &signature)).ok_or(Fault::Signature)?;
    let claims = strict_json::object(&payload).ok_or(Fault::Claims)?;
    Ok((read_claims(claims, rules, now)?, key.digest()))
}

/// The algorithm, and the name of the key if it says one.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<&str>), Fault> {
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Fault::Header),
    };
    let name = text("alg")?.ok_or(Fault::Header)?;
    let algorithm = Algorithm::parse(name).ok_or(Fault::Algorithm)?;
    // No extension is understood, so none may be demanded; and neither may what changes the bytes that are signed.
    if ["crit", "b64", "zip"].iter().any(|member| header.contains_key(*member)) {
        return Err(Fault::Critical);
    }
    let kind = text("typ")?.ok_or(Fault::Type)?;
    if !["at+jwt", "application/at+jwt"].iter().any(|good| kind.eq_ignore_ascii_case(good)) {
        return Err(Fault::Type);
    }
    if text("cty")?.is_some_and(|content| content.to_ascii_lowercase().ends_with("jwt")) {
        return Err(Fault::Nested);
    }
    Ok((algorithm, text("kid")?))
}

fn read_claims(mut claims: Map<String, Value>, rules: &Rules<'_>, now: f64) -> Result<Claims, Fault> {
    if claims.get("iss").and_then(Value::as_str).ok_or(Fault::Claim("iss"))? != rules.issuer {
        return Err(Fault::Issuer);
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => audience == rules.audience,
        Some(Value::Array(list)) if !list.is_empty() && list.iter().all(Value::is_string) => {
            list.iter().any(|audience| audience == rules.audience)
        }
        _ => return Err(Fault::Claim("aud")),
    };
    if !is_for_us {
        return Err(Fault::Audience);
    }
    // A date may have a fraction (RFC 7519, 2).
    let date = |name: &'static str| match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => number.as_f64().map(Some).ok_or(Fault::Claim(name)),
        Some(_) => Err(Fault::Claim(name)),
    };
    let expires = date("exp")?.ok_or(Fault::Claim("exp"))?;
    date("iat")?.ok_or(Fault::Claim("iat"))?;
    let not_before = date("nbf")?;
    if now >= expires + rules.clock_skew_seconds {
        return Err(Fault::Expired);
    }
    if not_before.is_some_and(|not_before| now < not_before - rules.clock_skew_seconds) {
        return Err(Fault::NotYet);
    }
    let mut text = |name: &'static str| match claims.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(Fault::Claim(name)),
    };
    let (subject, client_id) = (text("sub")?, text("client_id")?);
    text("jti")?;
    let scopes = ["scope", "scp"].iter().filter_map(|name| claims.remove(*name)).collect();
    Ok(Claims { subject, client_id, expires, scopes })
}
