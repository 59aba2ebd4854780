//! What a call may open: the allowed directories, and the files below them.
//!
//! A path is never checked first and opened later: a file is opened below the open handle of an allowed directory, by a
//! system call that cannot leave it. Each file here uses only those above it:
//!
//! ```text
//! lexical            paths as text
//! beneath            opening below a handle
//! listing            the names in a directory
//! leftovers          temporary files of killed servers
//! toolset_state      what all sessions share
//! allowed            which directories are allowed, and how they are opened
//! call_directories   the same, opened for one call
//! target, resolve    what a path leads to
//! access             the sandbox of one call
//! directories        the directories of the server or of a session
//! temporary          writing a file before it takes its name
//! ```

pub(crate) mod access;
pub(crate) mod allowed;
pub(crate) mod beneath;
pub(crate) mod call_directories;
pub(crate) mod directories;
pub(crate) mod leftovers;
pub(crate) mod lexical;
pub(crate) mod listing;
pub(crate) mod resolve;
pub(crate) mod target;
pub(crate) mod temporary;
#[cfg(test)]
mod tests;
pub(crate) mod toolset_state;
