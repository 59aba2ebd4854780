//! Families of tools, each with its own [`Toolset`](crate::Toolset).

#[cfg(all(unix, feature = "filesystem"))]
pub mod filesystem;
