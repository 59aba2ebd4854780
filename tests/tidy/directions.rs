//! Which room may use which: the modules of one crate have no other fence.
//!
//! Paths are read from the tokens, not from `use` lines alone, so a path in a body, in a type or inside a
//! macro counts as well. An unknown first name is a breach too: a new room needs a line in [`LINES`].

use crate::source::{Breach, Source, each_token, group, ident, is_punct, line_of};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::{Item, UseTree, Visibility};

/// From the top down; a room uses the lines below its own, never its own line.
const LINES: [&[&str]; 10] = [
    &["cli"],
    &["tools", "load"],
    &["transport", "client"],
    &["server"],
    &["report", "traffic"],
    &["protocol", "memory"],
    &["monitor"],
    &["wire", "metrics"],
    &["limits", "stdio", "watched_file", "traces"],
    &["lock", "visible", POOLS],
];
/// The pools are a crate of their own, on the bottom line.
const POOLS: &str = "mcpool_pools";
/// Refused although the lines would allow it: load is made from outside, as a client makes it.
const REFUSED: [(&str, &str); 1] = [("load", "server")];
/// Rooms that use less than the lines would allow: what reads and writes bytes could be a crate of its own.
const ONLY: [(&str, &[&str]); 1] = [("wire", &["limits", POOLS])];

fn line(room: &str) -> Option<usize> {
    LINES.iter().position(|rooms| rooms.contains(&room))
}

fn may_use(from: &str, to: &str) -> bool {
    let allowed = ONLY.iter().find(|(room, _)| *room == from).is_none_or(|(_, rooms)| rooms.contains(&to));
    from == to || (line(from) < line(to) && allowed && !REFUSED.contains(&(from, to)))
}

/// What stands directly in the root of the crate, and the room it comes from.
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// The re-exports of `src/lib.rs` and the exported macros.
    pub(crate) fn of(sources: &[Source]) -> Self {
        let mut names = BTreeMap::new();
        for source in sources.iter().filter(|source| source.package == "mcpool" && source.ships()) {
            for item in &source.file.items {
                match (item, source.module.first()) {
                    (Item::Use(re_export), None) if matches!(re_export.vis, Visibility::Public(_)) => {
                        re_exports(&re_export.tree, None, &mut names);
                    }
                    (Item::Macro(definition), Some(room)) => {
                        let exported = definition.attrs.iter().any(|a| a.path().is_ident("macro_export"));
                        if let Some(name) = definition.ident.as_ref().filter(|_| exported) {
                            names.insert(name.to_string(), room.clone());
                        }
                    }
                    _ => {}
                }
            }
        }
        Self(names)
    }

    fn room<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if line(name).is_some() { Some(name) } else { self.0.get(name).map(String::as_str) }
    }
}

fn re_exports(tree: &UseTree, room: Option<&str>, names: &mut BTreeMap<String, String>) {
    match tree {
        UseTree::Path(path) if path.ident == "crate" || path.ident == "self" => {
            re_exports(&path.tree, room, names);
        }
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            re_exports(&path.tree, Some(room.unwrap_or(&first)), names);
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| re_exports(tree, room, names)),
        UseTree::Name(name) => note(name.ident.to_string(), room, names),
        UseTree::Rename(name) => note(name.rename.to_string(), room, names),
        UseTree::Glob(_) => {}
    }
}

fn note(name: String, room: Option<&str>, names: &mut BTreeMap<String, String>) {
    if let Some(room) = room {
        names.insert(name, room.to_owned());
    }
}

/// The uses of a room above or beside the file's own.
pub(crate) fn rooms(source: &Source, names: &Names) -> Vec<Breach> {
    if source.package != "mcpool" || !source.path.starts_with("src/") {
        return Vec::new();
    }
    let Some(own) = source.module.first() else { return Vec::new() }; // the root names all its rooms
    if line(own).is_none() {
        return vec![source.breach(1, format!("the room `{own}` has no line in tests/tidy/directions.rs"))];
    }
    let mut paths = Paths::default();
    paths.read(source.tokens.clone(), &source.module);
    let breaches = paths.found.into_iter().filter_map(|(name, line)| {
        let fault = match names.room(&name) {
            Some(room) if may_use(own, room) => return None,
            Some(room) => format!("`{own}` may not use `{room}`: it is not below it"),
            None => format!("`crate::{name}` is of no known room: name the room it comes from"),
        };
        Some(source.breach(line, fault))
    });
    breaches.collect()
}

/// The first name of each path from the root of the crate, with its line.
#[derive(Default)]
struct Paths {
    found: Vec<(String, usize)>,
}

impl Paths {
    fn read(&mut self, tokens: TokenStream, module: &[String]) {
        let level: Vec<TokenTree> = tokens.into_iter().collect();
        let mut index = 0;
        while let Some(token) = level.get(index) {
            let name = ident(Some(token)).unwrap_or_default();
            let continues = is_punct(level.get(index + 1), ':') && is_punct(level.get(index + 2), ':');
            let starts = index == 0 || !is_punct(level.get(index - 1), ':') || !is_colons(&level, index);
            let inline = group(level.get(index + 2), Delimiter::Brace).filter(|_| name == "mod");
            match (name.as_str(), token) {
                ("mod", _) if inline.is_some() => {
                    let name = ident(level.get(index + 1)).unwrap_or_default();
                    self.read(inline.unwrap_or_default(), &[module, &[name]].concat());
                    index += 2;
                }
                ("crate" | "mcpool", _) if continues && starts => {
                    index = self.tail(&level, index + 3, Vec::new());
                }
                ("self", _) if continues && starts => index = self.tail(&level, index + 3, module.to_vec()),
                ("super", _) if continues && starts => index = self.tail(&level, index + 3, above(module)),
                // A second name for the root would hide what is used through it.
                ("crate", _) if ident(level.get(index + 1)).is_some_and(|next| next == "as") => {
                    self.found.push(("self".to_owned(), line_of(token)));
                }
                (POOLS, _) => self.found.push((POOLS.to_owned(), line_of(token))),
                (_, TokenTree::Group(group)) => self.read(group.stream(), module),
                _ => {}
            }
            index += 1;
        }
    }

    /// Reads on after `crate::`, `self::` or `super::`, and says where it stopped. `base` is the module named.
    fn tail(&mut self, level: &[TokenTree], mut index: usize, mut base: Vec<String>) -> usize {
        loop {
            let Some(token) = level.get(index) else { return index };
            match (ident(Some(token)).as_deref(), group(Some(token), Delimiter::Brace)) {
                (Some("super"), _) if is_punct(level.get(index + 1), ':') => {
                    base = above(&base);
                    index += 3;
                }
                (_, Some(branches)) => {
                    let branches: Vec<TokenTree> = branches.into_iter().collect();
                    for branch in branches.split(|token| is_punct(Some(token), ',')) {
                        self.tail(branch, 0, base.clone());
                    }
                    return index;
                }
                (name, None) => {
                    let first = base.first().map(String::as_str).or(name).unwrap_or("*");
                    self.found.push((first.to_owned(), line_of(token)));
                    return index;
                }
            }
        }
    }
}

/// Whether `level[index]` follows a path separator (and not the colon of a type).
fn is_colons(level: &[TokenTree], index: usize) -> bool {
    index >= 2 && is_punct(level.get(index - 2), ':')
}

fn above(module: &[String]) -> Vec<String> {
    module.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default()
}

/// The files that may say how memory accesses are ordered, and tests of them.
fn orders(path: &str) -> bool {
    path.starts_with("pools/src/sync/") || path == "pools/src/store.rs" || path.starts_with("pools/tests/")
}

/// What the pools crate must not know: the runtime, JSON, the protocol.
pub(crate) fn pools(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if source.package == "mcpool-pools" || source.path.starts_with("src/pools_sample") {
        each_token(source.tokens.clone(), &mut |level, index| {
            let name = ident(level.get(index)).unwrap_or_default();
            if matches!(name.as_str(), "tokio" | "serde" | "serde_json" | "mcpool")
                && is_punct(level.get(index + 1), ':')
            {
                breaches.push(source.breach(line_of(&level[index]), format!("the pools know no `{name}`")));
            }
            if name == "Ordering" && is_punct(level.get(index + 1), ':') && !orders(&source.path) {
                let fault = "memory orderings stand in `pools/src/sync/` and `pools/src/store.rs` only";
                breaches.push(source.breach(line_of(&level[index]), fault));
            }
        });
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str =
        "//! x\npub mod server; pub use server::{Server, ServerBuilder as Builder}; pub use limits::Limits;";

    fn found(path: &str, text: &str) -> Vec<String> {
        let exported = "#[macro_export] macro_rules! answer { () => {} }";
        let names = Names::of(&[
            Source::sample("src/lib.rs", LIBRARY),
            Source::sample("src/server/mod.rs", exported),
        ]);
        rooms(&Source::sample(path, text), &names).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_use_of_a_room_above_is_found_in_each_form() {
        for text in [
            "use crate::server::Server;",
            "use crate::{limits, server::Server};",
            "use crate::{limits::{self, Limits}, server};",
            "use {crate::server};",
            "use crate::Server;",
            "use crate::Builder;",
            "use crate::*;",
            "use crate as me;",
            "use crate::{self as me};",
            "use super::super::server::Server;",
            "use super::{super::server, Other};",
            "use self::super::super::server;",
            "mod inner { use super::super::super::server; }",
            "fn f() { crate::server::run() }",
            "fn f(server: &crate::server::Server) {}",
            "fn f() -> Option<crate::server::Server> { None }",
            "fn f() { println!(\"{}\", crate::server::RUNS) }",
            "macro_rules! m { () => { $crate::server::run() } }",
            "fn f() { crate::answer!() }",
            "fn f() { mcpool::server::run() }",
            "fn f() { crate::brand_new_room::run() }",
        ] {
            assert_eq!(found("src/wire/lexer.rs", text).len(), 1, "{text}");
        }
        assert_eq!(
            found("src/wire/lexer.rs", "\nuse crate::server::Server;"),
            ["src/wire/lexer.rs:2: `wire` may not use `server`: it is not below it"]
        );
    }

    #[test]
    fn what_is_below_or_inside_is_free() {
        for text in [
            "use crate::wire::{de, encode::{a, b}};",
            "use super::{server, wire};",
            "use crate::{Limits, wire::Frame};",
            "mod tests { use super::*; use super::super::Frame; }",
            "pub(crate) struct S; pub(in crate::server) struct T; pub(super) struct U;",
            "use mcpool_pools::Lease; fn f() { crate::limits::f() }",
        ] {
            assert_eq!(found("src/server/slot.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn each_pair_of_rooms_is_decided() {
        for (from, to) in [
            ("cli", "tools"),
            ("tools", "client"),
            ("load", "client"),
            ("load", "monitor"),
            ("memory", "monitor"),
            ("monitor", "metrics"),
            ("transport", "server"),
            ("memory", "metrics"),
            ("wire", "limits"),
            ("metrics", POOLS),
            ("server", "report"),
            ("report", "memory"),
            ("wire", "limits"),
            ("protocol", "wire"),
        ] {
            assert!(may_use(from, to) && !may_use(to, from), "{from} -> {to}");
        }
        for (one, other) in
            [("transport", "client"), ("protocol", "memory"), ("tools", "load"), ("wire", "metrics")]
        {
            assert!(!may_use(one, other) && !may_use(other, one), "{one}, {other}");
        }
        assert!(!may_use("load", "server") && !may_use("server", "load"));
        assert!(!may_use("wire", "lock") && may_use("memory", "lock"));
    }

    #[test]
    fn a_room_without_a_line_is_found() {
        assert_eq!(found("src/attic.rs", "").len(), 1);
    }

    #[test]
    fn a_runtime_in_the_pools_is_found() {
        let sample =
            Source::sample("src/pools_sample.rs", "use tokio::sync; fn f() { serde_json::to_string(&1); }");
        assert_eq!(pools(&sample).len(), 2);
        let ordered = Source::sample("src/pools_sample.rs", "fn f() { X.load(Ordering::Relaxed); }");
        assert_eq!(pools(&ordered).len(), 1);
        assert_eq!(pools(&Source::sample("src/pools_sample.rs", "use std::sync; fn tokio() {}")), []);
    }
}
