//! The tool `directory_tree`: a directory and all below it as JSON.
//!
//! A directory that cannot be listed (it may not be read, or is gone already) has no children, and a member `error`
//! that says why; the tree continues after it.

use super::answer_space::AnswerSpace;
use super::arguments::DirectoryTree;
use super::as_node::budget::Budget;
use super::as_node::exclude::Exclusions;
use super::as_node::glob::GlobPath;
use super::context::Context;
use super::cut::Cut;
use super::error::{FsError, Stop};
use super::held::HeldMemory;
use super::held_text::answer_text;
use super::numbers::counted;
use super::sandbox::listing::Kind;
use super::walk::{Progress, Step, Walk};
use crate::server::CallContext;
use crate::wire::escaped_bytes;
use std::fmt::Write as _;

/// `directory_tree`.
pub(crate) fn directory_tree(
    arguments: &DirectoryTree<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    HeldMemory::with(call, |held, call| write_tree(arguments, context, held, call))
}

fn write_tree(
    arguments: &DirectoryTree<'_>,
    context: &Context<'_>,
    held: &HeldMemory,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let mut budget = Budget::new(call.limits());
    let exclusions = Exclusions::of_tree(arguments.exclude_patterns.iter(), context.compat, &mut budget)?;
    let target = context.sandbox.resolve(arguments.path)?;
    let space = AnswerSpace::of(call.limits(), context.copies);
    let mut walk = Walk::new(&target, context, space, held)?;
    let mut json = Indented::default();
    let (mut path, mut progress) = (GlobPath::default(), Progress::default());
    let steps = budget.steps();
    let mut cut = Cut::new(space, context.compat);
    json.open();
    cut.add(json.text.len());
    while let Some(step) = walk.step() {
        progress.count(context, call)?;
        let before = json.position();
        let Step::Entry(kind) = step else {
            if !cut.is_over() {
                json.close_directory(None);
                cut.add(json.escaped_from(before));
            }
            continue;
        };
        let name = String::from_utf8_lossy(walk.name());
        path.set(walk.depth(), &name);
        steps.begin();
        let is_excluded = exclusions.match_entry(&path, kind == Kind::Directory, steps);
        let is_skipped = kind == Kind::Directory && exclusions.match_contents(&path, steps);
        steps.check()?;
        if is_excluded {
            continue;
        }
        let is_written = !cut.is_over();
        if is_written {
            json.entry(&name, kind == Kind::Directory);
        }
        if kind == Kind::Directory {
            let contents = contents(&mut walk, is_skipped)?;
            if is_written {
                json.close_unless_followed(&contents);
            }
        }
        if cut.takes(before, json.escaped_from(before), json.end_bytes()) {
            space.check_text(json.text.len())?;
            held.hold_text(json.text.len())?;
        }
    }
    cut.with_note(walk.left_out() > 0);
    let left = json.end_at(cut.at());
    json.end();
    answer_text(json.text, space, held, &context.sandbox.state().kept_texts, call)?;
    if left > 0 || walk.left_out() > 0 {
        call.text(&note(left, walk.left_out()));
    }
    Ok(())
}

/// What is in a directory of the tree.
enum Contents {
    Follow,
    Skipped,
    /// With the reason.
    Unreadable(String),
}

fn contents(walk: &mut Walk<'_>, is_skipped: bool) -> Result<Contents, FsError> {
    if is_skipped {
        return Ok(Contents::Skipped);
    }
    match walk.enter() {
        Ok(()) => Ok(Contents::Follow),
        Err(error @ FsError::Os { .. }) => Ok(Contents::Unreadable(error.to_string())),
        Err(error) => Err(error),
    }
}

/// What is left. It is a block of its own, so that the tree is JSON.
fn note(entries: u64, unseen: u64) -> String {
    let more = counted(entries, "more entry is", "more entries are");
    let mut note = format!("[{more} left, as an answer may have no more bytes (max_reply_bytes)");
    if unseen > 0 {
        let what = if unseen == 1 { "it, as its directory has" } else { "them, as their directories have" };
        // Writing to a string does not fail.
        let _ =
            write!(note, ", and {unseen} with what is below {what} more names than are held for an answer");
    }
    note.push_str(": ask for a directory below this one, or give excludePatterns]");
    note
}

/// A position in JSON that is written, to go back to.
#[derive(Debug, Clone, Copy)]
struct Position {
    bytes: usize,
    depth: usize,
    has_element: bool,
}

/// JSON with two blanks for each level, as `JSON.stringify(tree, null, 2)` has it.
#[derive(Debug, Default)]
struct Indented {
    text: String,
    depth: usize,
    /// Whether the innermost list has an element.
    has_element: bool,
}

impl Indented {
    fn position(&self) -> Position {
        Position { bytes: self.text.len(), depth: self.depth, has_element: self.has_element }
    }

    fn go_back(&mut self, position: Position) {
        self.text.truncate(position.bytes);
        (self.depth, self.has_element) = (position.depth, position.has_element);
    }

    /// Goes back to where the tree is cut, if it is. Returns how many entries are left.
    fn end_at(&mut self, cut: Option<(Position, u64)>) -> u64 {
        cut.map_or(0, |(end, left)| {
            self.go_back(end);
            left
        })
    }

    /// Bytes of what is written since then, in JSON once more.
    fn escaped_from(&self, position: Position) -> usize {
        escaped_bytes(self.text.get(position.bytes..).unwrap_or_default().as_bytes())
    }

    /// Bytes that [`Indented::end`] writes, at most, in JSON once more. Each directory takes two lines, in which the
    /// blanks are two for each level.
    fn end_bytes(&self) -> usize {
        (self.depth + 1).pow(2) + 3
    }

    /// Ends all lists and directories that are open.
    fn end(&mut self) {
        while self.depth > 1 {
            self.close_directory(None);
        }
        self.close();
    }

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

    /// Writes an entry; a directory stays open for its children.
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

    /// Ends the children of a directory; `error` says why they could not be listed.
    /// Closes a directory of which nothing more comes.
    fn close_unless_followed(&mut self, contents: &Contents) {
        match contents {
            Contents::Follow => {}
            Contents::Skipped => self.close_directory(None),
            Contents::Unreadable(error) => self.close_directory(Some(error)),
        }
    }

    fn close_directory(&mut self, error: Option<&str>) {
        self.close();
        if let Some(error) = error {
            self.text.push(',');
            self.line();
            self.text.push_str("\"error\": ");
            self.text.push_str(&serde_json::Value::from(error).to_string());
        }
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
        json.close_directory(None);
        json.entry("c", false);
        json.close_directory(None);
        json.entry("d", false);
        json.entry("e", true);
        json.close_directory(Some("EACCES: \"no\""));
        json.close();
        let want = serde_json::json!([
            {"name": "a\n", "type": "directory", "children": [
                {"name": "b", "type": "directory", "children": []},
                {"name": "c", "type": "file"},
            ]},
            {"name": "d", "type": "file"},
            {"name": "e", "type": "directory", "children": [], "error": "EACCES: \"no\""},
        ]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json.text).expect("JSON"), want);
        assert!(json.text.starts_with(
            "[\n  {\n    \"name\": \"a\\n\",\n    \"type\": \"directory\",\n    \"children\": [\n      {"
        ));
        assert!(json.text.contains("  {\n    \"name\": \"d\",\n    \"type\": \"file\"\n  },\n"));
        assert!(json.text.contains("\"children\": []\n      },"));
    }
}
