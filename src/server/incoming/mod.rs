//! One message, admitted or refused.

pub(crate) mod checks;
pub(crate) mod coercion;
