//! Alerts as signed requests to a webhook, in the form of the specification Standard Webhooks.
//!
//! One `POST` for each alert that begins or ends, one after the other, from a thread of its own. Headers: `webhook-id` (the
//! same in each attempt), `webhook-timestamp` (seconds since 1970, of the attempt) and `webhook-signature`
//! (`v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`). The body is JSON: `type` is `alert.firing` or
//! `alert.resolved`, `timestamp` when it was noticed, `data` has `server`, `alert`, and how many alerts were `dropped`.
//! What a 5xx, 408 or 429 or the network refuses is tried again for a quarter of an hour. Invariants: nothing waits for
//! the receiver; no secret, and nothing of the URL but its host, gets into a log.

mod queue;
mod retries;
mod signature;

use super::alerts::AlertSink;
use super::error::CliError;
use crate::limits::units::rfc3339;
use crate::memory::ServerFacts;
use crate::monitor::Alert;
use queue::{Delivery, Queue};
use retries::{PATIENCE, Retries};
use serde::Serialize;
use signature::Signer;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ureq::http::Uri;

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Stack of the thread that sends: TLS needs more than the usual helper.
const STACK_BYTES: usize = 512 * 1024;

/// Who receives alerts.
struct Receiver {
    url: Uri,
    agent: ureq::Agent,
    signer: Signer,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    Accepted,
    /// It may be accepted later, and the receiver may have said when.
    Later {
        why: String,
        asked: Option<Duration>,
    },
    Refused {
        why: String,
    },
}

/// The body of a delivery.
#[derive(Serialize)]
struct Body<'b> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'b>,
}

#[derive(Serialize)]
struct Data<'b> {
    server: &'b ServerFacts,
    alert: &'b Alert,
    /// Alerts that were not sent since the start of the server, as too many waited.
    dropped: u64,
}

/// Has each alert sent to `url`, signed with the secret of a file.
pub(super) fn sink(url: &str, secret: &Path, server: ServerFacts) -> Result<AlertSink, CliError> {
    let url = receiver_url(url).map_err(|why| CliError::Usage(format!("alert_webhook_url {why}")))?;
    let receiver = Receiver { agent: agent(&url), url, signer: Signer::read(secret)? };
    let queue = Arc::new(Queue::default());
    let waiting = Arc::clone(&queue);
    let sending = thread::Builder::new().name("mcpool-webhook".to_owned()).stack_size(STACK_BYTES);
    sending.spawn(move || send_all(&receiver, &waiting)).map_err(CliError::Runtime)?;
    let closing = Closing(queue);
    Ok(Box::new(move |alert| push(&closing.0, &server, alert)))
}

/// Ends the thread with the server.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn receiver_url(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "is no URL")?;
    let Some(authority) = url.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err("must be an absolute URL");
    };
    if authority.as_str().contains('@') {
        return Err("must have no user or password in it: requests are signed");
    }
    match url.scheme_str() {
        Some("http" | "https") => Ok(url),
        _ => Err("must begin with https:// or http://"),
    }
}

/// A client that follows nobody elsewhere; it goes through the proxy that the environment names.
fn agent(url: &Uri) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .https_only(url.scheme_str() == Some("https"))
        .build()
        .into()
}

fn push(queue: &Queue, server: &ServerFacts, alert: &Alert) {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return tracing::error!(
            subject = alert.subject,
            "an alert is not sent: the system gives no random bytes"
        );
    }
    let id = random.iter().fold("msg_".to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    });
    let body = Body {
        r#type: if alert.is_active() { "alert.firing" } else { "alert.resolved" },
        timestamp: rfc3339(alert.resolved_unix_ms.unwrap_or(alert.since_unix_ms)),
        data: Data { server, alert, dropped: queue.dropped() },
    };
    let body = match serde_json::to_vec(&body) {
        Ok(body) => body,
        Err(error) => return tracing::error!(%error, subject = alert.subject, "an alert is not sent"),
    };
    let delivery = Delivery { id, subject: alert.subject.clone(), is_over: !alert.is_active(), body };
    if let Some(subject) = queue.push(delivery) {
        let dropped = queue.dropped();
        tracing::error!(subject, dropped, "the webhook is too slow: an alert is dropped");
    }
}

/// Ends when the queue is closed.
fn send_all(receiver: &Receiver, queue: &Queue) {
    while let Some(delivery) = queue.next() {
        if send(receiver, &delivery, queue) {
            return;
        }
    }
}

/// Sends one delivery, again and again if need be. Returns whether the queue was closed meanwhile.
fn send(receiver: &Receiver, delivery: &Delivery, queue: &Queue) -> bool {
    let host = receiver.url.host().unwrap_or_default();
    let mut retries = Retries::new(Instant::now());
    loop {
        let (why, asked) = match receiver.attempt(delivery) {
            Attempt::Accepted => {
                tracing::debug!(host, subject = delivery.subject, "an alert is sent");
                return false;
            }
            Attempt::Refused { why } => {
                tracing::error!(host, subject = delivery.subject, why, "the webhook refused an alert");
                return false;
            }
            Attempt::Later { why, asked } => (why, asked),
        };
        let Some(pause) = retries.pause(Instant::now(), asked, chance()) else {
            let (failures, minutes) = (retries.failures, PATIENCE.as_secs() / 60);
            tracing::error!(host, subject = delivery.subject, why, failures, minutes, "an alert is given up");
            return false;
        };
        if retries.failures == 1 {
            tracing::warn!(host, subject = delivery.subject, why, "an alert is not sent yet");
        }
        if queue.pause(pause) {
            return true;
        }
    }
}

/// 0 to 1.
fn chance() -> f64 {
    let mut random = [0; 4];
    // Without chance the pauses are in the middle.
    if getrandom::fill(&mut random).is_err() {
        return 0.5;
    }
    f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX)
}

impl Receiver {
    fn attempt(&self, delivery: &Delivery) -> Attempt {
        let now = SystemTime::now();
        let timestamp_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("user-agent", concat!("mcpool/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", timestamp_s.to_string())
            .header("webhook-signature", self.signer.sign(&delivery.id, timestamp_s, &delivery.body))
            .send(&delivery.body);
        match answer {
            Ok(answer) => {
                let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
                of_status(answer.status().as_u16(), asked.and_then(|asked| retry_after(asked, now)))
            }
            Err(ureq::Error::RedirectFailed) => of_status(307, None),
            // Some of its texts quote the URL.
            Err(ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_)) => {
                Attempt::Refused { why: "the URL cannot be used".to_owned() }
            }
            Err(error) => Attempt::Later { why: error.to_string(), asked: None },
        }
    }
}

fn of_status(status: u16, asked: Option<Duration>) -> Attempt {
    let why = format!("it answered {status}");
    match status {
        200..=299 => Attempt::Accepted,
        300..=399 => Attempt::Refused { why: format!("{why}, and redirects are not followed") },
        408 | 429 | 500.. => Attempt::Later { why, asked },
        _ => Attempt::Refused { why },
    }
}

/// The pause that `Retry-After` asks for: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date_s = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
    let now_s = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    u64::try_from(date_s).ok()?.checked_sub(now_s).map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
