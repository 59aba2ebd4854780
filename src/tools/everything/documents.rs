//! The texts among the resources. Their names are those of the reference's documents, which are about its own code: these
//! are about this program, but for the instructions.

use crate::protocol::Resource;

/// What a model is told about the tools: the instructions of the reference.
pub const INSTRUCTIONS: &str = include_str!("instructions.txt");

/// Where they are, before their names.
const DOCUMENTS: &str = "demo://resource/static/document/";
pub(super) const MIME_TYPE: &str = "text/markdown";
/// Their names and texts.
const TEXTS: [(&str, &str); 7] = [
    ("architecture.md", include_str!("documents/architecture.md")),
    ("extension.md", include_str!("documents/extension.md")),
    ("features.md", include_str!("documents/features.md")),
    ("how-it-works.md", include_str!("documents/how-it-works.md")),
    ("instructions.md", INSTRUCTIONS),
    ("startup.md", include_str!("documents/startup.md")),
    ("structure.md", include_str!("documents/structure.md")),
];

/// All of them, as they are listed.
pub(super) fn list() -> Vec<Resource> {
    let listed = TEXTS.iter().map(|(name, _)| {
        Resource::new(format!("{DOCUMENTS}{name}"), *name)
            .mime_type(MIME_TYPE)
            .description(format!("Static document file exposed from /docs: {name}"))
    });
    listed.collect()
}

/// The text of the document of that URI.
pub(super) fn find(uri: &str) -> Option<&'static str> {
    let name = uri.strip_prefix(DOCUMENTS)?;
    TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
