//! The content of a client's file, and one entry in it: read, set, removed.
//!
//! Invariant: after a change the file says what it said before about everything but that entry, and of the entry what was
//! asked for; each change is read again and compared before it is given out.

use super::entry::{Field, Reach};
use super::fault::Fault;
use super::servers::{self, Format, MARK, ServerEntry};
use super::{jsonc, toml_text};
use serde_json::Value;

/// Which entry of a file is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'s> {
    pub(super) format: Format,
    /// The key of the table of servers.
    pub(super) key: &'s str,
    /// The name of the entry.
    pub(super) name: &'s str,
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct Document<'b> {
    spot: Spot<'b>,
    /// Whether it begins with a byte order mark.
    is_marked: bool,
    text: &'b str,
    value: Value,
}

impl<'b> Document<'b> {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// When they are no JSON object or TOML, or what stands under the key of the servers is no table.
    pub(super) fn read(spot: Spot<'b>, bytes: &'b [u8]) -> Result<Self, Fault> {
        let text = servers::text(bytes)?;
        let value = servers::parse(spot.format, text)?;
        servers::entries(&value, spot.key)?;
        if spot.format == Format::Json {
            jsonc::check(text, spot.key, spot.name)?;
        }
        Ok(Self { spot, is_marked: text.len() < bytes.len(), text, value })
    }

    /// Which entry is meant.
    pub(super) fn spot(&self) -> Spot<'b> {
        self.spot
    }

    /// The entry, if it is there.
    pub(super) fn entry(&self) -> Option<&Value> {
        self.entry_of(self.spot.name)
    }

    /// The entry of another name.
    pub(super) fn entry_of(&self, name: &str) -> Option<&Value> {
        self.value.get(self.spot.key)?.get(name)
    }

    /// All entries, in their order in the text as far as their names show that.
    pub(super) fn entries(&self) -> Vec<(&str, &Value)> {
        let entries = self.value.get(self.spot.key).and_then(Value::as_object);
        let mut entries: Vec<_> =
            entries.into_iter().flatten().map(|(name, entry)| (&**name, entry)).collect();
        let sign = |name: &str| match self.spot.format {
            Format::Json => format!("{}:", Value::from(name)),
            Format::Toml => format!(".{name}]"),
        };
        entries.sort_by_cached_key(|(name, _)| self.text.rfind(&sign(name)));
        entries
    }

    /// How the entry reaches its server; none if it is not there, or says nothing that is known.
    pub(super) fn reach(&self) -> Option<Reach> {
        let entry = ServerEntry::read(self.spot.name, self.entry()?).ok()?;
        Reach::of(&entry)
    }

    /// Whether there are no servers, though their table is there.
    pub(super) fn has_empty_table(&self) -> bool {
        self.value.get(self.spot.key).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
    }

    /// The bytes with the entry set. One that is there keeps its other members if it `keeps` them.
    ///
    /// # Errors
    /// When that cannot be done without touching more than the entry.
    pub(super) fn set(&self, fields: &[Field], keeps: bool) -> Result<Vec<u8>, Fault> {
        let Spot { format, key, name } = self.spot;
        let text = match format {
            Format::Json => jsonc::set(self.text, key, name, fields, keeps)?,
            Format::Toml => toml_text::set(self.text, key, name, fields, keeps)?,
        };
        let changed = self.checked(&text)?;
        let entry = changed.get(key).and_then(|entries| entries.get(name));
        let is_there = |field: &Field| field.value.is(entry.and_then(|entry| entry.get(field.key)));
        if fields.iter().all(is_there) { Ok(self.marked(text)) } else { Err(Fault::Foreign) }
    }

    /// The bytes without the entry.
    ///
    /// # Errors
    /// As for [`Document::set`].
    pub(super) fn remove(&self) -> Result<Vec<u8>, Fault> {
        let Spot { format, key, name } = self.spot;
        let text = match format {
            Format::Json => jsonc::remove(self.text, key, name)?,
            Format::Toml => toml_text::remove(self.text, key, name)?,
        };
        let changed = self.checked(&text)?;
        let is_gone = changed.get(key).is_none_or(|entries| entries.get(name).is_none());
        if is_gone { Ok(self.marked(text)) } else { Err(Fault::Foreign) }
    }

    /// Reads a changed text, and refuses one that says something else about the rest.
    fn checked(&self, text: &str) -> Result<Value, Fault> {
        let changed = servers::parse(self.spot.format, text)?;
        let is_same = self.rest(self.value.clone()) == self.rest(changed.clone());
        if is_same { Ok(changed) } else { Err(Fault::Foreign) }
    }

    /// All but the entry, and but a table of servers that has no other one.
    fn rest(&self, mut value: Value) -> Value {
        let Spot { key, name, .. } = self.spot;
        if let Some(entries) = value.get_mut(key).and_then(Value::as_object_mut) {
            entries.remove(name);
            if entries.is_empty()
                && let Some(all) = value.as_object_mut()
            {
                all.remove(key);
            }
        }
        value
    }

    fn marked(&self, text: String) -> Vec<u8> {
        if self.is_marked { format!("{MARK}{text}").into_bytes() } else { text.into_bytes() }
    }
}
