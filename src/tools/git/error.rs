//! Why a git tool failed, in the words of the reference server: clients and models have learned to read them.

use crate::server::ToolError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// A failure of a git tool.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum GitFailure {
    /// Nobody waits for the answer any more.
    #[error("the call was cancelled")]
    Cancelled,
    /// Nobody sees it: the call begins anew once it has its turn.
    #[error("the call waits for its turn with the repository")]
    Waits,
    #[error("{}", .0.display())]
    NoSuchPath(PathBuf),
    #[error("{}", .0.display())]
    NotARepository(PathBuf),
    #[error("Repository path '{path}' is outside the allowed {allowed}")]
    Outside { path: String, allowed: Allowed },
    #[error(
        "Repository path '{path}' cannot be used: no directory is allowed. Start the server with directories, or with \
         --repository"
    )]
    NothingAllowed { path: String },
    #[error(
        "The repository '{}' uses '{}', which is outside the allowed {allowed}", .repository.display(), .used.display()
    )]
    UsesOutside { repository: PathBuf, used: PathBuf, allowed: Allowed },
    #[error("The repository '{}' has too many {what} to check where they lead", .repository.display())]
    TooMany { repository: PathBuf, what: &'static str },
    #[error("embedded null byte")]
    NullByte,
    #[error("Invalid path: '{0}'")]
    InvalidPath(String),
    #[error("Path '{path}' is outside the repository '{}'", .repository.display())]
    FileOutside { path: String, repository: PathBuf },
    #[error("Invalid {what}: '{value}' - cannot start with '-'")]
    LooksLikeOption { what: &'static str, value: String },
    #[error("Ref '{0}' did not resolve to an object")]
    UnknownRevision(String),
    #[error("No item found with id {0}")]
    UnknownBase(String),
    #[error("Invalid branch type: {0}")]
    InvalidBranchType(String),
    #[error("Cannot create branch '{name}': refs/heads/{name} already exists")]
    BranchExists { name: String },
    #[error("HEAD is detached, so there is no current branch to branch from; pass base_branch")]
    Detached,
    #[error("Reference at '{0}' does not exist")]
    NoCommitYet(String),
    #[error(
        "No changes staged for commit. Use git_add to stage changes first; git_status shows what is currently staged."
    )]
    NothingStaged,
    #[error(
        "The repository's own configuration sets {key}, which would run a program. This server runs no program of a \
         repository, unless it is started with --allow-git-programs. `git config --unset {key}` takes it back"
    )]
    NamesProgram { key: String },
    #[error("The program git cannot be found in PATH: install it where this server runs")]
    NoProgram,
    #[error("The program git cannot be run: {0}")]
    Program(#[from] std::io::Error),
    #[error(
        "git took longer than {after:?} and was stopped (setting git_timeout_ms); what it was about to change may be half \
         done"
    )]
    TimedOut { after: Duration },
    #[error(
        "The repository '{}' is used without a work tree, but its configuration sets core.worktree; pass the path of \
         that work tree", .repository.display()
    )]
    NamesWorkTree { repository: PathBuf },
    #[error(
        "The repository '{}' is not the one that git finds there, '{found}': its .git is broken", .repository.display()
    )]
    NotWhatGitFinds { repository: PathBuf, found: String },
    #[error("The directory '{}' was moved while it was looked at; try again", .0.display())]
    Moved(PathBuf),
    #[error(
        "The index of the repository '{}' has names that lead out of it; `git read-tree HEAD` makes a new one",
        .repository.display()
    )]
    IndexLeadsOutside { repository: PathBuf },
    #[error("The file '{}' does not name a directory as git writes it", .0.display())]
    BadPointer(PathBuf),
    #[error(
        "'{}' is a pipe or a device, where git reads a file of the repository: remove it", .0.display()
    )]
    NoFile(PathBuf),
    #[error("git was stopped before its end")]
    Stopped,
    #[error("{0}")]
    Command(Box<FailedCommand>),
}

/// A command of git that ended with an error, in the form that the reference gives it.
#[derive(Debug)]
pub(crate) struct FailedCommand {
    /// The command as the reference would have given it.
    pub(crate) shown: String,
    /// `exit code(1)`, or the signal.
    pub(crate) status: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Whether it ran in a sandbox, which may be what refused something.
    pub(crate) is_sandboxed: bool,
}

impl fmt::Display for FailedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cmd('git') failed due to: {}\n  cmdline: {}", self.status, self.shown)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n  {name}: '{text}'")?;
            }
        }
        if self.is_sandboxed
            && ["Permission denied", "not permitted"].iter().any(|word| self.stderr.contains(word))
        {
            f.write_str(
                "\n  hint: this server keeps git inside the allowed directories, its programs and the settings of the user, \
                 without network",
            )?;
        }
        Ok(())
    }
}

/// The directories that repositories may lie in, as an error names them.
#[derive(Debug)]
pub(crate) struct Allowed(pub(crate) Vec<PathBuf>);

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "repository" } else { "directories" })?;
        for (index, path) in self.0.iter().enumerate() {
            write!(f, "{} '{}'", if index == 0 { "" } else { "," }, path.display())?;
        }
        Ok(())
    }
}

impl GitFailure {
    /// The error that the client of a tool gets.
    pub(crate) fn of_tool(self, tool: &str) -> ToolError {
        match self {
            Self::Cancelled => ToolError::Cancelled,
            failure => ToolError::failed(format_args!("Error executing tool {tool}: {failure}")),
        }
    }
}

/// Refuses a value that git would take for an option.
///
/// # Errors
/// [`GitFailure::LooksLikeOption`].
pub(crate) fn refuse_option(what: &'static str, value: &str) -> Result<(), GitFailure> {
    if value.starts_with('-') {
        return Err(GitFailure::LooksLikeOption { what, value: value.to_owned() });
    }
    Ok(())
}

/// Why the git tools cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GitError {
    /// The repository that was given is not there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// What was given is in no repository.
    #[error("{} is not a valid Git repository", .0.display())]
    NotARepository(PathBuf),
}

impl GitError {
    pub(crate) fn missing(path: &Path) -> Self {
        Self::Missing(path.to_owned())
    }
}
