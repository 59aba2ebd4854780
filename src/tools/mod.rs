//! Families of tools, each a [`Toolset`](crate::Toolset) of its own.

#[cfg(all(unix, feature = "filesystem"))]
pub mod filesystem;
