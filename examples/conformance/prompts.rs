//! The prompts, and what completes their arguments.

use super::inputs::form_of;
use super::tools::PNG;
use mcpool::prompts::{
    Completer, CompletionRequest, CompletionTarget, Completions, Prompt, PromptArgument, PromptContext,
    Prompts,
};
use mcpool::{RequestContext, Role, ToolError};
use serde::Deserialize;

pub(crate) struct Fixtures;

impl Prompts for Fixtures {
    fn list(&self) -> Vec<Prompt> {
        let argument = |name, description| PromptArgument::new(name).description(description).required();
        vec![
            Prompt::new("test_simple_prompt", "A prompt without arguments."),
            Prompt::new("test_prompt_with_arguments", "A prompt with two arguments.")
                .argument(argument("arg1", "The first argument"))
                .argument(argument("arg2", "The second argument")),
            Prompt::new("test_prompt_with_embedded_resource", "A prompt that carries a resource.")
                .argument(argument("resourceUri", "URI of the resource")),
            Prompt::new("test_prompt_with_image", "A prompt that carries an image."),
            Prompt::new("test_input_required_result_prompt", "A prompt that asks first."),
        ]
    }

    async fn get(&self, name: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
        match name {
            "test_simple_prompt" => prompt.text(Role::User, "This is a simple prompt for testing."),
            "test_prompt_with_arguments" => {
                let of = |name| prompt.argument(name).unwrap_or_default().to_owned();
                let text = format!("Prompt with arguments: arg1='{}', arg2='{}'", of("arg1"), of("arg2"));
                prompt.text(Role::User, &text);
            }
            "test_prompt_with_embedded_resource" => {
                let uri = prompt.argument("resourceUri").unwrap_or_default().to_owned();
                prompt.resource(Role::User, &uri, "text/plain", "Embedded resource content for testing.");
                prompt.text(Role::User, "Please process the embedded resource above.");
            }
            "test_prompt_with_image" => {
                prompt.image(Role::User, "image/png", PNG);
                prompt.text(Role::User, "Please analyze the image above.");
            }
            "test_input_required_result_prompt" => {
                #[derive(Deserialize)]
                struct Context {
                    context: String,
                }
                let form = form_of("context");
                let elicited = prompt.elicit::<Context>("user_context", "What is it about?", &form).await?;
                let context = elicited.accepted().map(|answer| answer.context).unwrap_or_default();
                prompt.text(Role::User, &format!("Go on with: {context}"));
            }
            _ => return Err(ToolError::NotFound),
        }
        Ok(())
    }
}

pub(crate) struct Arguments;

impl Completer for Arguments {
    async fn complete(
        &self,
        request: &CompletionRequest,
        _context: &mut RequestContext,
    ) -> Result<Completions, ToolError> {
        let known = match &request.target {
            CompletionTarget::Prompt(name) => Fixtures.list().iter().any(|prompt| prompt.name() == name),
            CompletionTarget::Resource(uri) => uri == "test://template/{id}/data",
        };
        if !known {
            return Err(ToolError::NotFound);
        }
        let values = ["paris", "park", "party"].into_iter().filter(|value| value.starts_with(&request.value));
        Ok(Completions { values: values.map(str::to_owned).collect(), total: None })
    }
}
