//! The bracket expressions of patterns: `[a-z_]`, `[!0-9]`, `[[:upper:]é]`.

use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

/// The set of characters of a bracket expression.
#[derive(Debug, Default)]
pub(crate) struct Class {
    negated: bool,
    ranges: Vec<(u32, u32)>,
    named: Vec<Named>,
    /// Whether `[:graph:]` is in it, which is defined by what it excludes.
    graphic: bool,
    by_chars: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Alnum,
    Alpha,
    Ascii,
    Blank,
    Cntrl,
    Digit,
    Graph,
    Lower,
    Print,
    Punct,
    Space,
    Upper,
    Word,
    Xdigit,
}

const NAMES: [(&str, Named); 14] = [
    ("[:alnum:]", Named::Alnum),
    ("[:alpha:]", Named::Alpha),
    ("[:ascii:]", Named::Ascii),
    ("[:blank:]", Named::Blank),
    ("[:cntrl:]", Named::Cntrl),
    ("[:digit:]", Named::Digit),
    ("[:graph:]", Named::Graph),
    ("[:lower:]", Named::Lower),
    ("[:print:]", Named::Print),
    ("[:punct:]", Named::Punct),
    ("[:space:]", Named::Space),
    ("[:upper:]", Named::Upper),
    ("[:word:]", Named::Word),
    ("[:xdigit:]", Named::Xdigit),
];

impl Class {
    /// Reads the bracket expression that `text` begins with, and its length; `None` where it is not
    /// closed, so that the bracket stands for itself.
    pub(crate) fn read(text: &[u32]) -> Option<(Self, usize)> {
        let is = |at: usize, char: char| text.get(at) == Some(&u32::from(char));
        let mut class = Self { negated: is(1, '!') || is(1, '^'), ..Self::default() };
        let mut at = if class.negated { 2 } else { 1 };
        let mut range_start: Option<u32> = None;
        let (mut escaped, mut is_first) = (false, true);
        while at < text.len() {
            if is(at, ']') && !is_first && !escaped {
                // An expression without any character spoils all that follows it.
                let len = if class.is_nothing() { text.len() } else { at + 1 };
                return Some((class, len));
            }
            is_first = false;
            if is(at, '\\') && !escaped {
                escaped = true;
                at += 1;
                continue;
            }
            if is(at, '[')
                && !escaped
                && let Some((name, named)) = name_at(&text[at..])
            {
                if range_start.is_some() {
                    return Some((Self::default(), text.len()));
                }
                class.add_named(named);
                at += name.len();
                continue;
            }
            escaped = false;
            let unit = text[at];
            if let Some(start) = range_start.take() {
                if start <= unit {
                    class.ranges.push((start, unit));
                }
                at += 1;
            } else if is(at + 1, '-') && is(at + 2, ']') {
                class.ranges.extend([(unit, unit), (u32::from('-'), u32::from('-'))]);
                at += 2;
            } else if is(at + 1, '-') {
                range_start = Some(unit);
                at += 2;
            } else {
                class.ranges.push((unit, unit));
                at += 1;
            }
        }
        None
    }

    /// How many characters and ranges a unit is compared with.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len() + self.named.len() + 1
    }

    /// Heap bytes.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<(u32, u32)>() + self.named.capacity() * size_of::<Named>()
    }

    /// Whether names must be matched by characters instead of UTF-16 units.
    pub(crate) fn by_chars(&self) -> bool {
        self.by_chars
    }

    pub(crate) fn has(&self, unit: u32) -> bool {
        let listed = !self.ranges.is_empty() || !self.named.is_empty();
        let is_listed = || {
            self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&unit))
                || self.named.iter().any(|named| named.has(unit))
        };
        (listed && is_listed() != self.negated) || (self.graphic && Named::Graph.has(unit) != self.negated)
    }

    fn is_nothing(&self) -> bool {
        self.ranges.is_empty() && self.named.is_empty() && !self.graphic
    }

    fn add_named(&mut self, named: Named) {
        self.by_chars |= !matches!(named, Named::Ascii | Named::Xdigit);
        if named == Named::Graph {
            self.graphic = true;
        } else {
            self.named.push(named);
        }
    }
}

fn name_at(text: &[u32]) -> Option<(&'static str, Named)> {
    NAMES.into_iter().find(|(name, _)| {
        text.len() >= name.len() && name.bytes().zip(text).all(|(byte, unit)| u32::from(byte) == *unit)
    })
}

impl Named {
    fn has(self, unit: u32) -> bool {
        let Some(char) = char::from_u32(unit) else { return false };
        let category = char.general_category();
        let is_letter = matches!(
            category,
            Category::UppercaseLetter
                | Category::LowercaseLetter
                | Category::TitlecaseLetter
                | Category::ModifierLetter
                | Category::OtherLetter
                | Category::LetterNumber
        );
        let is_space = matches!(
            category,
            Category::SpaceSeparator | Category::LineSeparator | Category::ParagraphSeparator
        );
        let is_other = matches!(
            category,
            Category::Control
                | Category::Format
                | Category::Surrogate
                | Category::PrivateUse
                | Category::Unassigned
        );
        match self {
            Self::Alnum => is_letter || category == Category::DecimalNumber,
            Self::Alpha => is_letter,
            Self::Ascii => char.is_ascii(),
            Self::Blank => category == Category::SpaceSeparator || char == '\t',
            Self::Cntrl => category == Category::Control,
            Self::Digit => category == Category::DecimalNumber,
            Self::Graph => !is_space && !is_other,
            Self::Lower => category == Category::LowercaseLetter,
            // The reference takes these for the characters that can not be printed.
            Self::Print => is_other,
            Self::Punct => matches!(
                category,
                Category::ConnectorPunctuation
                    | Category::DashPunctuation
                    | Category::OpenPunctuation
                    | Category::ClosePunctuation
                    | Category::InitialPunctuation
                    | Category::FinalPunctuation
                    | Category::OtherPunctuation
            ),
            Self::Space => is_space || matches!(char, '\t' | '\r' | '\n' | '\x0b' | '\x0c'),
            Self::Upper => category == Category::UppercaseLetter,
            Self::Word => {
                is_letter || matches!(category, Category::DecimalNumber | Category::ConnectorPunctuation)
            }
            Self::Xdigit => char.is_ascii_hexdigit(),
        }
    }
}
