//! Why a client was not set up.

use super::config_file::FileError;
use super::fault::Fault;
use super::locate::NoFile;
use std::path::PathBuf;

/// Why a client was not set up, or not any more. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ClientsError {
    /// No client has that name.
    #[error("there is no client {name:?}{suggestion}; there are {}", names.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// A name that is similar.
        suggestion: String,
        /// The names that there are.
        names: Vec<&'static str>,
    },
    /// Its file is nowhere.
    #[error("{0}")]
    NoFile(#[from] NoFile),
    /// Its file cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// Its file is broken.
    #[error("{}: {fault}; the file was left as it is", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The entry of that name is of another program.
    #[error(
        "{}: the entry {name:?} is of another program{what}: give --name another name, or --force to \
         {verb} that one",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The name of the entry.
        name: String,
        /// What it starts.
        what: String,
        /// What would be done to it.
        verb: &'static str,
    },
    /// A name that clients would not take.
    #[error(
        "--name {name:?}: write A-Z a-z 0-9 _ - only, at most 64, as clients put it before the names of tools"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A directory that cannot be served.
    #[error("{}: {what}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// No directory is named, and the client will name none.
    #[error(
        "{client} does not tell servers which folders are open, so name those that the tools may work in: \
         mcpool install {name} ~/projects"
    )]
    NoDirectory {
        /// The client.
        client: &'static str,
        /// Its name on the command line.
        name: &'static str,
    },
    /// A text that the client would not take as it stands.
    #[error(
        "{text:?}: {client} reads {sign} in its file as a variable, so it would not get this: use a name without"
    )]
    Expanded {
        /// The text.
        text: String,
        /// The client.
        client: &'static str,
        /// What begins a variable.
        sign: &'static str,
    },
    /// A text that no file of a client can hold.
    #[error("{text:?} is not UTF-8, and the files of clients are")]
    NotText {
        /// The text.
        text: String,
    },
    /// The command of an entry cannot be read.
    #[error("--command {text:?}: a quote or backslash is left open, or it is empty")]
    Command {
        /// The command.
        text: String,
    },
    /// The path of this program cannot be told.
    #[error("cannot tell where this program is: {0}; give --command")]
    Program(std::io::Error),
    /// The shared server is nowhere.
    #[error("--shared={target:?}: write unix:PATH or http://HOST:PORT/mcp")]
    Target {
        /// What was given.
        target: String,
    },
    /// Where the socket of the shared server is cannot be told.
    #[error("neither XDG_RUNTIME_DIR nor HOME is set: give --shared=unix:PATH")]
    NoSocket,
    /// The working directory is gone.
    #[error("cannot tell the working directory: {0}")]
    WorkingDirectory(std::io::Error),
}
