//! The errors of commands, and the exit code of each.

use super::choice::ChoiceError;
use super::clients::ClientsError;
use super::config::ConfigError;
use super::toolsets::ToolsetError;
use crate::client::ClientError;
use crate::client::shim::ShimError;
use crate::load::LoadTestError;
use crate::memory::ReadReportError;
use crate::server::BuildError;
use crate::tools::fetch::FetchError;
use crate::tools::filesystem::FilesystemError;
use crate::tools::git::GitError;
use crate::tools::time::TimeError;
#[cfg(feature = "tls")]
use crate::transport::TlsError;
use crate::transport::admission::AdmissionError;
use crate::transport::{HttpError, ListenError, StdioError};
use crate::visible;
use std::io::{self, Write};
use std::process::ExitCode;

/// The tool answered that it failed.
pub(super) const TOOL_FAILED: u8 = 1;
/// The command line or the configuration is wrong; `clap` uses the same.
const USAGE: u8 = 2;
/// The server could not be started, did not answer, or broke the protocol.
pub(super) const SERVER: u8 = 3;
/// Ended by Ctrl-C: 128 + SIGINT, as in shells.
pub(super) const INTERRUPTED: u8 = 130;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// A setting cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The toolsets cannot be served as asked.
    #[error("{0}")]
    Toolset(#[from] ToolsetError),
    /// Single tools cannot be offered as asked.
    #[error("{0}")]
    Choice(#[from] ChoiceError),
    /// The configuration of an MCP client cannot be changed as asked.
    #[error("{0}")]
    Clients(#[from] ClientsError),
    /// Calling the server failed.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// None of the directories can be served.
    #[error("{0}")]
    Filesystem(#[from] FilesystemError),
    /// The git tools cannot be set up.
    #[error("{0}")]
    Git(#[from] GitError),
    /// The fetch tool cannot be set up.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// The time tools cannot be set up.
    #[error("{0}")]
    Time(#[from] TimeError),
    /// The server cannot be built as asked.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// The server ended with an error.
    #[error("{0}")]
    Serve(#[from] StdioError),
    /// An address cannot be listened on.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The shim ended with an error.
    #[error("{0}")]
    Shim(#[from] ShimError),
    /// The admission rules refuse this configuration.
    #[error("{0}")]
    Admission(#[from] AdmissionError),
    /// The HTTP service cannot be set up.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// The certificate or its key cannot be used.
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The runtime could not be started.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// The input is no report.
    #[error("{0}")]
    Report(#[from] ReadReportError),
    /// The load test could not begin.
    #[error("{0}")]
    Load(#[from] LoadTestError),
    /// A scenario of a file could not begin.
    #[error("{place}: {source}")]
    LoadScenario {
        /// The file, and which of its scenarios.
        place: String,
        /// Why.
        source: LoadTestError,
    },
    /// Nobody listens where a server should be.
    #[error("{0}")]
    Unreachable(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// What to say of a server that cannot be reached.
pub(super) fn unreachable(at: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; there is no such socket",
        io::ErrorKind::ConnectionRefused => "; nobody listens there",
        _ => "",
    };
    format!("cannot reach the server at {at}: {error}{hint}")
}

/// What is said of one error at most. Some quote what a server sent, which may be all that a client reads.
const MAX_SAID_BYTES: usize = 8 * 1024;

impl CliError {
    /// Tells the user, on stderr.
    pub(super) fn say(&self) {
        let _ = writeln!(io::stderr(), "mcpool: {}", said(&self.to_string()));
    }

    /// Tells whether nobody reads the output any more, as in `mcpool tools | head -1`. That is no error.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            // As the reference servers do.
            Self::Filesystem(_) | Self::Git(_) | Self::Time(_) => 1,
            _ if self.is_closed_pipe() => 0,
            Self::Usage(_) | Self::Config(_) | Self::Admission(_) | Self::Http(_) => USAGE,
            Self::Toolset(_) | Self::Choice(_) | Self::Clients(_) | Self::Fetch(_) => USAGE,
            Self::Build(BuildError::Limits(_) | BuildError::Memory(_)) => USAGE,
            Self::Shim(ShimError::Target(_)) => USAGE,
            Self::Load(error) | Self::LoadScenario { source: error, .. } => match error {
                LoadTestError::Scenario(_)
                | LoadTestError::Template(_)
                | LoadTestError::Encryption { .. } => USAGE,
                LoadTestError::Stopped(_) => INTERRUPTED,
                _ => SERVER,
            },
            Self::Client(_)
            | Self::Unreachable(_)
            | Self::Shim(_)
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::Build(_)
            | Self::Serve(_)
            | Self::Listen(_)
            | Self::Report(_) => SERVER,
            #[cfg(feature = "tls")]
            Self::Tls(_) => SERVER,
            Self::Interrupted => INTERRUPTED,
        })
    }
}

/// The beginning of a text, with nothing that steers a terminal.
fn said(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_SAID_BYTES);
    let said = visible::lines(&text[..end]);
    if end < text.len() { format!("{said}... ({} more bytes)", text.len() - end) } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_quotes_a_long_text_is_cut() {
        assert_eq!(said("no \u{1b}tool\nTools: none"), "no \\u{1b}tool\nTools: none");
        let long = "\u{e9}".repeat(MAX_SAID_BYTES);
        let shown = said(&long);
        assert!(shown.len() < MAX_SAID_BYTES + 64, "{}", shown.len());
        assert!(shown.ends_with("... (8192 more bytes)"), "{}", &shown[shown.len() - 40..]);
    }
}
