//! The uses between files: which file names something that another file defines.
//!
//! A path is followed through re-exports to the file that defines the name, so `crate::server::Session` is a use of
//! `state/session.rs` and not of `server/mod.rs`. Paths are read from the tokens, bodies and macros included. Items
//! that exist in tests only are left out, and so is a `mod.rs` that only declares and re-exports.

use crate::source::{Source, group, ident, is_punct, is_test, line_of, needs_test};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, Item, Meta, UseTree};

/// The re-exports that a path is followed through at most; a circle of `use` lines would have no end.
const MAX_STEPS: usize = 16;

/// One file names something that another file defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) line: usize,
    /// The path as it is written.
    pub(crate) path: String,
}

/// What a module has in it.
#[derive(Default)]
struct Module {
    file: String,
    names: BTreeMap<String, Name>,
    globs: Vec<Vec<String>>,
}

enum Name {
    /// Defined in the file of the module.
    Own,
    Module,
    /// Imported or re-exported, from this path.
    Import(Vec<String>),
}

/// All modules of the crates that ship, by package and path.
pub(crate) struct House<'s> {
    modules: BTreeMap<Vec<String>, Module>,
    sources: Vec<&'s Source>,
}

impl<'s> House<'s> {
    pub(crate) fn of(sources: &'s [Source]) -> Self {
        let ships = |source: &&Source| source.ships() && source.path != "src/main.rs";
        let mut house = Self { modules: BTreeMap::new(), sources: sources.iter().filter(ships).collect() };
        for source in house.sources.clone() {
            house.enter(source, &key(source, &source.module), &source.file.items);
        }
        house
    }

    fn enter(&mut self, source: &Source, module: &[String], items: &[Item]) {
        let mut entered = Module { file: source.path.clone(), ..Module::default() };
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Use(import) => imports(&import.tree, &mut Vec::new(), &mut entered),
                Item::Mod(inner) => {
                    entered.names.insert(inner.ident.to_string(), Name::Module);
                    if let Some((_, items)) = &inner.content {
                        self.enter(source, &[module, &[inner.ident.to_string()]].concat(), items);
                    }
                }
                _ => {
                    if let Some(name) = defined(item) {
                        entered.names.insert(name, Name::Own);
                    }
                }
            }
        }
        self.modules.insert(module.to_vec(), entered);
    }

    /// The uses of other files, each pair of files once, at its first line.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let nodes: BTreeSet<&str> = self
            .sources
            .iter()
            .filter(|source| has_code(source))
            .map(|source| source.path.as_str())
            .collect();
        let mut uses = BTreeMap::new();
        for source in self.sources.iter().filter(|source| nodes.contains(source.path.as_str())) {
            let mut paths = Paths::default();
            paths.read(source.tokens.clone(), &key(source, &source.module));
            for Written { module, path, line } in paths.found {
                let Some(to) = self.resolve(&module, &path, 0) else { continue };
                if to != source.path && nodes.contains(to.as_str()) {
                    let pair = (source.path.clone(), to.clone());
                    let path = path.join("::");
                    uses.entry(pair).or_insert(Use { from: source.path.clone(), to, line, path });
                }
            }
        }
        uses.into_values().collect()
    }

    /// The file that defines what `path` names when it is written in `module`.
    fn resolve(&self, module: &[String], path: &[String], step: usize) -> Option<String> {
        let (first, rest) = path.split_first().filter(|_| step < MAX_STEPS)?;
        match first.as_str() {
            "crate" | "mcpool" => self.walk(&module[..1], rest, step),
            "self" => self.walk(module, rest, step),
            "super" if rest.first().is_some_and(|next| next == "super") => {
                self.resolve(&module[..module.len() - 1], rest, step + 1)
            }
            "super" => self.walk(&module[..module.len() - 1], rest, step),
            "mcpool_pools" => self.walk(&["mcpool-pools".to_owned()], rest, step),
            name => {
                self.modules.get(module)?.names.get(name)?;
                self.walk(module, path, step)
            }
        }
    }

    fn walk(&self, module: &[String], path: &[String], step: usize) -> Option<String> {
        let entered = self.modules.get(module)?;
        let Some((first, rest)) = path.split_first() else { return Some(entered.file.clone()) };
        match entered.names.get(first) {
            Some(Name::Own) => Some(entered.file.clone()),
            Some(Name::Module) => self.walk(&[module, std::slice::from_ref(first)].concat(), rest, step),
            Some(Name::Import(from)) => {
                let path = [&from[..], rest].concat();
                self.resolve(module, &path, step + 1).or_else(|| Some(entered.file.clone()))
            }
            None => {
                let globs = entered.globs.iter();
                let defines = |file: &String| *file != entered.file;
                let mut found = globs.filter_map(|glob| {
                    self.resolve(module, &[&glob[..], path].concat(), step + 1).filter(defines)
                });
                found.next().or_else(|| Some(entered.file.clone()))
            }
        }
    }
}

fn key(source: &Source, module: &[String]) -> Vec<String> {
    [std::slice::from_ref(&source.package), module].concat()
}

/// Whether a file is more than declarations of modules and re-exports.
fn has_code(source: &Source) -> bool {
    let items = source.file.items.iter().filter(|item| !is_test(attributes(item)));
    let declares = |item: &Item| match item {
        Item::Use(_) | Item::ExternCrate(_) => true,
        Item::Mod(module) => module.content.is_none(),
        _ => false,
    };
    !items.into_iter().all(declares)
}

fn imports(tree: &UseTree, before: &mut Vec<String>, module: &mut Module) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            imports(&path.tree, before, module);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| imports(tree, before, module)),
        UseTree::Name(name) if name.ident == "self" => {
            if let Some(last) = before.last() {
                module.names.insert(last.clone(), Name::Import(before.clone()));
            }
        }
        UseTree::Name(name) => import(name.ident.to_string(), name.ident.to_string(), before, module),
        UseTree::Rename(name) => import(name.ident.to_string(), name.rename.to_string(), before, module),
        UseTree::Glob(_) => module.globs.push(before.clone()),
    }
}

fn import(name: String, known_as: String, before: &[String], module: &mut Module) {
    let path = if name == "self" { before.to_vec() } else { [before, &[name]].concat() };
    // `use sub::x` beside `mod sub`: the module stays what it is.
    if !matches!(module.names.get(&known_as), Some(Name::Module)) || path.len() > 1 {
        module.names.entry(known_as).or_insert(Name::Import(path));
    }
}

fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// A path, and the module that it is written in.
struct Written {
    module: Vec<String>,
    path: Vec<String>,
    line: usize,
}

#[derive(Default)]
struct Paths {
    found: Vec<Written>,
}

impl Paths {
    fn read(&mut self, tokens: TokenStream, module: &[String]) {
        let level: Vec<TokenTree> = tokens.into_iter().collect();
        let mut index = 0;
        while let Some(token) = level.get(index) {
            if let Some(after) = after_test(&level, index) {
                index = after;
                continue;
            }
            match (ident(Some(token)).as_deref(), token) {
                (Some("mod"), _) if group(level.get(index + 2), Delimiter::Brace).is_some() => {
                    let name = ident(level.get(index + 1)).unwrap_or_default();
                    let inside = group(level.get(index + 2), Delimiter::Brace).unwrap_or_default();
                    self.read(inside, &[module, &[name]].concat());
                    index += 2;
                }
                // `pub(in path)` uses nothing.
                (Some("pub"), _) if group(level.get(index + 1), Delimiter::Parenthesis).is_some() => {
                    index += 1;
                }
                (Some(_), _) if separated(&level, index + 1) => {
                    index = self.path(&level, index, module, Vec::new());
                    continue;
                }
                (None, TokenTree::Group(group)) => self.read(group.stream(), module),
                _ => {}
            }
            index += 1;
        }
    }

    /// Reads the path that begins at `index`, and says where it ends. `before` is what stands before a brace.
    fn path(
        &mut self,
        level: &[TokenTree],
        mut index: usize,
        module: &[String],
        before: Vec<String>,
    ) -> usize {
        let mut path = before;
        let line = level.get(index).map_or(0, line_of);
        loop {
            match (ident(level.get(index)), group(level.get(index), Delimiter::Brace)) {
                (Some(name), _) => path.push(name),
                (_, Some(branches)) => {
                    let branches: Vec<TokenTree> = branches.into_iter().collect();
                    for branch in branches.split(|token| is_punct(Some(token), ',')) {
                        if !branch.is_empty() {
                            self.path(branch, 0, module, path.clone());
                        }
                    }
                    return index + 1;
                }
                _ => break, // `*`, or the arguments of a type
            }
            if !separated(level, index + 1) {
                index += 1;
                break;
            }
            index += 3;
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        self.found.push(Written { module: module.to_vec(), path, line });
        index
    }
}

fn separated(level: &[TokenTree], index: usize) -> bool {
    is_punct(level.get(index), ':') && is_punct(level.get(index + 1), ':')
}

/// Where what follows a `#[cfg(test)]` at `index` ends, if there is one.
fn after_test(level: &[TokenTree], index: usize) -> Option<usize> {
    let inside =
        group(level.get(index + 1), Delimiter::Bracket).filter(|_| is_punct(level.get(index), '#'))?;
    let meta = syn::parse2::<Meta>(inside).ok()?;
    let test = match &meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args().is_ok_and(|condition| needs_test(&condition))
        }
        meta => meta.path().is_ident("test"),
    };
    if !test {
        return None;
    }
    let left = &level[index + 2..];
    let word = |word: &str| left.iter().take(8).any(|token| ident(Some(token)).is_some_and(|i| i == word));
    let ends = |token: &TokenTree| {
        if word("use") || word("static") || word("const") && !word("fn") {
            is_punct(Some(token), ';')
        } else if ["fn", "mod", "impl", "struct", "enum", "trait"].into_iter().any(word) {
            is_punct(Some(token), ';') || group(Some(token), Delimiter::Brace).is_some()
        } else {
            is_punct(Some(token), ',') || is_punct(Some(token), ';')
        }
    };
    Some(left.iter().position(ends).map_or(level.len(), |end| index + 2 + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The uses among the files of a small crate, as `from to` without `src/` and `.rs`.
    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::sample(path, text)).collect();
        let short = |path: &str| path.replace("src/", "").replace(".rs", "");
        House::of(&sources)
            .uses()
            .iter()
            .map(|used| format!("{} {}", short(&used.from), short(&used.to)))
            .collect()
    }

    const ROOT: (&str, &str) = ("src/lib.rs", "pub mod room; pub use room::Inner as Outer;");
    const ROOM: (&str, &str) = ("src/room/mod.rs", "mod inner; mod user; pub use inner::*;");
    const INNER: (&str, &str) = ("src/room/inner.rs", "pub struct Inner; pub fn make() {}");

    #[test]
    fn a_use_leads_to_the_file_that_defines_the_name() {
        for text in [
            "use crate::room::inner::Inner; struct S;",
            "use crate::room::Inner; struct S;",
            "use crate::Outer; struct S;",
            "use super::inner::{self, Inner}; struct S;",
            "use super::{inner::Inner}; struct S;",
            "use super::inner; fn f() { inner::make() }",
            "fn f() { super::make() }",
            "fn f() { vec![crate::room::make()]; }",
            "mod own { fn f() { super::super::inner::make() } }",
        ] {
            assert_eq!(
                uses(&[ROOT, ROOM, INNER, ("src/room/user.rs", text)]),
                ["room/user room/inner"],
                "{text}"
            );
        }
    }

    #[test]
    fn tests_and_visibilities_use_nothing() {
        for text in [
            "#[cfg(test)] mod tests { use super::super::inner::Inner; } struct S;",
            "#[cfg(test)] use super::inner::{Inner}; struct S;",
            "#[test] fn f() { super::inner::make() } struct S;",
            "struct S { #[cfg(test)] x: super::inner::Inner, y: u8 }",
            "pub(in crate::room::inner) struct S;",
            "use std::room::Inner; struct S;",
            "/// [`crate::room::Inner`]\nstruct S;",
        ] {
            assert_eq!(uses(&[ROOT, ROOM, INNER, ("src/room/user.rs", text)]), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_parent_with_code_counts_and_one_that_only_declares_does_not() {
        let user = ("src/room/user.rs", "use super::Own; pub struct User;");
        let parent = ("src/room/mod.rs", "mod user; pub struct Own; fn f() { user::User; }");
        assert_eq!(uses(&[ROOT, user, parent]), ["room/mod room/user", "room/user room/mod"]);
        let declares = ("src/room/mod.rs", "mod user; pub use user::User;");
        assert_eq!(uses(&[ROOT, user, declares]), [""; 0]);
    }
}
