//! How long a thread waits for something outside of this process: until its time is over, or nobody waits for the call.
//!
//! Nothing wakes a thread whose call was cancelled, so each wait is divided into slices, and the token is checked before
//! each of them.

use crate::server::CancellationToken;
use std::io;
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::transport::NextTimeout;

/// The longest slice.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// The bounds of one wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'c> {
    cancellation: &'c CancellationToken,
    /// `None`: never.
    end: Option<Instant>,
    timeout: NextTimeout,
}

impl<'c> Patience<'c> {
    /// A wait that begins now.
    pub(crate) fn new(cancellation: &'c CancellationToken, timeout: NextTimeout) -> Self {
        Self { cancellation, end: Instant::now().checked_add(*timeout.after), timeout }
    }

    /// One that is over when half of what is left of this one is.
    pub(crate) fn half(self) -> Self {
        let now = Instant::now();
        let half = |end: Instant| now + end.saturating_duration_since(now) / 2;
        Self { end: self.end.map(half), ..self }
    }

    /// How long to wait now.
    ///
    /// # Errors
    /// When the time is over, or nobody waits for the call.
    pub(crate) fn slice(self) -> Result<Duration, Error> {
        self.cancellation.check().map_err(|cancelled| Error::Io(io::Error::other(cancelled)))?;
        let left = self.end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(Error::Timeout(self.timeout.reason)) } else { Ok(left.min(SLICE)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::Timeout;

    fn timeout(after: Duration) -> NextTimeout {
        NextTimeout { after: after.into(), reason: Timeout::Connect, ..NextTimeout::default() }
    }

    #[test]
    fn a_wait_ends_with_its_time_and_with_its_call() {
        let waiting = CancellationToken::after(u64::MAX);
        let hour = Patience::new(&waiting, timeout(Duration::from_hours(1)));
        assert_eq!(hour.slice().expect("time is left"), SLICE);
        assert_eq!(hour.half().half().slice().expect("time is left"), SLICE);
        assert_eq!(Patience::new(&waiting, NextTimeout::default()).slice().expect("no end"), SLICE);
        let over = Patience::new(&waiting, timeout(Duration::ZERO));
        assert!(matches!(over.slice(), Err(Error::Timeout(Timeout::Connect))));
        assert!(matches!(over.half().slice(), Err(Error::Timeout(Timeout::Connect))));
        let cancelled = CancellationToken::after(1);
        let hour = Patience::new(&cancelled, timeout(Duration::from_hours(1)));
        hour.slice().expect("not cancelled yet");
        assert!(matches!(hour.slice(), Err(Error::Io(_))));
    }
}
