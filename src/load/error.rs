//! Why a load test could not begin.

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
    #[error("cannot reach the server: {0}")]
    Connect(io::Error),
    /// The server does not greet as it should.
    #[error("{0}")]
    Greeting(String),
    /// The server cannot be started, or speaks no revision that is known here.
    #[error("{0}")]
    Client(#[source] Box<ClientError>),
}
