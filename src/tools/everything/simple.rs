//! The tools that answer at once, always the same.
#![expect(clippy::unnecessary_wraps, reason = "all tools are called alike")]

use super::demo::{DemoResource, Kind};
use super::js_number::JsNumber;
use super::session::Nothing;
use crate::server::{CallContext, ToolError};
use serde::{Deserialize, Serialize, Serializer};

/// The image of the reference.
const TINY_IMAGE: &[u8] = include_bytes!("tiny.png");

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Echo<'a> {
    message: &'a str,
}

pub(super) fn echo(arguments: Echo<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    call.text_with(|text| {
        text.push_str("Echo: ");
        text.push_str(arguments.message);
    });
    Ok(())
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnnotatedMessage {
    message_type: MessageType,
    #[serde(default)]
    include_image: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MessageType {
    Error,
    Success,
    Debug,
}

/// For whom a block is, and how much it matters.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Annotations {
    priority: f64,
    audience: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
        annotations: Annotations,
    },
    #[serde(rename_all = "camelCase")]
    Image {
        data: &'a str,
        mime_type: &'a str,
        annotations: Annotations,
    },
    #[serde(rename_all = "camelCase")]
    ResourceLink {
        uri: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        mime_type: &'a str,
    },
}

pub(super) fn annotated_message(
    arguments: AnnotatedMessage,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let (text, priority, audience): (_, _, &[_]) = match arguments.message_type {
        MessageType::Error => ("Error: Operation failed", 1.0, &["user", "assistant"]),
        MessageType::Success => ("Operation completed successfully", 0.7, &["user"]),
        MessageType::Debug => ("Debug: Cache hit ratio 0.95, latency 150ms", 0.3, &["assistant"]),
    };
    call.block(&Block::Text { text, annotations: Annotations { priority, audience } })?;
    if arguments.include_image {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(TINY_IMAGE);
        let annotations = Annotations { priority: 0.5, audience: &["user"] };
        call.block(&Block::Image { data: &data, mime_type: "image/png", annotations })?;
    }
    Ok(())
}

/// The environment of the process, in its order.
struct Environment;

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        serializer.collect_map(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }
}

pub(super) fn environment(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    let text =
        serde_json::to_string_pretty(&Environment).map_err(|error| ToolError::failed(error.to_string()))?;
    call.text(&text);
    Ok(())
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct ResourceLinks {
    #[serde(default = "three")]
    count: f64,
}

fn three() -> f64 {
    3.0
}

pub(super) fn resource_links(arguments: ResourceLinks, call: &mut CallContext) -> Result<(), ToolError> {
    let count = arguments.count;
    if !(1.0..=10.0).contains(&count) {
        return Err(ToolError::failed(format_args!("count must be from 1 to 10, not {}", JsNumber(count))));
    }
    call.text(&format!("Here are {} resource links to resources available in this server:", JsNumber(count)));
    for id in 1..=count as u64 {
        let kind = if id.is_multiple_of(2) { Kind::Text } else { Kind::Blob };
        let (uri, name) = (DemoResource { kind, id }.uri(), format!("{} Resource {id}", kind.name()));
        // Both are `text/plain`, and that is what the reference goes by.
        let description = format!("Resource {id}: plaintext resource");
        call.block(&Block::ResourceLink {
            uri: &uri,
            name: &name,
            description: Some(&description),
            mime_type: "text/plain",
        })?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceReference {
    #[serde(default)]
    resource_type: Kind,
    #[serde(default = "one")]
    resource_id: f64,
}

fn one() -> f64 {
    1.0
}

pub(super) fn resource_reference(
    arguments: ResourceReference,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let resource = DemoResource::new(arguments.resource_type, arguments.resource_id)?;
    let uri = resource.uri();
    call.text(&format!("Returning resource reference for Resource {}:", resource.id));
    match resource.kind {
        Kind::Text => call.resource(&uri, "text/plain", &resource.text()),
        Kind::Blob => call.blob_with(&uri, "text/plain", |data| data.push(resource.text().as_bytes())),
    }
    call.text(&format!("You can access this resource using the URI: {uri}"));
    Ok(())
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Weather {
    location: City,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum City {
    #[serde(rename = "New York")]
    NewYork,
    Chicago,
    #[serde(rename = "Los Angeles")]
    LosAngeles,
}

/// The weather of a city, always the same.
#[derive(Debug, Clone, Copy, Serialize)]
struct Forecast {
    temperature: u8,
    conditions: &'static str,
    humidity: u8,
}

pub(super) fn structured_content(arguments: Weather, call: &mut CallContext) -> Result<(), ToolError> {
    let (temperature, conditions, humidity) = match arguments.location {
        City::NewYork => (33, "Cloudy", 82),
        City::Chicago => (36, "Light rain / drizzle", 82),
        City::LosAngeles => (73, "Sunny / Clear", 48),
    };
    call.structured(&Forecast { temperature, conditions, humidity })
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Sum {
    a: f64,
    b: f64,
}

pub(super) fn sum(arguments: Sum, call: &mut CallContext) -> Result<(), ToolError> {
    let Sum { a, b } = arguments;
    call.text(&format!("The sum of {} and {} is {}.", JsNumber(a), JsNumber(b), JsNumber(a + b)));
    Ok(())
}

pub(super) fn tiny_image(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    call.text("Here's the image you requested:");
    call.image_with("image/png", |image| image.push(TINY_IMAGE));
    call.text("The image above is the MCP logo.");
    Ok(())
}
