//! `directory_tree`: a directory and all below it as JSON.

use super::arguments::DirectoryTree;
use super::context::Context;
use super::error::{FsError, Stop};
use super::glob::{Glob, GlobPath};
use super::listing::Kind;
use super::search::Pulse;
use super::walk::{Step, Walk};
use crate::server::CallContext;

/// A pattern that leaves entries out.
struct Exclusion {
    /// As it is written; where it has no star, also as a name at any depth and all below it.
    globs: Vec<Glob>,
}

impl Exclusion {
    fn new(pattern: &str) -> Result<Self, FsError> {
        let mut globs = vec![Glob::new(pattern)?];
        if !pattern.contains('*') {
            globs.push(Glob::new(&format!("**/{pattern}"))?);
            globs.push(Glob::new(&format!("**/{pattern}/**"))?);
        }
        Ok(Self { globs })
    }

    fn matches(&self, path: &GlobPath) -> bool {
        self.globs.iter().any(|glob| glob.matches(path))
    }
}

/// `directory_tree`.
pub(super) fn directory_tree(
    arguments: &DirectoryTree<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let exclusions: Vec<Exclusion> =
        arguments.exclude_patterns.iter().map(|pattern| Exclusion::new(pattern)).collect::<Result<_, _>>()?;
    let target = context.sandbox.resolve(arguments.path)?;
    let limit_bytes = call.limits().max_reply_bytes;
    let mut walk = Walk::new(&target, limit_bytes)?;
    let mut json = Indented::default();
    let (mut path, mut pulse) = (GlobPath::default(), Pulse::default());
    json.open();
    while let Some(step) = walk.step() {
        pulse.beat(call)?;
        let Step::Entry(kind) = step else {
            json.close_directory();
            continue;
        };
        let name = String::from_utf8_lossy(walk.name());
        if !exclusions.is_empty() {
            path.set(walk.depth(), &name);
            if exclusions.iter().any(|exclusion| exclusion.matches(&path)) {
                continue;
            }
        }
        json.entry(&name, kind == Kind::Directory);
        if kind == Kind::Directory {
            walk.enter()?;
        }
        if json.text.len() > limit_bytes {
            return Err(FsError::AnswerTooLarge { limit_bytes }.into());
        }
    }
    json.close();
    call.text(&json.text);
    call.structured_from_text();
    Ok(())
}

/// JSON with two blanks a level, as `JSON.stringify(tree, null, 2)` has it.
#[derive(Debug, Default)]
struct Indented {
    text: String,
    depth: usize,
    /// Whether the innermost list has an element.
    has_element: bool,
}

impl Indented {
    fn open(&mut self) {
        self.text.push('[');
        self.depth += 1;
        self.has_element = false;
    }

    fn close(&mut self) {
        self.depth -= 1;
        if self.has_element {
            self.line();
        }
        self.text.push(']');
        self.has_element = true;
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }

    /// Writes an entry; that of a directory stays open for its children.
    fn entry(&mut self, name: &str, is_directory: bool) {
        if self.has_element {
            self.text.push(',');
        }
        self.line();
        self.text.push('{');
        self.depth += 1;
        self.line();
        self.text.push_str("\"name\": ");
        self.text.push_str(&serde_json::Value::from(name).to_string());
        self.text.push(',');
        self.line();
        if is_directory {
            self.text.push_str("\"type\": \"directory\",");
            self.line();
            self.text.push_str("\"children\": ");
            self.open();
        } else {
            self.text.push_str("\"type\": \"file\"");
            self.close_object();
        }
    }

    fn close_directory(&mut self) {
        self.close();
        self.close_object();
    }

    fn close_object(&mut self) {
        self.depth -= 1;
        self.line();
        self.text.push('}');
        self.has_element = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_json_stringify() {
        let mut json = Indented::default();
        json.open();
        json.entry("a\n", true);
        json.entry("b", true);
        json.close_directory();
        json.entry("c", false);
        json.close_directory();
        json.entry("d", false);
        json.close();
        let want = serde_json::json!([
            {"name": "a\n", "type": "directory", "children": [
                {"name": "b", "type": "directory", "children": []},
                {"name": "c", "type": "file"},
            ]},
            {"name": "d", "type": "file"},
        ]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json.text).expect("JSON"), want);
        assert!(json.text.starts_with(
            "[\n  {\n    \"name\": \"a\\n\",\n    \"type\": \"directory\",\n    \"children\": [\n      {"
        ));
        assert!(json.text.ends_with("  {\n    \"name\": \"d\",\n    \"type\": \"file\"\n  }\n]"));
        assert!(json.text.contains("\"children\": []\n      },"));
    }
}
