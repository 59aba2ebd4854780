//! The export of a server's spans: made once, given each request that ended, flushed when the server drains.

use super::client::CollectorClient;
use super::parent::ParentSpan;
use super::queue::{BoundedProcessor, CountedExporter, MAX_SPANS, Queue};
use super::settings::{TraceExport, TraceExportError};
use super::span::RequestSpan;
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a drain waits for the collector at most: what it does not take then is lost. The SDK waits no longer either.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How many spans are sent at once: what they become on the way is some 200 KiB.
const BATCH_SPANS: usize = 256;

/// The export of the spans of one server.
#[derive(Debug)]
pub(crate) struct TraceExporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    queue: Arc<Queue>,
}

impl TraceExporter {
    /// Starts the export of a server of that name and version.
    ///
    /// # Errors
    /// When the endpoint cannot be used.
    pub(crate) fn start(export: &TraceExport, name: &str, version: &str) -> Result<Self, TraceExportError> {
        let url: Option<ureq::http::Uri> = export.endpoint.parse().ok();
        let is_web = |url: &ureq::http::Uri| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
        };
        if !url.as_ref().is_some_and(is_web) {
            return Err(TraceExportError::Endpoint(export.endpoint.clone()));
        }
        let queue = Arc::new(Queue::default());
        let inner = SpanExporter::builder()
            .with_http()
            .with_http_client(CollectorClient::new(export.timeout, Arc::clone(&queue)))
            .with_endpoint(&export.endpoint)
            .with_protocol(if export.is_json { Protocol::HttpJson } else { Protocol::HttpBinary })
            .with_timeout(export.timeout)
            // Further attempts would have spans wait that are newer: what a collector does not take is lost.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| TraceExportError::Exporter(error.to_string()))?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .build();
        let exporter = CountedExporter { inner, queue: Arc::clone(&queue) };
        let inner = BatchSpanProcessor::new(exporter, config);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BoundedProcessor { inner, queue: Arc::clone(&queue) })
            .with_resource(resource(name, version))
            .build();
        let scope = InstrumentationScope::builder("mcpool").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Self { provider, tracer, queue })
    }

    /// Puts the span of a request that ended into the queue, if it is sampled.
    pub(crate) fn record(&self, mut request: RequestSpan<'_>) {
        let parent = request.parent.take().map_or_else(Context::new, ParentSpan::into_context);
        let builder =
            SpanBuilder::from_name(request.name()).with_kind(SpanKind::Server).with_start_time(request.began);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if !span.is_recording() {
            return;
        }
        span.set_attributes(request.attributes());
        if request.error.is_some() {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(request.ended);
    }

    /// Sends what waits, until `deadline` or for [`FLUSH_TIMEOUT`] at most.
    pub(crate) async fn flush(&self, deadline: Instant) {
        let provider = self.provider.clone();
        let (ended, end) = tokio::sync::oneshot::channel();
        // No thread of the runtime: the end of the process would wait for it.
        let flushing = std::thread::Builder::new().name("span flush".to_owned()).spawn(move || {
            // Nobody listens any more when it took too long.
            let _ = ended.send(provider.force_flush());
        });
        let deadline = deadline.min(Instant::now() + FLUSH_TIMEOUT);
        let flushed = match flushing {
            Ok(_) => timeout_at(deadline, end).await.is_ok_and(|end| end.is_ok_and(|result| result.is_ok())),
            Err(_) => false,
        };
        if !flushed {
            tracing::warn!(spans = self.queue.len(), "the collector did not take the last spans");
        }
    }

    /// Heap of the spans that wait, and how many there are.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.queue.heap_bytes(), self.queue.len())
    }
}

impl Drop for TraceExporter {
    /// Ends the export without waiting for it: the thread sends what it has and ends by itself.
    fn drop(&mut self) {
        let dropped = self.queue.dropped();
        if dropped > 0 {
            tracing::warn!(dropped, "spans were dropped: the collector took fewer than there were");
        }
        if let Err(error) = self.provider.shutdown_with_timeout(Duration::ZERO) {
            tracing::debug!(%error, "the export of spans ends by itself");
        }
    }
}

/// What all spans have in common. The environment goes before the server's own name and version.
fn resource(name: &str, version: &str) -> Resource {
    let detected = Resource::builder().build();
    let mut own = Vec::new();
    let service = detected.get(&Key::new("service.name"));
    if service.is_none_or(|service| service.as_str().starts_with("unknown_service")) {
        own.push(KeyValue::new("service.name", name.to_owned()));
    }
    if detected.get(&Key::new("service.version")).is_none() {
        own.push(KeyValue::new("service.version", version.to_owned()));
    }
    Resource::builder().with_attributes(own).build()
}
