//! Expands the braces of a pattern: `a{b,c{d,e}}` and `{01..10..3}` into the patterns that they stand for.
//!
//! The rules are those of Bash, with the corner cases of the reference server. Nothing is made before the [`Budget`] of
//! the call has paid for it; braces that are nested too deep stay as they are written.

use super::budget::Budget;
use crate::tools::filesystem::error::FsError;

/// How deep braces may nest. Deeper ones are ordinary characters.
const MAX_DEPTH: usize = 64;

/// A character, and whether a backslash makes it an ordinary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Letter {
    char: char,
    quoted: bool,
}

impl Letter {
    const fn plain(char: char) -> Self {
        Self { char, quoted: false }
    }

    fn is(self, char: char) -> bool {
        !self.quoted && self.char == char
    }
}

type Letters = Vec<Letter>;

/// The bytes of a list of so many letters.
const fn bytes_of(letters: usize) -> usize {
    size_of::<Letters>() + letters * size_of::<Letter>()
}

/// Expands `pattern` into the patterns that it stands for, in order and without repetitions.
///
/// # Errors
/// When they would cost more than the budget allows.
pub(crate) fn expand(pattern: &str, budget: &mut Budget) -> Result<Vec<String>, FsError> {
    budget.pay_steps(pattern.len())?;
    budget.pay_scratch(size_of::<String>() + pattern.len())?;
    if !has_pair(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    budget.pay_scratch(bytes_of(pattern.len()))?;
    let mut letters = quoted(pattern);
    // Bash leaves a leading `{}` alone.
    if letters.len() >= 2 && letters[0].is('{') && letters[1].is('}') {
        letters[0].quoted = true;
        letters[1].quoted = true;
    }
    let mut patterns: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for letters in expand_letters(letters, 0, true, budget)? {
        // Each is stored twice, in the list and in the set.
        budget.pay_scratch(2 * (size_of::<String>() + 4 * letters.len()))?;
        let text: String = letters.iter().map(|letter| letter.char).collect();
        if seen.insert(text.clone()) {
            patterns.push(text);
        }
    }
    Ok(patterns)
}

/// Tells whether an opening brace is followed by a closing one on the same line.
fn has_pair(pattern: &str) -> bool {
    let mut open = false;
    for c in pattern.chars() {
        match c {
            '{' => open = true,
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => open = false,
            '}' if open => return true,
            _ => {}
        }
    }
    false
}

/// Applies the backslashes before characters that matter here; other backslashes stay.
fn quoted(pattern: &str) -> Letters {
    let mut letters = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&next @ ('\\' | '{' | '}' | ',' | '.')) if char == '\\' => {
                letters.push(Letter { char: next, quoted: true });
                chars.next();
            }
            _ => letters.push(Letter::plain(char)),
        }
    }
    letters
}

/// Finds the first pair of braces. Braces without a partner do not count.
fn first_pair(letters: &[Letter]) -> Option<(usize, usize)> {
    let mut open = Vec::new();
    let mut leftmost: Option<(usize, usize)> = None;
    for (at, letter) in letters.iter().enumerate() {
        if letter.is('{') {
            open.push(at);
        } else if letter.is('}')
            && let Some(start) = open.pop()
        {
            if open.is_empty() {
                return Some((start, at));
            }
            if leftmost.is_none_or(|(left, _)| start < left) {
                leftmost = Some((start, at));
            }
        }
    }
    leftmost
}

fn expand_letters(
    mut letters: Letters,
    depth: usize,
    mut top: bool,
    budget: &mut Budget,
) -> Result<Vec<Letters>, FsError> {
    let mut done: Vec<Letters> = vec![Vec::new()];
    let mut rest = &mut letters[..];
    let mut drops_empty = false;
    let mut is_first = true;
    loop {
        budget.pay_steps(rest.len())?;
        let pair = if depth > MAX_DEPTH { None } else { first_pair(rest) };
        let Some((open, close)) = pair else {
            return combine(&done, rest, &[Vec::new()], drops_empty, budget);
        };
        let is_last = close + 1 == rest.len();
        if rest[..open].last().is_some_and(|letter| letter.is('$')) {
            done = combine(&done, &rest[..=close], &[Vec::new()], drops_empty && is_last, budget)?;
            is_first = false;
        } else {
            let body = &rest[open + 1..close];
            let sequence = sequence(body, budget)?;
            let is_set = body.iter().any(|letter| letter.is(','));
            if sequence.is_none() && !is_set {
                if comma_and_brace_follow(&rest[close + 1..]) {
                    // Bash reads `{a},b}` as a set whose first member is `a}`.
                    rest[close].quoted = true;
                    top = true;
                    continue;
                }
                return combine(&done, rest, &[Vec::new()], drops_empty, budget);
            }
            if is_first {
                drops_empty = top && sequence.is_none();
                is_first = false;
            }
            let values = match sequence {
                Some(values) => values,
                None => members(body, depth, budget)?,
            };
            done = combine(&done, &rest[..open], &values, drops_empty && is_last, budget)?;
        }
        if is_last {
            return Ok(done);
        }
        rest = &mut std::mem::take(&mut rest)[close + 1..];
    }
}

/// Expands the members of a set.
fn members(body: &[Letter], depth: usize, budget: &mut Budget) -> Result<Vec<Letters>, FsError> {
    // Each comma begins a new list.
    budget.pay_scratch(body.len() * (size_of::<Letters>() + 2 * size_of::<Letter>()))?;
    let members = split_members(body);
    if let [only] = &members[..] {
        // `{{a,b}}` is `{a}` and `{b}`.
        let mut inner = expand_letters(only.clone(), depth + 1, false, budget)?;
        for letters in &mut inner {
            budget.pay_scratch(bytes_of(letters.len() + 2))?;
            letters.insert(0, Letter::plain('{'));
            letters.push(Letter::plain('}'));
        }
        return Ok(inner);
    }
    let mut values = Vec::new();
    for member in members {
        values.extend(expand_letters(member, depth + 1, false, budget)?);
    }
    Ok(values)
}

/// Splits at commas outside of inner braces.
fn split_members(body: &[Letter]) -> Vec<Letters> {
    let mut members = vec![Vec::new()];
    let mut level = 0_usize;
    for letter in body {
        if letter.is('{') {
            level += 1;
        } else if letter.is('}') {
            level = level.saturating_sub(1);
        }
        if level == 0 && letter.is(',') {
            members.push(Vec::new());
        } else if let Some(last) = members.last_mut() {
            last.push(*letter);
        }
    }
    members
}

/// Makes `prefix + before + value` for each prefix and each value.
fn combine(
    prefixes: &[Letters],
    before: &[Letter],
    values: &[Letters],
    drops_empty: bool,
    budget: &mut Budget,
) -> Result<Vec<Letters>, FsError> {
    let mut all = Vec::new();
    for prefix in prefixes {
        for value in values {
            let len = prefix.len() + before.len() + value.len();
            if drops_empty && len == 0 {
                continue;
            }
            budget.pay_scratch(bytes_of(len))?;
            all.push([prefix, before, value].concat());
        }
    }
    Ok(all)
}

/// Tells whether a comma follows, and after it a closing brace on the same line.
fn comma_and_brace_follow(letters: &[Letter]) -> bool {
    let mut closes = false;
    for (at, letter) in letters.iter().enumerate().rev() {
        if letter.is('}') {
            closes = true;
        } else if matches!(letter.char, '\n' | '\r' | '\u{2028}' | '\u{2029}') {
            closes = false;
        } else if closes && letter.is(',') && !letters.get(at + 1).is_some_and(|next| next.is(',')) {
            return true;
        }
    }
    false
}

/// The values of `1..5` or `a..e`, with or without a step.
fn sequence(body: &[Letter], budget: &mut Budget) -> Result<Option<Vec<Letters>>, FsError> {
    let Some(sequence) = Sequence::read(body) else { return Ok(None) };
    let mut values = Vec::new();
    for at in sequence.steps() {
        // A number has at most twenty digits.
        budget.pay_scratch(bytes_of(sequence.width.max(20)))?;
        values.push(sequence.value(at));
    }
    Ok(Some(values))
}

/// A sequence of numbers or letters.
struct Sequence {
    from: i64,
    to: i64,
    step: i64,
    is_numeric: bool,
    /// The width to which numbers are padded with zeros.
    width: usize,
}

impl Sequence {
    fn read(body: &[Letter]) -> Option<Self> {
        if body.iter().any(|letter| letter.quoted) {
            return None;
        }
        let text: String = body.iter().map(|letter| letter.char).collect();
        let parts: Vec<&str> = text.split("..").collect();
        let (from, to, step) = match parts[..] {
            [from, to] => (from, to, "1"),
            [from, to, step] => (from, to, step),
            _ => return None,
        };
        let is_number = |part: &str| {
            let digits = part.strip_prefix('-').unwrap_or(part);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let letter = |part: &str| match part.as_bytes() {
            [byte] if byte.is_ascii_alphabetic() => Some(i64::from(*byte)),
            _ => None,
        };
        if !is_number(step) {
            return None;
        }
        let step = step.parse::<i64>().ok()?.saturating_abs().max(1);
        if is_number(from) && is_number(to) {
            let padded = [from, to, parts.get(2).copied().unwrap_or("")].into_iter().any(|part| {
                let digits = part.strip_prefix('-').unwrap_or(part).as_bytes();
                digits.len() > 1 && digits[0] == b'0'
            });
            let width = if padded { from.len().max(to.len()) } else { 0 };
            return Some(Self {
                from: from.parse().ok()?,
                to: to.parse().ok()?,
                step,
                is_numeric: true,
                width,
            });
        }
        Some(Self { from: letter(from)?, to: letter(to)?, step, is_numeric: false, width: 0 })
    }

    fn steps(&self) -> impl Iterator<Item = i64> + use<> {
        let (to, is_down) = (self.to, self.to < self.from);
        let signed = if is_down { -self.step } else { self.step };
        let next = move |at: &i64| {
            let next = at.checked_add(signed)?;
            (if is_down { next >= to } else { next <= to }).then_some(next)
        };
        std::iter::successors(Some(self.from), next)
    }

    fn value(&self, at: i64) -> Letters {
        if self.is_numeric {
            return format!("{at:0width$}", width = self.width).chars().map(Letter::plain).collect();
        }
        match char::from(at as u8) {
            '\\' => Vec::new(),
            char => vec![Letter::plain(char)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn patterns_expand_as_in_bash() {
        let rows: [(&str, &[&str]); 22] = [
            ("a", &["a"]),
            ("{a,b}", &["a", "b"]),
            ("x{a,b{c,d}}y", &["xay", "xbcy", "xbdy"]),
            ("{1..3}", &["1", "2", "3"]),
            ("{3..1}", &["3", "2", "1"]),
            ("{1..7..3}", &["1", "4", "7"]),
            ("{-1..1}", &["-1", "0", "1"]),
            ("{01..03}", &["01", "02", "03"]),
            ("{a..c}", &["a", "b", "c"]),
            ("{a}", &["{a}"]),
            ("{a,b", &["{a,b"]),
            ("{{a,b}}", &["{a}", "{b}"]),
            ("{a,{b,c}", &["{a,b", "{a,c"]),
            ("{a},b}", &["a}", "b"]),
            ("{},a}b", &["{},a}b"]),
            ("${a,b}c", &["${a,b}c"]),
            ("{a,b}{c,d}", &["ac", "ad", "bc", "bd"]),
            ("{a,,b}", &["a", "b"]),
            ("x{a,,b}", &["xa", "x", "xb"]),
            ("\\{a,b\\}", &["{a,b}"]),
            ("{a\\,b,c}", &["a,b", "c"]),
            ("{a,a}", &["a"]),
        ];
        for (pattern, want) in rows {
            let mut budget = Budget::new(&Limits::default());
            assert_eq!(expand(pattern, &mut budget).expect("it is small"), want, "{pattern}");
        }
    }

    #[test]
    fn what_grows_too_far_is_an_error_before_it_is_made() {
        let zeros = "0".repeat(60_000);
        let rows = [
            "{a,b}".repeat(60),
            "{1..999999999}".to_owned(),
            "{1..9223372036854775807..1}".to_owned(),
            format!("{{{zeros}1..{zeros}9}}"),
            "{a,{b,c}".repeat(2_000),
            "{a},b}".repeat(8_000),
            format!("{{{}}}", "{a,b}{c,d}{e,f},".repeat(4_000)),
            format!("{}a,b{}", "{".repeat(30_000), "}".repeat(30_000)),
        ];
        for pattern in rows {
            let mut budget = Budget::new(&Limits::default());
            let start = pattern.chars().take(30).collect::<String>();
            let refused = expand(&pattern, &mut budget).expect_err(&start);
            assert!(
                matches!(refused, FsError::PatternsTooLarge { .. } | FsError::PatternsTooSlow { .. }),
                "{start}: {refused}"
            );
        }
    }
}
