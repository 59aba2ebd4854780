//! The span of the caller, as the W3C writes it: `traceparent` and `tracestate`.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Bytes of a `traceparent` of version 00, and where its dashes are.
const PARENT_BYTES: usize = 55;
const DASHES: [usize; 3] = [2, 35, 52];
/// The longest `traceparent` that is read: later versions may add to it.
const MAX_PARENT_BYTES: usize = 256;
/// The longest `tracestate` that is kept: what the specification asks everybody to pass on.
const MAX_STATE_BYTES: usize = 512;

/// The span of the caller. It is the parent of the request's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParentSpan(SpanContext);

impl ParentSpan {
    /// The span that a client names. What is malformed is ignored, so that the request begins a trace.
    pub(crate) fn read(parent: Option<&str>, state: Option<&str>) -> Option<Self> {
        let parent = parent.filter(|parent| is_well_formed(parent))?;
        let named = Named { parent, state: state.filter(|state| state.len() <= MAX_STATE_BYTES) };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &named);
        let span = context.span().span_context().clone();
        span.is_valid().then_some(Self(span))
    }

    /// Heap of the caller's state.
    pub(crate) fn heap_bytes(&self) -> usize {
        state_bytes(self.0.trace_state())
    }

    pub(super) fn into_context(self) -> Context {
        Context::new().with_remote_span_context(self.0)
    }
}

/// Heap of a `tracestate`: its text, and two strings for each of up to 32 members.
pub(super) fn state_bytes(state: &TraceState) -> usize {
    let text = state.header();
    let members = text.split_terminator(',').count();
    text.len() + members * size_of::<(String, String)>()
}

/// Whether the four fields have their lengths and hold digits: the propagator takes shorter numbers, and signs.
fn is_well_formed(parent: &str) -> bool {
    let bytes = parent.as_bytes();
    let Some((first, rest)) = bytes.split_at_checked(PARENT_BYTES) else { return false };
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    bytes.len() <= MAX_PARENT_BYTES
        && first.iter().enumerate().all(
            |(at, byte)| {
                if DASHES.contains(&at) { *byte == b'-' } else { is_digit(byte) }
            },
        )
        && (rest.is_empty() || rest[0] == b'-' && !first.starts_with(b"00"))
}

/// The two members, as the propagator asks for them.
struct Named<'m> {
    parent: &'m str,
    state: Option<&'m str>,
}

impl Extractor for Named<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.parent),
            "tracestate" => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_caller_is_read_with_its_state() {
        let ParentSpan(span) = ParentSpan::read(Some(PARENT), Some("rojo=00f067aa0ba902b7")).expect("valid");
        assert_eq!(span.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span.span_id().to_string(), "00f067aa0ba902b7");
        assert!(span.is_sampled() && span.is_remote());
        assert_eq!(span.trace_state().get("rojo"), Some("00f067aa0ba902b7"));
        let later = format!("cc{}-more", &PARENT[2..]);
        assert_eq!(state_bytes(span.trace_state()), "rojo=00f067aa0ba902b7".len() + 48);
        assert!(ParentSpan::read(Some(&later), None).is_some(), "a later version may add to it");
    }

    #[test]
    fn a_malformed_state_is_left_out() {
        for state in ["no pair", &format!("a={}", "b".repeat(600))] {
            let ParentSpan(span) = ParentSpan::read(Some(PARENT), Some(state)).expect("valid");
            assert_eq!(span.trace_state().header(), "", "{state}");
        }
    }

    #[test]
    fn a_malformed_caller_is_ignored() {
        let long = format!("cc{}-{}", &PARENT[2..], "x".repeat(300));
        for parent in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
            &long,
        ] {
            assert_eq!(ParentSpan::read(Some(parent), Some("a=b")), None, "{parent}");
        }
        assert_eq!(ParentSpan::read(None, Some("a=b")), None);
    }
}
