//! A connection that is made, read and written only as long as somebody waits for the call.
//!
//! Its socket never blocks: who waits for it does so in `poll`, slice by slice (`patience.rs`). So a call that was
//! cancelled gives its thread and its socket back within a slice, also from a server that never accepts.

use super::patience::Patience;
use crate::server::CancellationToken;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// Makes the connections of one call.
#[derive(Debug)]
pub(crate) struct Connect(pub(crate) CancellationToken);

impl<In: Transport> Connector<In> for Connect {
    type Out = Either<In, Connection>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // A tunnel through a proxy is a connection already.
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let stream = self.first_that_answers(&details.addrs, details.timeout)?;
        stream.set_nodelay(details.config.no_delay())?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Connection { stream, buffers, cancellation: self.0.clone() })))
    }
}

impl Connect {
    /// Tries one address after the other. Each has half of the time that is left, and the last one all of it.
    fn first_that_answers(&self, addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
        let patience = Patience::new(&self.0, timeout);
        let mut failed = Error::HostNotFound;
        for (at, address) in addresses.iter().enumerate() {
            let is_last = at + 1 == addresses.len();
            match connect(*address, if is_last { patience } else { patience.half() }) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn connect(address: SocketAddr, patience: Patience<'_>) -> Result<TcpStream, Error> {
    patience.slice()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.connect(&address.into()) {
        let is_under_way = error.kind() == ErrorKind::WouldBlock
            || matches!(Errno::from_io_error(&error), Some(Errno::INPROGRESS | Errno::INTR));
        if !is_under_way {
            return Err(error.into());
        }
        wait(&socket, PollFlags::OUT, patience)?;
        if let Some(error) = socket.take_error()? {
            return Err(error.into());
        }
    }
    Ok(socket.into())
}

/// Waits until a socket is ready.
fn wait(socket: &impl AsFd, ready: PollFlags, patience: Patience<'_>) -> Result<(), Error> {
    loop {
        let slice = patience.slice()?;
        let slice = Timespec { tv_sec: 0, tv_nsec: slice.subsec_nanos().into() };
        match poll(&mut [PollFd::new(socket, ready)], Some(&slice)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}

/// A connection of one call.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
    cancellation: CancellationToken,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let patience = Patience::new(&self.cancellation, timeout.for_write());
        let mut output = &self.buffers.output()[..amount];
        while !output.is_empty() {
            match (&self.stream).write(output) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => output = &output[written..],
                Err(error) => wait_after(&error, &self.stream, PollFlags::OUT, patience)?,
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let patience = Patience::new(&self.cancellation, timeout.for_read());
        loop {
            // What comes without end never makes it wait.
            patience.slice()?;
            match (&self.stream).read(self.buffers.input_append_buf()) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(read > 0);
                }
                Err(error) => wait_after(&error, &self.stream, PollFlags::IN, patience)?,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // What comes without a request, and the end, are no state to go on in.
        matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// Waits, if a read or write could not go on; else it has failed.
fn wait_after(
    error: &io::Error,
    stream: &TcpStream,
    ready: PollFlags,
    patience: Patience<'_>,
) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::WouldBlock => wait(stream, ready, patience),
        ErrorKind::Interrupted => Ok(()),
        kind => Err(io::Error::new(kind, error.to_string()).into()),
    }
}
