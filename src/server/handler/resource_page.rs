//! One page of a list of resources that is not held in memory.

use crate::limits::price::AROUND_BYTES;
use crate::protocol::{Era, Resource};
use crate::server::answer::envelope;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::request_context::RequestContext;
use crate::wire::{Raw, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::ops::{Deref, DerefMut};

/// A page of resources that is being written: the [`RequestContext`] of who asked, where the page begins, and where the
/// next one does.
///
/// ```
/// use mcpool::ToolError;
/// use mcpool::resources::{Resource, ResourcePage};
///
/// /// Lists a million notes.
/// fn list(page: &mut ResourcePage<'_>) -> Result<(), ToolError> {
///     let digits = std::str::from_utf8(page.position()).unwrap_or_default();
///     let begins = if digits.is_empty() { 0 } else { digits.parse::<u32>().map_or(0, |last| last + 1) };
///     for number in begins..1_000_000 {
///         let name = number.to_string();
///         if !page.push(&Resource::new(format!("note:///{name}"), name.clone()), name.as_bytes())? {
///             break;
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct ResourcePage<'r> {
    request: &'r mut RequestContext,
    reply: Reply,
    begins: &'r [u8],
    entries: usize,
    /// The position of the last resource on the page, and then where the next page begins.
    last: Vec<u8>,
    is_last_page: bool,
}

impl Deref for ResourcePage<'_> {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        self.request
    }
}

impl DerefMut for ResourcePage<'_> {
    fn deref_mut(&mut self) -> &mut RequestContext {
        self.request
    }
}

impl<'r> ResourcePage<'r> {
    /// A page that goes on where another one ended.
    pub(crate) fn new(request: &'r mut RequestContext, begins: &'r [u8]) -> Self {
        let mut reply = request.shared.reply();
        envelope::open_result(&mut reply, &request.call.details().id, request.era);
        reply.literal(r#""resources":["#);
        Self { request, reply, begins, entries: 0, last: begins.to_vec(), is_last_page: true }
    }

    /// Where the page begins: the position behind which the one before it ended, and nothing on the first page. It comes
    /// back from the client, which may have made it up.
    pub fn position(&self) -> &'r [u8] {
        self.begins
    }

    /// Adds a resource. `position` says where it is in the list, for the page that goes on behind it. Returns whether the
    /// page had room for it; if not, the page is done, and the next one begins with it.
    ///
    /// # Errors
    /// When the resource cannot be JSON.
    pub fn push(&mut self, resource: &Resource, position: &[u8]) -> Result<bool, ToolError> {
        let json = serde_json::to_string(resource).map_err(ToolError::failed)?;
        // A position becomes the cursor, in base64.
        let around_bytes = AROUND_BYTES + 2 * position.len().max(self.last.len());
        let has_room = self.reply.len() + json.len() + around_bytes <= self.reply.max_bytes();
        if self.entries == self.limits().page_entries || !has_room && self.entries > 0 {
            self.is_last_page = false;
            return Ok(false);
        }
        // One that no answer has room for cannot be listed.
        if has_room {
            self.reply.literal(if self.entries == 0 { "" } else { "," });
            self.reply.raw(Raw::trusted(&json));
            self.entries += 1;
        }
        self.last = position.to_vec();
        Ok(true)
    }

    /// Ends the page behind a position, although it has room for more. It must differ from [`ResourcePage::position`], or
    /// a client would ask for the same page for ever: it gets an error instead.
    pub fn end_behind(&mut self, position: &[u8]) {
        self.last = position.to_vec();
        self.is_last_page = false;
    }

    /// Ends the answer. Cursors begin with `cursor`; `next` is the one with which the list goes on behind the last page.
    ///
    /// # Errors
    /// When the next page would be this one again.
    pub(crate) fn finish(self, cursor: &str, next: Option<String>) -> Result<Reply, ToolError> {
        let Self { request, mut reply, begins, last, is_last_page, .. } = self;
        if !is_last_page && last == begins {
            return Err(ToolError::failed(
                "this list of resources does not go on: a page ended where it began",
            ));
        }
        reply.literal("]");
        let next = if is_last_page { next } else { Some(cursor.to_owned() + &URL_SAFE_NO_PAD.encode(last)) };
        if let Some(next) = next {
            reply.literal(r#","nextCursor":"#);
            reply.string(&next);
        }
        if request.era == Era::Modern {
            envelope::caching(&mut reply, 0, "private");
        }
        envelope::close_tool_result(&mut reply, request.era, &request.shared.server_meta);
        Ok(reply)
    }
}
