//! Fetches a page: asks `robots.txt`, follows redirects, reads the body, and makes text of it.

use super::body::{self, Bounds};
use super::charset;
use super::client::{Client, Network, Response};
use super::error::PageError;
use super::job::Job;
use super::markdown;
use super::robots::{self, MAX_ROBOTS_BYTES};
use super::target;
use url::Url;

/// Redirects that are followed, as in the reference.
const MAX_REDIRECTS: usize = 20;
/// Characters of a `robots.txt` that an error repeats.
const SHOWN_ROBOTS_CHARS: usize = 4_000;

/// How a page is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'a> {
    /// The name that servers are given.
    pub(crate) agent: &'a str,
    /// Whether `robots.txt` is asked first.
    pub(crate) obeys_robots: bool,
    /// Whether the page is wanted as it came.
    pub(crate) is_raw: bool,
}

/// What was fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) text: String,
    /// What the answer says before the text.
    pub(crate) prefix: String,
    /// What it says behind the text.
    pub(crate) suffix: String,
}

/// A response, where it came from, and how.
struct Arrived {
    response: Response,
    /// Whether a redirect led from an encrypted connection to one that is not.
    lost_tls: Option<Url>,
}

/// Fetches `url`; `progress` is called with the bytes of the page so far, and how many it has if that is known.
///
/// # Errors
/// When the page may not be fetched, cannot be, or takes more time or memory than a call may.
pub(crate) fn fetch(
    url: &Url,
    manner: Manner<'_>,
    network: &Network,
    job: &Job,
    progress: &mut dyn FnMut(usize, Option<u64>),
) -> Result<Page, PageError> {
    let client = Client::new(job, network, manner.agent);
    let Arrived { response, lost_tls } = follow(url, &client, |url| {
        if manner.obeys_robots { check_robots(url, manner, &client, job) } else { Ok(()) }
    })?;
    if response.status >= 400 {
        return Err(PageError::Status { url: url.to_string(), status: response.status });
    }
    let Response { content_type, content_encoding, length, body, .. } = response;
    let bounds = Bounds { url: url.as_str(), encoding: &content_encoding, max_bytes: job.max_page_bytes };
    let body = body::read(body, bounds, job, &mut |bytes| progress(bytes, length))?;
    job.memory.hold(body.bytes.capacity() + charset::most_bytes(body.bytes.len()))?;
    let is_cut = body.is_cut;
    let text = charset::decode(body.bytes, &content_type);
    let mut prefix = lost_tls.map(|to| {
        format!(
            "The page was redirected to {to}, without encryption: anybody on the way could have changed it.\n"
        )
    });
    let text = if markdown::is_html(&text, &content_type) && !manner.is_raw {
        markdown::simplify(text, url.as_str(), job)?
    } else {
        let why = "cannot be simplified to markdown, but here is the raw content";
        prefix = Some(format!("{}Content type {content_type} {why}:\n", prefix.unwrap_or_default()));
        text
    };
    let suffix = if is_cut {
        let most = job.max_page_bytes;
        format!(
            "\n\n<error>The page is longer than {most} bytes, of which this is the end (setting fetch_max_page_bytes).</error>"
        )
    } else {
        String::new()
    };
    Ok(Page { text, prefix: prefix.unwrap_or_default(), suffix })
}

/// The bytes at `url`, whatever its status; `robots.txt` is not asked.
///
/// # Errors
/// When nothing can be fetched, when it is longer than a page may be, or takes more time or memory than a call may.
#[cfg(feature = "everything")]
pub(crate) fn download(url: &Url, agent: &str, network: &Network, job: &Job) -> Result<Vec<u8>, PageError> {
    let client = Client::new(job, network, agent);
    let Response { content_encoding, body, .. } = follow(url, &client, |_| Ok(()))?.response;
    let bounds = Bounds { url: url.as_str(), encoding: &content_encoding, max_bytes: job.max_page_bytes };
    let body = body::read(body, bounds, job, &mut |_| {})?;
    if body.is_cut {
        return Err(job.failed(url.as_str(), &format!("it is longer than {} bytes", job.max_page_bytes)));
    }
    Ok(body.bytes)
}

/// Asks for `url` and for what it redirects to; each is checked before it is asked for.
fn follow(
    url: &Url,
    client: &Client<'_>,
    check: impl Fn(&Url) -> Result<(), PageError>,
) -> Result<Arrived, PageError> {
    let mut at = url.clone();
    let mut lost_tls = None;
    for _ in 0..=MAX_REDIRECTS {
        check(&at)?;
        let response = client.get(&at)?;
        let Some(location) = response.redirects_to() else {
            return Ok(Arrived { response, lost_tls });
        };
        let next = target::redirected(&at, location)?;
        if at.scheme() == "https" && next.scheme() == "http" {
            lost_tls = Some(next.clone());
        }
        at = next;
    }
    Err(PageError::Redirects { url: url.to_string(), limit: MAX_REDIRECTS })
}

/// Checks that the `robots.txt` of the server of `url` lets it be fetched.
fn check_robots(url: &Url, manner: Manner<'_>, client: &Client<'_>, job: &Job) -> Result<(), PageError> {
    let robots_url = target::robots(url);
    let shown = || robots_url.to_string();
    let unreachable = |error| match error {
        PageError::Failed { why, .. } => PageError::RobotsUnreachable { url: shown(), why },
        PageError::Redirects { limit, .. } => {
            PageError::RobotsUnreachable { url: shown(), why: format!("more than {limit} redirects") }
        }
        error => error,
    };
    let response = follow(&robots_url, client, |_| Ok(())).map_err(unreachable)?.response;
    match response.status {
        401 | 403 => return Err(PageError::RobotsStatus { url: shown(), status: response.status }),
        400..500 => return Ok(()),
        _ => {}
    }
    let bounds = Bounds {
        url: robots_url.as_str(),
        encoding: &response.content_encoding,
        max_bytes: MAX_ROBOTS_BYTES,
    };
    let body = body::read(response.body, bounds, job, &mut |_| {}).map_err(unreachable)?;
    job.memory.hold(body.bytes.capacity() + charset::most_bytes(body.bytes.len()))?;
    let mut text = charset::decode(body.bytes, &response.content_type);
    if body.is_cut {
        // Half a line could forbid more than the whole one.
        text.truncate(text.rfind(['\n', '\r']).unwrap_or_default());
    }
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    if robots::allows(&text, manner.agent, path) {
        return Ok(());
    }
    Err(PageError::Disallowed {
        robots_url: shown(),
        agent: manner.agent.to_owned(),
        url: url.to_string(),
        robots: beginning(text),
    })
}

fn beginning(mut robots: String) -> String {
    if let Some((at, _)) = robots.char_indices().nth(SHOWN_ROBOTS_CHARS) {
        robots.truncate(at);
        robots.push_str("...");
    }
    robots
}
