//! The traits that tools, resources and prompts implement, and the contexts that they get.

pub(crate) mod arguments;
#[cfg(feature = "macros")]
pub(crate) mod attribute;
pub(crate) mod call_context;
#[cfg(feature = "filesystem")]
pub(crate) mod change_notifier;
pub(crate) mod dynamic_tool;
pub(crate) mod families;
pub(crate) mod layer;
pub(crate) mod list_position;
#[cfg(feature = "report")]
pub(crate) mod memory_resource;
pub(crate) mod prompts;
mod question;
pub(crate) mod request_context;
pub(crate) mod resource_page;
pub(crate) mod resources;
#[cfg(feature = "everything")]
pub(crate) mod session_notices;
pub(crate) mod tool;
pub(crate) mod tool_list;
pub(crate) mod tool_request;
#[cfg(feature = "tower")]
pub(crate) mod tower;
