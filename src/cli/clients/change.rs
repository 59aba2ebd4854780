//! What becomes of a file when an entry is put in or taken out: bytes in, bytes out.
//!
//! Does no IO. What a file was before its entries were put in is told by putting them into a backup once more: if that
//! gives the file byte for byte, taking the last of them out gives the backup byte for byte, and nothing of the file is
//! lost that the backup does not have.

use super::document::{Document, Spot};
use super::entry::{Field, Reach, Shape, is_of_other_way};
use super::fault::Fault;
use super::servers::ServerEntry;

/// A file and its backups, as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'b> {
    /// The file; none if it is not there.
    pub(super) file: Option<&'b [u8]>,
    /// What the file was before changes of ours, from the oldest.
    pub(super) backups: &'b [&'b [u8]],
}

/// What to do with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: it says what it should.
    None,
    /// Write these bytes; the old ones become one more backup if they `backs_up`.
    Write {
        /// The new content.
        bytes: Vec<u8>,
        /// Whether a backup is written; else the file is an earlier backup with entries of ours.
        backs_up: bool,
        /// Whether a table without servers is left.
        leaves_table: bool,
        /// Members of the entry that are gone and were the user's own, or of another way to reach the server: a backup
        /// has them.
        dropped: Vec<String>,
    },
    /// Put the backup of this content in its place: it is the file without the entry.
    Restore(Vec<u8>),
    /// Remove it: there is nothing else in it, and there was no file before.
    Remove,
}

/// Why nothing is changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The file cannot be read or changed.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The entry is not of this program.
    #[error("it is of another program")]
    Foreign {
        /// What it starts or asks, if that is known.
        reach: Option<Reach>,
    },
}

/// Puts an entry in.
///
/// # Errors
/// When the file is broken, and when an entry of another program has the name, unless `is_forced`.
pub(super) fn install(
    spot: Spot<'_>,
    before: Before<'_>,
    reach: &Reach,
    shape: Shape,
    is_forced: bool,
) -> Result<Change, Refusal> {
    let fields = reach.fields(shape);
    let document = Document::read(spot, before.file.unwrap_or_default())?;
    let entry = document.entry();
    if entry.is_some_and(|entry| says(entry, &fields)) {
        return Ok(Change::None);
    }
    let found = document.reach();
    let base = Base::of(&document, before, shape);
    let is_ours = is_ours(found.as_ref(), base.as_ref(), spot.name);
    if entry.is_some() && !is_ours && !is_forced {
        return Err(Refusal::Foreign { reach: found });
    }
    let keeps = entry.is_none() || is_ours;
    let bytes = match &base {
        Some(base) => base.with(spot, reach, shape)?,
        None => document.set(&fields, keeps)?,
    };
    let backs_up = base.is_none() && before.file.is_some();
    let members = entry.and_then(serde_json::Value::as_object).filter(|_| keeps);
    let dropped = members.into_iter().flat_map(serde_json::Map::keys);
    let dropped = dropped.filter(|key| is_of_other_way(key, &fields) && !Reach::has_key(key));
    Ok(Change::Write { bytes, backs_up, leaves_table: false, dropped: dropped.cloned().collect() })
}

/// Takes an entry out.
///
/// # Errors
/// As for [`install`].
pub(super) fn uninstall(
    spot: Spot<'_>,
    before: Before<'_>,
    shape: Shape,
    is_forced: bool,
) -> Result<Change, Refusal> {
    let Some(file) = before.file else { return Ok(Change::None) };
    let document = Document::read(spot, file)?;
    if document.entry().is_none() {
        return Ok(Change::None);
    }
    let found = document.reach();
    let base = Base::of(&document, before, shape);
    if !is_ours(found.as_ref(), base.as_ref(), spot.name) && !is_forced {
        return Err(Refusal::Foreign { reach: found });
    }
    let write = |bytes: Vec<u8>, backs_up| {
        let leaves_table = Document::read(spot, &bytes)?.has_empty_table();
        let dropped = document.entry().map(|entry| own_members(entry, found.as_ref(), shape));
        Ok(Change::Write { bytes, backs_up, leaves_table, dropped: dropped.unwrap_or_default() })
    };
    match base {
        Some(base) if base.is_without(spot.name) => match (base.without(spot, shape)?, base.backup) {
            (Some(bytes), _) => write(bytes, false),
            (None, Some(backup)) => Ok(Change::Restore(backup.to_vec())),
            (None, None) => Ok(Change::Remove),
        },
        base => write(document.remove()?, base.is_none()),
    }
}

/// Which backup holds an entry of that name, the latest first: its number among the backups.
pub(super) fn earlier(spot: Spot<'_>, backups: &[&[u8]]) -> Option<usize> {
    backups
        .iter()
        .rposition(|backup| Document::read(spot, backup).is_ok_and(|document| document.entry().is_some()))
}

/// Whether an entry was put in by this program: it starts it, or a backup shows that it was put in.
fn is_ours(found: Option<&Reach>, base: Option<&Base<'_>>, name: &str) -> bool {
    found.is_some_and(Reach::is_ours)
        || base.is_some_and(|base| base.backup.is_some() && base.added.iter().any(|(added, _)| added == name))
}

/// What gives the file byte for byte when entries are put in: a backup, or nothing.
struct Base<'b> {
    /// The backup; none if there was no file.
    backup: Option<&'b [u8]>,
    /// The entries, in the order of the file.
    added: Vec<(String, Reach)>,
    /// Whether the entry that is meant is one of them, and was not there, or of another program.
    is_without: bool,
}

impl<'b> Base<'b> {
    /// Finds it; best is one without the entry that is meant.
    fn of(document: &Document<'_>, before: Before<'b>, shape: Shape) -> Option<Self> {
        let file = before.file?;
        let all = before.backups.iter().map(|backup| Some(*backup)).chain([None]);
        let mut found = None;
        for base in all.filter_map(|backup| Self::from(document, file, backup, shape)) {
            if base.is_without {
                return Some(base);
            }
            found = found.or(Some(base));
        }
        found
    }

    fn from(document: &Document<'_>, file: &[u8], backup: Option<&'b [u8]>, shape: Shape) -> Option<Self> {
        let spot = document.spot();
        let old = Document::read(spot, backup.unwrap_or_default()).ok()?;
        let mut added = Vec::new();
        for (name, entry) in document.entries() {
            if old.entry_of(name) == Some(entry) {
                continue;
            }
            let reach = Reach::of(&ServerEntry::read(name, entry).ok()?)?;
            if !reach.is_ours() && (name != spot.name || backup.is_none()) {
                return None;
            }
            added.push((name.to_owned(), reach));
        }
        // A file without entries, and without a backup, was there before.
        if backup.is_none() && added.is_empty() || put_in(spot, backup, &added, shape).ok()? != file {
            return None;
        }
        let is_added = added.iter().any(|(name, _)| name == spot.name);
        let is_without = is_added && !old.reach().is_some_and(|reach| reach.is_ours());
        Some(Self { backup, added, is_without })
    }

    fn is_without(&self, name: &str) -> bool {
        self.is_without && self.added.iter().any(|(added, _)| added == name)
    }

    /// The file with the entry that is meant changed, or put in as the last.
    fn with(&self, spot: Spot<'_>, reach: &Reach, shape: Shape) -> Result<Vec<u8>, Fault> {
        let mut added = self.added.clone();
        match added.iter_mut().find(|(name, _)| name == spot.name) {
            Some((_, old)) => *old = reach.clone(),
            None => added.push((spot.name.to_owned(), reach.clone())),
        }
        put_in(spot, self.backup, &added, shape)
    }

    /// The file without that entry; none if that is the backup.
    fn without(&self, spot: Spot<'_>, shape: Shape) -> Result<Option<Vec<u8>>, Fault> {
        let rest: Vec<_> = self.added.iter().filter(|(name, _)| name != spot.name).cloned().collect();
        if rest.is_empty() { Ok(None) } else { put_in(spot, self.backup, &rest, shape).map(Some) }
    }
}

/// A backup with entries put in. One of another program that is there is replaced, one of ours keeps its other members.
fn put_in(
    spot: Spot<'_>,
    backup: Option<&[u8]>,
    added: &[(String, Reach)],
    shape: Shape,
) -> Result<Vec<u8>, Fault> {
    let mut bytes = backup.unwrap_or_default().to_vec();
    for (name, reach) in added {
        let document = Document::read(Spot { name, ..spot }, &bytes)?;
        let keeps = document.entry().is_none() || document.reach().is_some_and(|reach| reach.is_ours());
        let next = document.set(&reach.fields(shape), keeps)?;
        bytes = next;
    }
    Ok(bytes)
}

/// Whether an entry says all that it should, and nothing that belongs to another way to reach a server.
fn says(entry: &serde_json::Value, fields: &[Field]) -> bool {
    let is_other = |members: &serde_json::Map<_, _>| members.keys().any(|key| is_of_other_way(key, fields));
    fields.iter().all(|field| field.value.is(entry.get(field.key)))
        && !entry.as_object().is_some_and(is_other)
}

/// The members of an entry that this program did not write there.
fn own_members(entry: &serde_json::Value, reach: Option<&Reach>, shape: Shape) -> Vec<String> {
    let written = reach.map(|reach| reach.fields(shape)).unwrap_or_default();
    let is_written = |key: &str, value: &serde_json::Value| {
        let is_same = |field: &Field| field.key == key && field.value.is_as_written(value);
        Reach::has_key(key) || written.iter().any(is_same)
    };
    let members = entry.as_object().into_iter().flatten();
    members.filter(|(key, value)| !is_written(key, value)).map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
#[path = "change/tests.rs"]
mod tests;
