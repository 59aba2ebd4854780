//! What a `robots.txt` lets a robot fetch (RFC 9309), in the reading of the reference server's parser.
//!
//! It is a hundred lines of our own. Of the two crates for this, one can be made to panic, and to take a gigabyte, by the
//! file that it reads, and the other is not maintained any more; neither reads the names of agents as the reference does.

use memchr::memmem;
use std::borrow::Cow;

/// Longest file that is read; what comes later does not count.
pub(crate) const MAX_ROBOTS_BYTES: usize = 512 * 1024;

const DISALLOW: [&str; 6] = ["disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"];
const USER_AGENT: [&str; 3] = ["user-agent", "useragent", "user agent"];
/// Lines that belong to no agent, and so end no list of agents.
const SITE_WIDE: [&str; 4] = ["sitemap", "sitemaps", "site-map", "host"];

/// A line that says something.
enum Line<'t> {
    Agent(&'t str),
    Rule { allows: bool, pattern: &'t str },
    Other,
}

/// Whether `agent` may fetch `path`, with its query, as `text` says.
pub(crate) fn allows(text: &str, agent: &str, path: &str) -> bool {
    if path == "/robots.txt" || path.starts_with("/robots.txt?") {
        return true;
    }
    let agent = agent.to_ascii_lowercase();
    let names = lines(text).filter_map(|line| match line {
        Line::Agent(name) => Some((score(name, &agent), name)),
        _ => None,
    });
    // The first of several that fit as well, as for the reference.
    let best = names.fold(None, |best: Option<(usize, &str)>, named| match best {
        Some(best) if best.0 >= named.0 => Some(best),
        _ => Some(named),
    });
    match best {
        Some((1.., name)) => allows_for(text, &normal_name(name), &normal(path, false)),
        _ => true,
    }
}

/// Whether the rules for the agent `name` allow `path`: those of the longest pattern, and of two as long the one that
/// allows.
fn allows_for(text: &str, name: &str, path: &[u8]) -> bool {
    let (mut is_listed, mut in_rules) = (false, false);
    let mut strongest = (0, true);
    for line in lines(text) {
        match line {
            Line::Agent(listed) => {
                is_listed = (is_listed && !in_rules) || normal_name(listed) == name;
                in_rules = false;
            }
            Line::Other => in_rules = true,
            Line::Rule { allows, pattern } => {
                in_rules = true;
                if is_listed && !pattern.is_empty() {
                    let pattern = normal(pattern, true);
                    if matches(&pattern, path) {
                        strongest = strongest.max((pattern.len(), allows));
                    }
                }
            }
        }
    }
    strongest.1
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (field, value) = line.split_once(':').or_else(|| line.split_once(char::is_whitespace))?;
        let field = field.trim();
        let is_one_of = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(field));
        let value = value.trim();
        if is_one_of(&SITE_WIDE) {
            return None;
        }
        let allows = is_one_of(&["allow"]);
        Some(if is_one_of(&USER_AGENT) {
            Line::Agent(value)
        } else if allows || is_one_of(&DISALLOW) {
            Line::Rule { allows, pattern: value }
        } else {
            Line::Other
        })
    })
}

/// How well a name fits `agent`, which is in small letters: by its length, where a word of the agent begins with it.
fn score(name: &str, agent: &str) -> usize {
    let name = normal_name(name);
    if name.is_empty() || name == "*" {
        return name.len();
    }
    let is_inside = |sign: char| sign.is_alphanumeric() || sign == '-' || sign == '_';
    let mut found = agent.match_indices(&*name);
    let begins_word = found.any(|(at, _)| !agent[..at].chars().next_back().is_some_and(is_inside));
    if begins_word { name.len() } else { 0 }
}

/// A name in small letters, without the wildcards that some put behind it.
fn normal_name(name: &str) -> Cow<'_, str> {
    if name == "*" {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace('*', "").to_ascii_lowercase())
}

/// A path or a pattern in one spelling: what needs no escape has none, and all else has one. In a pattern, `*` and a last
/// `$` stay what they are.
fn normal(text: &str, is_pattern: bool) -> Vec<u8> {
    let anchored = is_pattern && text.ends_with('$');
    let text = if anchored { &text[..text.len() - 1] } else { text };
    let mut normal = Vec::with_capacity(text.len() + 1);
    if is_pattern && text.contains("://") {
        normal.push(b'/');
    }
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, escaped, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (digit(*high) * 16 + digit(*low), true, after)
            }
            _ => (*first, false, after),
        };
        rest = after;
        let stays = match byte {
            b'/' | b'%' => !escaped,
            b'*' => !escaped && is_pattern,
            b'=' | b'-' | b'.' | b'_' | b'~' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if stays {
            normal.push(byte);
        } else {
            let hex = |digit: u8| b"0123456789ABCDEF"[usize::from(digit)];
            normal.extend([b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    if anchored {
        normal.push(b'$');
    }
    normal
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

/// Whether a pattern fits the start of `path`, or all of it if it ends with `$`. Each part between wildcards is looked for
/// once, behind the one before.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (pattern, anchored) = match pattern.strip_suffix(b"$") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let parts: Vec<&[u8]> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return !anchored || rest.is_empty() };
    for part in between {
        match memmem::find(rest, part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    if anchored { rest.ends_with(last) } else { memmem::find(rest, last).is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str =
        "ModelContextProtocol/1.0 (Autonomous; +https://github.com/modelcontextprotocol/servers)";

    #[test]
    fn rules_are_read_as_the_reference_reads_them() {
        for (text, path, want) in [
            ("", "/x", true),
            ("User-agent: *\nDisallow: /", "/x", false),
            ("User-agent: *\nDisallow:", "/x", true),
            ("User-agent: *\nDisallow: /\nAllow: /x", "/x", true),
            ("User-agent: *\nDisallow: /\nAllow: /x", "/y", false),
            ("User-agent: *\nAllow: /x\nDisallow: /x", "/x", true),
            ("User-agent: *\nDisallow: /x\nAllow: /x", "/x", true),
            ("User-agent: *\nDisallow: /x", "/xyz", false),
            ("User-agent: *\nDisallow: /x$", "/xyz", true),
            ("User-agent: *\nDisallow: /x$", "/x", false),
            ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf", false),
            ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf?x", true),
            ("User-agent: *\nDisallow: /*.pdf", "/a/b.pdf?x", false),
            ("User-agent: *\nDisallow: /a*b*c", "/aXbYc", false),
            ("User-agent: *\nDisallow: /a*b*c", "/aXcYb", true),
            ("User-agent: *\nDisallow: *", "/", false),
            ("User-agent: *\nDisallow: /a*$", "/abc", false),
            ("User-agent: *\nDisallow: /?q=", "/?q=1", false),
            ("User-agent: *\nDisallow: /caf\u{e9}", "/caf%C3%A9", false),
            ("User-agent: *\nDisallow: /caf%c3%a9", "/caf%C3%A9", false),
            ("User-agent: *\nDisallow: /%7Ejoe", "/~joe", false),
            ("User-agent: *\nDisallow: /a%2Fb", "/a/b", true),
            ("User-agent: *\nDisallow: /", "/robots.txt", true),
            ("User-agent: modelcontextprotocol\nDisallow: /", "/x", false),
            ("User-agent: ModelContext*\nDisallow: /", "/x", false),
            ("User-agent: contextprotocol\nDisallow: /", "/x", true),
            ("User-agent: Autonomous\nDisallow: /", "/x", false),
            ("User-agent: other\nDisallow: /", "/x", true),
            ("User-agent: *\nDisallow: /\n\nUser-agent: modelcontextprotocol\nDisallow: /y", "/x", true),
            ("User-agent: other\nUser-agent: *\nDisallow: /", "/x", false),
            ("User-agent: *\nDisallow: /y\nUser-agent: other\nDisallow: /", "/x", true),
            (
                "User-agent: *\nDisallow: /y\nUser-agent: other\nDisallow: /z\nUser-agent: *\nDisallow: /x",
                "/x",
                false,
            ),
            ("User-agent: *\nSitemap: /s\nUser-agent: other\nDisallow: /", "/x", false),
            ("User-agent: *\nCrawl-delay: 1\nUser-agent: other\nDisallow: /", "/x", true),
            ("Disallow: /", "/x", true),
            ("User-agent *\nDisallow /", "/x", false),
            ("USER-AGENT : *\n DISALLOW : / # all", "/x", false),
            ("# User-agent: *\n# Disallow: /", "/x", true),
            ("User-agent: *\r\nDisalow: /\r\n", "/x", false),
            ("<html><body>Not found: /</body></html>", "/x", true),
        ] {
            assert_eq!(allows(text, AGENT, path), want, "{text:?} {path}");
        }
    }

    /// Neither deep wildcards nor many rules take more than a moment, and no byte ends the process.
    #[test]
    fn a_hostile_file_is_read_to_its_end() {
        let path = format!("/{}", "a".repeat(8_000));
        let deep = format!("User-agent: *\nDisallow: /{}b\n", "*a".repeat(200_000));
        assert!(allows(&deep, AGENT, &path));
        let many = format!("User-agent: *\n{}", "Disallow: /*a*b\n".repeat(30_000));
        assert!(allows(&many, AGENT, &path));
        let odd: String = (0..200_000).filter_map(|code| char::from_u32(code % 0x3000)).collect();
        assert!(allows(&format!("User-agent: *\nDisallow: /{odd}"), AGENT, "/%"));
        assert!(allows(&"User-agent:".repeat(40_000), AGENT, "/"));
    }
}
