//! What a user of the crates sees: how many names stand at the root, one path for each name, and an example for each.
//!
//! With `unreachable_pub` as a warning, what is `pub` in a module is public. Fields say what they are, so data that is read
//! from somewhere needs no example: what gives it has one. All else does: functions, traits, whatever has parts that nobody
//! sees, and all that the roots and their folders of names export.

use crate::source::{Breach, Source};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, Expr, Fields, Item, Lit, Meta, UseTree, Visibility};

/// Names at the root of `mcpool` that a tool author reads through, besides modules.
pub(crate) const MAX_ROOT_NAMES: usize = 40;
/// The crates that are used as libraries, and the rooms that are not meant for it: a program, and what fuzzers call.
const PACKAGES: [&str; 2] = ["mcpool", "mcpool-pools"];
const NO_LIBRARY: [&str; 3] = ["src/cli/", "src/client/shim/", "fuzz"];
/// How the documentation of a name says that another one shows it.
const ELSEWHERE: &str = "an example";

/// The names that a root exports, and those that its inline modules do, by the module.
pub(crate) fn exported(root: &Source) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::from([(String::new(), names(&root.file.items))]);
    for item in root.file.items.iter().filter(|item| !is_hidden(item)) {
        if let Item::Mod(module) = item
            && let Some((_, items)) = &module.content
            && matches!(module.vis, Visibility::Public(_))
        {
            found.insert(module.ident.to_string(), names(items));
        }
    }
    found
}

fn names(items: &[Item]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in items {
        if let Item::Use(used) = item
            && matches!(used.vis, Visibility::Public(_))
        {
            leaves(&used.tree, &mut found);
        }
    }
    found
}

fn leaves(tree: &UseTree, found: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, found),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, found)),
        UseTree::Name(name) => drop(found.insert(name.ident.to_string())),
        UseTree::Rename(name) => drop(found.insert(name.rename.to_string())),
        UseTree::Glob(_) => {}
    }
}

fn is_hidden(item: &Item) -> bool {
    matches!(item, Item::Mod(module) if documentation(&module.attrs).contains("#[doc(hidden)]"))
}

/// The public names without an example. `exported` are those of the root that a file belongs to.
pub(crate) fn without_example(source: &Source, exported: &BTreeSet<String>) -> Vec<Breach> {
    let is_library = source.ships()
        && PACKAGES.contains(&source.package.as_str())
        && !NO_LIBRARY.iter().any(|part| source.path.contains(part))
        && !source.path.ends_with("handler/attribute.rs");
    if !is_library {
        return Vec::new();
    }
    let public = source.file.items.iter().filter_map(named).filter(|named| named.is_public);
    let lacking = public.filter(|named| {
        let is_shown = named.documentation.contains("```") || named.documentation.contains(ELSEWHERE);
        (named.needs_example || exported.contains(&named.name)) && !is_shown
    });
    lacking.map(|named| source.breach(named.line, format!("`{}` has no example", named.name))).collect()
}

struct Named {
    name: String,
    line: usize,
    is_public: bool,
    /// By what it is: a function, a trait, a type with parts that nobody sees.
    needs_example: bool,
    documentation: String,
}

fn named(item: &Item) -> Option<Named> {
    let (name, visibility, attributes, needs_example) = match item {
        Item::Struct(item) => (&item.ident, &item.vis, &item.attrs, is_opaque(&item.fields)),
        Item::Enum(item) => (&item.ident, &item.vis, &item.attrs, false),
        Item::Type(item) => (&item.ident, &item.vis, &item.attrs, false),
        Item::Trait(item) => (&item.ident, &item.vis, &item.attrs, true),
        Item::Fn(item) => (&item.sig.ident, &item.vis, &item.attrs, true),
        _ => return None,
    };
    Some(Named {
        name: name.to_string(),
        line: name.span().start().line,
        is_public: matches!(visibility, Visibility::Public(_)),
        needs_example,
        documentation: documentation(attributes),
    })
}

fn is_opaque(fields: &Fields) -> bool {
    fields.is_empty() || fields.iter().any(|field| !matches!(field.vis, Visibility::Public(_)))
}

fn documentation(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => {
                if let Expr::Lit(literal) = &pair.value
                    && let Lit::Str(line) = &literal.lit
                {
                    text.push_str(&line.value());
                    text.push('\n');
                }
            }
            Meta::List(list) if list.path.is_ident("doc") && list.tokens.to_string() == "hidden" => {
                text.push_str("#[doc(hidden)]");
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(text: &str, exported: &[&str]) -> usize {
        let exported = exported.iter().map(|name| (*name).to_owned()).collect();
        without_example(&Source::sample("src/wire/sample.rs", text), &exported).len()
    }

    #[test]
    fn what_needs_an_example_and_has_none_is_found() {
        for text in [
            "/// x\npub fn f() {}",
            "/// x\npub trait T {}",
            "/// x\npub struct S { x: u8 }",
            "/// x\npub struct S(u8);",
            "/// x\npub struct S;",
        ] {
            assert_eq!(lacking(text, &[]), 1, "{text}");
            assert_eq!(lacking(&text.replace("/// x", "/// ```\n/// f();\n/// ```"), &[]), 0, "{text}");
            assert_eq!(lacking(&text.replace("/// x", "/// [`g`] has an example."), &[]), 0, "{text}");
            assert_eq!(lacking(&text.replace("pub ", ""), &[]), 0, "{text}");
        }
    }

    #[test]
    fn data_needs_one_at_the_root_alone() {
        for text in ["/// x\npub struct S { pub x: u8 }", "/// x\npub enum S { X }"] {
            assert_eq!(lacking(text, &[]), 0, "{text}");
            assert_eq!(lacking(text, &["S"]), 1, "{text}");
        }
    }

    #[test]
    fn names_are_those_that_a_root_exports() {
        let root = "pub use a::{B, c::D as E}; use f::G; pub mod h { pub use i::J; } \
                    #[doc(hidden)] pub mod k { pub use l::M; } mod n { pub use o::P; }";
        let exported = exported(&Source::sample("src/lib.rs", root));
        let names = |module: &str| exported[module].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((names(""), names("h")), (vec!["B", "E"], vec!["J"]));
        assert_eq!(exported.len(), 2);
    }
}
