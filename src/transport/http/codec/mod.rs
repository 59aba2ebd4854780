//! Bytes of HTTP/1.1 in, bytes of HTTP/1.1 out.
//!
//! [`head`] reads the head of a request, [`body`] its body in place, [`response`] writes answers and event
//! streams. None of them does IO, allocates, or knows JSON.

pub(crate) mod body;
mod field;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzz;
pub(crate) mod head;
mod head_end;
mod head_error;
pub(crate) mod response;
#[cfg(test)]
mod tests;
