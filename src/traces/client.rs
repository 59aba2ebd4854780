//! The HTTP client of the export: `ureq`, on the thread that sends.

use super::queue::Queue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The longest answer of a collector that is read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Sends requests to the collector, each with the same time-out.
#[derive(Debug)]
pub(super) struct CollectorClient {
    agent: ureq::Agent,
    queue: Arc<Queue>,
}

impl CollectorClient {
    pub(super) fn new(timeout: Duration, queue: Arc<Queue>) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            // Spans and headers go to whom the operator named, and to nobody else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build()
            .into();
        Self { agent, queue }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(parts, &body[..]));
        let mut answer = answer.inspect_err(|error| self.queue.note_fault(error.to_string()))?;
        if !answer.status().is_success() {
            self.queue.note_fault(format!("it answered {}", answer.status()));
        }
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        Ok(answer.map(|_| Bytes::from(body)))
    }
}

impl HttpClient for CollectorClient {
    /// Blocks: only the thread of the SDK calls it, which does nothing else.
    fn send_bytes<'c, 'f>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'c: 'f,
        Self: 'f,
    {
        Box::pin(async move { self.send(request) })
    }
}
