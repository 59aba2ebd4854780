//! Families of tools, each a [`Toolset`](crate::server::Toolset) of its own.

#[cfg(unix)]
pub mod filesystem;
