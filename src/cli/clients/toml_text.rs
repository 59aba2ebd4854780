//! One entry set in, or removed from, the text of a TOML file; comments, order and foreign entries stay.
//!
//! The library ends each line with LF, and the last one too. So lines that end with CR LF are changed for it and changed
//! back, which is exact where all of them do; a file that has both is refused.

use super::entry::{Field, FieldValue, is_of_other_way};
use super::fault::Fault;
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

/// Puts the entry of that name under `key`. One that is there keeps its other members if it `keeps` them.
///
/// # Errors
/// When the text is no TOML, its lines end in two ways, or there is something else under the key.
pub(super) fn set(text: &str, key: &str, name: &str, fields: &[Field], keeps: bool) -> Result<String, Fault> {
    change(text, |document| {
        let implicit = || {
            let mut servers = Table::new();
            servers.set_implicit(true);
            Item::Table(servers)
        };
        let servers = document.entry(key).or_insert_with(implicit);
        let servers = servers.as_table_like_mut().ok_or_else(|| Fault::NoTable { key: key.to_owned() })?;
        if let Some(entry) = servers.get_mut(name).and_then(Item::as_table_like_mut).filter(|_| keeps) {
            update(entry, fields);
        } else {
            let mut entry = Table::new();
            for field in fields {
                put(&mut entry, field);
            }
            servers.insert(name, Item::Table(entry));
        }
        Ok(())
    })
}

/// Removes the entry of that name, if it is there.
///
/// # Errors
/// As for [`set`].
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<String, Fault> {
    change(text, |document| {
        if let Some(servers) = document.get_mut(key) {
            let servers =
                servers.as_table_like_mut().ok_or_else(|| Fault::NoTable { key: key.to_owned() })?;
            servers.remove(name);
        }
        Ok(())
    })
}

fn change(text: &str, edit: impl FnOnce(&mut DocumentMut) -> Result<(), Fault>) -> Result<String, Fault> {
    let has_cr = text.contains("\r\n");
    let mut lines = text.replace("\r\n", "\n");
    if !lines.is_empty() && !lines.ends_with('\n') {
        lines.push('\n');
    }
    let back = |lines: String| if has_cr { lines.replace('\n', "\r\n") } else { lines };
    let mut document: DocumentMut = lines
        .parse()
        .map_err(|error: toml_edit::TomlError| Fault::at(&lines, error.span(), error.message()))?;
    let unchanged = back(document.to_string());
    if unchanged != text && unchanged.strip_suffix(if has_cr { "\r\n" } else { "\n" }) != Some(text) {
        let has_both = has_cr && text.matches('\n').count() != text.matches("\r\n").count();
        return Err(if has_both { Fault::LineEnds } else { Fault::Foreign });
    }
    edit(&mut document)?;
    Ok(back(document.to_string()))
}

/// Changes the members that say how the server is reached.
fn update(entry: &mut dyn TableLike, fields: &[Field]) {
    let others = entry.iter().map(|(key, _)| key.to_owned()).filter(|key| is_of_other_way(key, fields));
    for key in others.collect::<Vec<_>>() {
        entry.remove(&key);
    }
    for field in fields {
        put(entry, field);
    }
}

/// Sets a member; what stands around a value that is there, as a comment behind it, stays.
fn put(entry: &mut dyn TableLike, field: &Field) {
    let mut value = value(&field.value);
    match entry.get_mut(field.key) {
        None => drop(entry.insert(field.key, Item::Value(value))),
        Some(_) if field.value == FieldValue::UnlessSet => {}
        Some(found) => {
            if let Some(old) = found.as_value() {
                *value.decor_mut() = old.decor().clone();
            }
            *found = Item::Value(value);
        }
    }
}

fn value(value: &FieldValue) -> Value {
    match value {
        FieldValue::Text(text) => Value::from(text.as_str()),
        FieldValue::List(list) => Value::Array(list.iter().map(String::as_str).collect::<Array>()),
        FieldValue::UnlessSet => Value::from(true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Reach, Shape};
    use super::*;

    fn fields() -> Vec<Field> {
        let reach = Reach::Command(vec!["m".to_owned(), "serve".to_owned()]);
        reach.fields(Shape::Plain { url: Some("url") })
    }

    const ENTRY: &str = "[s.n]\ncommand = \"m\"\nargs = [\"serve\"]\n";

    #[test]
    fn an_entry_comes_last_and_all_else_stays() {
        for (before, after) in [
            ("", ENTRY.to_owned()),
            ("a = 1 # one", format!("a = 1 # one\n\n{ENTRY}")),
            (
                "# first\n[s.x]\ncommand = 'x'\n\n# last\n",
                format!("# first\n[s.x]\ncommand = 'x'\n\n{ENTRY}\n# last\n"),
            ),
            ("[t]\r\nb = 2\r\n", format!("[t]\nb = 2\n\n{ENTRY}").replace('\n', "\r\n")),
        ] {
            assert_eq!(set(before, "s", "n", &fields(), true).expect(before), after, "{before}");
        }
    }

    #[test]
    fn tables_in_other_forms_are_taken() {
        for before in
            ["s = { x = { command = 'x' } }\n", "s.x.command = 'x'\n", "[s]\n[s.x]\ncommand = 'x'\n"]
        {
            let text = set(before, "s", "n", &fields(), true).expect(before);
            let table: toml::Table = toml::from_str(&text).expect(&text);
            assert_eq!(table["s"]["n"]["command"].as_str(), Some("m"), "{text}");
            assert_eq!(table["s"]["x"]["command"].as_str(), Some("x"), "{text}");
        }
    }

    #[test]
    fn other_members_of_an_entry_stay_unless_it_is_replaced() {
        let before = "[s.n] # ours\nurl = 'http://h'\ncommand = 'old' # why\nstartup_timeout_sec = 5\n";
        let want = "[s.n] # ours\ncommand = \"m\" # why\nstartup_timeout_sec = 5\nargs = [\"serve\"]\n";
        assert_eq!(set(before, "s", "n", &fields(), true).expect("set"), want);
        let replaced = set(before, "s", "n", &fields(), false).expect("set");
        assert!(!replaced.contains("startup"), "{replaced}");
    }

    #[test]
    fn an_entry_is_removed_and_others_stay() {
        let before = format!("[s.x]\ncommand = 'x'\n\n{ENTRY}\n[t]\n");
        assert_eq!(remove(&before, "s", "n").expect("removed"), "[s.x]\ncommand = 'x'\n\n[t]\n");
        assert_eq!(remove("a = 1", "s", "n").expect("nothing there"), "a = 1\n");
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        for (text, want) in
            [("s = 1\n", Fault::NoTable { key: "s".to_owned() }), ("a = 1\r\nb = 2\n", Fault::LineEnds)]
        {
            assert_eq!(set(text, "s", "n", &fields(), true), Err(want), "{text}");
        }
        let broken = set("a = \n", "s", "n", &fields(), true).expect_err("broken");
        assert!(matches!(broken, Fault::Syntax { line: 1, .. }), "{broken}");
    }
}
