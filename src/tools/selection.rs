//! Some tools of a toolset, under names of one's own choice.

use crate::protocol::ToolDefinition;
use crate::server::{AnyToolset, CallContext, Finished, ThreadArguments, ToolError, ToolRequest, Toolset};

/// Some tools of another toolset, with a prefix before their names. All else is left to that toolset; a selection of
/// all its tools holds no heap.
///
/// ```
/// use mcpool::tools::Selection;
/// use mcpool::{Server, ToolDefinition};
/// use mcpool::toolsets::Toolset;
/// # use mcpool::toolsets::{Finished, ToolRequest};
/// # struct Two;
/// # impl Toolset for Two {
/// #     fn definitions(&self) -> Vec<ToolDefinition> {
/// #         vec![ToolDefinition::new("read", "Reads."), ToolDefinition::new("write", "Writes.")]
/// #     }
/// #     fn call<'f>(&'f self, _: usize, request: ToolRequest<'f>) -> impl Future<Output = Finished> + Send + 'f {
/// #         std::future::ready(request.refuse_unknown())
/// #     }
/// # }
///
/// let selection = Selection::new(Two).retain(|tool| tool.name() != "write").prefix("my_");
/// assert_eq!(selection.definitions()[0].name(), "my_read");
/// assert_eq!(selection.definitions().len(), 1);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Selection<T> {
    toolset: T,
    /// Indices of the chosen tools among those of the toolset, in order; none where all are chosen.
    chosen: Option<Box<[usize]>>,
    prefix: Box<str>,
    is_text_once: bool,
}

impl<T: Toolset> Selection<T> {
    /// All tools, under their own names.
    pub fn new(toolset: T) -> Self {
        Self { toolset, chosen: None, prefix: Box::default(), is_text_once: false }
    }

    /// Drops the tools that `keep` refuses, of those that are chosen so far. It sees their own names.
    #[must_use]
    pub fn retain(mut self, mut keep: impl FnMut(&ToolDefinition) -> bool) -> Self {
        let tools = self.toolset.definitions();
        let kept = |index: &usize| tools.get(*index).is_some_and(&mut keep);
        let chosen: Vec<usize> = match &self.chosen {
            Some(chosen) => chosen.iter().copied().filter(kept).collect(),
            None => (0..tools.len()).filter(kept).collect(),
        };
        self.chosen = (chosen.len() < tools.len()).then(|| chosen.into());
        self
    }

    /// Sets what stands before the names. Clients expect names of at most 64 of the characters `A-Z a-z 0-9 _ -`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets whether an answer carries its text or data once, in `content`, and not in `structuredContent` too: about half
    /// the bytes. Then no tool has a schema of its structured answer.
    #[must_use]
    pub fn text_once(mut self, is_once: bool) -> Self {
        self.is_text_once = is_once;
        self
    }

    /// The index of a tool in the toolset.
    fn inner(&self, index: usize) -> Option<usize> {
        match &self.chosen {
            Some(chosen) => chosen.get(index).copied(),
            None => Some(index),
        }
    }
}

#[cfg(feature = "cli")]
impl<T> Selection<Option<T>> {
    /// Whether anything is left of a toolset: without its tools, its prompts and resources are not wanted either. It
    /// parses no definitions, which take a good part of a start.
    pub(crate) fn is_some_left(&self) -> bool {
        self.toolset.is_some() && self.chosen.as_ref().is_none_or(|chosen| !chosen.is_empty())
    }
}

/// No toolset has so many tools.
const NO_TOOL: usize = usize::MAX;

impl<T: Toolset> Toolset for Selection<T> {
    fn definitions(&self) -> Vec<ToolDefinition> {
        let mut tools = self.toolset.definitions();
        if let Some(chosen) = &self.chosen {
            let mut index = 0;
            tools.retain(|_| {
                index += 1;
                chosen.binary_search(&(index - 1)).is_ok()
            });
        }
        if self.is_text_once {
            tools = tools.into_iter().map(ToolDefinition::text_once).collect();
        }
        if self.prefix.is_empty() {
            return tools;
        }
        let named = |tool: ToolDefinition| {
            let name = format!("{}{}", self.prefix, tool.name());
            tool.named(name)
        };
        tools.into_iter().map(named).collect()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        // A toolset refuses an index that it does not have.
        self.toolset.call(self.inner(index).unwrap_or(NO_TOOL), request)
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        match self.inner(index) {
            Some(index) => self.toolset.call_on_thread(index, arguments, call),
            None => Err(ToolError::NotFound),
        }
    }

    fn each_part(&self, show: &mut dyn FnMut(&dyn AnyToolset)) {
        show(&self.toolset);
    }

    fn state_bytes(&self) -> usize {
        let chosen = self.chosen.as_ref().map_or(0, |chosen| size_of_val(&**chosen));
        self.toolset.state_bytes() + chosen + self.prefix.len()
    }
}
