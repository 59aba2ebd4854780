//! A connection to a server as one thing to read, to write and to wait for.

use super::child::Child;
use super::target::LoadTarget;
use super::tls::{EncryptedStream, Encryption};
use mio::net::{TcpStream, UnixStream};
use mio::unix::pipe::{Receiver, Sender};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};

/// A connection; a command ends with it.
pub(super) enum Socket {
    Tcp(TcpStream),
    Tls(Box<EncryptedStream<TcpStream>>),
    Unix(UnixStream),
    Pipes { output: Receiver, input: Sender, child: Child },
}

impl Socket {
    /// Begins to connect, or starts the command.
    pub(super) fn open(target: &LoadTarget, encryption: Option<&Encryption>) -> io::Result<Self> {
        match target {
            LoadTarget::Command(command) => {
                let (child, output, input) = Child::start(command)?;
                Ok(Self::Pipes { output, input, child })
            }
            LoadTarget::UnixHttp(path) | LoadTarget::UnixLines(path) => {
                UnixStream::connect(path).map(Self::Unix)
            }
            LoadTarget::Http(url) => {
                let stream = TcpStream::connect(url.address()?)?;
                stream.set_nodelay(true)?;
                match encryption {
                    Some(encryption) => Ok(Self::Tls(Box::new(encryption.over(stream)?))),
                    None => Ok(Self::Tcp(stream)),
                }
            }
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, both),
            Self::Tls(encrypted) => registry.register(&mut encrypted.stream, token, both),
            Self::Unix(stream) => registry.register(stream, token, both),
            Self::Pipes { output, input, .. } => {
                registry.register(output, token, Interest::READABLE)?;
                registry.register(input, token, Interest::WRITABLE)
            }
        }
    }

    /// Whether the connection stands, with its encryption; an error when it could not be made.
    pub(super) fn is_connected(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => stands(stream.take_error()?, stream.peer_addr()),
            Self::Tls(encrypted) => {
                let stream = &encrypted.stream;
                Ok(stands(stream.take_error()?, stream.peer_addr())? && encrypted.shake_hands()?)
            }
            Self::Unix(stream) => stands(stream.take_error()?, stream.peer_addr()),
            Self::Pipes { .. } => Ok(true),
        }
    }

    /// Whether bytes that were written wait for the connection to take them.
    pub(super) fn has_unsent(&self) -> bool {
        match self {
            Self::Tls(encrypted) => encrypted.has_unsent(),
            Self::Tcp(_) | Self::Unix(_) | Self::Pipes { .. } => false,
        }
    }

    /// The process behind the connection, where it was started here.
    pub(super) fn child(&mut self) -> Option<&mut Child> {
        match self {
            Self::Pipes { child, .. } => Some(child),
            Self::Tcp(_) | Self::Tls(_) | Self::Unix(_) => None,
        }
    }
}

/// What the error of a socket and the address of its peer say.
fn stands<A>(error: Option<io::Error>, peer: io::Result<A>) -> io::Result<bool> {
    match (error, peer) {
        (None, Ok(_)) => Ok(true),
        (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        (Some(error), _) | (None, Err(error)) => Err(error),
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(encrypted) => encrypted.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Pipes { output, .. } => output.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(encrypted) => encrypted.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Pipes { input, .. } => input.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(encrypted) => encrypted.flush(),
            Self::Tcp(_) | Self::Unix(_) | Self::Pipes { .. } => Ok(()),
        }
    }
}
