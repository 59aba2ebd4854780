//! One message, admitted or refused: from the frame that its transport hands over to what a handler works on.

pub(crate) mod checks;
pub(crate) mod coercion;
pub(crate) mod facts;
pub(crate) mod frame_context;
pub(crate) mod handler_end;
pub(crate) mod inputs;
pub(crate) mod made_memory;
pub(crate) mod observed;
#[cfg(feature = "otel")]
pub(crate) mod traced;
