//! Why the rules of admission cannot be used.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why the rules of admission cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// An address that other machines can reach, without tokens.
    #[error(
        "{address} can be reached from other machines: ask for tokens (token_file or oauth_issuer), or say --insecure"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// An invalid host name.
    #[error("allowed host {text:?} is no host name, with or without a port")]
    Host {
        /// What was given.
        text: String,
    },
    /// An invalid origin.
    #[error("allowed origin {text:?} must look like https://app.example.com or http://localhost:*")]
    Origin {
        /// What was given.
        text: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list of tokens with an invalid line.
    #[error("line {line} of the tokens: {fault}")]
    Token {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// A list without any token.
    #[error("there is no token in the list: write one on a line of its own, NAME:TOKEN or TOKEN")]
    NoToken,
    /// The settings of OAuth contradict each other.
    #[error("OAuth: {0}")]
    OAuth(String),
}
