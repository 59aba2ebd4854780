//! The prompt `fetch`: a user wants the page, so `robots.txt` is not asked, and what goes wrong is the answer.

use super::error::PageError;
use super::part::part;
use super::service::{Asker, Service};
use super::target;
use crate::limits::price;
use crate::protocol::{Prompt, PromptArgument, Role};
use crate::server::{PromptContext, Prompts, ToolError};
use std::sync::Arc;

/// The prompt of [`Fetch`](super::Fetch), which it shares its pages and its bounds with.
///
/// [`Fetch`](super::Fetch) has an example.
///
/// [`Fetch`](super::Fetch) has an example.
#[derive(Debug, Clone)]
pub struct FetchPrompts {
    service: Arc<Service>,
}

impl FetchPrompts {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    async fn page(&self, url: &str, prompt: &mut PromptContext) -> Result<String, PageError> {
        let url = target::parse(url)?;
        let max_bytes = prompt.limits().max_reply_bytes.saturating_sub(price::AROUND_BYTES);
        let slot = self.service.slot(prompt.session_key(), prompt.limits()).await?;
        let service = Arc::clone(&self.service);
        let fetched = prompt.on_thread(move |request| {
            let _slot = slot;
            let page = service.fetch(&url, Asker::User, false, request)?;
            let part = part(&page.text, 0, usize::MAX, max_bytes / 2);
            let rest = if part.next.is_some() {
                "\n\n<error>The page is longer than an answer may be.</error>"
            } else {
                ""
            };
            Ok([&page.prefix, part.text, rest, &page.suffix].concat())
        });
        fetched.await.unwrap_or(Err(PageError::Cancelled(crate::server::Cancelled)))
    }
}

/// What the prompt does, in the reference's words.
const DESCRIPTION: &str = "Fetch a URL and extract its contents as markdown";

impl Prompts for FetchPrompts {
    fn list(&self) -> Vec<Prompt> {
        let url = PromptArgument::new("url").description("URL to fetch").required();
        vec![Prompt::new("fetch", DESCRIPTION).argument(url)]
    }

    async fn get(&self, name: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
        if name != "fetch" {
            return Err(ToolError::NotFound);
        }
        let Some(url) = prompt.argument("url").map(str::to_owned) else {
            return Err(ToolError::InvalidParams("URL is required"));
        };
        let text = match self.page(&url, prompt).await {
            Ok(text) => text,
            Err(PageError::Cancelled(_)) => return Err(ToolError::Cancelled),
            Err(error) => error.to_string(),
        };
        prompt.description(DESCRIPTION);
        prompt.text(Role::User, &text);
        Ok(())
    }
}
