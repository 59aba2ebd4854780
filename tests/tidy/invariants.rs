//! Panics that ship: each needs a line above its statement that says why it cannot happen.

use crate::source::{Breach, Source, each_token, group, ident, is_punct, is_test, line_of};
use proc_macro2::{Delimiter, LineColumn, Span, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, Attribute, ImplItem, ImplItemConst, Item, Stmt};

pub(crate) fn unstated(source: &Source) -> Vec<Breach> {
    if !source.ships() {
        return Vec::new();
    }
    let mut map = Map::default();
    map.visit_file(&source.file);
    let mut breaches = Vec::new();
    each_token(source.tokens.clone(), &mut |level, index| {
        let Some(what) = panics(level, index) else { return };
        let place = level[index].span();
        if map.is_test(place) || map.statement(place).is_some_and(|line| is_stated(&source.text, line)) {
            return;
        }
        if !is_stated(&source.text, place.start().line) {
            let fault = format!("`{what}` without a line `// invariant: ..` above its statement");
            breaches.push(source.breach(line_of(&level[index]), fault));
        }
    });
    breaches
}

/// What at `index` can panic by design. A method of our own called `expect` takes other arguments than the
/// one of `Option` and `Result`, and is none.
fn panics(level: &[TokenTree], index: usize) -> Option<String> {
    let name = ident(level.get(index))?;
    if name == "panic" && is_punct(level.get(index + 1), '!') {
        return Some("panic!".to_owned());
    }
    let arguments = match name.as_str() {
        "unwrap" | "unwrap_err" => 0,
        "expect" | "expect_err" => 1,
        _ => return None,
    };
    let before = index.checked_sub(1).and_then(|before| level.get(before));
    let call = group(level.get(index + 1), Delimiter::Parenthesis);
    let given = call.map(|inside| {
        let inside: Vec<TokenTree> = inside.into_iter().collect();
        inside.split(|token| is_punct(Some(token), ',')).filter(|part| !part.is_empty()).count()
    });
    let method = is_punct(before, '.') && given == Some(arguments);
    let path = is_punct(before, ':') && given.is_none_or(|given| given == arguments + 1);
    (method || path).then_some(name)
}

/// Whether the comment directly above `line` has a line that states an invariant.
fn is_stated(text: &str, line: usize) -> bool {
    let above: Vec<&str> = text.lines().take(line - 1).map(str::trim_start).collect();
    let comment = above.iter().rev().take_while(|line| line.starts_with("// "));
    comment.into_iter().any(|line| line.starts_with("// invariant: "))
}

/// Where statements begin, and which lines are tests.
#[derive(Default)]
struct Map {
    statements: Vec<(LineColumn, LineColumn)>,
    tests: Vec<(LineColumn, LineColumn)>,
}

impl Map {
    fn statement(&self, place: Span) -> Option<usize> {
        let around = self.statements.iter().filter(|range| contains(range, place));
        around.map(|range| range.0).max().map(|start| start.line)
    }

    fn is_test(&self, place: Span) -> bool {
        self.tests.iter().any(|range| contains(range, place))
    }

    fn note(&mut self, attributes: &[Attribute], span: Span) {
        if is_test(attributes) {
            self.tests.push((span.start(), span.end()));
        }
    }
}

fn contains(range: &(LineColumn, LineColumn), place: Span) -> bool {
    range.0 <= place.start() && place.end() <= range.1
}

impl<'ast> Visit<'ast> for Map {
    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        self.statements.push((statement.span().start(), statement.span().end()));
        visit::visit_stmt(self, statement);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        self.statements.push((arm.span().start(), arm.span().end()));
        visit::visit_arm(self, arm);
    }

    fn visit_impl_item_const(&mut self, constant: &'ast ImplItemConst) {
        self.statements.push((constant.span().start(), constant.span().end()));
        visit::visit_impl_item_const(self, constant);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Fn(function) => self.note(&function.attrs, function.span()),
            Item::Mod(module) => self.note(&module.attrs, module.span()),
            Item::Impl(block) => self.note(&block.attrs, block.span()),
            Item::Macro(invocation) => self.note(&invocation.attrs, invocation.span()),
            Item::Const(_) | Item::Static(_) => {
                self.statements.push((item.span().start(), item.span().end()));
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item {
            self.note(&function.attrs, function.span());
        }
        visit::visit_impl_item(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        unstated(&Source::sample("src/wire/sample.rs", text)).len()
    }

    #[test]
    fn a_panic_without_its_invariant_is_found() {
        for text in [
            "fn f() { x.unwrap(); }",
            "fn f() -> u8 { x.expect(\"present\") }",
            "fn f() { x.unwrap_err(); }",
            "fn f() { y.map(Option::unwrap); }",
            "fn f() { Option::expect(x, \"present\"); }",
            "fn f() { panic!(\"no\") }",
            "fn f() { format!(\"{}\", x.unwrap()); }",
            "macro_rules! m { () => { x.unwrap() } }",
            "const X: u8 = x.unwrap();",
            "#[cfg(not(test))] fn f() { x.unwrap(); }",
            "// it is there\nfn f() {\n    x.unwrap();\n}",
            "fn f() {\n    // invariant: of another line\n    let y = 1;\n    x.unwrap();\n}",
            "fn f() {\n    // invariant: too far\n\n    x.unwrap();\n}",
            "fn f() {\n    // invariant: of the outer one\n    if y {\n        x.unwrap();\n    }\n}",
            "fn f() {\n    x.unwrap(); // invariant: beside it\n}",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        assert_eq!(found("fn f() { x.unwrap().y.expect(\"z\"); }"), 2);
    }

    #[test]
    fn a_panic_with_its_invariant_and_a_test_are_free() {
        for text in [
            "fn f() {\n    // invariant: x was filled above\n    x.unwrap();\n}",
            "fn f() {\n    // invariant: x was filled above,\n    // by g.\n    let y = x\n        .map(z)\n        .expect(\"w\");\n}",
            "fn f() {\n    x\n        // invariant: filled\n        .unwrap();\n}",
            "fn f() {\n    match x {\n        // invariant: never so\n        _ => panic!(),\n    }\n}",
            "// invariant: not zero\nconst X: u8 = x.unwrap();",
            "#[cfg(test)] mod tests { fn f() { x.unwrap(); } }",
            "#[test] fn f() { x.unwrap(); }",
            "fn f() { x.unwrap_or(1); self.expect(b'x', \"an x\")?; assert!(x); }",
            "#[expect(dead_code)] fn unwrap() {}",
            "/// x.unwrap()\nfn f() { \"x.unwrap()\"; } // x.unwrap()",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
        let test = Source::sample("tests/sample.rs", "fn f() { x.unwrap(); }");
        assert_eq!(unstated(&test), []);
    }
}
