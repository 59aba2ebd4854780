//! Brace expansion of patterns: `a{b,c{d,e}}` and `{01..10..3}` into the patterns they stand for.
//!
//! The rules are Bash's, with the corner cases as the reference server answers them. Bounds instead of
//! errors: an expansion that grows too far is cut, one nested too deep stays as it is written.

/// Most patterns that one expands to; what comes after is left out.
const MAX_PATTERNS: usize = 10_000;

/// Most characters of all patterns together.
const MAX_CHARS: usize = 1_000_000;

/// How deep braces may nest; deeper ones are ordinary characters.
const MAX_DEPTH: usize = 64;

/// Characters that may be looked at before the rest is taken as written.
const MAX_STEPS: usize = 2_000_000;

/// A character, and whether a backslash took its meaning away.
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

/// The patterns that `pattern` stands for, without repetitions, in order.
pub(super) fn expand(pattern: &str) -> Vec<String> {
    if !has_pair(pattern) {
        return vec![pattern.to_owned()];
    }
    let mut letters = quoted(pattern);
    // Bash leaves a leading `{}` alone.
    if letters.len() >= 2 && letters[0].is('{') && letters[1].is('}') {
        letters[0].quoted = true;
        letters[1].quoted = true;
    }
    let mut steps = MAX_STEPS;
    let mut patterns: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for letters in expand_letters(letters, 0, true, &mut steps) {
        let text: String = letters.iter().map(|letter| letter.char).collect();
        if seen.insert(text.clone()) {
            patterns.push(text);
        }
    }
    patterns
}

/// Whether an opening brace is followed, on its line, by a closing one with no other in between.
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

/// Takes backslashes in front of what matters here into account; others stay.
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

/// Where the first pair of braces begins and ends; braces without a partner do not count.
fn first_pair(letters: &[Letter], steps: &mut usize) -> Option<(usize, usize)> {
    *steps = steps.saturating_sub(letters.len());
    if *steps == 0 {
        return None;
    }
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

fn expand_letters(mut rest: Letters, depth: usize, mut top: bool, steps: &mut usize) -> Vec<Letters> {
    let mut done: Vec<Letters> = vec![Vec::new()];
    let mut drops_empty = false;
    let mut is_first = true;
    loop {
        let pair = if depth > MAX_DEPTH { None } else { first_pair(&rest, steps) };
        let Some((open, close)) = pair else {
            return combine(&done, &rest, &[Vec::new()], drops_empty);
        };
        let before = &rest[..open];
        let body = &rest[open + 1..close];
        let after = rest[close + 1..].to_vec();
        let is_last = after.is_empty();
        if before.last().is_some_and(|letter| letter.is('$')) {
            done = combine(&done, &rest[..=close], &[Vec::new()], drops_empty && is_last);
            is_first = false;
        } else {
            let sequence = sequence(body);
            let is_set = body.iter().any(|letter| letter.is(','));
            if sequence.is_none() && !is_set {
                if comma_and_brace_follow(&after) {
                    // Bash reads `{a},b}` as a set whose first member is `a}`.
                    rest[close].quoted = true;
                    top = true;
                    continue;
                }
                return combine(&done, &rest, &[Vec::new()], drops_empty);
            }
            if is_first {
                drops_empty = top && sequence.is_none();
                is_first = false;
            }
            let values = sequence.unwrap_or_else(|| members(body, depth, steps));
            done = combine(&done, before, &values, drops_empty && is_last);
        }
        if is_last {
            return done;
        }
        rest = after;
    }
}

/// What the members of a set stand for.
fn members(body: &[Letter], depth: usize, steps: &mut usize) -> Vec<Letters> {
    let members = split_members(body);
    if let [only] = &members[..] {
        // `{{a,b}}` is `{a}` and `{b}`.
        let inner = expand_letters(only.clone(), depth + 1, false, steps);
        return inner
            .into_iter()
            .map(|mut letters| {
                letters.insert(0, Letter::plain('{'));
                letters.push(Letter::plain('}'));
                letters
            })
            .collect();
    }
    let mut values = Vec::new();
    for member in members {
        values.extend(expand_letters(member, depth + 1, false, steps));
        if values.len() > MAX_PATTERNS {
            break;
        }
    }
    values
}

/// Splits at the commas that are not inside a pair of braces.
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

/// `prefix + before + value` for each of both, within the bounds.
fn combine(prefixes: &[Letters], before: &[Letter], values: &[Letters], drops_empty: bool) -> Vec<Letters> {
    let mut all = Vec::new();
    let mut chars = 0;
    for prefix in prefixes {
        for value in values {
            let len = prefix.len() + before.len() + value.len();
            if drops_empty && len == 0 {
                continue;
            }
            if all.len() >= MAX_PATTERNS || chars + len > MAX_CHARS {
                return all;
            }
            chars += len;
            all.push([prefix, before, value].concat());
        }
    }
    all
}

/// Whether a comma, and behind it on its line a closing brace, come later.
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

/// The values of `1..5`, `a..e`, either with a step.
fn sequence(body: &[Letter]) -> Option<Vec<Letters>> {
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
        let value = |number: i64| format!("{number:0width$}").chars().map(Letter::plain).collect();
        return Some(steps(from.parse().ok()?, to.parse().ok()?, step).map(value).collect());
    }
    let value = |code: i64| match char::from(code as u8) {
        '\\' => Vec::new(),
        char => vec![Letter::plain(char)],
    };
    Some(steps(letter(from)?, letter(to)?, step).map(value).collect())
}

fn steps(from: i64, to: i64, step: i64) -> impl Iterator<Item = i64> {
    let signed = if to < from { -step } else { step };
    let next = move |at: &i64| {
        let next = at.checked_add(signed)?;
        (if to < from { next >= to } else { next <= to }).then_some(next)
    };
    std::iter::successors(Some(from), next).take(MAX_PATTERNS)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(expand(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn expansion_is_bounded() {
        assert!(expand(&"{a,b}".repeat(60)).len() <= MAX_PATTERNS);
        assert!(expand(&format!("{}a,b{}", "{".repeat(5_000), "}".repeat(5_000))).len() <= MAX_PATTERNS);
        assert!(expand("{1..999999999}").len() <= MAX_PATTERNS);
        assert!(expand(&"{a,{b,c}".repeat(2_000)).len() <= MAX_PATTERNS);
    }
}
