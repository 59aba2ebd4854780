//! Families of tools, each with its own [`Toolset`](crate::Toolset).

#[cfg(all(unix, feature = "filesystem"))]
pub mod filesystem;
#[cfg(feature = "time")]
mod json_text;
mod selection;
#[cfg(feature = "time")]
pub mod time;

pub use selection::Selection;
