//! The handlers of a server besides its tools: resources, prompts, completion, tasks.

use crate::limits::Limits;
use crate::lock::lock;
use crate::protocol::{Method, Prompt, Resource, ResourceTemplate};
use crate::server::answer::catalog::{Catalog, CatalogError, CatalogSource};
use crate::server::handler::list_position::{self, ListPosition};
use crate::server::handler::prompts::{AnyCompleter, AnyPrompts};
use crate::server::handler::resources::AnyResources;
use crate::server::shared::Description;
use std::sync::Arc;

/// The handlers of everything that is not a tool.
#[derive(Default)]
pub(crate) struct Families {
    pub(crate) resources: Vec<Arc<dyn AnyResources>>,
    pub(crate) prompts: Vec<Box<dyn AnyPrompts>>,
    pub(crate) completers: Vec<Box<dyn AnyCompleter>>,
    pub(crate) has_tasks: bool,
}

impl Families {
    pub(crate) fn has_resources(&self) -> bool {
        !self.resources.is_empty()
    }

    /// Whether the list of resources may change in a way that is noticed: that of what is listed in pages is read each time.
    pub(crate) fn has_resource_list(&self) -> bool {
        self.resources.iter().any(|family| !family.has_pages())
    }

    /// Where a page of resources begins that is not held in memory: the one that a cursor names, or the first where nothing
    /// is held.
    pub(crate) fn list_position(&self, cursor: Option<&str>) -> Option<ListPosition> {
        if let Some(cursor) = cursor {
            return ListPosition::parse(cursor, &self.resources);
        }
        let first = list_position::first_cursor(&self.resources, 0)?;
        let holds_some = self.resources.iter().any(|family| !family.list().is_empty());
        if holds_some { None } else { ListPosition::parse(&first, &self.resources) }
    }

    pub(crate) fn has_prompts(&self) -> bool {
        !self.prompts.is_empty()
    }

    /// Whether the server has a handler for `method`. A method without one does not exist.
    pub(crate) fn serves(&self, method: Method) -> bool {
        match method {
            Method::ResourcesList
            | Method::TemplatesList
            | Method::ResourcesRead
            | Method::Subscribe
            | Method::Unsubscribe => self.has_resources(),
            Method::PromptsList | Method::PromptsGet => self.has_prompts(),
            Method::Complete => !self.completers.is_empty(),
            Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::TasksList
            | Method::TasksResult => self.has_tasks,
            Method::Initialize
            | Method::Ping
            | Method::Discover
            | Method::ToolsList
            | Method::ToolsCall
            | Method::SetLevel
            | Method::Listen
            | Method::Initialized
            | Method::Cancelled
            | Method::RootsListChanged => true,
        }
    }

    /// The catalog of what there is now.
    ///
    /// # Errors
    /// When it cannot be advertised.
    pub(crate) fn catalog(
        &self,
        description: &Description,
        limits: &Limits,
    ) -> Result<Catalog, CatalogError> {
        // A copy: families that list what they have may hide a tool, and would wait for the lock.
        let hidden = lock(&description.hidden).clone();
        let tools = description.tools.all();
        Catalog::new(&CatalogSource {
            implementation: &description.implementation,
            instructions: description.instructions.as_deref(),
            tools: &tools,
            hidden: &hidden,
            resources: &self.listed_resources(),
            templates: &self.listed_templates(),
            prompts: &self.listed_prompts(),
            has_resources: self.has_resources(),
            has_resource_list: self.has_resource_list(),
            resources_cursor: list_position::first_cursor(&self.resources, 0).as_deref(),
            has_prompts: self.has_prompts(),
            has_completions: !self.completers.is_empty(),
            has_tasks: self.has_tasks,
            page_entries: limits.page_entries,
        })
    }

    fn listed_resources(&self) -> Vec<Resource> {
        self.resources.iter().flat_map(|family| family.list()).collect()
    }

    fn listed_templates(&self) -> Vec<ResourceTemplate> {
        self.resources.iter().flat_map(|family| family.templates()).collect()
    }

    fn listed_prompts(&self) -> Vec<Prompt> {
        self.prompts.iter().flat_map(|family| family.list()).collect()
    }

    /// The prompt of that name, and the family it belongs to.
    pub(crate) fn prompt(&self, name: &str) -> Option<(&dyn AnyPrompts, Prompt)> {
        self.prompts.iter().find_map(|family| {
            let prompt = family.list().into_iter().find(|prompt| prompt.name() == name)?;
            Some((&**family, prompt))
        })
    }
}
