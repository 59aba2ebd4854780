//! State that outlives a frame: sessions, streams, tasks, subscriptions, and the bounds of each.

pub(crate) mod answer_stream;
pub(crate) mod blocking;
pub(crate) mod call_state;
pub(crate) mod changes;
pub(crate) mod charge;
pub(crate) mod client_requests;
pub(crate) mod drain;
pub(crate) mod event_store;
pub(crate) mod fair_bytes;
pub(crate) mod fair_limit;
pub(crate) mod fair_permits;
pub(crate) mod fair_queue;
mod give_back;
pub(crate) mod lasting;
pub(crate) mod latencies;
pub(crate) mod memory_turns;
pub(crate) mod operations;
pub(crate) mod outgoing;
pub(crate) mod performance;
pub(crate) mod pools;
pub(crate) mod request_ids;
pub(crate) mod request_observer;
pub(crate) mod request_state;
pub(crate) mod resource_watch;
pub(crate) mod room_news;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod streamed;
pub(crate) mod task;
mod task_eviction;
pub(crate) mod task_store;
pub(crate) mod tool_usage;
#[cfg(feature = "otel")]
pub(crate) mod traced;
pub(crate) mod undelivered;
pub(crate) mod wake_list;
pub(crate) mod windows;
