//! Why a load test could not begin.

use super::target::LoadTarget;
use super::template::TemplateError;
use crate::client::ClientError;
use std::io;

/// Why a load test could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadTestError {
    /// The scenario asks for something impossible.
    #[error("{0}")]
    Scenario(&'static str),
    /// A placeholder in the arguments cannot be understood.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// The server cannot be reached.
    #[error("cannot reach the server at {target}: {source}")]
    Connect {
        /// The server.
        target: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server does not greet as it should.
    #[error("the server {target} was not loaded: {why}")]
    Greeting {
        /// The server.
        target: String,
        /// What it did instead.
        why: String,
    },
    /// The server cannot be started, or speaks no revision that is known here.
    #[error("the server {target} was not loaded: {source}")]
    Client {
        /// The server.
        target: String,
        /// What went wrong.
        source: Box<ClientError>,
    },
    /// Connections to the server cannot be encrypted: the certificates to trust cannot be read.
    #[error("cannot encrypt connections to the server {target}: {source}")]
    Encryption {
        /// The server.
        target: String,
        /// What is wrong.
        source: io::Error,
    },
    /// Generator or server cannot run on those processors.
    #[error("cannot run on those processors: {0}")]
    Pin(io::Error),
    /// Somebody stopped the test before the server was greeted.
    #[error("stopped before the server {0} had answered the greeting")]
    Stopped(String),
}

impl LoadTestError {
    pub(super) fn connect(target: &LoadTarget) -> impl Fn(io::Error) -> Self + use<> {
        let target = target.to_string();
        move |source| Self::Connect { target: target.clone(), source }
    }

    pub(super) fn greeting(target: &LoadTarget, why: impl Into<String>) -> Self {
        Self::Greeting { target: target.to_string(), why: why.into() }
    }

    pub(super) fn client(target: &LoadTarget, source: ClientError) -> Self {
        Self::Client { target: target.to_string(), source: Box::new(source) }
    }

    pub(super) fn encryption(target: &LoadTarget, source: io::Error) -> Self {
        Self::Encryption { target: target.to_string(), source }
    }

    pub(super) fn stopped(target: &LoadTarget) -> Self {
        Self::Stopped(target.to_string())
    }
}
