//! Seals the state that a client carries from one round of a call to the next (`requestState`).
//!
//! A state that comes back is not trusted until its HMAC-SHA256 is verified. The HMAC covers version, expiry, payload
//! and the request for which the state is valid. A state may be used more than once until it expires; a handler that
//! must do something only once checks that itself.
//! Text: `v1.` base64url of (expiry in milliseconds, big endian, then the payload) `.` base64url of the MAC.

use crate::limits::Limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

const VERSION: &str = "v1";
const EXPIRY_BYTES: usize = 8;

/// The request for which a state is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding<'a> {
    pub(crate) principal: u128,
    pub(crate) method: &'a str,
    pub(crate) name: &'a str,
    pub(crate) arguments_digest: [u8; 32],
}

/// Why a state is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateFault {
    Malformed,
    Forged,
    Expired,
}

impl StateFault {
    pub(crate) const fn explain(self) -> &'static str {
        match self {
            Self::Malformed => "it was not given out here",
            Self::Forged => "it was changed, or given out for another request or by another server",
            Self::Expired => "its time is over: make the call anew without it",
        }
    }
}

/// A state would be longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the state is longer than max_request_state_bytes")]
pub(crate) struct StateTooLong;

/// The system gives no random bytes for a key.
///
/// [`BuildError`](crate::BuildError) has an example.
///
/// [`BuildError`](crate::BuildError) has an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// Seals and opens states.
pub(crate) struct Sealer {
    mac: Hmac<Sha256>,
    ttl: Duration,
    max_bytes: usize,
}

impl Sealer {
    /// A sealer with `key`, or with a random key.
    pub(crate) fn new(key: Option<[u8; 32]>, limits: &Limits) -> Result<Self, NoRandomness> {
        let key = if let Some(key) = key {
            key
        } else {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|_| NoRandomness)?;
            key
        };
        // invariant: HMAC takes keys of any length.
        let mac = Hmac::new_from_slice(&key).expect("a key of 32 bytes");
        Ok(Self { mac, ttl: limits.request_state_ttl(), max_bytes: limits.max_request_state_bytes })
    }

    /// Seals `payload` for `binding`.
    pub(crate) fn seal(
        &self,
        binding: &Binding<'_>,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<String, StateTooLong> {
        let mut body = Vec::with_capacity(EXPIRY_BYTES + payload.len());
        body.extend_from_slice(&(millis(now) + self.ttl.as_millis() as u64).to_be_bytes());
        body.extend_from_slice(payload);
        let mac = self.authenticate(binding, &body).finalize().into_bytes();
        let text = format!("{VERSION}.{}.{}", URL_SAFE_NO_PAD.encode(&body), URL_SAFE_NO_PAD.encode(mac));
        if text.len() > self.max_bytes { Err(StateTooLong) } else { Ok(text) }
    }

    /// Opens a state that came back.
    pub(crate) fn open(
        &self,
        text: &str,
        binding: &Binding<'_>,
        now: SystemTime,
    ) -> Result<Vec<u8>, StateFault> {
        if text.len() > self.max_bytes {
            return Err(StateFault::Malformed);
        }
        let mut parts = text.split('.');
        let (Some(VERSION), Some(body), Some(mac), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(StateFault::Malformed);
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| StateFault::Malformed);
        let (mut body, mac) = (decode(body)?, decode(mac)?);
        // Compared in constant time.
        self.authenticate(binding, &body).verify_slice(&mac).map_err(|_| StateFault::Forged)?;
        let expiry = body.first_chunk::<EXPIRY_BYTES>().copied().ok_or(StateFault::Malformed)?;
        if millis(now) >= u64::from_be_bytes(expiry) {
            return Err(StateFault::Expired);
        }
        body.drain(..EXPIRY_BYTES);
        Ok(body)
    }

    fn authenticate(&self, binding: &Binding<'_>, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(VERSION.as_bytes());
        mac.update(&binding.principal.to_be_bytes());
        // The length before each part keeps a part from passing for the beginning of the next.
        for part in [binding.method.as_bytes(), binding.name.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&binding.arguments_digest);
        mac.update(body);
        mac
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding<'_> =
        Binding { principal: 7, method: "tools/call", name: "tool", arguments_digest: [1; 32] };

    fn sealer() -> Sealer {
        Sealer::new(Some([9; 32]), &Limits::default()).expect("a key")
    }

    #[test]
    fn a_sealed_state_opens_until_it_expires() {
        let (sealer, now) = (sealer(), SystemTime::now());
        let text = sealer.seal(&BINDING, b"payload", now).expect("short");
        assert_eq!(sealer.open(&text, &BINDING, now).as_deref(), Ok(&b"payload"[..]));
        let late = now + Limits::default().request_state_ttl();
        assert_eq!(
            sealer.open(&text, &BINDING, late - Duration::from_millis(2)).as_deref(),
            Ok(&b"payload"[..])
        );
        assert_eq!(sealer.open(&text, &BINDING, late), Err(StateFault::Expired));
    }

    #[test]
    fn each_changed_character_is_refused() {
        let (sealer, now) = (sealer(), SystemTime::now());
        let text = sealer.seal(&BINDING, b"payload", now).expect("short");
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(sealer.open(&changed, &BINDING, now).is_err(), "{place}");
        }
        for text in [format!("{text}-TAMPERED"), format!("{text}="), text.replace("v1", "v2"), String::new()]
        {
            assert!(sealer.open(&text, &BINDING, now).is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_is_valid_for_its_own_request_only() {
        let (sealer, now) = (sealer(), SystemTime::now());
        let text = sealer.seal(&BINDING, b"payload", now).expect("short");
        for other in [
            Binding { principal: 8, ..BINDING },
            Binding { method: "prompts/get", ..BINDING },
            Binding { name: "tool2", ..BINDING },
            Binding { method: "tools/callt", name: "ool", ..BINDING },
            Binding { arguments_digest: [2; 32], ..BINDING },
        ] {
            assert_eq!(sealer.open(&text, &other, now), Err(StateFault::Forged), "{other:?}");
        }
        let stranger = Sealer::new(None, &Limits::default()).expect("a key");
        assert_eq!(stranger.open(&text, &BINDING, now), Err(StateFault::Forged));
    }

    #[test]
    fn long_states_are_refused_both_ways() {
        let (sealer, now) = (sealer(), SystemTime::now());
        assert_eq!(sealer.seal(&BINDING, &[0; 16 * 1024], now), Err(StateTooLong));
        assert_eq!(sealer.open(&"A".repeat(17 * 1024), &BINDING, now), Err(StateFault::Malformed));
    }
}
