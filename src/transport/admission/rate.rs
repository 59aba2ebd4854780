//! Limits the requests of each principal, and the invalid tokens of each address, by the generic cell rate algorithm.
//!
//! One number a principal: the time at which its allowance is full again (GCRA, ITU-T I.371). The table is
//! bounded; the principal seen longest ago makes room, and since its allowance is the likeliest to be full
//! again, forgetting it changes nothing for it.

use super::principal::AdmittedPeer;
use super::refusal::Refusal;
use crate::lock::lock;
use hashlink::LruCache;
use sha2::{Digest, Sha256};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const SHARDS: usize = 16;
/// Principals that are remembered: each is a few words.
const MAX_PRINCIPALS: usize = 16_384;

/// Counts requests by principal.
pub(super) struct RateLimiter {
    begun: Instant,
    /// Time that one request takes of an allowance.
    cost: Duration,
    /// How far ahead of time an allowance may be used.
    burst: Duration,
    shards: [Mutex<LruCache<u128, Duration>>; SHARDS],
}

impl RateLimiter {
    /// A limiter of so many requests a second, and so many at once; none for 0 a second.
    pub(super) fn new(requests_per_second: usize, request_burst: usize) -> Option<Self> {
        Self::every(Duration::from_secs(1), requests_per_second, request_burst)
    }

    fn every(period: Duration, requests: usize, burst: usize) -> Option<Self> {
        let cost = period / u32::try_from(requests).ok().filter(|requests| *requests > 0)?;
        Some(Self {
            begun: Instant::now(),
            cost,
            burst: cost.saturating_mul(u32::try_from(burst).unwrap_or(u32::MAX)),
            shards: std::array::from_fn(|_| Mutex::new(LruCache::new(MAX_PRINCIPALS / SHARDS))),
        })
    }

    /// Takes messages into account, or tells after how many seconds there is room for them. There never is for more
    /// than a whole allowance.
    pub(super) fn admit(&self, principal: u128, messages: u32, now: Instant) -> Result<(), u32> {
        let cost = self.cost.saturating_mul(messages);
        let now = now.saturating_duration_since(self.begun);
        let mut shard = lock(&self.shards[shard_of(principal)]);
        let full_at = shard.get(&principal).copied().unwrap_or_default().max(now) + cost;
        if let Some(wait) = seconds_until(full_at.saturating_sub(now), self.burst) {
            return Err(wait);
        }
        shard.insert(principal, full_at);
        Ok(())
    }

    /// After how many seconds one more message has room; `None` where it has room now. Counts nothing.
    fn wait(&self, principal: u128, now: Instant) -> Option<u32> {
        let now = now.saturating_duration_since(self.begun);
        let full_at = lock(&self.shards[shard_of(principal)]).peek(&principal).copied()?.max(now) + self.cost;
        seconds_until(full_at.saturating_sub(now), self.burst)
    }
}

fn shard_of(key: u128) -> usize {
    (key ^ (key >> 64)) as usize % SHARDS
}

/// Whole seconds until something that lies `ahead` is within `burst`; `None` where it is.
fn seconds_until(ahead: Duration, burst: Duration) -> Option<u32> {
    let wait = ahead.checked_sub(burst).filter(|wait| !wait.is_zero())?;
    Some(u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1))
}

/// Counts tokens that were none by the address that showed them.
///
/// An address that showed too many is not asked for its tokens any more, so that guessing gains nothing, and costs
/// no signature to check. Who came in from there with a token before still does: behind a proxy everybody has one
/// address, and one guesser must not lock out the others.
pub(super) struct Failures {
    limiter: RateLimiter,
    /// Digests of addresses with what they showed and came in with.
    welcome: [Mutex<LruCache<u128, ()>>; SHARDS],
}

impl Failures {
    /// Allows so many failures a minute; does not count for 0.
    pub(super) fn new(max_a_minute: usize) -> Option<Self> {
        Some(Self {
            limiter: RateLimiter::every(Duration::from_mins(1), max_a_minute, max_a_minute)?,
            welcome: std::array::from_fn(|_| Mutex::new(LruCache::new(MAX_PRINCIPALS / SHARDS))),
        })
    }

    /// Has `identify` look at what an address shows, unless it showed too much that was nothing.
    pub(super) fn watch(
        &self,
        address: u128,
        shown: &[u8],
        now: Instant,
        identify: impl FnOnce() -> Result<AdmittedPeer, Refusal>,
    ) -> Result<AdmittedPeer, Refusal> {
        let key = welcome_key(address, shown);
        let is_welcome = lock(&self.welcome[shard_of(key)]).get(&key).is_some();
        if !is_welcome && let Some(retry_after_seconds) = self.limiter.wait(address, now) {
            return Err(Refusal::TooManyFailures { retry_after_seconds });
        }
        let outcome = identify();
        match &outcome {
            Err(Refusal::Unauthorized { .. }) => {
                let _ = self.limiter.admit(address, 1, now);
                lock(&self.welcome[shard_of(key)]).remove(&key);
            }
            Ok(_) if !is_welcome => {
                lock(&self.welcome[shard_of(key)]).insert(key, ());
            }
            _ => {}
        }
        outcome
    }
}

/// A digest, so that a map does not keep tokens.
fn welcome_key(address: u128, shown: &[u8]) -> u128 {
    let digest: [u8; 32] =
        Sha256::new_with_prefix(address.to_be_bytes()).chain_update(shown).finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let limiter = RateLimiter::new(10, 5).expect("a rate");
        let start = limiter.begun;
        let passed = (0..20).filter(|_| limiter.admit(1, 1, start).is_ok()).count();
        assert_eq!(passed, 5);
        assert_eq!(limiter.admit(1, 1, start), Err(1));
        assert!(limiter.admit(2, 1, start).is_ok(), "another principal has its own allowance");
        let passed =
            (0..=1_000).filter(|ms| limiter.admit(1, 1, start + Duration::from_millis(*ms)).is_ok()).count();
        assert_eq!(passed, 10);
        assert!(limiter.admit(1, 1, start + Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn the_wait_is_told() {
        let limiter = RateLimiter::new(1, 1).expect("a rate");
        let start = limiter.begun;
        assert_eq!(limiter.admit(1, 1, start), Ok(()));
        assert_eq!(limiter.admit(1, 1, start + Duration::from_millis(100)), Err(1));
        assert_eq!(limiter.admit(1, 1, start + Duration::from_millis(1_001)), Ok(()));
    }

    /// However messages are packed, as many pass.
    #[test]
    fn messages_count_and_not_what_they_come_in() {
        for size in 1..=10 {
            let limiter = RateLimiter::new(1, 10).expect("a rate");
            let passed = (0..20).filter(|_| limiter.admit(1, size, limiter.begun).is_ok()).count();
            assert_eq!(passed, 10 / size as usize, "in batches of {size}");
        }
        let limiter = RateLimiter::new(1, 10).expect("a rate");
        assert_eq!(limiter.admit(1, 11, limiter.begun), Err(1));
        assert!(limiter.admit(1, u32::MAX, limiter.begun).is_err());
        assert_eq!(limiter.admit(1, 0, limiter.begun), Ok(()));
        assert_eq!(limiter.admit(1, 10, limiter.begun), Ok(()), "what was refused cost nothing");
    }

    #[test]
    fn guesses_are_limited_and_those_who_came_in_before_still_do() {
        let failures = Failures::new(3).expect("a limit");
        let start = failures.limiter.begun;
        let admitted = AdmittedPeer {
            principal: super::super::principal::Principal::of_token(&[1; 32]),
            is_admin: false,
        };
        let good = |address, shown: &str, now| {
            failures
                .watch(address, shown.as_bytes(), now, || Ok(admitted))
                .map_err(|refusal| refusal.status())
        };
        let bad = |address, shown: &str, now| {
            let refuse = || Err(Refusal::Unauthorized { challenge: "Bearer".into(), is_expected: false });
            failures.watch(address, shown.as_bytes(), now, refuse).expect_err("refused").status()
        };
        assert!(good(1, "regular", start).is_ok());
        let answers: Vec<_> = (0..6).map(|n| bad(1, &format!("guess {n}"), start)).collect();
        assert_eq!(answers, [401, 401, 401, 429, 429, 429]);
        assert!(good(1, "regular", start).is_ok(), "came in before");
        assert_eq!(good(1, "the right guess", start), Err(429));
        assert!(good(2, "the right guess", start).is_ok(), "another address");
        assert_eq!(good(2, "regular", start), Ok(admitted));
        // A token that was removed no longer skips the limit.
        assert_eq!(bad(1, "regular", start), 401);
        assert_eq!(good(1, "regular", start), Err(429));
        assert!(good(1, "the right guess", start + Duration::from_secs(61)).is_ok(), "a minute later");
        assert!(Failures::new(0).is_none());
    }

    #[test]
    fn addresses_without_number_take_bounded_room() {
        let failures = Failures::new(1).expect("a limit");
        let admitted = AdmittedPeer {
            principal: super::super::principal::Principal::of_token(&[1; 32]),
            is_admin: false,
        };
        for address in 0..50_000_u128 {
            let outcome = failures.watch(address, b"good", failures.limiter.begun, || Ok(admitted));
            assert!(outcome.is_ok());
        }
        let kept: usize = failures.welcome.iter().map(|shard| lock(shard).len()).sum();
        assert!(kept <= MAX_PRINCIPALS, "{kept}");
    }

    #[test]
    fn the_table_is_bounded() {
        let limiter = RateLimiter::new(1, 1).expect("a rate");
        for principal in 0..100_000_u128 {
            assert!(limiter.admit(principal, 1, limiter.begun).is_ok());
        }
        let kept: usize = limiter.shards.iter().map(|shard| shard.lock().expect("alive").len()).sum();
        assert!(kept <= MAX_PRINCIPALS, "{kept}");
        assert!(RateLimiter::new(0, 5).is_none());
    }
}
