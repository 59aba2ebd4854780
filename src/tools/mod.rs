//! Families of tools, each with its own [`Toolset`](crate::toolsets::Toolset).

#[cfg(any(feature = "everything", feature = "time"))]
mod at_once;
#[cfg(all(unix, any(feature = "filesystem", feature = "git")))]
mod client_roots;
#[cfg(feature = "everything")]
pub mod everything;
#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(all(unix, feature = "filesystem"))]
pub mod filesystem;
#[cfg(all(unix, feature = "git"))]
pub mod git;
#[cfg(any(feature = "thinking", feature = "time"))]
mod json_text;
#[cfg(all(unix, feature = "memory"))]
pub mod memory;
mod selection;
#[cfg(all(unix, any(feature = "filesystem", feature = "git", feature = "memory")))]
mod table;
#[cfg(feature = "thinking")]
pub mod thinking;
#[cfg(feature = "time")]
pub mod time;

pub use selection::Selection;
