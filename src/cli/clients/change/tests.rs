//! Files of every style with an entry put in and taken out again: what is not ours stays, byte for byte.

use super::super::servers::{self, Format};
use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn spot(format: Format) -> Spot<'static> {
    Spot { format, key: "servers", name: "mcpool" }
}

fn started(words: &[&str]) -> Reach {
    Reach::Command(words.iter().map(ToString::to_string).collect())
}

fn ours() -> Reach {
    started(&["/usr/bin/mcpool", "serve", "/data"])
}

const PLAIN: Shape = Shape::Plain { url: Some("url") };

fn before<'b>(file: Option<&'b [u8]>, backup: Option<&'b [u8]>) -> Before<'b> {
    let backups: Vec<&[u8]> = backup.into_iter().collect();
    Before { file, backups: backups.leak() }
}

#[track_caller]
fn written(change: Change) -> (Vec<u8>, bool) {
    match change {
        Change::Write { bytes, backs_up, .. } => (bytes, backs_up),
        other => panic!("nothing was written: {other:?}"),
    }
}

fn put_in(format: Format, file: &[u8]) -> Vec<u8> {
    let change = install(spot(format), before(Some(file), None), &ours(), PLAIN, false).expect("put in");
    let (bytes, backs_up) = written(change);
    assert!(backs_up);
    bytes
}

#[test]
fn a_file_that_was_not_there_is_made_and_goes_again() {
    for format in [Format::Json, Format::Toml] {
        let change = install(spot(format), before(None, None), &ours(), PLAIN, false).expect("put in");
        let (bytes, backs_up) = written(change);
        assert!(!backs_up, "there is nothing to back up");
        let here = before(Some(&bytes), None);
        assert_eq!(install(spot(format), here, &ours(), PLAIN, false), Ok(Change::None));
        assert_eq!(uninstall(spot(format), here, PLAIN, false), Ok(Change::Remove));
        assert_eq!(uninstall(spot(format), before(None, None), PLAIN, false), Ok(Change::None));
        // One that was there and empty stays.
        let empty = before(Some(&bytes), Some(b""));
        assert_eq!(uninstall(spot(format), empty, PLAIN, false), Ok(Change::Restore(Vec::new())));
    }
}

#[test]
fn an_entry_that_is_changed_keeps_the_first_backup_and_what_the_user_added() {
    let old = br#"{"servers": {"x": {"command": "x"}}}"#;
    let first = put_in(Format::Json, old);
    let other = started(&["/usr/bin/mcpool", "serve", "--read-only", "/data"]);
    let again = before(Some(&first), Some(old));
    let (second, backs_up) =
        written(install(spot(Format::Json), again, &other, PLAIN, false).expect("changed"));
    assert!(!backs_up, "the backup is the file without us");
    let restored = uninstall(spot(Format::Json), before(Some(&second), Some(old)), PLAIN, false);
    assert_eq!(restored, Ok(Change::Restore(old.to_vec())));
    // With a member of the user's own, the file is no longer the backup and our entry.
    let text = String::from_utf8(first).expect("text").replace("\"args\"", "\"timeout\": 5, \"args\"");
    let own = before(Some(text.as_bytes()), Some(old));
    let (changed, backs_up) =
        written(install(spot(Format::Json), own, &other, PLAIN, false).expect("changed"));
    assert!(backs_up);
    let changed: Value = serde_json::from_slice(&changed).expect("JSON");
    assert_eq!(changed["servers"]["mcpool"]["timeout"], 5);
    assert_eq!(changed["servers"]["mcpool"]["args"][1], "--read-only");
}

#[test]
fn an_entry_of_another_program_is_left_alone_unless_forced() {
    let theirs = br#"{"servers": {"mcpool": {"command": "node", "args": ["x.js"], "env": {"KEY": "1"}}}}"#;
    let here = before(Some(theirs), None);
    let refused = Err(Refusal::Foreign { reach: Some(started(&["node", "x.js"])) });
    assert_eq!(install(spot(Format::Json), here, &ours(), PLAIN, false), refused);
    assert_eq!(uninstall(spot(Format::Json), here, PLAIN, false), refused);
    let (forced, backs_up) =
        written(install(spot(Format::Json), here, &ours(), PLAIN, true).expect("forced"));
    assert!(backs_up);
    let forced: Value = serde_json::from_slice(&forced).expect("JSON");
    assert_eq!(forced["servers"]["mcpool"].get("env"), None, "what was for the other program goes with it");
    let (removed, _) = written(uninstall(spot(Format::Json), here, PLAIN, true).expect("forced"));
    assert_eq!(removed, br#"{"servers": {}}"#);
    let strange = before(Some(br#"{"servers": {"mcpool": 5}}"#), None);
    let refused = Err(Refusal::Foreign { reach: None });
    assert_eq!(install(spot(Format::Json), strange, &ours(), PLAIN, false), refused);
}

#[test]
fn a_change_of_the_way_leaves_nothing_of_the_old_one() {
    let file = put_in(Format::Json, b"{\"a\": 1}");
    let asked = Reach::Url("http://127.0.0.1:8000/mcp".to_owned());
    let here = before(Some(&file), None);
    let (changed, _) = written(install(spot(Format::Json), here, &asked, PLAIN, false).expect("changed"));
    let changed: Value = serde_json::from_slice(&changed).expect("JSON");
    assert_eq!(changed["servers"]["mcpool"], serde_json::json!({"url": "http://127.0.0.1:8000/mcp"}));
}

#[test]
fn what_is_switched_off_by_the_user_stays_off() {
    let file = br#"{"mcp": {"mcpool": {"type": "local", "command": ["mcpool"], "enabled": false}}}"#;
    let spot = Spot { format: Format::Json, key: "mcp", name: "mcpool" };
    let change = install(spot, before(Some(file), None), &ours(), Shape::Listed, false).expect("changed");
    let changed: Value = serde_json::from_slice(&written(change).0).expect("JSON");
    assert_eq!(changed["mcp"]["mcpool"]["enabled"], false);
    assert_eq!(changed["mcp"]["mcpool"]["command"][1], "serve");
}

#[test]
fn a_broken_file_is_refused() {
    for (format, file) in [
        (Format::Json, &b"{\n  \"servers\": {,}\n}"[..]),
        (Format::Json, b"{\"servers\": [1]}"),
        (Format::Json, b"\xff\xfe{\0}\0"),
        (Format::Toml, b"[servers\n"),
        (Format::Toml, b"servers = 1\n"),
    ] {
        let here = before(Some(file), None);
        let put = install(spot(format), here, &ours(), PLAIN, true);
        assert!(matches!(put, Err(Refusal::Fault(_))), "{put:?}");
        assert!(matches!(uninstall(spot(format), here, PLAIN, true), Err(Refusal::Fault(_))));
    }
}

/// How a file is written.
#[derive(Debug, Clone)]
struct Style {
    newline: &'static str,
    indent: &'static str,
    comments: Comments,
    has_trailing_commas: bool,
    is_marked: bool,
    ends_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comments {
    None,
    OnEachLine,
}

fn style() -> impl Strategy<Value = Style> {
    let newline = prop_oneof![Just("\n"), Just("\r\n"), Just("")];
    let indent = prop_oneof![Just("  "), Just("    "), Just("\t"), Just("")];
    (newline, indent, any::<[bool; 4]>()).prop_map(
        |(newline, indent, [comments, commas, is_marked, ends_line])| Style {
            newline,
            indent,
            comments: if comments { Comments::OnEachLine } else { Comments::None },
            has_trailing_commas: commas,
            is_marked,
            ends_line,
        },
    )
}

/// A file of JSON as a person or a client may write it; its comments are numbered.
struct Writer<'s> {
    style: &'s Style,
    text: String,
    comments: usize,
}

impl Writer<'_> {
    fn comment(&mut self) -> String {
        if self.style.comments == Comments::None {
            return String::new();
        }
        self.comments += 1;
        match (self.style.newline, self.comments % 3) {
            ("", _) | (_, 0) => format!(" /* c{}. */", self.comments),
            _ => format!(" // c{}.", self.comments),
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        let Style { newline, indent, .. } = self.style;
        let comment = self.comment();
        let space = if newline.is_empty() { String::new() } else { indent.repeat(depth) };
        self.text.extend([space.as_str(), text, comment.as_str(), newline]);
    }

    fn members(&mut self, depth: usize, members: &[(String, Value)]) {
        for (index, (name, value)) in members.iter().enumerate() {
            let is_last = index + 1 == members.len();
            let comma = if is_last && !self.style.has_trailing_commas { "" } else { "," };
            match value.as_object().filter(|object| depth < 2 && !object.is_empty()) {
                Some(object) => {
                    self.line(depth, &format!("{}: {{", Value::from(name.as_str())));
                    let inner: Vec<_> =
                        object.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                    self.members(depth + 1, &inner);
                    self.line(depth, &format!("}}{comma}"));
                }
                None => self.line(depth, &format!("{}: {value}{comma}", Value::from(name.as_str()))),
            }
        }
    }

    /// The bytes, and the number of comments in them.
    fn file(style: &Style, members: &[(String, Value)]) -> (Vec<u8>, usize) {
        let mut writer = Writer { style, text: String::new(), comments: 0 };
        writer.line(0, "{");
        writer.members(1, members);
        writer.line(0, "}");
        let Writer { mut text, comments, .. } = writer;
        if !style.ends_line {
            text.truncate(text.trim_end().len());
        }
        let mark = if style.is_marked { "\u{feff}" } else { "" };
        (format!("{mark}{text}").into_bytes(), comments)
    }
}

/// The members of a file: some of others, perhaps a table of servers, perhaps with servers in it.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z/ é\"\\\\]{0,6}".prop_map(Value::from),
    ];
    let server = scalar.clone().prop_map(|value| serde_json::json!({"command": "x", "env": {"KEY": value}}));
    let servers = proptest::option::of(proptest::collection::btree_map("[f-k]{1,3}", server, 0..3));
    let others = proptest::collection::btree_map("[a-eü]{1,3}", scalar, 0..4);
    (others, servers, any::<prop::sample::Index>()).prop_map(|(others, servers, at)| {
        let mut members: Vec<_> = others.into_iter().collect();
        if let Some(servers) = servers {
            let servers = Value::Object(servers.into_iter().collect());
            members.insert(at.index(members.len() + 1), ("servers".to_owned(), servers));
        }
        members
    })
}

/// What a file says about everything but our entry; an empty table of servers is as none.
fn rest(format: Format, file: &[u8]) -> Value {
    let mut value = servers::parse(format, servers::text(file).expect("text")).expect("read");
    let all = value.as_object_mut().expect("an object");
    if let Some(entries) = all.get_mut("servers").and_then(Value::as_object_mut) {
        entries.remove("mcpool");
        if entries.is_empty() {
            all.remove("servers");
        }
    }
    value
}

/// Whether all comments are there, in their order.
fn has_comments(file: &[u8], comments: usize) -> bool {
    let text = String::from_utf8_lossy(file);
    let mut left = &*text;
    (1..=comments).all(|number| match left.split_once(&format!("c{number}.")) {
        Some((_, behind)) => {
            left = behind;
            true
        }
        None => false,
    })
}

/// Puts an entry into a file and takes it out, with the backup and without. Gives what it is without.
fn round(format: Format, old: &[u8], comments: usize) -> Vec<u8> {
    let shown = String::from_utf8_lossy(old);
    let new = put_in(format, old);
    let after = String::from_utf8_lossy(&new);
    assert_eq!(rest(format, &new), rest(format, old), "{shown}\n{after}");
    assert!(has_comments(&new, comments), "{shown}\n{after}");
    assert_eq!(new.starts_with("\u{feff}".as_bytes()), old.starts_with("\u{feff}".as_bytes()));
    let here = before(Some(&new), Some(old));
    assert_eq!(install(spot(format), here, &ours(), PLAIN, false), Ok(Change::None), "{after}");
    assert_eq!(uninstall(spot(format), here, PLAIN, false), Ok(Change::Restore(old.to_vec())), "{after}");
    // A backup of another time is of no use.
    let mut left = Vec::new();
    for backup in [None, Some(&b"{\"other\": 1}"[..])] {
        let Ok(Change::Write { bytes, leaves_table, .. }) =
            uninstall(spot(format), before(Some(&new), backup), PLAIN, false)
        else {
            // A file without anything else is as one that we made.
            assert!(rest(format, old).as_object().is_some_and(serde_json::Map::is_empty), "{after}");
            continue;
        };
        let removed = String::from_utf8_lossy(&bytes);
        assert_eq!(rest(format, &bytes), rest(format, old), "{after}\n{removed}");
        assert!(has_comments(&bytes, comments), "{after}\n{removed}");
        let value = servers::parse(format, servers::text(&bytes).expect("text")).expect("read");
        let is_empty = value["servers"].as_object().is_some_and(serde_json::Map::is_empty);
        assert_eq!(leaves_table, is_empty, "{removed}");
        left = bytes;
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_is_given_back_byte_for_byte(style in style(), members in members()) {
        let (file, comments) = Writer::file(&style, &members);
        let left = round(Format::Json, &file, comments);
        let has_servers = members.iter().any(|(name, value)| name == "servers" && *value != serde_json::json!({}));
        // The library tells by the members' indent whether a table has trailing commas.
        if has_servers && !style.newline.is_empty() && !style.indent.is_empty() {
            prop_assert_eq!(String::from_utf8_lossy(&left), String::from_utf8_lossy(&file));
        }
    }

    #[test]
    fn toml_is_given_back_byte_for_byte(
        style in style(),
        tables in proptest::collection::btree_map("[a-e]{1,3}", "[a-zé ]{0,5}", 0..3),
        servers in proptest::collection::btree_map("[f-k]{1,3}", "[a-z]{1,5}", 0..3),
        is_first in any::<bool>(),
    ) {
        let (file, comments) = toml_file(&style, &tables, &servers, is_first);
        drop(round(Format::Toml, &file, comments));
    }
}

type Texts = std::collections::BTreeMap<String, String>;

/// A file of TOML as a person may write it; its comments are numbered.
fn toml_file(style: &Style, tables: &Texts, servers: &Texts, is_first: bool) -> (Vec<u8>, usize) {
    let mut comments = 0;
    let mut comment = |before: &str| {
        if style.comments == Comments::None {
            return String::new();
        }
        comments += 1;
        format!("{before}# c{comments}.")
    };
    let mut lines = vec![comment(""), format!("top = 1{}", comment(" "))];
    let mut others = Vec::new();
    for (name, text) in tables {
        others.extend([
            String::new(),
            comment(""),
            format!("[{name}]{}", comment(" ")),
            format!("text = '{text}'"),
        ]);
    }
    let mut all = if is_first { Vec::new() } else { others.clone() };
    for (name, text) in servers {
        all.extend([
            String::new(),
            format!("[servers.{name}]"),
            format!("command = \"{text}\"{}", comment(" ")),
        ]);
        all.extend([format!("[servers.{name}.env]"), "KEY = 'x'".to_owned()]);
    }
    if is_first {
        all.extend(others);
    }
    lines.extend(all);
    let newline = if style.newline == "\r\n" { "\r\n" } else { "\n" };
    let mut text = lines.join(newline);
    if style.ends_line {
        text.push_str(newline);
    }
    let mark = if style.is_marked { "\u{feff}" } else { "" };
    // Comments are numbered where they are made, which is not their order where the others come last.
    let in_order = if is_first && !servers.is_empty() && !tables.is_empty() { 0 } else { comments };
    (format!("{mark}{text}").into_bytes(), in_order)
}
