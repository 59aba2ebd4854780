//! Why a call of a memory tool fails.

use crate::server::ToolError;
use mcpool_pools::BudgetSpent;
use std::path::PathBuf;
use thiserror::Error;

/// Why the graph cannot be read or changed. Nothing was changed then, in memory or in the file.
#[derive(Debug, Error)]
pub(crate) enum GraphError {
    /// The words of the reference server.
    #[error("Entity with name {name} not found")]
    NoSuchEntity { name: String },
    #[error(
        "Line {line} of the knowledge graph {} {fault}. Nothing was changed: correct or remove that line, then try again",
        path.display()
    )]
    Line { path: PathBuf, line: usize, fault: String },
    #[error(
        "The knowledge graph {} would take {bytes} bytes of memory, and max_graph_bytes allows {max_bytes}: raise it, or \
         delete what is not needed",
        path.display()
    )]
    TooLarge { path: PathBuf, bytes: usize, max_bytes: usize },
    #[error(
        "There is no memory for the {bytes} bytes that this change of the knowledge graph takes meanwhile: try again later, or raise memory_limit_bytes ({spent})"
    )]
    NoMemory { bytes: usize, spent: BudgetSpent },
    #[error(
        "The answer would be longer than the {max_bytes} bytes that max_reply_bytes allows: ask for a part of the graph \
         with search_nodes or open_nodes"
    )]
    LongAnswer { max_bytes: usize },
    #[error("The knowledge graph {} is {what} and not a file: name a file that can be read and written", path.display())]
    NoFile { path: PathBuf, what: &'static str },
    #[error("The knowledge graph {} cannot be {what}: {source}", path.display())]
    Io { path: PathBuf, what: &'static str, source: std::io::Error },
    #[error(
        "Another process has kept the knowledge graph {} locked for {seconds} s: end it, or try again later",
        path.display()
    )]
    Locked { path: PathBuf, seconds: u64 },
    #[error("there are too many symbolic links on the way to the knowledge graph {}", path.display())]
    Links { path: PathBuf },
    #[error("the call was cancelled")]
    Cancelled,
}

impl GraphError {
    /// As the end of a call.
    pub(crate) fn into_tool_error(self) -> ToolError {
        match self {
            Self::Cancelled => ToolError::Cancelled,
            error => ToolError::failed(error),
        }
    }
}
