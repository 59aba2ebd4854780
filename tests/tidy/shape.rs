//! The outward shape of files: their length, their names, their first line, and who names them.

use crate::source::{Breach, Source};
use proc_macro2::TokenStream;
use std::collections::BTreeSet;
use std::path::Path;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ImplItemFn, ItemFn, Macro, Signature, Token, TraitItemFn};

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 70;
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "types", "common", "helpers", "helper", "traits", "misc"];

pub(crate) fn long_file(source: &Source) -> Vec<Breach> {
    let lines = source.text.lines().count();
    let fault = format!("{lines} lines, at most {MAX_FILE_LINES}: split it by what it owns");
    (lines > MAX_FILE_LINES).then(|| source.breach(lines, fault)).into_iter().collect()
}

pub(crate) fn long_functions(source: &Source) -> Vec<Breach> {
    let mut functions = Functions { source, breaches: Vec::new() };
    functions.visit_file(&source.file);
    functions.breaches
}

struct Functions<'s> {
    source: &'s Source,
    breaches: Vec<Breach>,
}

impl Functions<'_> {
    /// From the line of the signature to the closing brace; documentation and attributes are free.
    fn measure(&mut self, signature: &Signature, body: &Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        let lines = last - first + 1;
        if lines > MAX_FUNCTION_LINES {
            let fault = format!("`{}` has {lines} lines, at most {MAX_FUNCTION_LINES}", signature.ident);
            self.breaches.push(self.source.breach(first, fault));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    /// Functions inside a macro count too, where what it is given reads as Rust.
    fn visit_macro(&mut self, invocation: &'ast Macro) {
        let tokens: TokenStream = invocation.tokens.clone();
        if let Ok(file) = syn::parse2::<syn::File>(tokens) {
            Functions::visit_file(self, &file);
        } else if let Ok(statements) = invocation.parse_body_with(Block::parse_within) {
            for statement in &statements {
                Functions::visit_stmt(self, statement);
            }
        } else if let Ok(parts) = invocation.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated)
        {
            for part in &parts {
                Functions::visit_expr(self, part);
            }
        }
    }
}

pub(crate) fn empty_name(source: &Source) -> Vec<Breach> {
    let path = Path::new(&source.path);
    let inline = source.file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_some() => Some(module.ident.to_string()),
        _ => None,
    });
    let named = path.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
    let empty = named.chain(inline).filter(|name| EMPTY_NAMES.contains(&name.as_str()));
    empty.map(|name| source.breach(1, format!("`{name}` says nothing: name what it owns"))).collect()
}

pub(crate) fn undocumented(source: &Source) -> Vec<Breach> {
    let documented = source.file.attrs.iter().any(|attribute| attribute.path().is_ident("doc"));
    let fault = "it does not open with `//!`: what it owns, what it must not know, its invariant";
    (!documented).then(|| source.breach(1, fault)).into_iter().collect()
}

/// The files no `mod` and no crate names, which therefore nothing compiles.
pub(crate) fn orphans(files: &BTreeSet<String>, sources: &[Source]) -> Vec<Breach> {
    let named: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let orphans = files.iter().filter(|file| !named.contains(file.as_str()));
    orphans.map(|file| Breach::new(file, 1, "no `mod` names it, so nothing compiles it")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> Source {
        Source::sample("src/wire/sample.rs", text)
    }

    #[test]
    fn a_file_of_801_lines_is_found() {
        assert_eq!(long_file(&sample(&"//! x\n".repeat(801))).len(), 1);
        assert_eq!(long_file(&sample(&"//! x\n".repeat(800))), []);
    }

    #[test]
    fn a_function_of_71_lines_is_found_wherever_it_stands() {
        for (before, after) in [
            ("", ""),
            ("impl S {", "}"),
            ("trait T {", "}"),
            ("mod m { mod n {", "}}"),
            ("fn outer() {", "}"),
            ("proptest! {", "}"),
            ("fn f() { with!(|x| {", "}) }"),
        ] {
            let function =
                |lines: usize| format!("{before} fn long() {{ {} }} {after}", "\n".repeat(lines - 1));
            assert!(!long_functions(&sample(&function(71))).is_empty(), "{before}");
            assert_eq!(long_functions(&sample(&function(70))), [], "{before}");
        }
        let documented = format!("{}fn short() {{\n}}", "/// x\n".repeat(100));
        assert_eq!(long_functions(&sample(&documented)), []);
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        for path in ["src/utils.rs", "src/wire/types.rs", "tests/common/mod.rs", "src/helpers/lexer.rs"] {
            assert_eq!(empty_name(&Source::sample(path, "")).len(), 1, "{path}");
        }
        for name in EMPTY_NAMES {
            assert_eq!(empty_name(&sample(&format!("mod {name} {{}}"))).len(), 1, "{name}");
        }
        assert_eq!(empty_name(&Source::sample("src/wire/common_lexer.rs", "mod tests {}")), []);
    }

    #[test]
    fn a_module_that_does_not_introduce_itself_is_found() {
        assert_eq!(undocumented(&sample("/// x\nfn f() {}")).len(), 1);
        assert_eq!(undocumented(&sample("// x\nfn f() { //! inner\n}")).len(), 1);
        assert_eq!(undocumented(&sample("//! x\nfn f() {}")), []);
    }

    #[test]
    fn a_file_nobody_names_is_found() {
        let files = ["src/wire/sample.rs".to_owned(), "src/wire/left.rs".to_owned()].into();
        let found = orphans(&files, &[sample("")]);
        assert_eq!(found, [Breach::new("src/wire/left.rs", 1, "no `mod` names it, so nothing compiles it")]);
    }
}
