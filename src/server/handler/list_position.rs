//! Where the list of resources goes on that is not held in memory: in which family, and where in it.
//!
//! The cursor is the number of the family, a dot, and the position in base64: none that a catalog gives out has a dot.

use crate::limits::MAX_PATH_BYTES;
use crate::server::answer::envelope::AnswerId;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resource_page::ResourcePage;
use crate::server::handler::resources::AnyResources;
use crate::server::incoming::handler_end::Finished;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

/// The longest cursor that is decoded: positions are paths at most, and some way to say where those begin.
const MAX_CURSOR_BYTES: usize = 4 * MAX_PATH_BYTES;

/// Where a page of resources begins.
pub(crate) struct ListPosition {
    family: Arc<dyn AnyResources>,
    /// What cursors of the family begin with.
    lead: String,
    begins: Vec<u8>,
    /// The cursor of the family behind it.
    next: Option<String>,
}

/// The cursor with which the pages of the first family begin, at or behind that number, that has some.
pub(crate) fn first_cursor(families: &[Arc<dyn AnyResources>], from: usize) -> Option<String> {
    let (number, _) = families.iter().enumerate().skip(from).find(|(_, family)| family.has_pages())?;
    Some(format!("{number}."))
}

impl ListPosition {
    /// The position that a cursor names. `None` if no family with pages gave it out.
    pub(crate) fn parse(cursor: &str, families: &[Arc<dyn AnyResources>]) -> Option<Self> {
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let (number, position) = cursor.split_once('.')?;
        let number: usize = number.parse().ok()?;
        let family = families.get(number).filter(|family| family.has_pages())?;
        Some(Self {
            family: Arc::clone(family),
            lead: format!("{number}."),
            begins: URL_SAFE_NO_PAD.decode(position).ok()?,
            next: first_cursor(families, number + 1),
        })
    }

    /// Answers with the page, from a thread that may block.
    pub(crate) async fn list(self, mut request: RequestContext) -> Finished {
        let Self { family, lead, begins, next } = self;
        let listed = request.on_thread(move |request| {
            let mut page = ResourcePage::new(request, &begins);
            family.list_page(&mut page).and_then(|()| page.finish(&lead, next))
        });
        match listed.await {
            Ok(Ok(reply)) => request.shared.answered(reply, AnswerId::Of(&request.call.details().id)).into(),
            Ok(Err(error)) | Err(error) => request.end(&error),
        }
    }
}
