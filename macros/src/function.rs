//! A function as a tool: `#[tool]` on a free function, and what it has in common with methods.

use crate::attributes::{conditions, is_named};
use crate::description;
use crate::emit::{Names, Tool};
use crate::lifetimes::plain_name;
use crate::options::Options;
use crate::output::Output;
use crate::parameter::{Field, Parameter, State, Whole};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, ItemFn, Result, Signature};

/// What the signature of a function says of its tool.
pub(crate) struct Function {
    pub(crate) is_async: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: Output,
    /// The name that clients see, and the text for the model.
    pub(crate) name: String,
    pub(crate) description: String,
}

impl Function {
    /// Reads a function, and takes what only the attribute understands off its signature.
    pub(crate) fn take(
        attributes: &[Attribute],
        signature: &mut Signature,
        options: &Options,
        own_type: Option<&TokenStream>,
    ) -> Result<Self> {
        if let Some(parameter) =
            signature.generics.params.iter().find(|p| !matches!(p, syn::GenericParam::Lifetime(_)))
        {
            return Err(Error::new(
                parameter.span(),
                "a tool has no type parameters: its schema is of known types",
            ));
        }
        if options.blocking && signature.asyncness.is_some() {
            let fault = "a blocking tool is a plain `fn`: it has a thread of its own";
            return Err(Error::new(signature.asyncness.span(), fault));
        }
        let mut parameters = Vec::new();
        for parameter in &mut signature.inputs {
            let span = parameter.span();
            parameters.push((Parameter::take(parameter, own_type)?, span));
        }
        only_one(&parameters, "parameter for the context of its call", |p| {
            matches!(p, Parameter::Context { .. })
        })?;
        only_one(&parameters, "state for its calls", |p| matches!(p, Parameter::State(_)))?;
        only_one(&parameters, "parameter for all arguments", |p| matches!(p, Parameter::Whole(_)))?;
        let whole = parameters.iter().any(|(parameter, _)| matches!(parameter, Parameter::Whole(_)));
        let field = parameters.iter().find(|(parameter, _)| matches!(parameter, Parameter::Field(_)));
        if let Some((_, span)) = field.filter(|_| whole) {
            return Err(Error::new(*span, "another parameter is all arguments: put this one into its type"));
        }
        let described =
            options.description.as_ref().map(syn::LitStr::value).or_else(|| description::of(attributes));
        let Some(description) = described.filter(|text| !text.trim().is_empty()) else {
            let fault =
                "tell the model what the tool does: `/// ...` above the function, or `description = \"...\"`";
            return Err(Error::new(signature.ident.span(), fault));
        };
        let given = options.name.as_ref().map(syn::LitStr::value);
        Ok(Self {
            is_async: signature.asyncness.is_some(),
            parameters: parameters.into_iter().map(|(parameter, _)| parameter).collect(),
            output: Output::of(&signature.output, options.text, own_type)?,
            name: given.unwrap_or_else(|| plain_name(&signature.ident)),
            description,
        })
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.parameters.iter().find_map(|parameter| match parameter {
            Parameter::State(state) => Some(state),
            _ => None,
        })
    }

    pub(crate) fn whole(&self) -> Option<&Whole> {
        self.parameters.iter().find_map(|parameter| match parameter {
            Parameter::Whole(whole) => Some(whole),
            _ => None,
        })
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Field(field) => Some(&**field),
            _ => None,
        })
    }
}

fn only_one(
    parameters: &[(Parameter, proc_macro2::Span)],
    what: &str,
    is_one: impl Fn(&Parameter) -> bool,
) -> Result<()> {
    match parameters.iter().filter(|(parameter, _)| is_one(parameter)).nth(1) {
        Some((_, span)) => Err(Error::new(*span, format_args!("a tool has one {what}"))),
        None => Ok(()),
    }
}

/// `count_words` as a type: `CountWords`.
pub(crate) fn type_name(function: &Ident) -> Ident {
    let text = plain_name(function);
    let words = text.split('_').filter(|word| !word.is_empty());
    let name: String = words
        .map(|word| {
            let mut signs = word.chars();
            signs.next().map_or_else(String::new, |first| first.to_uppercase().chain(signs).collect())
        })
        .collect();
    // A name of nothing but `_` and digits stays one.
    let begins = name.starts_with(|first: char| first.is_alphabetic());
    if begins {
        Ident::new(&name, function.span())
    } else {
        format_ident!("Tool{}", name, span = function.span())
    }
}

/// Expands `#[tool]` on a free function.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut item: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "`#[mcpool::tool]` stands on a function (`fn` or `async fn`)")
    })?;
    let function = Function::take(&item.attrs, &mut item.sig, &options, None)?;
    let ident = &item.sig.ident;
    let name = options.type_name.clone().unwrap_or_else(|| type_name(ident));
    let (visibility, conditions) = (&item.vis, conditions(&item.attrs));
    let documentation = item.attrs.iter().filter(|attribute| is_named(attribute, "doc"));
    let declaration = match function.state() {
        Some(state) => {
            let held = &state.held;
            quote!(#[derive(::core::clone::Clone)] #visibility struct #name(pub #held);)
        }
        None => {
            quote!(#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)] #visibility struct #name;)
        }
    };
    let callee = quote_spanned!(ident.span()=> #ident);
    let tool = Tool {
        function: &function,
        options: &options,
        names: &Names::of(name.clone()),
        callee: &callee,
        has_own_turns: false,
    };
    let implementation = tool.implementation();
    Ok(quote! {
        #item

        #(#documentation)*
        #conditions
        #declaration

        #conditions
        const _: () = { #implementation };
    })
}

#[cfg(test)]
mod tests {
    use super::{expand, type_name};
    use proc_macro2::TokenStream;
    use syn::{Ident, ItemImpl, parse_str};

    fn expanded(options: &str, item: &str) -> Result<String, String> {
        let parse = |text: &str| text.parse::<TokenStream>().expect("tokens");
        expand(parse(options), parse(item))
            .map(|tokens| tokens.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_become_types() {
        for (function, ty) in [
            ("echo", "Echo"),
            ("count_words", "CountWords"),
            ("r#type", "Type"),
            ("_7", "Tool7"),
            ("readAll", "ReadAll"),
        ] {
            let function: Ident = parse_str(function).expect("a name");
            assert_eq!(type_name(&function).to_string(), ty);
        }
    }

    #[test]
    fn what_cannot_be_a_tool_is_refused_with_what_to_do() {
        for (options, item, part) in [
            ("", "struct S;", "stands on a function"),
            ("", "fn f() {}", "tell the model what the tool does"),
            ("description = \" \"", "fn f() {}", "tell the model"),
            ("", "/// x\nfn f<T>(a: T) {}", "no type parameters"),
            ("", "/// x\nfn f<const N: usize>() {}", "no type parameters"),
            ("", "/// x\nfn f(a: impl Send) {}", "name the type of an argument"),
            ("", "/// x\nfn f() -> impl Send {}", "name the type of the answer"),
            ("", "/// x\nfn f(&self) {}", "#[mcpool::toolset]"),
            ("", "/// x\nfn f((a, b): (u8, u8)) {}", "an argument needs a name"),
            ("", "/// x\nfn f(_: u8) {}", "an argument needs a name"),
            ("", "/// x\nfn f(a: &mut String) {}", "the context of a call is `&mut CallContext`"),
            ("", "/// x\nfn f(a: &'static str) {}", "not `'static`"),
            ("", "/// x\nfn f(#[state] s: Notes) {}", "state is taken as `&T`"),
            ("", "/// x\nfn f(#[state] s: &mut Notes) {}", "state is taken as `&T`"),
            ("", "/// x\nfn f(#[state] s: &A, #[state] t: &B) {}", "one state"),
            ("", "/// x\nfn f(a: &mut CallContext, b: &CallContext) {}", "one parameter for the context"),
            ("", "/// x\nfn f(#[arguments] a: A, b: u8) {}", "all arguments: put this one"),
            ("", "/// x\nfn f(#[default = 1] a: u8) {}", "#[default(value)]"),
            ("blocking", "/// x\nasync fn f() {}", "plain `fn`"),
            ("colour", "/// x\nfn f() {}", "one of: name, title"),
        ] {
            let error = expanded(options, item).expect_err(item);
            assert!(error.contains(part), "{item}: {error}");
        }
    }

    #[test]
    fn the_function_stays_without_what_only_the_attribute_reads() {
        let item = "/// Adds.\nfn add(/** One. */ a: u8, #[default(1)] #[serde(rename = \"B\")] b: u8) -> u8 { a + b }";
        let expanded = expanded("", item).expect("a tool");
        let function = expanded.split("struct Add").next().expect("a function");
        assert!(function.contains("fn add (a : u8 , b : u8) -> u8"), "{function}");
        assert!(expanded.contains("\" One. \"") && expanded.contains("rename = \"B\""), "{expanded}");
    }

    #[test]
    fn the_future_of_the_function_is_the_call_where_it_can_be() {
        let item = "/// x\nasync fn f(a: &str, call: &mut CallContext) -> Result<(), ToolError> { Ok(()) }";
        let expanded = expanded("", item).expect("a tool");
        assert!(!expanded.contains("async move") && !expanded.contains("then"), "{expanded}");
    }

    #[test]
    fn a_toolset_needs_methods_that_are_tools() {
        let expand = |options: &str, item: &str| {
            let parse = |text: &str| text.parse::<TokenStream>().expect("tokens");
            crate::methods::expand(parse(options), parse(item)).map_err(|error| error.to_string())
        };
        for (options, item, part) in [
            ("", "impl S { fn f(&self) {} }", "no method here is a tool"),
            ("", "impl T for S { #[tool] fn f(&self) {} }", "not of a trait"),
            ("", "impl<T> S<T> { #[tool] fn f(&self) {} }", "no parameters"),
            ("", "fn f() {}", "stands on an `impl` block"),
            ("name", "impl S {}", "no options"),
            ("", "impl S { /// x\n #[tool] fn f(&mut self) {} }", "takes `&self`"),
            ("", "impl S { /// x\n #[tool] fn f(self) {} }", "takes `&self`"),
            ("", "impl S { /// x\n #[tool(type = X)] fn f(&self) {} }", "no types of their own"),
            ("", "impl S { /// x\n #[tool] fn f(#[state] s: &S) {} }", "is `&self`"),
            ("", "impl S { #[tool] fn f(&self) {} }", "tell the model"),
        ] {
            let error = expand(options, item).expect_err(item);
            assert!(error.contains(part), "{item}: {error}");
        }
        let expanded =
            expand("", "impl S { /// x\n #[tool(read_only)] fn f(&self, #[default] a: u8) -> Self { S } }");
        let expanded = expanded.expect("a toolset");
        let block = expanded.into_iter().take_while(|token| token.to_string() != "const");
        let block: ItemImpl = syn::parse2(block.collect()).expect("the block as it was");
        assert_eq!(block.items.len(), 1);
    }
}
