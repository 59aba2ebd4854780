//! Matches paths against patterns: `**/*.{rs,toml}`, `!(a|b)*`, `[[:upper:]]?`.
//!
//! The rules are those of the npm package `minimatch` with dot files included, as the answers of the reference server
//! show them. A pattern is matched against a path relative to where the search began. `**` stands for any number of
//! directories, but only as a whole segment.
//!
//! Matching keeps the set of all positions in the name that the pattern may have reached, instead of trying one after
//! the other: its cost grows with the product of both lengths, whatever the pattern is. Only `!( )` must look ahead.
//! The [`Budget`] of the call bounds what a pattern may cost.

use super::braces;
use super::budget::{Budget, Steps};
use super::segment::Segment;
use crate::tools::filesystem::error::FsError;
use smallvec::SmallVec;

/// The longest pattern in UTF-16 units, as in the reference.
const MAX_PATTERN: usize = 65_536;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Glob {
    negated: bool,
    depth: Depth,
    /// Empty for patterns that match nothing.
    alternatives: Vec<Vec<Segment>>,
}

/// Where a pattern without a slash matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At the top only, as a pattern with slashes does.
    Top,
    /// At any depth.
    Any,
}

/// Bytes of a segment without its content; this includes the cost of an allocation.
const SEGMENT_BYTES: usize = size_of::<Segment>() + 16;

/// A relative path, split into names for matching. A walk changes only its end.
#[derive(Debug, Default)]
pub(crate) struct GlobPath {
    /// The UTF-16 units of each name.
    names: Vec<Vec<u32>>,
}

impl GlobPath {
    /// Keeps the first `depth` names and appends `name`.
    pub(crate) fn set(&mut self, depth: usize, name: &str) {
        self.names.truncate(depth);
        self.names.push(name.encode_utf16().map(u32::from).collect());
    }
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`FsError::PatternTooLong`], or when it costs more than the budget allows.
    pub(crate) fn new(pattern: &str, depth: Depth, budget: &mut Budget) -> Result<Self, FsError> {
        if pattern.len() > MAX_PATTERN && pattern.encode_utf16().count() > MAX_PATTERN {
            return Err(FsError::PatternTooLong);
        }
        if pattern.is_empty() || pattern.starts_with('#') {
            return Ok(Self { negated: false, depth, alternatives: Vec::new() });
        }
        let bare = pattern.trim_start_matches('!');
        let negated = (pattern.len() - bare.len()) % 2 == 1;
        budget.begin_pattern();
        let expanded = braces::expand(bare, budget)?;
        budget.pay_bytes(expanded.len() * size_of::<Vec<Segment>>())?;
        let mut alternatives = Vec::with_capacity(expanded.len());
        for pattern in &expanded {
            alternatives.push(segments(pattern, budget)?);
        }
        Ok(Self { negated, depth, alternatives })
    }

    /// Tells whether the pattern matches the path. If there are too few steps, it does not match; [`Steps::check`] then
    /// fails.
    pub(crate) fn matches(&self, path: &GlobPath, steps: &Steps) -> bool {
        self.matches_from(path, 0, steps)
    }

    /// The same for the path below its first `depth` names.
    pub(crate) fn matches_from(&self, path: &GlobPath, depth: usize, steps: &Steps) -> bool {
        let names = path.names.get(depth..).unwrap_or_default();
        if self.alternatives.is_empty() {
            return false;
        }
        let is_match = |segments: &Vec<Segment>| match (&segments[..], self.depth, names.last()) {
            ([segment], Depth::Any, Some(name)) => segment.matches(name, steps),
            (segments, ..) => matches(segments, names, steps),
        };
        self.alternatives.iter().any(is_match) != self.negated
    }

    /// Tells whether the pattern matches all that is below the path, but not the path itself: `target/**`.
    pub(crate) fn matches_all_below(&self, path: &GlobPath, steps: &Steps) -> bool {
        !self.negated
            && self.alternatives.iter().any(|segments| match &segments[..] {
                [parents @ .., Segment::AnyDepth] if !parents.is_empty() => {
                    matches(parents, &path.names, steps)
                }
                _ => false,
            })
    }

    /// Heap bytes.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_segments = |segments: &Vec<Segment>| {
            segments.capacity() * size_of::<Segment>()
                + segments.iter().map(Segment::heap_bytes).sum::<usize>()
        };
        self.alternatives.capacity() * size_of::<Vec<Segment>>()
            + self.alternatives.iter().map(of_segments).sum::<usize>()
    }
}

/// Splits a pattern at its slashes. `x/..` is removed; `**/**` becomes `**`.
fn segments(pattern: &str, budget: &mut Budget) -> Result<Vec<Segment>, FsError> {
    budget.pay_steps(pattern.len() + 1)?;
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = pattern.split('/').peekable();
    let mut is_first = true;
    while let Some(part) = parts.next() {
        // Slashes in a row count as one; a slash at either end leaves an empty name, which nothing matches.
        if part.is_empty() && !is_first && parts.peek().is_some() {
            continue;
        }
        is_first = false;
        // Segments that are removed again are paid for as well.
        budget.pay_bytes(SEGMENT_BYTES)?;
        match (part, kept.last()) {
            ("**", Some(&"**")) => {}
            ("..", Some(previous)) if !matches!(*previous, "" | "." | ".." | "**") => {
                kept.pop();
            }
            _ => kept.push(part),
        }
    }
    if kept.is_empty() {
        budget.pay_bytes(SEGMENT_BYTES)?;
        kept.push("");
    }
    let mut segments = Vec::with_capacity(kept.len());
    for part in kept {
        segments.push(Segment::new(part, budget)?);
    }
    Ok(segments)
}

/// Matches the pattern segment by segment: after each one, `reached[n]` says whether it may end after the first `n`
/// names.
fn matches(segments: &[Segment], names: &[Vec<u32>], steps: &Steps) -> bool {
    let has_depth = segments.iter().any(|segment| matches!(segment, Segment::AnyDepth));
    if !has_depth {
        let is_match = |(segment, name): (&Segment, &Vec<u32>)| segment.matches(name, steps);
        return steps.pay(segments.len())
            && segments.len() == names.len()
            && segments.iter().zip(names).all(is_match);
    }
    let mut reached: SmallVec<[bool; 64]> = SmallVec::from_elem(false, names.len() + 1);
    reached[0] = true;
    for (index, segment) in segments.iter().enumerate() {
        if !steps.pay(1 + names.len()) {
            return false;
        }
        if let Segment::AnyDepth = segment {
            let Some(first) = reached.iter().position(|reached| *reached) else { return false };
            // At the end of a pattern it stands for at least one name, elsewhere also for none.
            let from = if index + 1 == segments.len() { first + 1 } else { first };
            for place in reached.iter_mut().take(from) {
                *place = false;
            }
            for place in reached.iter_mut().skip(from) {
                *place = true;
            }
        } else {
            for at in (0..names.len()).rev() {
                reached[at + 1] = reached[at] && segment.matches(&names[at], steps);
            }
            reached[0] = false;
        }
    }
    reached[names.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use proptest::prelude::*;

    fn path(path: &str) -> GlobPath {
        let mut names = GlobPath::default();
        path.split('/').enumerate().for_each(|(depth, name)| names.set(depth, name));
        names
    }

    /// Whether the pattern matches, and an error where that costs too much.
    fn try_match(pattern: &str, depth: Depth, name: &str) -> Result<bool, FsError> {
        let mut budget = Budget::new(&Limits::default());
        let glob = Glob::new(pattern, depth, &mut budget)?;
        assert!(glob.heap_bytes() <= budget.used_bytes(), "{} bytes: {pattern:.60}", glob.heap_bytes());
        assert!(budget.used_bytes() <= Limits::default().max_pattern_bytes);
        budget.steps().begin();
        let is_match = glob.matches(&path(name), budget.steps());
        assert!(budget.steps().used() <= Limits::default().max_pattern_steps);
        budget.steps().check().map(|()| is_match)
    }

    fn matches(pattern: &str, path: &str) -> bool {
        try_match(pattern, Depth::Top, path).expect("it costs little")
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
            serde_json::from_str(include_str!("../../../../tests/fixtures/reference/filesystem/globs.json"))
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
    fn without_a_slash_a_pattern_may_match_at_any_depth() {
        // (pattern, path, at the top only, at any depth)
        let rows = [
            ("*.ts", "a.ts", true, true),
            ("*.ts", "src/deep/a.ts", false, true),
            ("*.ts", "src/deep/a.tsx", false, false),
            ("{*.ts,src/*.rs}", "src/deep/a.ts", false, true),
            ("{*.ts,src/*.rs}", "src/deep/a.rs", false, false),
            ("src/*.ts", "x/src/a.ts", false, false),
            ("!*.ts", "src/a.ts", true, false),
            ("!*.ts", "src/a.rs", true, true),
            ("**", "a/b", true, true),
            ("target", "x/target", false, true),
        ];
        for (pattern, path, top, any) in rows {
            let found = [Depth::Top, Depth::Any].map(|depth| try_match(pattern, depth, path).expect("cheap"));
            assert_eq!(found, [top, any], "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_all_below_is_known() {
        for (pattern, directory, want) in [
            ("target/**", "target", true),
            ("**/target/**", "a/target", true),
            ("{x,target}/**", "target", true),
            ("target/*", "target", false),
            ("target/**", "target/debug", false),
            ("!target/**", "target", false),
            ("**", "target", false),
        ] {
            let mut budget = Budget::new(&Limits::default());
            let glob = Glob::new(pattern, Depth::Top, &mut budget).expect("it is small");
            assert_eq!(
                glob.matches_all_below(&path(directory), budget.steps()),
                want,
                "{pattern} {directory}"
            );
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let name = "a".repeat(250);
        for (pattern, want) in [
            (format!("{}b", "*a".repeat(100)), Some(false)),
            (format!("{}b", "+(a|aa|*)".repeat(30)), Some(false)),
            (format!("{}b", "!(b)".repeat(60)), None),
            (format!("{}x{}", "+(".repeat(20_000), ")".repeat(20_000)), None),
            (format!("{}x{}", "!(".repeat(20_000), ")".repeat(20_000)), None),
            ("!(b)".repeat(16_000), None),
            ("+(!(b)c)".repeat(8_000), None),
            (format!("{}b", "**/a/".repeat(2_000)), Some(false)),
            ("**/*a*/".repeat(8_000), None),
            ("[".repeat(60_000), None),
            (format!("[{}", "[:alpha:]".repeat(7_000)), None),
            (format!("*[{}]", "a-b".repeat(1_000)), None),
            (format!("{}{}", "+([ab]|[a-z])".repeat(500), "x"), None),
            ("{1..10000}0".to_owned(), None),
            ("{a,b}".repeat(20), None),
            (format!("{{{}}}", vec!["+(a|b)*"; 500].join(",")), None),
        ] {
            let found = try_match(&pattern, Depth::Top, &name);
            match want {
                Some(want) => assert_eq!(found.expect("it costs little"), want, "{pattern:.60}"),
                // Whatever it is, it was bounded: `try_match` has looked.
                None => drop(found),
            }
        }
        let long = "x".repeat(65_537);
        assert!(matches!(try_match(&long, Depth::Top, "x"), Err(FsError::PatternTooLong)));
    }

    #[test]
    fn all_patterns_of_a_call_pay_from_one_purse() {
        let mut budget = Budget::new(&Limits::default());
        let mut kept = 0;
        let refused = (0..100).find_map(|_| match Glob::new("{1..1000}0", Depth::Top, &mut budget) {
            Ok(glob) => {
                kept += glob.heap_bytes();
                None
            }
            Err(error) => Some(error.to_string()),
        });
        assert!(kept <= Limits::default().max_pattern_bytes, "{kept}");
        let text = refused.expect("a hundred are too many");
        assert!(text.contains("max_pattern_bytes"), "{text}");
    }

    /// Patterns of what has a meaning, and a little that has none.
    fn hostile() -> impl Strategy<Value = String> {
        let atom = prop::sample::select(vec![
            "a",
            "b",
            "*",
            "**",
            "?",
            "/",
            "!",
            "[a-c]",
            "[!b]",
            "[[:alpha:]]",
            "[",
            "]",
            "(",
            ")",
            "|",
            "+(",
            "*(",
            "?(",
            "@(",
            "!(",
            "{",
            "}",
            ",",
            "..",
            "{1..99}",
            "{a,b}",
            "{a..z..2}",
            "\\",
            "é",
            "😀",
            "$",
            "#",
        ]);
        (prop::collection::vec(atom, 1..24), 1..40_usize)
            .prop_map(|(atoms, times)| atoms.concat().repeat(times))
    }

    proptest! {
        #[test]
        fn no_pattern_costs_more_than_its_budget(pattern in hostile(), name in "[ab/é]{1,60}") {
            for depth in [Depth::Top, Depth::Any] {
                if let Err(error) = try_match(&pattern, depth, &name) {
                    let is_cost = matches!(
                        error,
                        FsError::PatternsTooLarge { .. } | FsError::PatternsTooSlow { .. }
                            | FsError::TooManyNots { .. } | FsError::PatternTooLong
                    );
                    prop_assert!(is_cost, "{error}");
                }
            }
        }
    }
}
