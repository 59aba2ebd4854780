//! The bound of what waits for the collector, in spans and in bytes, and what becomes of it.

use super::parent::state_bytes;
use crate::lock::lock;
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many spans wait at most, those on their way to the collector included.
pub(super) const MAX_SPANS: usize = 1_024;
/// How many bytes their names and attributes have at most: about 700 for each where names are short.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

/// What waits for the collector, counted.
#[derive(Debug, Default)]
pub(super) struct Queue {
    spans: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Whether the last export failed: one line in the log says so, and one when it works again.
    is_failing: AtomicBool,
    /// Why the last request to the collector failed, in the words of the HTTP client.
    fault: Mutex<Option<String>>,
}

impl Queue {
    /// Heap of the queue: the SDK allocates the places of all spans at the start.
    pub(super) fn heap_bytes(&self) -> usize {
        MAX_SPANS * size_of::<SpanData>() + self.bytes.load(Ordering::Relaxed)
    }

    /// How many spans wait.
    pub(super) fn len(&self) -> usize {
        self.spans.load(Ordering::Relaxed)
    }

    /// How many spans were dropped because the queue was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes a place for a span of so many bytes; `false` if there is none.
    fn try_enter(&self, bytes: usize) -> bool {
        let spans = self.spans.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if spans <= MAX_SPANS && held <= MAX_BYTES {
            return true;
        }
        self.leave(1, bytes);
        if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                max_spans = MAX_SPANS,
                "spans are dropped: the collector takes fewer than there are (fewer are made with OTEL_TRACES_SAMPLER)"
            );
        }
        false
    }

    fn leave(&self, spans: usize, bytes: usize) {
        self.spans.fetch_sub(spans, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes why a request to the collector failed.
    pub(super) fn note_fault(&self, fault: String) {
        *lock(&self.fault) = Some(fault);
    }

    /// Notes how the export of so many spans ended.
    fn note_export(&self, spans: usize, result: &OTelSdkResult) {
        let fault = lock(&self.fault).take();
        match result {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the collector takes spans again");
                }
            }
            Err(error) => {
                let error = fault.unwrap_or_else(|| error.to_string());
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error, spans, "spans are lost: the collector did not take them");
                }
            }
        }
    }
}

/// Heap of a span.
fn bytes_of(span: &SpanData) -> usize {
    let name = match &span.name {
        Cow::Owned(name) => name.capacity(),
        Cow::Borrowed(_) => 0,
    };
    let values: usize = span.attributes.iter().map(|pair| value_bytes(&pair.value)).sum();
    let state = state_bytes(span.span_context.trace_state());
    name + span.attributes.capacity() * size_of::<KeyValue>() + values + state
}

fn value_bytes(value: &Value) -> usize {
    // Texts that the code holds need no heap; counted all the same, as they cannot be told apart here.
    if let Value::String(text) = value { text.as_str().len() } else { 0 }
}

/// Passes spans on to the SDK's queue while there is room.
#[derive(Debug)]
pub(super) struct BoundedProcessor {
    pub(super) inner: BatchSpanProcessor,
    pub(super) queue: Arc<Queue>,
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if self.queue.try_enter(bytes_of(&span)) {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Takes spans off the count when they have been sent, or lost.
#[derive(Debug)]
pub(super) struct CountedExporter<E> {
    pub(super) inner: E,
    pub(super) queue: Arc<Queue>,
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (spans, bytes) = (batch.len(), batch.iter().map(bytes_of).sum());
        let result = self.inner.export(batch).await;
        self.queue.leave(spans, bytes);
        self.queue.note_export(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_in_spans_and_in_bytes() {
        for (bytes, want) in [(1, MAX_SPANS), (MAX_BYTES / 4, 4), (MAX_BYTES / 4 + 1, 3)] {
            let queue = Queue::default();
            let taken = (0..2 * MAX_SPANS).filter(|_| queue.try_enter(bytes)).count();
            assert_eq!(taken, want, "of {bytes} bytes each");
            assert_eq!((queue.len(), queue.dropped()), (want, (2 * MAX_SPANS - want) as u64));
            queue.leave(want, want * bytes);
            assert_eq!(queue.heap_bytes(), MAX_SPANS * size_of::<SpanData>());
            assert!(queue.try_enter(bytes), "there is room again");
        }
    }
}
