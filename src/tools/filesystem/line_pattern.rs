//! The pattern of `search_content`: a regular expression or a plain text, matched line by line.
//!
//! The engine takes time that grows with the product of pattern and text, whatever the pattern is. What it may take of
//! memory is bounded here, part by part, and known before anything is compiled: [`LinePattern::most_bytes`].

use super::error::FsError;
use super::held::HeldMemory;
use crate::limits::Limits;
use grep_matcher::{LineTerminator, Match, Matcher, NoCaptures, NoError};
use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition,
};

/// The longest pattern.
const MAX_PATTERN_BYTES: usize = 4096;
/// How deep its groups may nest.
const MAX_NESTING: u32 = 64;
/// Most bytes of the parsed pattern for each of its own: two, as in `\w`, stand for some 770 ranges of characters.
const PARSED_TIMES: usize = 4 * 1024;
/// Automata and caches that a pattern may have at once, each as long as the longest of them: forwards and backwards, with
/// a cache each, one for a literal inside, and the positions of the engine that knows no cache.
const AUTOMATA: usize = 8;
/// All large messages have room for so many patterns.
const PATTERNS_AT_ONCE: usize = 4;
/// Memory of a plain text that is searched for, beside itself.
const LITERAL_BYTES: usize = 16 * 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct LinePattern {
    regex: Regex,
    /// Whether it may be matched against many lines at once, as no match reaches beyond its line.
    spans_lines: bool,
}

/// How a pattern is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) is_literal: bool,
    pub(super) ignores_case: bool,
}

impl Reading {
    /// A plain text whose case counts needs no automaton.
    fn is_plain(self, pattern: &str) -> bool {
        !self.ignores_case && (self.is_literal || !pattern.contains(regex_syntax::is_meta_character))
    }
}

impl LinePattern {
    /// Compiles a pattern. Its memory is held first, together with `beside_bytes`.
    ///
    /// # Errors
    /// When it is no regular expression, spans lines or is too long; when there is no memory for it.
    pub(super) fn new(
        pattern: &str,
        reading: Reading,
        limits: &Limits,
        held: &HeldMemory,
        beside_bytes: usize,
    ) -> Result<Self, FsError> {
        let invalid = |why: String| FsError::InvalidPattern { why };
        if pattern.is_empty() {
            return Err(invalid("it is empty, which every line matches".to_owned()));
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(invalid(format!("it may have {MAX_PATTERN_BYTES} bytes and has {}", pattern.len())));
        }
        let size_limit = (limits.max_pattern_bytes / 2).min(held.limit_bytes() / AUTOMATA / PATTERNS_AT_ONCE);
        held.hold_work(beside_bytes + Self::most_bytes(pattern, reading, size_limit))?;
        let parsed = parse(pattern, reading).map_err(invalid)?;
        let one_line = within_a_line(parsed).ok_or_else(|| {
            invalid("it names a line end, and patterns are matched line by line: leave \\n out".to_owned())
        })?;
        let is_anchored = one_line.properties().look_set().contains_anchor_haystack();
        let config = Regex::config()
            .utf8_empty(false)
            .which_captures(WhichCaptures::Implicit)
            .nfa_size_limit(Some(size_limit))
            .hybrid_cache_capacity(size_limit)
            .onepass(false)
            .dfa(false);
        let regex =
            Regex::builder().configure(config).build_from_hir(&one_line).map_err(|error| {
                match error.size_limit() {
                    Some(_) => FsError::ExpressionTooLarge { max_bytes: 2 * size_limit },
                    None => invalid(error.to_string()),
                }
            })?;
        Ok(Self { regex, spans_lines: !is_anchored })
    }

    /// The most bytes that a pattern takes, from its parsing to the last line that it is matched against.
    fn most_bytes(pattern: &str, reading: Reading, size_limit: usize) -> usize {
        if reading.is_plain(pattern) {
            return LITERAL_BYTES + 16 * pattern.len();
        }
        PARSED_TIMES * pattern.len() + AUTOMATA * size_limit
    }

    /// Where in a line the first match is.
    pub(super) fn first_in(&self, line: &[u8]) -> usize {
        self.regex.find(line).map_or(0, |found| found.start())
    }
}

/// Parses a pattern, or says why it is none.
fn parse(pattern: &str, reading: Reading) -> Result<Hir, String> {
    if reading.is_plain(pattern) {
        return Ok(Hir::literal(pattern.as_bytes()));
    }
    let escaped = if reading.is_literal { regex_syntax::escape(pattern) } else { pattern.to_owned() };
    let ast = ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(&escaped);
    let ast = ast.map_err(|error| error.to_string())?;
    let mut translator = TranslatorBuilder::new();
    translator.utf8(false).multi_line(true).case_insensitive(reading.ignores_case);
    translator.build().translate(&escaped, &ast).map_err(|error| error.to_string())
}

/// A pattern whose matches never have a line end in them, and which has no groups that would have to be remembered.
/// `None` where it asks for a line end.
fn within_a_line(parsed: Hir) -> Option<Hir> {
    let all = |parts: Vec<Hir>| parts.into_iter().map(within_a_line).collect::<Option<Vec<Hir>>>();
    Some(match parsed.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => return None,
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::StartLF | Look::StartCRLF) => Hir::look(Look::StartLF),
        HirKind::Look(Look::EndLF | Look::EndCRLF) => line_end(),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repeated) => {
            repeated.sub = Box::new(within_a_line(*repeated.sub)?);
            Hir::repetition(repeated)
        }
        HirKind::Capture(group) => within_a_line(*group.sub)?,
        HirKind::Concat(parts) => Hir::concat(all(parts)?),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)?),
    })
}

/// The end of a line, or the carriage return before it: one that stands alone ends no line. The engine's own mode for
/// such lines takes each carriage return for an end.
fn line_end() -> Hir {
    let sub = Box::new(Hir::literal(*b"\r"));
    let before_end = Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub });
    Hir::concat(vec![before_end, Hir::look(Look::EndLF)])
}

impl Matcher for LinePattern {
    type Captures = NoCaptures;
    type Error = NoError;

    fn find_at(&self, haystack: &[u8], at: usize) -> Result<Option<Match>, NoError> {
        let found = self.regex.search(&Input::new(haystack).range(at..));
        Ok(found.map(|found| Match::new(found.start(), found.end())))
    }

    fn new_captures(&self) -> Result<NoCaptures, NoError> {
        Ok(NoCaptures::new())
    }

    fn line_terminator(&self) -> Option<LineTerminator> {
        self.spans_lines.then(|| LineTerminator::byte(b'\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::MemoryBudget;

    fn compiled(pattern: &str, is_literal: bool, ignores_case: bool) -> Result<LinePattern, FsError> {
        let held = HeldMemory::in_budget(MemoryBudget::new(64 << 20));
        LinePattern::new(pattern, Reading { is_literal, ignores_case }, &Limits::default(), &held, 0)
    }

    #[test]
    fn patterns_match_within_a_line() {
        // (pattern, literal, without case, text, where)
        let rows = [
            ("b", false, false, "abc", Some((1, 2))),
            ("B", false, false, "abc", None),
            ("B", false, true, "abc", Some((1, 2))),
            ("a.c", true, false, "abc a.c", Some((4, 7))),
            ("A.C", true, true, "abc a.c", Some((4, 7))),
            ("(?P<x>b)(c)?", false, false, "abd", Some((1, 2))),
            ("a\\s+b", false, false, "a\nb", None),
            ("a[^x]*b", false, false, "a\nb", None),
            ("(?s)a.b", false, false, "a\nb", None),
            ("^c$", false, false, "ab\nc\r\nd", Some((3, 5))),
            ("^c$", false, false, "ab\nc\nd", Some((3, 4))),
            ("^$", false, false, "x\n\r\ny", Some((2, 3))),
            // A carriage return that stands alone is a character like others.
            ("^b", false, false, "a\rb", None),
            ("a$", false, false, "a\rb", None),
            ("(?R)a$", false, false, "a\rb", None),
            ("(?R)^b", false, false, "a\rb", None),
            ("a.b", false, false, "a\rb", Some((0, 3))),
            ("a\\r$", false, false, "a\r\nb", Some((0, 2))),
            ("a$|b$", false, false, "a\rb\r\nc", Some((2, 4))),
            ("\u{e9}+", false, true, "\u{c9}\u{e9}", Some((0, 4))),
            ("\\bz", false, false, "az \u{e9}z z", Some((7, 8))),
        ];
        for (pattern, is_literal, ignores_case, text, want) in rows {
            let pattern_of = compiled(pattern, is_literal, ignores_case).expect(pattern);
            let found = pattern_of.find_at(text.as_bytes(), 0).expect("never fails");
            assert_eq!(found.map(|found| (found.start(), found.end())), want, "{pattern} in {text:?}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_or_cost_too_much_are_refused() {
        let rows = [
            ("", "empty"),
            ("(", "unclosed group"),
            ("a\\nb", "line end"),
            ("(?P<n>a)\\k<n>", "nrecognized"),
            ("(?=a)", "look-around"),
            ("((((a{100}){100}){100}){100})", "max_pattern_bytes"),
            ("\\w{1000}\\d{1000}", "max_pattern_bytes"),
            (&format!("{}a{}", "(".repeat(500), ")".repeat(500)), "nest"),
            (&"x".repeat(5_000), "4096"),
        ];
        for (pattern, want) in rows {
            let error = compiled(pattern, false, false).expect_err(pattern).to_string();
            assert!(error.contains(want), "{pattern:.40}: {error}");
        }
    }

    /// The bound holds for what the engine says that it has, also for patterns that are made to be large.
    #[test]
    fn a_pattern_has_no_more_memory_than_it_was_charged() {
        let groups = "(a|b)".repeat(800);
        let classes = "[\\w\\d]".repeat(6);
        for pattern in
            ["fn \\w+", "\\b\\w+\\s+\\w+\\b", "(a|b|c)*d{1,500}", &groups, &classes, "(?i)stra\u{df}e"]
        {
            let held = HeldMemory::in_budget(MemoryBudget::new(64 << 20));
            let reading = Reading { is_literal: false, ignores_case: false };
            let limits = Limits::default();
            let compiled = LinePattern::new(pattern, reading, &limits, &held, 0);
            let bound = LinePattern::most_bytes(pattern, reading, limits.max_pattern_bytes / 2);
            match compiled {
                Ok(compiled) => {
                    let text = "abacabadabacaba \u{e9}t\u{e9} ".repeat(4_000);
                    let _ = compiled.find_at(text.as_bytes(), 0).expect("never fails");
                    let used = compiled.regex.memory_usage() + compiled.regex.create_cache().memory_usage();
                    assert!(used <= bound, "{pattern:.40}: {used} of {bound}");
                }
                Err(error) => assert!(error.to_string().contains("max_pattern_bytes"), "{error}"),
            }
        }
    }
}
