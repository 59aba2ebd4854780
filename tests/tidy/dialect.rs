//! Words that only this project understood, and what to say instead.
//!
//! A reader who knows tokio and serde should understand each name and each comment without looking anything up. The
//! words are looked for whole: in names, where `_` and capitals divide them, and in comments, across their lines.

use crate::source::{Breach, Source, each_token, ident, line_of};
use proc_macro2::TokenTree;
use std::collections::BTreeMap;

/// Words of names and of comments, in all their forms, and what to say.
const ANYWHERE: [(&[&str], &str); 10] = [
    (&["judge", "judges", "judged", "judging"], "check"),
    (&["knock", "knocks"], "credentials"),
    (&["turn away", "turns away", "turned away", "turning away"], "reject"),
    (&["surroundings"], "the origin of a frame"),
    (&["telling", "tellings"], "notification, or report"),
    (&["keeper", "keepers"], "housekeeper"),
    (&["attendants"], "background tasks"),
    (&["speaker", "speakers"], "peer"),
    (&["looks after", "look after", "looked after", "looking after"], "maintain"),
    (&["looking on"], "observe"),
];
/// Words that are plain in a sentence and a riddle in a name.
const IN_NAMES: [(&[&str], &str); 3] = [
    (&["offers"], "families"),
    (&["told memory"], "memory report"),
    (&["conversation"], "protocol, or session"),
];
/// Whole names of types.
const TYPES: [(&str, &str); 8] = [
    ("Fading", "Decayed"),
    ("Given", "what it is: `Cli`, `Arguments`"),
    ("Ground", "what it is"),
    ("Home", "what it is"),
    ("Past", "History"),
    ("Place", "Entry, Slot, or Position"),
    ("Steady", "Hysteresis"),
    ("Word", "Signal"),
];
/// Turns of phrase.
const IN_COMMENTS: [(&[&str], &str); 4] = [
    (&["is another one", "are other ones"], "changed"),
    (&["told of", "tells of", "tell of"], "notified of, or reported"),
    (&["held to", "held against"], "checked against"),
    (&["a home for", "home of its own"], "storage for"),
];

pub(crate) fn dialect(source: &Source) -> Vec<Breach> {
    if source.path.starts_with("tests/tidy/dialect") {
        return Vec::new(); // it has to name them
    }
    let mut breaches = names(source);
    breaches.extend(comments(source));
    breaches
}

/// Each name once, where it stands first.
fn names(source: &Source) -> Vec<Breach> {
    let mut found = BTreeMap::new();
    each_token(source.tokens.clone(), &mut |level, index| {
        let Some(name) = ident(level.get(index)) else { return };
        let is_definition = || index.checked_sub(1).is_some_and(|before| defines_type(&level[before]));
        let whole = TYPES.iter().find(|(whole, _)| *whole == name && is_definition()).map(|(_, say)| *say);
        if let Some(say) = whole.or_else(|| plain(&parts(&name))) {
            found.entry(name).or_insert((line_of(&level[index]), say));
        }
    });
    found.into_iter().map(|(name, (line, say))| source.breach(line, format!("`{name}`: say {say}"))).collect()
}

fn defines_type(token: &TokenTree) -> bool {
    let keyword = ident(Some(token)).unwrap_or_default();
    matches!(keyword.as_str(), "struct" | "enum" | "trait" | "type" | "union")
}

/// The words of a name: `turn_away` and `TurnAway` are two.
fn parts(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for sign in name.chars() {
        if sign == '_' || sign.is_uppercase() && was_small {
            words.push(String::new());
        }
        was_small = sign.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| sign != '_') {
            word.extend(sign.to_lowercase());
        }
    }
    words
}

fn comments(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for block in blocks(&comment_lines(source)) {
        let words: Vec<String> = block.iter().map(|(_, word)| word.clone()).collect();
        for at in 0..words.len() {
            let found = ANYWHERE.iter().chain(&IN_COMMENTS).find_map(|(forms, say)| {
                forms.iter().find(|form| begins(&words[at..], form)).map(|form| (form, say))
            });
            if let Some((form, say)) = found {
                breaches.push(source.breach(block[at].0, format!("\"{form}\": say {say}")));
            }
        }
    }
    breaches
}

/// What to say instead of the words of a name.
fn plain(words: &[String]) -> Option<&'static str> {
    let mut entries = ANYWHERE.iter().chain(&IN_NAMES);
    let stands = |form: &&str| (0..words.len()).any(|at| begins(&words[at..], form));
    entries.find(|(forms, _)| forms.iter().any(stands)).map(|(_, say)| *say)
}

fn begins(words: &[String], form: &str) -> bool {
    let mut words = words.iter();
    form.split(' ').all(|part| words.next().is_some_and(|word| word == part))
}

/// What the comments of each line say, by line.
fn comment_lines(source: &Source) -> BTreeMap<usize, String> {
    let mut texts: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    let lines: Vec<&str> = source.text.lines().collect();
    each_token(source.tokens.clone(), &mut |level, index| {
        let TokenTree::Literal(literal) = &level[index] else { return };
        let (start, end) = (literal.span().start(), literal.span().end());
        for line in start.line..=end.line {
            let from = if line == start.line { start.column } else { 0 };
            let to = if line == end.line { end.column } else { usize::MAX };
            let is_documentation =
                || lines.get(start.line - 1).is_some_and(|text| starts_comment(text, start.column));
            if !is_documentation() {
                texts.entry(line).or_default().push((from, to));
            }
        }
    });
    let mut comments = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let literals = texts.get(&(index + 1)).map(Vec::as_slice).unwrap_or_default();
        let outside = |at: &usize| {
            let column = line[..*at].chars().count();
            !literals.iter().any(|(from, to)| (*from..*to).contains(&column))
        };
        if let Some(at) = line.match_indices("//").map(|(at, _)| at).find(outside) {
            comments.insert(index + 1, line[at..].trim_start_matches(['/', '!']).to_owned());
        }
    }
    comments
}

fn starts_comment(line: &str, column: usize) -> bool {
    line.chars().skip(column).take(2).eq("//".chars())
}

/// The words of comments that stand on lines that follow each other, each with its line.
fn blocks(comments: &BTreeMap<usize, String>) -> Vec<Vec<(usize, String)>> {
    let mut blocks: Vec<Vec<(usize, String)>> = Vec::new();
    let mut last = 0;
    for (line, text) in comments {
        if *line != last + 1 || blocks.is_empty() {
            blocks.push(Vec::new());
        }
        last = *line;
        let words = text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty());
        if let Some(block) = blocks.last_mut() {
            block.extend(words.flat_map(parts).map(|word| (*line, word)));
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        dialect(&Source::sample("src/wire/sample.rs", text)).len()
    }

    #[test]
    fn a_word_of_the_dialect_is_found_in_names_and_comments() {
        for text in [
            "fn judge() {}",
            "struct Knock;",
            "fn turn_away() {}",
            "enum E { TurnedAway }",
            "struct S { told_memory: u8 }",
            "const KEEPS_A_TELLING: u8 = 1;",
            "fn f() { let speaker = 1; }",
            "macro_rules! m { () => { speaker } }",
            "struct Place;",
            "/// Judges it.\nfn f() {}",
            "//! Nobody is turned\n//! away.",
            "fn f() {} // The list is another one.",
            "fn f() { let x = \"//\"; /* */ } // the keeper",
            "fn f() {\n    // Looks after the server.\n    g();\n}",
            "/// See `turn_away`.\nfn f() {}",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
    }

    #[test]
    fn innocent_uses_are_free() {
        for text in [
            "/// The client offers directories and was told to stop.\nfn offered() {}",
            "fn f() { let text = \"judge // knock\"; }",
            "/// Looks\n\n/// after that.\nfn f() {}",
            "struct Judgement; struct Placed; fn place() {}",
            "fn f(place: Place) -> Option<Word> {}",
            "// Standard input.\nfn standard_input() {}",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }
}
