//! Where spans are sent: by the environment variables that OpenTelemetry defines, or by code.

use std::time::Duration;
use thiserror::Error;

/// How long a collector may take, unless a variable says otherwise: the default of the specification.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is added to the endpoint that all kinds of telemetry share.
const TRACES_PATH: &str = "v1/traces";

/// Why spans cannot be exported.
///
/// ```
/// use mcpool::{Server, TraceExport, TraceExportError};
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let refused = server.export_traces(&TraceExport::to("no URL"));
/// assert!(matches!(refused, Err(TraceExportError::Endpoint(_))));
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceExportError {
    /// A variable of the environment has a value that cannot be used.
    #[error("{variable}={value:?}: {remedy}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// The endpoint is no URL.
    #[error("{0:?} is no endpoint for spans: give a URL such as http://localhost:4318/v1/traces")]
    Endpoint(String),
    /// The exporter does not start.
    #[error("spans cannot be exported: {0}")]
    Exporter(String),
    /// Spans of this server are exported already.
    #[error("the spans of this server are exported already")]
    Repeated,
}

/// Where the spans of requests are sent, for [`Server::export_traces`](crate::Server::export_traces).
///
/// The name of the service, attributes of the resource, the sampler and further headers are those of the environment:
/// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`,
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_SCHEDULE_DELAY`. Without them the service is called as the server is, and a
/// request is sampled unless the trace that it belongs to is not.
///
/// ```
/// use mcpool::{Server, TraceExport};
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// server.export_traces(&TraceExport::to("http://127.0.0.1:4318/v1/traces"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    pub(super) endpoint: String,
    pub(super) is_json: bool,
    pub(super) timeout: Duration,
}

impl TraceExport {
    /// An export to that URL, path included. The body is Protobuf, and the collector has ten seconds for it.
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), is_json: false, timeout: TIMEOUT }
    }

    /// Sends JSON, which people can read, instead of Protobuf.
    #[must_use]
    pub fn as_json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// The export that the environment asks for; `None` unless `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, or if `OTEL_SDK_DISABLED` is `true` or `OTEL_TRACES_EXPORTER` is
    /// `none`. Read besides: `OTEL_EXPORTER_OTLP_PROTOCOL` (`http/protobuf`, `http/json`) and
    /// `OTEL_EXPORTER_OTLP_TIMEOUT` in milliseconds, both also with `TRACES_` before the last word.
    ///
    /// ```no_run
    /// # let server = mcpool::Server::builder("demo", "1.0.0").build()?;
    /// if let Some(export) = mcpool::TraceExport::from_env()? {
    ///     server.export_traces(&export)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When one of them has a value that cannot be used.
    pub fn from_env() -> Result<Option<Self>, TraceExportError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TraceExportError> {
        // An empty variable counts as none, by the specification.
        let read = |name: &'static str| {
            variable(name).filter(|value| !value.is_empty()).map(|value| Variable { name, value })
        };
        let is_off = read("OTEL_SDK_DISABLED").is_some_and(|found| found.value.eq_ignore_ascii_case("true"))
            || read("OTEL_TRACES_EXPORTER").is_some_and(|found| found.value == "none");
        let own = read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(|found| found.value);
        let endpoint = own.or_else(|| {
            let shared = read("OTEL_EXPORTER_OTLP_ENDPOINT")?.value;
            Some(format!("{}/{TRACES_PATH}", shared.trim_end_matches('/')))
        });
        let Some(endpoint) = endpoint.filter(|_| !is_off) else { return Ok(None) };
        let mut export = Self::to(endpoint);
        let of_two = |traces, all| read(traces).or_else(|| read(all));
        if let Some(found) = of_two("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") {
            export.is_json = match found.value.as_str() {
                "http/protobuf" => false,
                "http/json" => true,
                _ => return Err(found.refused("spans are sent as http/protobuf or http/json")),
            };
        }
        if let Some(found) = of_two("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT") {
            let millis = found.value.parse().ok().filter(|millis| *millis > 0);
            let Some(millis) = millis else { return Err(found.refused("give milliseconds, such as 10000")) };
            export.timeout = Duration::from_millis(millis);
        }
        Ok(Some(export))
    }
}

/// A variable of the environment that is set.
struct Variable {
    name: &'static str,
    value: String,
}

impl Variable {
    fn refused(self, remedy: &'static str) -> TraceExportError {
        TraceExportError::Variable { variable: self.name, value: self.value, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<TraceExport>, TraceExportError> {
        let value = |name: &str| variables.iter().find(|(other, _)| *other == name);
        TraceExport::from_variables(|name| value(name).map(|(_, value)| (*value).to_owned()))
    }

    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    #[test]
    fn an_endpoint_is_what_turns_the_export_on() {
        let to = |endpoint: &str| Some(TraceExport::to(endpoint));
        for (variables, want) in [
            (&[][..], None),
            (&[(ALL, "")], None),
            (&[("OTEL_SERVICE_NAME", "files")], None),
            (&[(ALL, "http://c:4318")], to("http://c:4318/v1/traces")),
            (&[(ALL, "https://c/otlp/")], to("https://c/otlp/v1/traces")),
            (&[(ALL, "http://c:4318"), (OWN, "http://d/spans")], to("http://d/spans")),
            (&[(ALL, "http://c"), ("OTEL_SDK_DISABLED", "True")], None),
            (&[(ALL, "http://c"), ("OTEL_SDK_DISABLED", "no")], to("http://c/v1/traces")),
            (&[(OWN, "http://c"), ("OTEL_TRACES_EXPORTER", "none")], None),
        ] {
            assert_eq!(read(variables).expect("valid"), want, "{variables:?}");
        }
    }

    #[test]
    fn the_variable_for_spans_goes_before_the_one_for_all() {
        let export = read(&[
            (OWN, "http://c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ]);
        let want =
            TraceExport { timeout: Duration::from_millis(250), ..TraceExport::to("http://c").as_json() };
        assert_eq!(export.expect("valid"), Some(want));
    }

    #[test]
    fn errors_name_the_variable_the_value_and_the_remedy() {
        for (name, value, words) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf or http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
        ] {
            let text = read(&[(ALL, "http://c"), (name, value)]).expect_err("refused").to_string();
            for part in [name, value, words] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }
}
