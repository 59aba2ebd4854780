//! The tool that compresses a file: of a `data:` URL, or fetched as the fetch tool does it.

use super::session::{MIME_TYPE, file_uri, keep_file};
use super::simple::Block;
use crate::server::{CallContext, ToolError};
use crate::tools::fetch::{Fetch, HeldMemory};
use data_url::DataUrl;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use std::io::Write as _;
use url::Url;

/// What the state of a compressor takes at most.
const COMPRESSOR_BYTES: usize = 512 * 1024;
/// The longest name of a file: what file systems take.
const MAX_NAME_BYTES: usize = 255;
/// How much is compressed before the call looks whether anybody waits.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted<'a> {
    #[serde(default = "readme")]
    name: &'a str,
    #[serde(default = "readme_url")]
    data: &'a str,
    #[serde(default)]
    output_type: OutputType,
}

fn readme() -> &'static str {
    "README.md.gz"
}

fn readme_url() -> &'static str {
    "https://raw.githubusercontent.com/modelcontextprotocol/servers/refs/heads/main/README.md"
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum OutputType {
    #[default]
    ResourceLink,
    Resource,
}

/// What may be compressed, from the variables that the reference reads.
#[derive(Debug)]
pub(super) struct Bounds {
    max_bytes: usize,
    timeout_ms: usize,
    /// Domains that may be asked, in small letters; all of them if there is none.
    domains: Vec<String>,
}

impl Bounds {
    /// Those of this process. A variable that is no number counts as one that is not set.
    pub(super) fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok()?.trim().parse().ok();
        let domains = std::env::var("GZIP_ALLOWED_DOMAINS").unwrap_or_default();
        let domains = domains.split(',').map(|domain| domain.trim().to_lowercase());
        Self {
            max_bytes: number("GZIP_MAX_FETCH_SIZE").unwrap_or(10 * 1024 * 1024),
            timeout_ms: number("GZIP_MAX_FETCH_TIME_MILLIS").unwrap_or(30_000),
            domains: domains.filter(|domain| !domain.is_empty()).collect(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.domains.iter().map(String::capacity).sum();
        texts + self.domains.capacity() * size_of::<String>()
    }

    fn check(&self, data: &str) -> Result<Url, ToolError> {
        let url = Url::parse(data)
            .map_err(|error| ToolError::failed(format_args!("data must be a URL: {error}")))?;
        let why = match url.scheme() {
            "data" => return Ok(url),
            "http" | "https" => {
                let domain = url.host_str().unwrap_or_default();
                let is_below = |allowed: &String| {
                    domain.strip_suffix(&**allowed).is_some_and(|rest| rest.ends_with('.'))
                };
                let is_allowed = |allowed: &String| domain == allowed || is_below(allowed);
                if self.domains.is_empty() || self.domains.iter().any(is_allowed) {
                    return Ok(url);
                }
                format!("Domain {domain} is not in the allowed domains list.")
            }
            _ => {
                format!("Unsupported URL protocol for {data}. Only http, https, and data URLs are supported.")
            }
        };
        Err(ToolError::failed(format_args!("Error processing file {data}: {why}")))
    }
}

/// Compresses a file, and keeps it for the session if there is one.
pub(super) async fn compress(
    wanted: Wanted<'_>,
    fetch: &Fetch,
    bounds: &Bounds,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let Wanted { name, data, output_type } = wanted;
    if output_type == OutputType::ResourceLink && !call.has_session() {
        return Err(ToolError::failed(
            "a link to the file needs a session, in which it can be read: ask for the outputType \"resource\"",
        ));
    }
    check_name(name)?;
    let memory = HeldMemory::new(call.large_messages());
    // The URL twice, once as it is read; and what a `data:` URL holds, which is shorter.
    memory.hold(name.len() + 3 * data.len()).map_err(failed)?;
    let url = bounds.check(data)?;
    let is_data = url.scheme() == "data";
    let slot = if is_data { None } else { Some(fetch.slot(call).await.map_err(failed)?) };
    let (name, fetch) = (name.to_owned(), fetch.clone());
    let (timeout_ms, max_bytes) = (bounds.timeout_ms, bounds.max_bytes);
    call.offload(move |call| {
        let (bytes, held) = if is_data {
            (decode(&url, max_bytes)?, memory)
        } else {
            fetch.download(&url, (timeout_ms, max_bytes), call).map_err(failed)?
        };
        drop((slot, url));
        // A list that grows may be twice as long as what it holds.
        held.hold(bytes.capacity() + 2 * bytes.len() + COMPRESSOR_BYTES + name.len()).map_err(failed)?;
        let compressed = gzip(&bytes, call)?;
        answer(&name, &compressed, output_type, call)
    })
    .await
}

/// Refuses names that a client which saves the file under its name could be led astray with.
fn check_name(name: &str) -> Result<(), ToolError> {
    let is_plain = !name.contains(['/', '\\']) && !name.contains("..") && !name.contains(char::is_control);
    if is_plain && (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    Err(ToolError::failed(format_args!(
        "name must be that of a file: 1 to {MAX_NAME_BYTES} bytes without slashes, \"..\" and control characters"
    )))
}

#[expect(clippy::needless_pass_by_value, reason = "so it is what `map_err` calls")]
fn failed(error: impl ToString) -> ToolError {
    ToolError::failed(error.to_string())
}

fn decode(url: &Url, max_bytes: usize) -> Result<Vec<u8>, ToolError> {
    let unreadable =
        |why: &dyn std::fmt::Debug| ToolError::failed(format_args!("data: cannot be read: {why:?}"));
    let data = DataUrl::process(url.as_str()).map_err(|error| unreadable(&error))?;
    let (bytes, _) = data.decode_to_vec().map_err(|error| unreadable(&error))?;
    if bytes.len() > max_bytes {
        return Err(ToolError::failed(format_args!("Response from {url} exceeds {max_bytes} bytes")));
    }
    Ok(bytes)
}

fn gzip(bytes: &[u8], call: &CallContext) -> Result<Vec<u8>, ToolError> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for chunk in bytes.chunks(CHUNK_BYTES) {
        if call.is_cancelled() {
            return Err(ToolError::Cancelled);
        }
        encoder.write_all(chunk).map_err(failed)?;
    }
    encoder.finish().map_err(failed)
}

fn answer(
    name: &str,
    compressed: &[u8],
    output_type: OutputType,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    if call.has_session() {
        keep_file(call, name, compressed)?;
    }
    let uri = file_uri(name);
    match output_type {
        OutputType::Resource => call.blob_with(&uri, MIME_TYPE, |blob| blob.push(compressed)),
        OutputType::ResourceLink => {
            call.block(&Block::ResourceLink { uri: &uri, name, description: None, mime_type: MIME_TYPE })?;
        }
    }
    Ok(())
}
