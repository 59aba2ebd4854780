//! What a call may open: the allowed directories, and the files below them.
//!
//! A path is never checked first and opened later: a file is opened below the open handle of an allowed directory,
//! by a system call that cannot leave it.

pub(crate) mod access;
pub(crate) mod beneath;
pub(crate) mod directories;
pub(crate) mod leftovers;
pub(crate) mod lexical;
pub(crate) mod listing;
pub(crate) mod resolve;
pub(crate) mod roots;
pub(crate) mod temporary;
