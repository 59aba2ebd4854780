//! The prompts and resources of the exerciser, and what completes their arguments.

use super::documents;
use super::js_number::JsNumber;
use super::session::{FILES, Kept, MIME_TYPE};
use crate::protocol::{Prompt, PromptArgument, Resource, ResourceTemplate, Role};
use crate::server::{
    Completer, CompletionRequest, CompletionTarget, Completions, PromptContext, Prompts, ReadContext,
    RequestContext, Resources, ToolError,
};
use serde::Deserialize;
use std::borrow::Cow;

/// Where texts are, before their ids.
const TEXTS: &str = "demo://resource/dynamic/text/";
/// Where binary resources are.
const BLOBS: &str = "demo://resource/dynamic/blob/";
const TEXT_TEMPLATE: &str = "demo://resource/dynamic/text/{resourceId}";
const BLOB_TEMPLATE: &str = "demo://resource/dynamic/blob/{resourceId}";
/// The teams of `completable-prompt`.
const TEAMS: [(&str, [&str; 3]); 4] = [
    ("Engineering", ["Alice", "Bob", "Charlie"]),
    ("Sales", ["David", "Eve", "Frank"]),
    ("Marketing", ["Grace", "Henry", "Iris"]),
    ("Support", ["John", "Kim", "Lee"]),
];

/// What a resource holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    #[default]
    Text,
    Blob,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Blob => "Blob",
        }
    }
}

/// A resource that is made when it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct DemoResource {
    pub(super) kind: Kind,
    pub(super) id: u64,
}

impl DemoResource {
    /// The resource of that id.
    pub(super) fn new(kind: Kind, id: f64) -> Result<Self, ToolError> {
        if id < 1.0 || id.fract() != 0.0 || id > 9_007_199_254_740_991.0 {
            let shown = JsNumber(id);
            return Err(ToolError::failed(format_args!(
                "Invalid resourceId: {shown}. Must be a finite positive integer."
            )));
        }
        Ok(Self { kind, id: id as u64 })
    }

    fn find(uri: &str) -> Option<Self> {
        let kinds = [(TEXTS, Kind::Text), (BLOBS, Kind::Blob)];
        kinds.iter().find_map(|(base, kind)| {
            let id = uri.strip_prefix(base)?.parse().ok().filter(|id| *id > 0)?;
            Some(Self { kind: *kind, id })
        })
    }

    pub(super) fn uri(self) -> String {
        let base = if self.kind == Kind::Text { TEXTS } else { BLOBS };
        format!("{base}{}", self.id)
    }

    pub(super) fn text(self) -> String {
        let what = if self.kind == Kind::Text { "plaintext resource" } else { "base64 blob" };
        let time = jiff::ZonedDateTime::now().strftime("%-I:%M:%S %p").to_string();
        format!("Resource {}: This is a {what} created at {time}", self.id)
    }
}

/// The prompts, resources and completions.
///
/// ```
/// use mcpool::Server;
/// use mcpool::tools::everything::Demo;
///
/// let server = Server::builder("demo", "1.0.0").resources(Demo).prompts(Demo).completer(Demo).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Demo;

impl Resources for Demo {
    fn list(&self) -> Vec<Resource> {
        documents::list()
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        let about = |what| {
            format!(
                "{what} dynamic resource fabricated from the {{resourceId}} variable, which must be an integer."
            )
        };
        vec![
            ResourceTemplate::new(TEXT_TEMPLATE, "Dynamic Text Resource")
                .mime_type("text/plain")
                .description(about("Plaintext")),
            ResourceTemplate::new(BLOB_TEMPLATE, "Dynamic Blob Resource")
                .mime_type("application/octet-stream")
                .description(about("Binary (base64)")),
        ]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        if uri.starts_with(FILES) {
            let bytes = Kept::find_file(read.session_values(), uri).ok_or(ToolError::NotFound)?;
            read.blob(uri, Some(MIME_TYPE), &bytes);
            return Ok(());
        }
        if let Some(text) = documents::find(uri) {
            read.text(uri, Some(documents::MIME_TYPE), text);
            return Ok(());
        }
        let resource = DemoResource::find(uri).ok_or(ToolError::NotFound)?;
        let text = resource.text();
        match resource.kind {
            Kind::Text => read.text(uri, Some("text/plain"), &text),
            Kind::Blob => read.blob(uri, Some("text/plain"), text.as_bytes()),
        }
        Ok(())
    }
}

impl Prompts for Demo {
    fn list(&self) -> Vec<Prompt> {
        let argument =
            |name: &'static str, about: &'static str| PromptArgument::new(name).description(about).required();
        vec![
            Prompt::new("simple-prompt", "A prompt with no arguments").title("Simple Prompt"),
            Prompt::new("args-prompt", "A prompt with two arguments, one required and one optional")
                .title("Arguments Prompt")
                .argument(argument("city", "Name of the city"))
                .argument(PromptArgument::new("state")),
            Prompt::new("completable-prompt", "First argument choice narrows values for second argument.")
                .title("Team Management")
                .argument(argument("department", "Choose the department."))
                .argument(argument("name", "Choose a team member to lead the selected department.")),
            Prompt::new("resource-prompt", "A prompt that includes an embedded resource reference")
                .title("Resource Prompt")
                .argument(argument("resourceType", "Type of resource to fetch"))
                .argument(argument("resourceId", "ID of the text resource to fetch")),
        ]
    }

    async fn get(&self, name: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
        let argument = |name: &str| prompt.argument(name).unwrap_or_default().to_owned();
        let text = match name {
            "simple-prompt" => "This is a simple prompt without arguments.".to_owned(),
            "args-prompt" => match argument("state") {
                state if state.is_empty() => format!("What's weather in {}?", argument("city")),
                state => format!("What's weather in {}, {state}?", argument("city")),
            },
            "completable-prompt" => {
                format!(
                    "Please promote {} to the head of the {} team.",
                    argument("name"),
                    argument("department")
                )
            }
            "resource-prompt" => return embed(&argument("resourceType"), &argument("resourceId"), prompt),
            _ => return Err(ToolError::NotFound),
        };
        prompt.text(Role::User, &text);
        Ok(())
    }
}

/// The messages of `resource-prompt`.
fn embed(kind: &str, id: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
    let kind = match kind {
        "Text" => Kind::Text,
        "Blob" => Kind::Blob,
        _ => {
            return Err(ToolError::failed(format_args!(
                "Invalid resourceType: {kind}. Must be Text or Blob."
            )));
        }
    };
    let Ok(number) = id.trim().parse() else {
        return Err(ToolError::failed(format_args!(
            "Invalid resourceId: {id}. Must be a finite positive integer."
        )));
    };
    let resource = DemoResource::new(kind, number)?;
    prompt.text(
        Role::User,
        &format!(
            "This prompt includes the {} resource with id: {}. Please analyze the following resource:",
            kind.name(),
            resource.id
        ),
    );
    match kind {
        Kind::Text => prompt.resource(Role::User, &resource.uri(), "text/plain", &resource.text()),
        Kind::Blob => prompt.blob(Role::User, &resource.uri(), "text/plain", resource.text().as_bytes()),
    }
    Ok(())
}

impl Completer for Demo {
    async fn complete(
        &self,
        request: &CompletionRequest,
        _: &mut RequestContext,
    ) -> Result<Completions, ToolError> {
        let known: Vec<Cow<'_, str>> = match (&request.target, request.argument.as_str()) {
            (CompletionTarget::Prompt(name), "department") if name == "completable-prompt" => {
                TEAMS.iter().map(|(team, _)| (*team).into()).collect()
            }
            (CompletionTarget::Prompt(name), "name") if name == "completable-prompt" => {
                let team = request.context.get("department");
                let found = TEAMS.iter().find(|(known, _)| team.is_some_and(|team| team == known));
                found.into_iter().flat_map(|(_, members)| *members).map(Into::into).collect()
            }
            (CompletionTarget::Prompt(name), "resourceType") if name == "resource-prompt" => {
                vec!["Text".into(), "Blob".into()]
            }
            (CompletionTarget::Prompt(name), "resourceId") if name == "resource-prompt" => {
                number(&request.value)
            }
            (CompletionTarget::Resource(uri), "resourceId")
                if [TEXT_TEMPLATE, BLOB_TEMPLATE].contains(&uri.as_str()) =>
            {
                number(&request.value)
            }
            _ => return Err(ToolError::NotFound),
        };
        let values = known.iter().filter(|value| value.starts_with(&request.value)).map(ToString::to_string);
        Ok(Completions { values: values.collect(), total: None })
    }
}

/// The text itself if it is an id.
fn number(text: &str) -> Vec<Cow<'_, str>> {
    text.parse::<u64>().ok().filter(|id| *id > 0).map(|_| text.into()).into_iter().collect()
}
