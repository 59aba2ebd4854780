//! Methods as tools: `#[toolset]` on an `impl` block, whose type is the state that they share.

use crate::attributes::is_named;
use crate::emit::{Names, Tool};
use crate::function::{Function, type_name};
use crate::options::Options;
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Error, Ident, ImplItem, ImplItemFn, ItemImpl, Meta, Result};

/// A method that is a tool.
struct Method {
    function: Function,
    options: Options,
    ident: Ident,
}

/// Expands `#[toolset]` on an `impl` block.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        let fault = "`#[mcpool::toolset]` has no options; those of a tool stand in its `#[tool(..)]`";
        return Err(Error::new_spanned(options, fault));
    }
    let mut block: ItemImpl = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "`#[mcpool::toolset]` stands on an `impl` block with methods")
    })?;
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new_spanned(
            path,
            "`#[mcpool::toolset]` stands on the `impl` block of a type, not of a trait",
        ));
    }
    if !block.generics.params.is_empty() {
        let fault = "the type of a toolset has no parameters: its tools have schemas of known types";
        return Err(Error::new_spanned(&block.generics, fault));
    }
    let own_type = block.self_ty.to_token_stream();
    let mut methods = Vec::new();
    for item in &mut block.items {
        if let ImplItem::Fn(method) = item
            && let Some(found) = take(method, &own_type)?
        {
            methods.push(found);
        }
    }
    if methods.is_empty() {
        return Err(Error::new_spanned(
            &block.self_ty,
            "no method here is a tool: write `#[tool]` above those that are",
        ));
    }
    Ok(written(&block, &methods, &own_type))
}

/// The tool that a method is, if it is one.
fn take(method: &mut ImplItemFn, own_type: &TokenStream) -> Result<Option<Method>> {
    let Some(at) = method.attrs.iter().position(|attribute| is_named(attribute, "tool")) else {
        return Ok(None);
    };
    let options = options_of(&method.attrs.remove(at))?;
    if let Some(name) = &options.type_name {
        return Err(Error::new_spanned(name, "the tools of a toolset have no types of their own"));
    }
    let function = Function::take(&method.attrs, &mut method.sig, &options, Some(own_type))?;
    Ok(Some(Method { function, options, ident: method.sig.ident.clone() }))
}

fn options_of(attribute: &Attribute) -> Result<Options> {
    match &attribute.meta {
        Meta::Path(_) => Ok(Options::default()),
        Meta::List(list) => Options::parse(list.tokens.clone()),
        Meta::NameValue(pair) => Err(Error::new_spanned(pair, "write `#[tool]` or `#[tool(option, ..)]`")),
    }
}

fn written(block: &ItemImpl, methods: &[Method], own_type: &TokenStream) -> TokenStream {
    let mut tools = TokenStream::new();
    let mut chain = quote!(::mcpool::toolsets::NoTools);
    for method in methods {
        let ident = &method.ident;
        let name = format_ident!("__{}", type_name(ident));
        let callee = quote_spanned!(ident.span()=> <#own_type>::#ident);
        let tool = Tool {
            function: &method.function,
            options: &method.options,
            names: &Names::of(name.clone()),
            callee: &callee,
            has_own_turns: true,
        };
        let implementation = tool.implementation();
        let (turns, at_most) = match &method.options.max_concurrent {
            Some(most) => (quote!(, ::mcpool::AtMost), quote!(, ::mcpool::AtMost::new(#most))),
            None => (TokenStream::new(), TokenStream::new()),
        };
        tools.extend(quote! {
            pub struct #name(::std::sync::Arc<#own_type> #turns);
            #implementation
        });
        let single = if method.options.blocking { quote!(Blocking) } else { quote!(Single) };
        let shared = quote!(::std::sync::Arc::clone(&state));
        chain = quote!(::mcpool::__private::chain(#chain, ::mcpool::toolsets::#single::new(#name(#shared #at_most))));
    }
    quote! {
        #block

        const _: () = {
            #tools

            #[allow(dead_code)]
            impl #own_type {
                /// The tools of this type, which share this value.
                pub fn into_toolset(self) -> impl ::mcpool::toolsets::Toolset {
                    Self::shared_toolset(::std::sync::Arc::new(self))
                }

                /// The tools of this type, which share a value that others hold as well.
                pub fn shared_toolset(state: ::std::sync::Arc<Self>) -> impl ::mcpool::toolsets::Toolset {
                    #chain
                }
            }
        };
    }
}
