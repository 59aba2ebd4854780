//! Proposes what may follow in the `path` of a file's URI, one name at a time.
//!
//! What is typed is the path as the templates have it: without its first slash, percent-encoded. A proposal is what is
//! typed up to its last slash, as it stands, and a name of that directory behind it, encoded; the name of a directory ends
//! with a slash. Where what is typed lies in no allowed directory, the allowed directories that begin like it are proposed.
//!
//! The directory is opened like a file that is read, below the handle of an allowed directory, and what cannot be opened has
//! no proposals: one that is outside looks like one that is not there. All of its names are looked at once, as those that
//! match may be anywhere among them, and some of the matching ones are held.

use super::as_node::media::encoded;
use super::error::FsError;
use super::file_uri::MAX_URI_BYTES;
use super::sandbox::access::Sandbox;
use super::sandbox::listing::{self, Entry, Kind, LIST};
use super::sandbox::target::Target;
use crate::server::Completions;
use crate::tools::client_roots::decode_path;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Stat};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Matching names that are held: several times as many as are proposed, as some may be left out.
const HELD_BYTES: usize = 64 * 1024;
/// An entry beside its name, in a list that may be half empty.
const ENTRY_BYTES: usize = 64;
/// All proposals together. Each repeats what was typed, which may be long.
const PROPOSED_BYTES: usize = 64 * 1024;

/// What is typed of a path.
#[derive(Debug, PartialEq, Eq)]
struct Typed<'t> {
    /// As it stands, up to its last slash and with it.
    lead: &'t str,
    /// The directory that this means, absolute. It may have `..` in it.
    directory: Vec<u8>,
    /// What the name begins with.
    begins: Vec<u8>,
}

impl<'t> Typed<'t> {
    /// `None` where no path of this machine begins so, or one that is too long.
    fn parse(typed: &'t str) -> Option<Self> {
        // What is behind these is no part of a path.
        if typed.len() > MAX_URI_BYTES || typed.contains(['?', '#']) {
            return None;
        }
        let (lead, name) = typed.split_at(typed.rfind('/').map_or(0, |slash| slash + 1));
        let directory = [b"/", &decode_path(lead.trim_start_matches('/'))?[..]].concat();
        Some(Self { lead, directory, begins: decode_path(name)? })
    }
}

/// Proposes how a path goes on.
///
/// # Errors
/// When nobody waits for the answer any more.
pub(super) fn complete(sandbox: &Sandbox, typed: &str) -> Result<Completions, FsError> {
    let Some(typed) = Typed::parse(typed) else { return Ok(Completions::default()) };
    let opened = sandbox.resolve_absolute(&typed.directory).and_then(|target| {
        let directory = target.open(LIST).map_err(|errno| FsError::os(errno, "scandir", target.path()))?;
        Ok((directory, target))
    });
    let listed = opened.and_then(|(directory, target)| names(sandbox, &directory, &target, &typed));
    match listed {
        Err(error @ FsError::Cancelled(_)) => Err(error),
        Err(_) => Ok(allowed(sandbox, &typed)),
        listed => listed,
    }
}

/// The allowed directories that begin like what is typed.
fn allowed(sandbox: &Sandbox, typed: &Typed<'_>) -> Completions {
    let begins = [&typed.directory[..], &typed.begins].concat();
    let slashes = typed.lead.len() - typed.lead.trim_start_matches('/').len();
    let slashes = &typed.lead[..slashes];
    let mut proposals = Proposals::default();
    let mut sorted = BTreeSet::new();
    sandbox.directories().each_listed(|path| {
        if let Some(path) = path.strip_prefix(b"/").filter(|_| path.starts_with(&begins)) {
            sorted.insert(format!("{slashes}{}/", encoded(path)));
        }
    });
    let total = sorted.len();
    for directory in sorted {
        proposals.push(directory);
    }
    proposals.of(total as u64)
}

/// The names of a directory that begin like what is typed, in byte order.
fn names(
    sandbox: &Sandbox,
    directory: &OwnedFd,
    target: &Target,
    typed: &Typed<'_>,
) -> Result<Completions, FsError> {
    let matching = Cell::new(0_u64);
    let matches = |name: &[u8]| {
        let matches = name.starts_with(&typed.begins);
        matching.set(matching.get() + u64::from(matches));
        matches
    };
    let part = listing::first_wanted(directory, (HELD_BYTES, ENTRY_BYTES), matches, || sandbox.spend(0));
    let part =
        part.map_err(|ended| ended.unwrap_or_else(|errno| FsError::os(errno, "scandir", target.path())))?;
    let mut proposals = Proposals::default();
    let mut left_out = 0;
    for entry in &part.entries {
        if proposals.is_full() {
            break;
        }
        sandbox.spend(1)?;
        match kind(sandbox, directory, target, entry) {
            Some(FileType::Directory) => {
                proposals.push(format!("{}{}/", typed.lead, encoded(&entry.name)));
            }
            Some(FileType::RegularFile) => proposals.push(format!("{}{}", typed.lead, encoded(&entry.name))),
            // What cannot be read is no resource: pipes, and links that lead out.
            _ => left_out += 1,
        }
    }
    Ok(proposals.of(matching.get() - left_out))
}

/// What an entry is; of a link, what it leads to. `None` for one that leads outside or nowhere.
fn kind(sandbox: &Sandbox, directory: &OwnedFd, target: &Target, entry: &Entry) -> Option<FileType> {
    let of = |stat: Stat| FileType::from_raw_mode(stat.st_mode);
    match entry.kind {
        Kind::Directory => Some(FileType::Directory),
        Kind::Link => rustix::fs::fstat(sandbox.follow(target, &entry.name).ok()?).ok().map(of),
        Kind::Other => rustix::fs::statat(directory, &entry.name[..], AtFlags::SYMLINK_NOFOLLOW).ok().map(of),
    }
}

/// Proposals, as many as an answer may have.
#[derive(Debug, Default)]
struct Proposals {
    values: Vec<String>,
    bytes: usize,
}

impl Proposals {
    fn is_full(&self) -> bool {
        self.values.len() >= Completions::MAX_VALUES || self.bytes >= PROPOSED_BYTES
    }

    fn push(&mut self, value: String) {
        if !self.is_full() {
            self.bytes += value.len();
            self.values.push(value);
        }
    }

    /// These of so many.
    fn of(self, total: u64) -> Completions {
        Completions { values: self.values, total: Some(total) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file_uri::MAX_URI_BYTES;
    use super::Typed;

    #[test]
    fn what_is_typed_is_a_directory_and_the_begin_of_a_name() {
        for (typed, lead, directory, begins) in [
            ("", "", "/", ""),
            ("a", "", "/", "a"),
            ("a/", "a/", "/a/", ""),
            ("a/b", "a/", "/a/", "b"),
            ("//a//b", "//a//", "/a//", "b"),
            ("/a", "/", "/", "a"),
            ("a%20b/c%C3%A9", "a%20b/", "/a b/", "cé"),
            ("a b/é", "a b/", "/a b/", "é"),
            ("a/..", "a/", "/a/", ".."),
            ("%2e%2E/x", "%2e%2E/", "/../", "x"),
        ] {
            let want = Typed { lead, directory: directory.into(), begins: begins.into() };
            assert_eq!(Typed::parse(typed), Some(want), "{typed}");
        }
        let long = "a".repeat(MAX_URI_BYTES + 1);
        for typed in ["a?b", "a#b", "a%", "a%4", "a%zz", "a%2Fb", "a%00", "a\0", "a%/b", &long] {
            assert_eq!(Typed::parse(typed), None, "{typed:?}");
        }
    }
}
