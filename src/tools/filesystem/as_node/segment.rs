//! Matches one segment of a pattern against one name.

use super::budget::{Budget, Steps};
use super::class::Class;
use crate::tools::filesystem::error::FsError;

/// The longest name in units; file systems allow 255.
const MAX_NAME: usize = 319;

/// How deep groups such as `+( )` may nest. Deeper ones are ordinary characters. The reference stops at two levels
/// beyond those that it can flatten.
const MAX_NESTING: usize = 32;

/// The most `!( )` of one segment: each looks ahead past the next, so that all are on the stack together.
const MAX_NOTS: usize = 64;

/// The most bytes that a unit of a segment becomes: a node in a list of twice its length, and what the shortest bracket
/// expression or group adds.
const UNIT_BYTES: usize = 2 * size_of::<Node>() + 48;

/// Bytes of the shortest list of nodes.
const FIRST_BYTES: usize = 4 * size_of::<Node>();

/// The part of a pattern between two slashes.
#[derive(Debug)]
pub(crate) enum Segment {
    /// `**`
    AnyDepth,
    /// Without special characters.
    Literal(Vec<u32>),
    /// `*.txt`: the end of the name. As in the reference, a backslash stands for itself here.
    Suffix(Vec<u32>),
    /// `???.txt`: the end of the name, and its length.
    SizedSuffix { units: usize, suffix: Vec<u32> },
    /// Anything else. If a bracket expression names Unicode categories, the whole segment is matched by characters,
    /// otherwise by UTF-16 units.
    Pattern { nodes: Vec<Node>, by_chars: bool },
}

#[derive(Debug)]
pub(crate) enum Node {
    Unit(u32),
    AnyUnit,
    /// Any units, at least so many.
    Star(usize),
    Class(Box<Class>),
    Group(Kind, Vec<Vec<Node>>),
}

/// The kind of a group: the character before its parenthesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    OneOrMore,
    ZeroOrMore,
    ZeroOrOne,
    Not,
}

impl Kind {
    fn of(unit: u32) -> Option<Self> {
        match char::from_u32(unit)? {
            '@' => Some(Self::One),
            '+' => Some(Self::OneOrMore),
            '*' => Some(Self::ZeroOrMore),
            '?' => Some(Self::ZeroOrOne),
            '!' => Some(Self::Not),
            _ => None,
        }
    }

    /// Tells whether a group of kind `inner` directly inside this one can be flattened into it: such nesting does not
    /// count.
    fn takes_in(self, inner: Self) -> bool {
        match self {
            Self::ZeroOrMore | Self::OneOrMore => inner != Self::Not,
            Self::One | Self::ZeroOrOne | Self::Not => matches!(inner, Self::One | Self::ZeroOrOne),
        }
    }
}

impl Segment {
    /// Compiles one segment.
    ///
    /// # Errors
    /// When it costs more than the budget allows.
    pub(crate) fn new(text: &str, budget: &mut Budget) -> Result<Self, FsError> {
        if text == "**" {
            return Ok(Self::AnyDepth);
        }
        // The shortest form stores each unit as a number.
        budget.pay_bytes(text.len() * size_of::<u32>())?;
        let is_plain = |text: &str| !text.contains(['+', '@', '!', '?', '*', '[', '(']);
        if is_plain(text) && !text.contains('\\') {
            return Ok(Self::Literal(units_of(text)));
        }
        let units = units_of(text);
        let after_stars = text.trim_start_matches('*');
        if after_stars.len() < text.len() && !after_stars.is_empty() && is_plain(after_stars) {
            return Ok(Self::Suffix(units_of(after_stars)));
        }
        let after_marks = text.trim_start_matches('?');
        if after_marks.len() < text.len() && is_plain(after_marks) {
            let suffix = units_of(after_marks);
            return Ok(Self::SizedSuffix { units: units.len(), suffix });
        }
        budget.pay_bytes(FIRST_BYTES + text.len() * UNIT_BYTES)?;
        let mut parser = Parser { text: &units, by_chars: false, nots: 0, budget };
        let nodes = parser.segment()?;
        if parser.by_chars {
            drop(nodes);
            let chars: Vec<u32> = text.chars().map(u32::from).collect();
            let nodes = Parser { text: &chars, by_chars: true, nots: 0, budget }.segment()?;
            return Ok(Self::Pattern { nodes, by_chars: true });
        }
        let literal: Option<Vec<u32>> = nodes
            .iter()
            .map(|node| match node {
                Node::Unit(unit) => Some(*unit),
                _ => None,
            })
            .collect();
        Ok(literal.map_or(Self::Pattern { nodes, by_chars: false }, Self::Literal))
    }

    /// Heap bytes.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::AnyDepth => 0,
            Self::Literal(units) | Self::Suffix(units) | Self::SizedSuffix { suffix: units, .. } => {
                units.capacity() * size_of::<u32>()
            }
            Self::Pattern { nodes, .. } => heap_bytes(nodes),
        }
    }

    /// Tells whether the segment matches a name, given in UTF-16 units. If there are too few steps, it does not match;
    /// [`Steps::check`] then fails.
    pub(crate) fn matches(&self, name: &[u32], steps: &Steps) -> bool {
        if !steps.pay(1) {
            return false;
        }
        match self {
            Self::AnyDepth => true,
            Self::Literal(literal) => literal == name,
            Self::Suffix(suffix) => name.ends_with(suffix),
            Self::SizedSuffix { units, suffix } => name.len() == *units && name.ends_with(suffix),
            Self::Pattern { .. } if name.len() > MAX_NAME => false,
            Self::Pattern { nodes, by_chars: false } => Match { name, steps }.whole(nodes),
            Self::Pattern { nodes, by_chars: true } => {
                let units = name.iter().map(|unit| *unit as u16);
                let chars: Vec<u32> =
                    char::decode_utf16(units).map(|char| char.map_or(0xfffd, u32::from)).collect();
                Match { name: &chars, steps }.whole(nodes)
            }
        }
    }
}

fn units_of(text: &str) -> Vec<u32> {
    let mut units: Vec<u32> = text.encode_utf16().map(u32::from).collect();
    units.shrink_to_fit();
    units
}

/// Parses one segment.
struct Parser<'t> {
    text: &'t [u32],
    by_chars: bool,
    /// The number of `!( )` so far.
    nots: usize,
    budget: &'t Budget,
}

/// Tracks which characters are inside brackets or after a backslash, and so begin no group.
#[derive(Default)]
struct Quoting {
    escaped: bool,
    /// Where the content of the open bracket begins, and whether it is negated.
    bracket: Option<(usize, bool)>,
}

impl Quoting {
    /// Reads the character at `at`, and tells whether it is quoted.
    fn covers(&mut self, char: u32, at: usize) -> bool {
        if self.escaped || char == u32::from('\\') {
            self.escaped = !self.escaped;
            return true;
        }
        match &mut self.bracket {
            Some((start, negated)) => {
                if at == *start {
                    *negated = char == u32::from('^') || char == u32::from('!');
                } else if char == u32::from(']') && !(at == *start + 1 && *negated) {
                    self.bracket = None;
                }
                true
            }
            None if char == u32::from('[') => {
                self.bracket = Some((at + 1, false));
                true
            }
            None => false,
        }
    }
}

impl Parser<'_> {
    fn segment(&mut self) -> Result<Vec<Node>, FsError> {
        let mut nodes = Vec::new();
        let (mut at, mut text_start) = (0, 0);
        let mut quoting = Quoting::default();
        let mut only_group_is_empty = false;
        while at < self.text.len() {
            let char = self.text[at];
            if !quoting.covers(char, at)
                && let Some(kind) = self.group_at(at)
            {
                self.text_nodes(&self.text[text_start..at], &mut nodes)?;
                text_start = at;
                match self.group(kind, at + 1, 1, 1)? {
                    Some((group, end)) => {
                        let is_whole = at == 0 && end == self.text.len();
                        only_group_is_empty = is_whole && is_empty_group(&group);
                        nodes.push(group);
                        at = end;
                        text_start = end;
                        continue;
                    }
                    // A group that is not closed is ordinary text to the end.
                    None => break,
                }
            }
            at += 1;
        }
        if only_group_is_empty {
            return Ok(self.text.iter().map(|unit| Node::Unit(*unit)).collect());
        }
        self.text_nodes(&self.text[text_start..], &mut nodes)?;
        Ok(nodes)
    }

    fn group_at(&self, at: usize) -> Option<Kind> {
        let opens = self.text.get(at + 1) == Some(&u32::from('('));
        Kind::of(self.text[at]).filter(|_| opens)
    }

    /// Parses a group whose parenthesis is at `open`. Gives its end, or `None` when it is not closed.
    fn group(
        &mut self,
        kind: Kind,
        open: usize,
        depth: usize,
        nesting: usize,
    ) -> Result<Option<(Node, usize)>, FsError> {
        if kind == Kind::Not {
            self.nots += 1;
            if self.nots > MAX_NOTS {
                return Err(FsError::TooManyNots { max: MAX_NOTS });
            }
        }
        let mut alternatives = Vec::new();
        let mut nodes = Vec::new();
        let (mut at, mut text_start) = (open + 1, open + 1);
        let mut quoting = Quoting::default();
        while at < self.text.len() {
            let char = self.text[at];
            if quoting.covers(char, at) {
                at += 1;
                continue;
            }
            let inner = self
                .group_at(at)
                .filter(|inner| nesting < MAX_NESTING && (depth <= 2 || kind.takes_in(*inner)));
            if let Some(inner) = inner {
                self.text_nodes(&self.text[text_start..at], &mut nodes)?;
                let depth = if kind.takes_in(inner) { depth } else { depth + 1 };
                let Some((group, end)) = self.group(inner, at + 1, depth, nesting + 1)? else {
                    return Ok(None);
                };
                nodes.push(group);
                at = end;
                text_start = end;
                continue;
            }
            let ends = char == u32::from(')');
            if ends || char == u32::from('|') {
                let text = &self.text[text_start..at];
                self.text_nodes(text, &mut nodes)?;
                alternatives.push(std::mem::take(&mut nodes));
                if ends {
                    // As in the reference, an empty alternative at the end makes it "not nothing".
                    let node = if kind == Kind::Not && text.is_empty() {
                        Node::Star(1)
                    } else {
                        Node::Group(kind, alternatives)
                    };
                    return Ok(Some((node, at + 1)));
                }
                text_start = at + 1;
            }
            at += 1;
        }
        Ok(None)
    }

    /// Parses text without groups.
    fn text_nodes(&mut self, text: &[u32], nodes: &mut Vec<Node>) -> Result<(), FsError> {
        self.budget.pay_steps(text.len() + 1)?;
        let mut at = 0;
        let mut in_star = false;
        while at < text.len() {
            let unit = text[at];
            at += 1;
            let was_star = std::mem::replace(&mut in_star, unit == u32::from('*'));
            match char::from_u32(unit) {
                Some('*') if was_star => {}
                Some('*') => nodes.push(Node::Star(0)),
                Some('?') => nodes.push(Node::AnyUnit),
                Some('\\') if at < text.len() => {
                    nodes.push(Node::Unit(text[at]));
                    at += 1;
                }
                Some('[') => {
                    if let Some((class, len)) = Class::read(&text[at - 1..]) {
                        self.by_chars |= class.by_chars();
                        nodes.push(Node::Class(Box::new(class)));
                        at += len - 1;
                    } else {
                        // The search for the end went through the rest, and the next bracket searches it again.
                        self.budget.pay_steps(text.len() - at)?;
                        nodes.push(Node::Unit(unit));
                    }
                }
                _ => nodes.push(Node::Unit(unit)),
            }
        }
        Ok(())
    }
}

/// Heap bytes of nodes and all below them.
#[cfg(test)]
fn heap_bytes(nodes: &Vec<Node>) -> usize {
    let below = nodes.iter().map(|node| match node {
        Node::Unit(_) | Node::AnyUnit | Node::Star(_) => 0,
        Node::Class(class) => size_of::<Class>() + class.heap_bytes(),
        Node::Group(_, alternatives) => {
            alternatives.capacity() * size_of::<Vec<Node>>()
                + alternatives.iter().map(heap_bytes).sum::<usize>()
        }
    });
    nodes.capacity() * size_of::<Node>() + below.sum::<usize>()
}

fn is_empty_group(node: &Node) -> bool {
    match node {
        Node::Group(kind, alternatives) => *kind != Kind::Not && alternatives.iter().all(Vec::is_empty),
        _ => false,
    }
}

/// A set of positions between the units of a name, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Positions([u64; MAX_NAME / 64 + 1]);

impl Positions {
    fn only(place: usize) -> Self {
        let mut places = Self::default();
        places.add(place);
        places
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn add_all(&mut self, other: Self) {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine |= other;
        }
    }

    fn count(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn has(self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn iter(self, len: usize) -> impl Iterator<Item = usize> {
        (0..=len).filter(move |place| self.has(*place))
    }
}

/// The rest of the pattern after the nodes that are being matched.
#[derive(Clone, Copy)]
struct Rest<'p> {
    nodes: &'p [Node],
    then: Option<&'p Rest<'p>>,
}

/// The matching of one name.
struct Match<'n> {
    name: &'n [u32],
    steps: &'n Steps,
}

impl Match<'_> {
    fn whole(&self, nodes: &[Node]) -> bool {
        self.follow(nodes, Positions::only(0), None).has(self.name.len())
    }

    /// The positions where the nodes may end when they begin at one of `places`.
    fn follow(&self, nodes: &[Node], mut places: Positions, then: Option<&Rest<'_>>) -> Positions {
        for (index, node) in nodes.iter().enumerate() {
            // Each node visits all positions of the name; sixteen of them cost about as much as the rest of its work.
            let cost = match node {
                Node::Class(class) => class.len() * (places.count() + 1),
                _ => 1 + self.name.len() / 16,
            };
            if places == Positions::default() || !self.steps.pay(cost) {
                return Positions::default();
            }
            let rest = Rest { nodes: &nodes[index + 1..], then };
            places = match node {
                Node::Unit(unit) => self.each(places, |at| at == *unit),
                Node::AnyUnit => self.each(places, |_| true),
                Node::Class(class) => self.each(places, |at| class.has(at)),
                Node::Star(least) => self.all_from(places.iter(self.name.len()).next().map(|at| at + least)),
                Node::Group(kind, alternatives) => self.group(*kind, alternatives, places, &rest),
            };
        }
        places
    }

    fn each(&self, places: Positions, fits: impl Fn(u32) -> bool) -> Positions {
        let mut next = Positions::default();
        for at in places.iter(self.name.len()) {
            if self.name.get(at).is_some_and(|unit| fits(*unit)) {
                next.add(at + 1);
            }
        }
        next
    }

    fn all_from(&self, first: Option<usize>) -> Positions {
        let mut places = Positions::default();
        for place in first.unwrap_or(usize::MAX)..=self.name.len() {
            places.add(place);
        }
        places
    }

    fn group(&self, kind: Kind, alternatives: &[Vec<Node>], places: Positions, rest: &Rest<'_>) -> Positions {
        let once = |places: Positions| {
            let mut next = Positions::default();
            for alternative in alternatives {
                next.add_all(self.follow(alternative, places, Some(rest)));
            }
            next
        };
        let mut reached = match kind {
            Kind::One => return once(places),
            Kind::Not => return self.not(alternatives, places, rest),
            Kind::ZeroOrOne | Kind::ZeroOrMore => places,
            Kind::OneOrMore => once(places),
        };
        loop {
            let before = reached;
            reached.add_all(once(reached));
            if reached == before || kind == Kind::ZeroOrOne {
                return reached;
            }
        }
    }

    /// Matches anything, unless an alternative and the rest of the pattern match to the end.
    fn not(&self, alternatives: &[Vec<Node>], places: Positions, rest: &Rest<'_>) -> Positions {
        let reaches_end = |alternative: &Vec<Node>, from: usize| {
            let mut places = self.follow(alternative, Positions::only(from), Some(rest));
            let mut rest = Some(rest);
            while let Some(Rest { nodes, then }) = rest {
                places = self.follow(nodes, places, *then);
                rest = *then;
            }
            places.has(self.name.len())
        };
        let first = places
            .iter(self.name.len())
            .find(|from| !alternatives.iter().any(|alternative| reaches_end(alternative, *from)));
        self.all_from(first)
    }
}
