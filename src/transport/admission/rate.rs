//! How often each principal may come: the generic cell rate algorithm.
//!
//! One number a principal: the time at which its allowance is full again (GCRA, ITU-T I.371). The table is
//! bounded; the principal seen longest ago makes room, and since its allowance is the likeliest to be full
//! again, forgetting it changes nothing for it.

use hashlink::LruCache;
use std::sync::{Mutex, PoisonError};
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
        let per_second = u32::try_from(requests_per_second).ok().filter(|requests| *requests > 0)?;
        let cost = Duration::from_secs(1) / per_second;
        Some(Self {
            begun: Instant::now(),
            cost,
            burst: cost.saturating_mul(u32::try_from(request_burst).unwrap_or(u32::MAX)),
            shards: std::array::from_fn(|_| Mutex::new(LruCache::new(MAX_PRINCIPALS / SHARDS))),
        })
    }

    /// Takes a request into account, or tells after how many seconds there is room for it.
    pub(super) fn admit(&self, principal: u128, now: Instant) -> Result<(), u32> {
        let now = now.saturating_duration_since(self.begun);
        let shard = (principal ^ (principal >> 64)) as usize % SHARDS;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = shard.get(&principal).copied().unwrap_or_default().max(now) + self.cost;
        let ahead = full_at.saturating_sub(now);
        if ahead > self.burst {
            let wait = ahead.saturating_sub(self.burst);
            return Err(u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1));
        }
        shard.insert(principal, full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let limiter = RateLimiter::new(10, 5).expect("a rate");
        let start = limiter.begun;
        let passed = (0..20).filter(|_| limiter.admit(1, start).is_ok()).count();
        assert_eq!(passed, 5);
        assert_eq!(limiter.admit(1, start), Err(1));
        assert!(limiter.admit(2, start).is_ok(), "another principal has its own allowance");
        let passed =
            (0..=1_000).filter(|ms| limiter.admit(1, start + Duration::from_millis(*ms)).is_ok()).count();
        assert_eq!(passed, 10);
        assert!(limiter.admit(1, start + Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn the_wait_is_told() {
        let limiter = RateLimiter::new(1, 1).expect("a rate");
        let start = limiter.begun;
        assert_eq!(limiter.admit(1, start), Ok(()));
        assert_eq!(limiter.admit(1, start + Duration::from_millis(100)), Err(1));
        assert_eq!(limiter.admit(1, start + Duration::from_millis(1_001)), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let limiter = RateLimiter::new(1, 1).expect("a rate");
        for principal in 0..100_000_u128 {
            assert!(limiter.admit(principal, limiter.begun).is_ok());
        }
        let kept: usize = limiter.shards.iter().map(|shard| shard.lock().expect("alive").len()).sum();
        assert!(kept <= MAX_PRINCIPALS, "{kept}");
        assert!(RateLimiter::new(0, 5).is_none());
    }
}
