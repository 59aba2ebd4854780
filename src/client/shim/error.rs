//! The errors that end a shim.

use crate::stdio::UnusableStream;
use std::io;
use thiserror::Error;

/// Why a shim ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShimError {
    /// Standard input or output cannot be used.
    #[error("cannot use standard {name}: {source}")]
    Stdio {
        /// `input` or `output`.
        name: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("standard input or output broke: {0}")]
    Broken(#[from] io::Error),
    /// Nobody listens where the server should be, and never did.
    #[error("no server can be reached at {target}: {why}. Start it, and then this client again")]
    NoServer {
        /// Where it should be.
        target: String,
        /// The last error.
        why: String,
    },
    /// The target is no address.
    #[error("{0}")]
    Target(String),
}

impl From<UnusableStream> for ShimError {
    fn from(UnusableStream { name, source }: UnusableStream) -> Self {
        Self::Stdio { name, source }
    }
}
