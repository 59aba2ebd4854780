//! What a server offers besides tools: resources, prompts, completion, tasks.

use super::prompts::{AnyCompleter, AnyPrompts};
use super::resources::AnyResources;
use crate::protocol::{Method, Prompt, Resource, ResourceTemplate};

/// The handlers of everything that is no tool.
#[derive(Default)]
pub(crate) struct Offers {
    pub(super) resources: Vec<Box<dyn AnyResources>>,
    pub(super) prompts: Vec<Box<dyn AnyPrompts>>,
    pub(super) completer: Option<Box<dyn AnyCompleter>>,
    pub(super) has_tasks: bool,
}

impl Offers {
    pub(super) fn has_resources(&self) -> bool {
        !self.resources.is_empty()
    }

    pub(super) fn has_prompts(&self) -> bool {
        !self.prompts.is_empty()
    }

    /// Whether a method is backed by something: what is not advertised does not exist.
    pub(super) fn serves(&self, method: Method) -> bool {
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

    pub(super) fn resources(&self) -> Vec<Resource> {
        self.resources.iter().flat_map(|family| family.list()).collect()
    }

    pub(super) fn templates(&self) -> Vec<ResourceTemplate> {
        self.resources.iter().flat_map(|family| family.templates()).collect()
    }

    pub(super) fn prompts(&self) -> Vec<Prompt> {
        self.prompts.iter().flat_map(|family| family.list()).collect()
    }

    /// The prompt of that name, and the family it belongs to.
    pub(super) fn prompt(&self, name: &str) -> Option<(&dyn AnyPrompts, Prompt)> {
        self.prompts.iter().find_map(|family| {
            let prompt = family.list().into_iter().find(|prompt| prompt.name() == name)?;
            Some((&**family, prompt))
        })
    }
}
