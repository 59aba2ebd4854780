//! Bytes of HTTP/1.1 in, bytes of HTTP/1.1 out.
//!
//! [`head`] reads the head of a request, [`body`] its body in place, [`response`] writes the heads of answers,
//! [`event_stream`] what follows them in a stream; [`words`] is the vocabulary below them all. None of them does
//! IO, allocates, or knows JSON, and none imports anything of the rest of the transport.

pub(crate) mod body;
#[cfg(test)]
mod differential;
pub(crate) mod event_stream;
mod field;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzz;
pub(crate) mod head;
mod head_end;
pub(crate) mod head_error;
#[cfg(test)]
mod hyper_head;
pub(crate) mod response;
#[cfg(test)]
mod tests;
pub(crate) mod words;

#[cfg(test)]
use fuzz::HeadFacts;
