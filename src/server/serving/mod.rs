//! What happens to a message from its bytes to its answer.

pub(crate) mod batch;
pub(crate) mod batch_answers;
pub(crate) mod core;
pub(crate) mod dispatched;
pub(crate) mod from_client;
pub(crate) mod in_flight;
pub(crate) mod listen;
pub(crate) mod memory_account;
pub(crate) mod methods;
pub(crate) mod on_thread;
pub(crate) mod recorded;
pub(crate) mod serve;
mod session_task_methods;
pub(crate) mod slot;
pub(crate) mod task_methods;
pub(crate) mod tasks;
pub(crate) mod unfinished;
pub(crate) mod watching;
