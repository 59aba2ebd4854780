//! The handlers of a server besides its tools: resources, prompts, completion, tasks.

use crate::protocol::{Method, Prompt, Resource, ResourceTemplate};
use crate::server::handler::prompts::{AnyCompleter, AnyPrompts};
use crate::server::handler::resources::AnyResources;

/// The handlers of everything that is not a tool.
#[derive(Default)]
pub(crate) struct Offers {
    pub(crate) resources: Vec<Box<dyn AnyResources>>,
    pub(crate) prompts: Vec<Box<dyn AnyPrompts>>,
    pub(crate) completer: Option<Box<dyn AnyCompleter>>,
    pub(crate) has_tasks: bool,
}

impl Offers {
    pub(crate) fn has_resources(&self) -> bool {
        !self.resources.is_empty()
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
            Method::Complete => self.completer.is_some(),
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => self.has_tasks,
            _ => true,
        }
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        self.resources.iter().flat_map(|family| family.list()).collect()
    }

    pub(crate) fn templates(&self) -> Vec<ResourceTemplate> {
        self.resources.iter().flat_map(|family| family.templates()).collect()
    }

    pub(crate) fn prompts(&self) -> Vec<Prompt> {
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
