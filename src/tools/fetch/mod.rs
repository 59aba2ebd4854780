//! The fetch tool: a drop-in for `mcp-server-fetch`. It fetches a page of the web and answers with the Markdown of its
//! main part, or with the page as it came.
//!
//! Name, arguments, answers and errors are those of the reference server. What differs, on purpose:
//! - Size and time of a page, of its redirects and of its compression are bounded, and so is the memory that all of it
//!   takes (settings `fetch_...`); what is left out is said.
//! - The next part of a page comes from memory, for some minutes, and is not fetched again.
//! - The connection goes to the address that was checked, so that a name cannot change its address in between. The
//!   reference looks it up twice.
//! - URLs with a user or a password in them are refused, and redirects lose them. A redirect from an encrypted connection
//!   to one that is not is said.
//! - A page says its encoding also with a byte order mark or a `meta` element.
//! - The Markdown is written by another library: lists begin with `-`, and blanks differ in places.
//!
//! Through a proxy, what can be checked here is: addresses, names that are never public (`localhost`, `metadata`), and names
//! that this machine can look up. The proxy looks names up again, and has to refuse the others that only it knows.
//!
//! The search for the main part of a page cannot be stopped. It is begun only if the tree of the page says that it takes a
//! moment; otherwise the answer says that the page can be had raw.
//!
//! From the top down, each line uses only the lines below it:
//!
//! ```text
//! mod                     the tool
//! prompts                 the prompt
//! service                 what both share
//! page   cache            one page fetched; pages that are kept
//! client   markdown       one request; text from HTML
//! forward                 plain pages through a proxy
//! resolver proxy          who is asked
//! connection lookup       how it leaves, as long as somebody waits
//! patience                how long that is
//! tree nesting            a page's tree, within bounds
//! body charset robots     what a response says
//! job target address part error       the vocabulary of all of them
//! ```

mod address;
mod body;
mod cache;
mod charset;
mod client;
mod connection;
mod error;
mod forward;
mod job;
mod lookup;
mod markdown;
mod nesting;
mod page;
mod part;
mod patience;
mod prompts;
mod proxy;
mod resolver;
mod robots;
mod service;
mod target;
#[cfg(test)]
mod tests;
mod tree;

pub use error::FetchError;
pub use prompts::FetchPrompts;

use crate::limits::price;
use crate::protocol::ToolDefinition;
use crate::server::{CallContext, Finished, ToolError, ToolRequest, Toolset};
#[cfg(feature = "everything")]
use crate::server::{FairPermit, RequestContext};
use error::PageError;
#[cfg(feature = "everything")]
pub(crate) use job::HeldMemory;
#[cfg(feature = "everything")]
use job::Job;
use page::Page;
use part::part;
use proxy::Proxies;
use serde::Deserialize;
use service::{Asker, Service, Settings};
use std::sync::Arc;
use url::Url;

/// The answer to `tools/list`, word for word that of the reference server.
const DEFINITIONS: &str = include_str!("definitions.json");
/// Characters that an answer has at most, whatever is asked for.
const MAX_LENGTH: i64 = 999_999;

/// The tool `fetch`, and with [`Fetch::prompts`] the prompt of that name.
///
/// ```
/// use mcpool::tools::fetch::Fetch;
/// use mcpool::Server;
/// use mcpool::toolsets::Toolset;
///
/// let fetch = Fetch::new().user_agent("Example/1.0")?.proxies_from_environment();
/// assert_eq!(fetch.definitions()[0].name(), "fetch");
/// let prompts = fetch.prompts();
/// let server = Server::builder("web", "1.0.0").toolset(fetch).prompts(prompts).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Fetch {
    service: Arc<Service>,
}

impl Fetch {
    /// A tool that fetches from public addresses, without a proxy, what `robots.txt` allows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls itself `agent` in requests and before `robots.txt`, for the tool and the prompt.
    ///
    /// # Errors
    /// When it is empty or cannot stand in a header.
    pub fn user_agent(self, agent: impl Into<String>) -> Result<Self, FetchError> {
        let agent = agent.into();
        let fits = !agent.trim().is_empty() && agent.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if fits {
            Ok(self.with(|set| set.user_agent = Some(agent)))
        } else {
            Err(FetchError::UserAgent(agent))
        }
    }

    /// Fetches also what `robots.txt` forbids.
    #[must_use]
    pub fn ignore_robots_txt(self, is_ignored: bool) -> Self {
        self.with(|set| set.ignores_robots = is_ignored)
    }

    /// Fetches also from private, loopback, link-local and all other addresses that are not public: whoever can call the
    /// tool can ask every service that this machine can reach.
    #[must_use]
    pub fn allow_private_ips(self, is_allowed: bool) -> Self {
        self.with(|set| set.network.may_ask = if is_allowed { |_| true } else { address::is_public })
    }

    /// Fetches everything through the proxy at `url`: `http://HOST:PORT` or `https://HOST:PORT`, with user and password
    /// if it wants them.
    ///
    /// # Errors
    /// When `url` names no such proxy.
    pub fn proxy_url(self, url: &str) -> Result<Self, FetchError> {
        let proxies = Proxies::one(url)?;
        Ok(self.with(|set| set.network.proxies = proxies))
    }

    /// Fetches through the proxies that `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` name. If one of them names
    /// none that can be used, each call that would need it fails.
    #[must_use]
    pub fn proxies_from_environment(self) -> Self {
        let proxies = Proxies::from_variables(|name| std::env::var(name).ok());
        self.with(|set| set.network.proxies = proxies)
    }

    /// The prompt `fetch`, by which a user gets a page.
    pub fn prompts(&self) -> FetchPrompts {
        FetchPrompts::new(Arc::clone(&self.service))
    }

    /// Waits until a call of another toolset may fetch, as calls of this one do.
    ///
    /// # Errors
    /// When that takes longer than a call may.
    #[cfg(feature = "everything")]
    pub(crate) async fn slot(&self, request: &RequestContext) -> Result<FairPermit, PageError> {
        self.service.slot(request.session_key(), request.limits()).await
    }

    /// Fetches the bytes at `url` for another toolset, on a thread that may block, with the memory that they take.
    ///
    /// # Errors
    /// When they cannot be fetched in `timeout_ms`, may not be, or are more than `max_bytes`.
    #[cfg(feature = "everything")]
    pub(crate) fn download(
        &self,
        url: &Url,
        (timeout_ms, max_bytes): (usize, usize),
        request: &RequestContext,
    ) -> Result<(Vec<u8>, HeldMemory), PageError> {
        let memory = HeldMemory::new(request.large_messages());
        let job = Job::new(request.cancellation(), memory, timeout_ms, max_bytes);
        let bytes =
            page::download(url, self.service.agent(Asker::Model), &self.service.settings.network, &job)?;
        Ok((bytes, job.memory))
    }

    /// A tool with other settings, which shares nothing with this one.
    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.service.settings.clone();
        change(&mut settings);
        Self { service: Arc::new(Service::new(settings)) }
    }
}

/// The arguments, as clients see them in `definitions.json`.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Arguments<'a> {
    url: &'a str,
    #[serde(default = "default_length")]
    max_length: i64,
    #[serde(default)]
    start_index: i64,
    #[serde(default)]
    raw: bool,
}

fn default_length() -> i64 {
    5_000
}

/// Arguments that were checked.
#[derive(Debug)]
struct Wanted {
    url: Url,
    max_length: usize,
    start_index: usize,
    is_raw: bool,
}

impl Wanted {
    fn new(arguments: Arguments<'_>) -> Result<Self, PageError> {
        let Arguments { url, max_length, start_index, raw } = arguments;
        if !(1..=MAX_LENGTH).contains(&max_length) {
            return Err(PageError::Argument { name: "max_length", range: "from 1 to 999999" });
        }
        let Ok(start_index) = usize::try_from(start_index) else {
            return Err(PageError::Argument { name: "start_index", range: "0 or more" });
        };
        // invariant of the check above: it is below a million.
        let max_length = max_length as usize;
        Ok(Self { url: target::parse(url)?, max_length, start_index, is_raw: raw })
    }
}

async fn serve(
    service: Arc<Service>,
    wanted: Result<Wanted, PageError>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let wanted = wanted.map_err(PageError::of_tool)?;
    // Who begins at the start wants the page as it is now.
    if wanted.start_index > 0
        && let Some(page) = service.pages.find(wanted.url.as_str(), wanted.is_raw)
    {
        answer(&wanted, &page, call);
        return Ok(());
    }
    let slot = service.slot(call.session_key(), call.limits()).await.map_err(PageError::of_tool)?;
    let work = move |call: &mut CallContext| {
        let page = service.fetch(&wanted.url, Asker::Model, wanted.is_raw, call);
        drop(slot);
        answer(&wanted, &*page.map_err(PageError::of_tool)?, call);
        Ok(())
    };
    call.offload(work).await
}

fn answer(wanted: &Wanted, page: &Page, call: &mut CallContext) {
    let around_bytes =
        price::AROUND_BYTES + 2 * (page.prefix.len() + page.suffix.len() + wanted.url.as_str().len());
    let max_bytes = call.limits().max_reply_bytes.saturating_sub(2 * around_bytes);
    let part = part(&page.text, wanted.start_index, wanted.max_length, max_bytes);
    call.text_with(|text| {
        text.push_str(&page.prefix);
        text.push_str("Contents of ");
        text.push_str(wanted.url.as_str());
        text.push_str(":\n");
        if part.is_beyond {
            text.push_str("<error>No more content available.</error>");
        }
        text.push_str(part.text);
        match part.next {
            Some(next) => text.push_str(&format!(
                "\n\n<error>Content truncated. Call the fetch tool with a start_index of {next} to get more content.</error>"
            )),
            None => text.push_str(&page.suffix),
        }
    });
}

impl Toolset for Fetch {
    fn definitions(&self) -> Vec<ToolDefinition> {
        // invariant: the text is part of the program, and a test reads it.
        let tools = ToolDefinition::parse_list(DEFINITIONS).expect("the definitions are readable");
        // As in the reference: no string is taken for a number.
        tools.into_iter().map(ToolDefinition::exact_arguments).collect()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        let admitted = match index {
            0 => request.admit::<Arguments<'f>>(),
            _ => Err(request.refuse_unknown()),
        };
        let admitted = admitted.map(|(arguments, call)| (Wanted::new(arguments), call));
        let service = Arc::clone(&self.service);
        async move {
            match admitted {
                Ok((wanted, mut call)) => {
                    let result = serve(service, wanted, &mut call).await;
                    call.finish(result)
                }
                Err(refused) => refused,
            }
        }
    }

    fn state_bytes(&self) -> usize {
        size_of::<Service>() + self.service.heap_bytes()
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        enter("fetch tool", self.state_bytes());
    }
}
