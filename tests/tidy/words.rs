//! Words that may not stand in the code: unfinished work, ignored tests, names of the other table.

use crate::source::{Breach, Source, each_token, group, ident, is_punct, line_of};
use proc_macro2::{Delimiter, TokenStream};
use syn::visit::{self, Visit};
use syn::{Ident, ImplItemFn, Item, ItemFn, ItemImpl, TraitItemFn};

/// The macros that mark work as unfinished.
pub(crate) fn unfinished(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    each_token(source.tokens.clone(), &mut |level, index| {
        let name = ident(level.get(index)).unwrap_or_default();
        let called = is_punct(level.get(index + 1), '!');
        if called && matches!(name.as_str(), "todo" | "unimplemented" | "dbg") {
            breaches
                .push(source.breach(line_of(&level[index]), format!("`{name}!`: finish it or leave it out")));
        }
    });
    breaches
}

/// The tests that never run, as functions or as examples in documentation.
pub(crate) fn ignored(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let fault = "an ignored test tests nothing: run it or remove it";
    each_token(source.tokens.clone(), &mut |level, index| {
        let attribute =
            group(level.get(index + 1), Delimiter::Bracket).filter(|_| is_punct(level.get(index), '#'));
        if attribute.is_some_and(ignores) {
            breaches.push(source.breach(line_of(&level[index]), fault));
        }
    });
    for (index, line) in source.text.lines().enumerate() {
        let documentation = line.trim_start().strip_prefix("///").or(line.trim_start().strip_prefix("//!"));
        let fence = documentation.and_then(|text| text.trim_start().strip_prefix("```"));
        if fence.is_some_and(|kinds| kinds.split(',').any(|kind| kind.trim() == "ignore")) {
            breaches.push(source.breach(index + 1, fault));
        }
    }
    breaches
}

/// `ignore`, also with a reason or under a condition.
fn ignores(attribute: TokenStream) -> bool {
    let level: Vec<_> = attribute.into_iter().collect();
    match ident(level.first()).as_deref() {
        Some("ignore") => true,
        Some("cfg_attr") => group(level.get(1), Delimiter::Parenthesis).is_some_and(|inside| {
            inside.into_iter().any(|token| ident(Some(&token)).is_some_and(|name| name == "ignore"))
        }),
        _ => false,
    }
}

/// The types named after a vague office. The mission names two of them itself.
pub(crate) fn type_names(source: &Source) -> Vec<Breach> {
    let mut names = Names::of(source).types;
    names.retain(|name| {
        let text = name.to_string().replace("MemoryManager", "").replace("PerformanceMonitor", "");
        text.contains("Manager") || text.contains("Monitor")
    });
    let fault = |name: &Ident| format!("`{name}`: say what it does, see the table of words");
    names.iter().map(|name| source.breach(name.span().start().line, fault(name))).collect()
}

/// The functions that begin with `get_`. What a foreign trait asks for is not ours to name.
pub(crate) fn getters(source: &Source) -> Vec<Breach> {
    let mut names = Names::of(source).functions;
    names.retain(|name| name.to_string().starts_with("get_"));
    let fault = |name: &Ident| format!("`{name}`: call it after what it gives, without `get_`");
    names.iter().map(|name| source.breach(name.span().start().line, fault(name))).collect()
}

/// What a file gives names to.
#[derive(Default)]
struct Names {
    types: Vec<Ident>,
    functions: Vec<Ident>,
}

impl Names {
    fn of(source: &Source) -> Self {
        let mut names = Self::default();
        names.visit_file(&source.file);
        names
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Struct(item) => self.types.push(item.ident.clone()),
            Item::Enum(item) => self.types.push(item.ident.clone()),
            Item::Union(item) => self.types.push(item.ident.clone()),
            Item::Trait(item) => self.types.push(item.ident.clone()),
            Item::Type(item) => self.types.push(item.ident.clone()),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.functions.push(function.sig.ident.clone());
        visit::visit_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        self.functions.push(function.sig.ident.clone());
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if item.trait_.is_none() {
            let functions = item.items.iter().filter_map(|item| match item {
                syn::ImplItem::Fn(ImplItemFn { sig, .. }) => Some(sig.ident.clone()),
                _ => None,
            });
            self.functions.extend(functions);
        }
        visit::visit_item_impl(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> Source {
        Source::sample("src/wire/sample.rs", text)
    }

    #[test]
    fn unfinished_work_is_found() {
        for text in
            ["todo!()", "unimplemented!(\"later\")", "dbg!(1)", "println!(\"{}\", dbg!(1))", "std::todo!()"]
        {
            assert_eq!(unfinished(&sample(&format!("fn f() {{ {text}; }}"))).len(), 1, "{text}");
        }
        assert_eq!(unfinished(&sample("fn todo() { let dbg = \"todo!()\"; } // dbg!")), []);
    }

    #[test]
    fn an_ignored_test_is_found() {
        for text in [
            "#[test] #[ignore] fn f() {}",
            "#[ignore = \"slow\"] fn f() {}",
            "#[cfg_attr(miri, ignore)] fn f() {}",
            "mod tests { #[ignore] fn f() {} }",
            "proptest! { #[ignore] fn f(x in 0..9) {} }",
            "/// ```ignore\n/// x\n/// ```\nfn f() {}",
            "//! ```rust, ignore\n//! ```",
        ] {
            assert_eq!(ignored(&sample(text)).len(), 1, "{text}");
        }
        assert_eq!(ignored(&sample("/// ```no_run\n/// ```\n#[must_use] fn ignore() {}")), []);
    }

    #[test]
    fn a_vague_office_is_found() {
        for text in [
            "struct PoolManager;",
            "enum Monitor {}",
            "trait Managers {}",
            "type M = MonitorX; type HealthMonitor = u8;",
            "fn f() { struct BufferManager; }",
            "mod m { union FrameManager { a: u8 } }",
        ] {
            assert_eq!(type_names(&sample(text)).len(), 1, "{text}");
        }
        assert_eq!(type_names(&sample("struct MemoryManager; struct PerformanceMonitorState;")), []);
    }

    #[test]
    fn a_getter_is_found() {
        for text in ["fn get_x() {}", "impl S { fn get_mut(&mut self) {} }", "trait T { fn get_x(); }"] {
            assert_eq!(getters(&sample(text)).len(), 1, "{text}");
        }
        assert_eq!(
            getters(&sample("impl Buf for S { fn get_u8(&mut self) {} } fn get() {} fn target_x() {}")),
            []
        );
    }
}
