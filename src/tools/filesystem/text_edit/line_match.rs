//! Finds lines that are equal once trimmed, or the ones that are most similar.
//!
//! Lines are compared as numbers (equal lines have equal numbers) with the algorithm of Knuth, Morris and Pratt: each
//! line of the text is visited at most twice, whatever is searched for.

use memchr::{memchr_iter, memrchr};
use std::collections::HashMap;
use std::ops::Range;

/// The number of all lines that are not searched for.
const OTHER: u32 = u32::MAX;

/// The most lines of a text in which the most similar ones are searched for: each needs a number.
const MAX_NEAR_LINES: usize = 1_000_000;

/// Tells whether ECMAScript counts a character as white space: that of Unicode without U+0085, and the byte order mark.
pub(crate) fn is_blank(c: char) -> bool {
    c == '\u{feff}' || (c != '\u{85}' && c.is_whitespace())
}

pub(crate) fn trim(line: &str) -> &str {
    line.trim_matches(is_blank)
}

/// The blanks that a line begins with.
pub(crate) fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches(is_blank).len()]
}

/// Lines to search for.
pub(crate) struct Wanted<'o> {
    numbers: HashMap<&'o str, u32>,
    lines: Vec<u32>,
    /// For each length that matched, the longest shorter length that then matches too.
    fallbacks: Vec<u32>,
}

impl<'o> Wanted<'o> {
    /// The lines of `old` without their ends; `None` if all of them are blank.
    pub(crate) fn new(old: &'o str) -> Option<Self> {
        let mut numbers = HashMap::new();
        let lines: Vec<u32> = old
            .split('\n')
            .map(|line| {
                let next = numbers.len() as u32;
                *numbers.entry(trim(line)).or_insert(next)
            })
            .collect();
        if numbers.keys().all(|line| line.is_empty()) {
            return None;
        }
        let mut fallbacks = vec![0_u32; lines.len()];
        let mut matched = 0;
        for at in 1..lines.len() {
            matched = step(&lines, &fallbacks, matched, lines[at]);
            fallbacks[at] = matched as u32;
        }
        Some(Self { numbers, lines, fallbacks })
    }

    fn number(&self, line: &str) -> u32 {
        self.numbers.get(trim(line)).copied().unwrap_or(OTHER)
    }

    /// Finds these lines in `text`. Each range ends before the end of its last line.
    pub(crate) fn places<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let mut matched = 0;
        let mut at = 0;
        text.split('\n').filter_map(move |line| {
            let end = at + line.len();
            at = end + 1;
            matched = step(&self.lines, &self.fallbacks, matched, self.number(line));
            if matched < self.lines.len() {
                return None;
            }
            matched = 0;
            Some(start_of_lines(text, end, self.lines.len())..end)
        })
    }

    /// Finds the part of `text` with most of these lines in the right position; long lines count more. If it has none
    /// of them, finds the line most similar to the first one.
    pub(crate) fn nearest(&self, text: &str) -> Option<Range<usize>> {
        let mut first = vec![OTHER; self.numbers.len()];
        for (at, line) in self.lines.iter().enumerate().rev() {
            first[*line as usize] = at as u32;
        }
        let mut votes: Vec<u32> = Vec::new();
        for (at, line) in text.split('\n').take(MAX_NEAR_LINES).enumerate() {
            votes.push(0);
            let line = trim(line);
            if let Some(number) = self.numbers.get(line).filter(|_| !line.is_empty())
                && let Some(start) = at.checked_sub(first[*number as usize] as usize)
            {
                votes[start] = votes[start].saturating_add(line.len() as u32);
            }
        }
        // The first of the best.
        let (line, best) = votes.iter().enumerate().rev().max_by_key(|(_, votes)| **votes)?;
        if *best == 0 {
            return self.most_like_the_first(text);
        }
        let start = line.checked_sub(1).map_or(Some(0), |before| nth_newline(text, 0, before))?;
        let end = nth_newline(text, start, self.lines.len() - 1).map_or(text.len(), |behind| behind - 1);
        Some(start..end)
    }

    fn most_like_the_first(&self, text: &str) -> Option<Range<usize>> {
        let wanted = self
            .lines
            .iter()
            .find_map(|number| self.numbers.iter().find(|(line, its)| *its == number && !line.is_empty()));
        let (wanted, _) = wanted?;
        let alike = |line: &str| {
            let same = |pair: &(u8, u8)| pair.0 == pair.1;
            let front = wanted.bytes().zip(line.bytes()).take_while(same).count();
            let back = wanted.bytes().rev().zip(line.bytes().rev()).take_while(same).count();
            (front + back).min(wanted.len()).min(line.len())
        };
        let mut at = 0;
        let ranges = text.split('\n').take(MAX_NEAR_LINES).map(|line| {
            let range = at..at + line.len();
            at = range.end + 1;
            (alike(trim(line)), range)
        });
        let best = ranges.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.filter(|(alike, _)| *alike * 2 >= wanted.len()).map(|(_, range)| range)
    }
}

/// The number of lines that match after one more line.
fn step(lines: &[u32], fallbacks: &[u32], mut matched: usize, line: u32) -> usize {
    while matched > 0 && lines.get(matched) != Some(&line) {
        matched = fallbacks[matched - 1] as usize;
    }
    matched + usize::from(lines[matched] == line)
}

/// Where the last `count` lines before `end` begin.
fn start_of_lines(text: &str, end: usize, count: usize) -> usize {
    let mut start = end + 1;
    for _ in 0..count {
        start = memrchr(b'\n', &text.as_bytes()[..start - 1]).map_or(0, |newline| newline + 1);
    }
    start
}

/// The position after the `number`th newline (the first is 0) from `from` on.
fn nth_newline(text: &str, from: usize, number: usize) -> Option<usize> {
    memchr_iter(b'\n', &text.as_bytes()[from..]).nth(number).map(|newline| from + newline + 1)
}

/// The number of the line of a position, from 1.
pub(crate) fn line_number(text: &str, place: usize) -> usize {
    1 + memchr_iter(b'\n', &text.as_bytes()[..place]).count()
}

/// Tells whether a newline follows a part of a text.
pub(crate) fn is_ended(text: &str, end: usize) -> bool {
    text.as_bytes().get(end) == Some(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(text: &str, old: &str) -> Vec<usize> {
        let lines: Vec<&str> = text.split('\n').map(trim).collect();
        let wanted: Vec<&str> = old.split('\n').map(trim).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at + wanted.len() <= lines.len() {
            if lines[at..at + wanted.len()] == wanted {
                found.push(at);
                at += wanted.len();
            } else {
                at += 1;
            }
        }
        found
    }

    proptest! {
        #[test]
        fn places_are_those_that_a_naive_search_finds(text in "[ab \n]{0,40}", old in "[ab \n]{1,8}") {
            if let Some(wanted) = Wanted::new(&old) {
                let found: Vec<usize> =
                    wanted.places(&text).map(|range| line_number(&text, range.start) - 1).collect();
                prop_assert_eq!(found, naive(&text, &old));
                for range in wanted.places(&text) {
                    let part: Vec<&str> = text[range].split('\n').map(trim).collect();
                    prop_assert_eq!(part, old.split('\n').map(trim).collect::<Vec<_>>());
                }
                // Whatever is near is a part of the text.
                if let Some(range) = wanted.nearest(&text) {
                    prop_assert!(text.get(range).is_some());
                }
            }
        }
    }

    #[test]
    fn the_nearest_lines_are_those_with_most_in_common() {
        let text = "a\n}\nfn one() {\n  two();\n  three();\n}\n";
        // (old, nearest)
        let rows = [
            ("fn one() {\n  2();\n  three();\n}", Some("fn one() {\n  two();\n  three();\n}")),
            ("  2();\n  three();", Some("  two();\n  three();")),
            ("fn one() }", Some("fn one() {")),
            ("quite different", None),
        ];
        for (old, want) in rows {
            let wanted = Wanted::new(old).expect("something to look for");
            assert_eq!(wanted.nearest(text).map(|range| &text[range]), want, "{old:?}");
        }
    }
}
