//! The outward shape of files: their length, their names, their first sentence, and who names them.

use crate::source::{Breach, Source};
use proc_macro2::TokenStream;
use std::collections::BTreeSet;
use std::path::Path;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, FnArg, ImplItemFn, ItemFn, Macro, Signature, Token, TraitItemFn};

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 60;
/// Beside `self`.
const MAX_PARAMETERS: usize = 5;
const MAX_FIRST_SENTENCE_WORDS: usize = 30;
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "types", "common", "helpers", "helper", "traits", "misc"];

pub(crate) fn long_file(source: &Source) -> Vec<Breach> {
    let lines = source.text.lines().count();
    let fault = format!("{lines} lines, at most {MAX_FILE_LINES}: split it by what it owns");
    (lines > MAX_FILE_LINES).then(|| source.breach(lines, fault)).into_iter().collect()
}

/// From the line of the signature to the closing brace; documentation and attributes are free.
pub(crate) fn long_functions(source: &Source) -> Vec<Breach> {
    let too_long = |signature: &Signature, body: Option<&Block>| {
        let lines = body?.span().end().line - signature.span().start().line + 1;
        (lines > MAX_FUNCTION_LINES)
            .then(|| format!("`{}` has {lines} lines, at most {MAX_FUNCTION_LINES}", signature.ident))
    };
    Functions::checked(source, &too_long)
}

pub(crate) fn many_parameters(source: &Source) -> Vec<Breach> {
    let too_many = |signature: &Signature, _: Option<&Block>| {
        let own = signature.inputs.iter().filter(|input| matches!(input, FnArg::Typed(_))).count();
        (own > MAX_PARAMETERS)
            .then(|| format!("`{}` has {own} parameters, at most {MAX_PARAMETERS}", signature.ident))
    };
    Functions::checked(source, &too_many)
}

/// What is wrong with a function, given its signature and its body.
type Fault<'f> = &'f dyn Fn(&Signature, Option<&Block>) -> Option<String>;

struct Functions<'s> {
    source: &'s Source,
    fault: Fault<'s>,
    breaches: Vec<Breach>,
}

impl<'s> Functions<'s> {
    fn checked(source: &'s Source, fault: Fault<'s>) -> Vec<Breach> {
        let mut functions = Functions { source, fault, breaches: Vec::new() };
        functions.visit_file(&source.file);
        functions.breaches
    }

    fn measure(&mut self, signature: &Signature, body: Option<&Block>) {
        if let Some(fault) = (self.fault)(signature, body) {
            self.breaches.push(self.source.breach(signature.span().start().line, fault));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.measure(&function.sig, Some(&function.block));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.measure(&function.sig, Some(&function.block));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        self.measure(&function.sig, function.default.as_ref());
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

/// The modules whose first sentence is none, or is more than one can take in at once.
pub(crate) fn first_sentence(source: &Source) -> Vec<Breach> {
    let lines = source.text.lines().take_while(|line| line.starts_with("//!"));
    let paragraph: Vec<&str> =
        lines.map(|line| line[3..].trim()).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    if paragraph.is_empty() {
        return Vec::new(); // that it says nothing is another rule's
    }
    let sentence = sentence(&paragraph);
    let words = sentence.split_whitespace().count();
    let fault = if !sentence.ends_with('.') {
        "its first sentence does not end with a full stop".to_owned()
    } else if !sentence.starts_with(|first: char| first.is_uppercase() || matches!(first, '`' | '[')) {
        "its first sentence does not begin with a capital letter".to_owned()
    } else if words > MAX_FIRST_SENTENCE_WORDS {
        format!("its first sentence has {words} words, at most {MAX_FIRST_SENTENCE_WORDS}")
    } else {
        return Vec::new();
    };
    vec![source.breach(1, fault)]
}

/// Up to the first full stop that a new sentence follows.
fn sentence(paragraph: &str) -> &str {
    let stops = paragraph.match_indices(". ").map(|(at, _)| at + 1);
    let begins = |at: &usize| paragraph[*at..].trim_start().starts_with(|next: char| !next.is_lowercase());
    stops.into_iter().find(begins).map_or(paragraph, |end| &paragraph[..end])
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
    fn a_function_of_61_lines_is_found_wherever_it_stands() {
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
            assert!(!long_functions(&sample(&function(61))).is_empty(), "{before}");
            assert_eq!(long_functions(&sample(&function(60))), [], "{before}");
        }
        let documented = format!("{}fn short() {{\n}}", "/// x\n".repeat(100));
        assert_eq!(long_functions(&sample(&documented)), []);
    }

    #[test]
    fn a_sixth_parameter_is_found() {
        let five = "a: u8, b: u8, c: u8, (d, _): (u8, u8), e: u8";
        for (before, after) in [("", ""), ("impl S {", "}"), ("trait T {", "}"), ("fn outer() {", "}")] {
            let function = |parameters: &str| format!("{before} fn many({parameters}) {{}} {after}");
            assert_eq!(many_parameters(&sample(&function(&format!("{five}, f: u8")))).len(), 1, "{before}");
            assert_eq!(many_parameters(&sample(&function(five))), [], "{before}");
        }
        assert_eq!(many_parameters(&sample(&format!("impl S {{ fn many(&mut self, {five}) {{}} }}"))), []);
        assert_eq!(many_parameters(&sample(&format!("trait T {{ fn many({five}, f: u8); }}"))).len(), 1);
    }

    #[test]
    fn a_first_sentence_that_is_none_is_found() {
        let long = format!("//! Many{}.", " words".repeat(30));
        for text in ["//! Sizes for people", "//! sizes for people.", "//! Sizes:\n//!\n//! Small.", &long] {
            assert_eq!(first_sentence(&sample(text)).len(), 1, "{text}");
        }
        for text in [
            "//! Sizes for people.",
            "//! [`Size`]: bytes, as in `lexer.rs`, e. g. for\n//! people. Owns the rest and is not finished",
            &format!("//! Short. Many{}.", " words".repeat(30)),
            "fn f() {}",
        ] {
            assert_eq!(first_sentence(&sample(text)), [], "{text}");
        }
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
