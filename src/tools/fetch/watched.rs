//! A connection that notices within a moment that nobody waits for it any more.
//!
//! A read waits as long as the call may take. It is divided into short ones here, and between them the token of the call
//! is checked.

use crate::server::CancellationToken;
use std::io;
use std::time::Duration;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Longest time that a read waits before the token is checked.
const SLICE: Duration = Duration::from_millis(200);

/// Puts each connection of a chain of connectors under watch.
#[derive(Debug)]
pub(crate) struct Watch(pub(crate) CancellationToken);

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Watched { inner, cancellation: self.0.clone() }))
    }
}

/// A connection under watch.
#[derive(Debug)]
pub(crate) struct Watched<In> {
    inner: In,
    cancellation: CancellationToken,
}

impl<In: Transport> Transport for Watched<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut left = *timeout.after;
        loop {
            self.cancellation.check().map_err(|cancelled| Error::Io(io::Error::other(cancelled)))?;
            let slice = left.min(SLICE);
            match self.inner.await_input(NextTimeout { after: slice.into(), ..timeout }) {
                Err(Error::Timeout(_)) if slice < left => left -= slice,
                ended => return ended,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
