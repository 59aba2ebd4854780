//! The resources.

use super::tools::PNG;
use mcpool::ToolError;
use mcpool::resources::{ReadContext, Resource, ResourceTemplate, Resources};

pub(crate) struct Fixtures;

impl Resources for Fixtures {
    fn list(&self) -> Vec<Resource> {
        vec![
            Resource::new("test://static-text", "static text")
                .description("A text that never changes.")
                .mime_type("text/plain"),
            Resource::new("test://static-binary", "static binary")
                .description("An image that never changes.")
                .mime_type("image/png"),
            Resource::new("test://watched-resource", "watched resource")
                .description("A text that can be subscribed to.")
                .mime_type("text/plain"),
        ]
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        vec![
            ResourceTemplate::new("test://template/{id}/data", "data")
                .description("Data of an id.")
                .mime_type("application/json"),
        ]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        match uri {
            "test://static-text" => {
                read.text(uri, Some("text/plain"), "This is the content of the static text resource.");
            }
            "test://static-binary" => read.blob(uri, Some("image/png"), PNG),
            "test://watched-resource" => read.text(uri, Some("text/plain"), "Watched resource content"),
            _ => {
                let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
                let id = id.filter(|id| !id.is_empty() && !id.contains('/')).ok_or(ToolError::NotFound)?;
                let data =
                    serde_json::json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                read.text(uri, Some("application/json"), &data.to_string());
            }
        }
        Ok(())
    }
}
