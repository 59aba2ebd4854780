//! What becomes of a file when an entry is put in or taken out: bytes in, bytes out.
//!
//! Does no IO. A file that holds what it held before an entry was put in, and the entry, is told by putting the entry into
//! the backup once more: if that gives the file byte for byte, taking the entry out gives the backup byte for byte.

use super::document::{Document, Spot};
use super::entry::{Field, REACHING, Reach, Shape};
use super::fault::Fault;

/// A file and its backup, as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'b> {
    /// The file; none if it is not there.
    pub(super) file: Option<&'b [u8]>,
    /// The file before a change of ours; none if there is no backup.
    pub(super) backup: Option<&'b [u8]>,
}

/// What to do with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: it says what it should.
    None,
    /// Write these bytes; the old ones become the backup if they `backs_up`.
    Write {
        /// The new content.
        bytes: Vec<u8>,
        /// Whether the backup is written; else the one that is there is of an earlier state, and stays.
        backs_up: bool,
        /// Whether a table without servers is left.
        leaves_table: bool,
    },
    /// Put the backup in its place: it is the file without the entry.
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
    let write = |bytes, backs_up| Change::Write { bytes, backs_up, leaves_table: false };
    let Some(entry) = document.entry() else {
        return Ok(write(document.set(&fields, true)?, before.file.is_some()));
    };
    if says(entry, &fields) {
        return Ok(Change::None);
    }
    let found = document.reach();
    let Some(ours) = found.as_ref().filter(|found| found.is_ours()) else {
        if !is_forced {
            return Err(Refusal::Foreign { reach: found });
        }
        return Ok(write(document.set(&fields, false)?, true));
    };
    match original(spot, before, ours, shape) {
        Some(original) => Ok(write(original.set(&fields, true)?, false)),
        None => Ok(write(document.set(&fields, true)?, true)),
    }
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
    if let Some(ours) = found.as_ref().filter(|found| found.is_ours()) {
        if let Some(backup) = before.backup.filter(|_| original(spot, before, ours, shape).is_some()) {
            return Ok(Change::Restore(backup.to_vec()));
        }
        let alone = Document::read(spot, b"")?.set(&ours.fields(shape), true)?;
        if before.backup.is_none() && alone == file {
            return Ok(Change::Remove);
        }
    } else if !is_forced {
        return Err(Refusal::Foreign { reach: found });
    }
    let bytes = document.remove()?;
    let leaves_table = Document::read(spot, &bytes)?.has_empty_table();
    Ok(Change::Write { bytes, backs_up: true, leaves_table })
}

/// Whether an entry says all that it should, and nothing else about how its server is reached.
fn says(entry: &serde_json::Value, fields: &[Field]) -> bool {
    let is_other = |key: &str| entry.get(key).is_some() && fields.iter().all(|field| field.key != key);
    fields.iter().all(|field| field.value.is(entry.get(field.key)))
        && !REACHING.iter().any(|key| is_other(key))
}

/// The backup, if the file is that with the entry and nothing else.
fn original<'b>(spot: Spot<'b>, before: Before<'b>, ours: &Reach, shape: Shape) -> Option<Document<'b>> {
    let backup = Document::read(spot, before.backup?).ok()?;
    let again = backup.entry().is_none().then(|| backup.set(&ours.fields(shape), true))?;
    (again.ok().as_deref() == before.file).then_some(backup)
}

#[cfg(test)]
#[path = "change/tests.rs"]
mod tests;
