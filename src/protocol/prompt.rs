//! The definitions of prompts and their arguments.

use serde::Serialize;
use std::borrow::Cow;

/// Who speaks in a message of a prompt.
///
/// ```
/// assert_eq!(mcpool::Role::Assistant.as_str(), "assistant");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name as it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A prompt as `prompts/list` shows it.
///
/// ```
/// use mcpool::prompts::{Prompt, PromptArgument};
///
/// let review = Prompt::new("review", "Reviews a change.")
///     .argument(PromptArgument::new("diff").description("The change.").required());
/// assert_eq!(review.name(), "review");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    description: Cow<'static, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<PromptArgument>,
}

impl Prompt {
    /// A prompt without arguments.
    pub fn new(name: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), title: None, description: description.into(), arguments: Vec::new() }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: PromptArgument) -> Self {
        self.arguments.push(argument);
        self
    }

    /// The name by which it is asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first required argument for which `is_given` is false.
    pub(crate) fn missing_argument(&self, is_given: impl Fn(&str) -> bool) -> Option<&str> {
        let missing = self.arguments.iter().find(|argument| argument.required && !is_given(&argument.name));
        missing.map(|argument| &*argument.name)
    }
}

/// An argument of a prompt: always a string.
///
/// ```
/// use mcpool::prompts::{Prompt, PromptArgument};
///
/// let path = PromptArgument::new("path").description("The file to review.").required();
/// let review = Prompt::new("review", "Reviews a file.").argument(path);
/// assert_eq!(review.name(), "review");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptArgument {
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'static, str>>,
    required: bool,
}

impl PromptArgument {
    /// An argument that may be left out.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), title: None, description: None, required: false }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What it is for.
    #[must_use]
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// It may not be left out.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }
}
