//! Patterns for paths: `**/*.{rs,toml}`, `!(a|b)*`, `[[:upper:]]?`.
//!
//! The rules are those of the npm package `minimatch` with dot files included, as the reference server's
//! answers show them. A pattern is matched against a path relative to where the search began. `**` stands
//! for any number of directories, but only as a whole segment.
//!
//! Matching keeps the set of all places in the name that the pattern may have reached, instead of trying
//! one after the other: its cost grows with the product of both lengths, whatever the pattern. Only `!( )`
//! must look ahead; a budget bounds it.

use super::braces;
use super::error::FsError;
use super::segment::Segment;

/// Longest pattern, in UTF-16 units, as in the reference.
const MAX_PATTERN: usize = 65_536;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Glob {
    negated: bool,
    /// Empty for patterns that match nothing by themselves.
    alternatives: Vec<Vec<Segment>>,
}

/// A relative path, cut up for matching. A walk changes only its end.
#[derive(Debug, Default)]
pub(super) struct GlobPath {
    /// The UTF-16 units of each name.
    names: Vec<Vec<u32>>,
}

impl GlobPath {
    /// Keeps the first `depth` names and puts `name` behind them.
    pub(super) fn set(&mut self, depth: usize, name: &str) {
        self.names.truncate(depth);
        self.names.push(name.encode_utf16().map(u32::from).collect());
    }
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`FsError::PatternTooLong`].
    pub(super) fn new(pattern: &str) -> Result<Self, FsError> {
        if pattern.len() > MAX_PATTERN && pattern.encode_utf16().count() > MAX_PATTERN {
            return Err(FsError::PatternTooLong);
        }
        if pattern.is_empty() || pattern.starts_with('#') {
            return Ok(Self { negated: false, alternatives: Vec::new() });
        }
        let bare = pattern.trim_start_matches('!');
        let negated = (pattern.len() - bare.len()) % 2 == 1;
        let alternatives = braces::expand(bare).iter().map(|pattern| segments(pattern)).collect();
        Ok(Self { negated, alternatives })
    }

    /// Whether the pattern matches the path.
    pub(super) fn matches(&self, path: &GlobPath) -> bool {
        if self.alternatives.is_empty() {
            return false;
        }
        self.alternatives.iter().any(|segments| matches(segments, &path.names)) != self.negated
    }
}

/// Cuts a pattern at its slashes. `x/..` disappears; `**/**` is `**`.
fn segments(pattern: &str) -> Vec<Segment> {
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = pattern.split('/').peekable();
    let mut is_first = true;
    while let Some(part) = parts.next() {
        // Slashes in a row are one; those at either end leave an empty name, which nothing matches.
        if part.is_empty() && !is_first && parts.peek().is_some() {
            continue;
        }
        is_first = false;
        match (part, kept.last()) {
            ("**", Some(&"**")) => {}
            ("..", Some(previous)) if !matches!(*previous, "" | "." | ".." | "**") => {
                kept.pop();
            }
            _ => kept.push(part),
        }
    }
    if kept.is_empty() {
        kept.push("");
    }
    kept.into_iter().map(Segment::new).collect()
}

/// Follows the pattern through the names: after each segment, `reached[n]` says whether it may end behind
/// the first `n` names.
fn matches(segments: &[Segment], names: &[Vec<u32>]) -> bool {
    let mut reached = vec![false; names.len() + 1];
    reached[0] = true;
    for (index, segment) in segments.iter().enumerate() {
        if let Segment::AnyDepth = segment {
            let Some(first) = reached.iter().position(|reached| *reached) else { return false };
            // At the end of a pattern it stands for something, elsewhere perhaps for nothing.
            let from = if index + 1 == segments.len() { first + 1 } else { first };
            for place in reached.iter_mut().take(from) {
                *place = false;
            }
            for place in reached.iter_mut().skip(from) {
                *place = true;
            }
        } else {
            for at in (0..names.len()).rev() {
                reached[at + 1] = reached[at] && segment.matches(&names[at]);
            }
            reached[0] = false;
        }
    }
    reached[names.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let mut names = GlobPath::default();
        path.split('/').enumerate().for_each(|(depth, name)| names.set(depth, name));
        Glob::new(pattern).expect("not too long").matches(&names)
    }

    /// Patterns, and which of the paths minimatch 10.2.6 matches.
    #[derive(serde::Deserialize)]
    struct Recorded {
        paths: Vec<String>,
        patterns: Vec<(String, Vec<String>)>,
    }

    #[test]
    fn matches_equal_those_of_the_reference() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../../../tests/fixtures/reference/filesystem/globs.json"))
                .expect("the fixture is readable");
        assert!(recorded.patterns.len() >= 200, "only {} patterns", recorded.patterns.len());
        let mut wrong = Vec::new();
        for (pattern, hits) in recorded.patterns {
            for path in &recorded.paths {
                if matches(&pattern, path) != hits.contains(path) {
                    wrong.push(format!("{pattern:?} {path:?} want {}", hits.contains(path)));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let name = "a".repeat(250);
        for pattern in [
            format!("{}b", "*a".repeat(100)),
            format!("{}b", "+(a|aa|*)".repeat(30)),
            format!("{}b", "!(b)".repeat(60)),
            format!("{}x{}", "+(".repeat(20_000), ")".repeat(20_000)),
            format!("{}x{}", "!(".repeat(20_000), ")".repeat(20_000)),
            format!("{}b", "**/a/".repeat(2_000)),
        ] {
            assert!(!matches(&pattern, &name) || pattern.contains('!'), "{pattern}");
        }
        assert!(Glob::new(&"x".repeat(65_537)).is_err());
    }
}
