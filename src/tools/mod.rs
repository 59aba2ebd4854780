//! Families of tools, each a [`Toolset`](crate::server::Toolset) of its own.

#[cfg(all(unix, feature = "filesystem"))]
pub mod filesystem;
