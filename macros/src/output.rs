//! What a function returns, and how it becomes the answer.

use crate::lifetimes::{names, renamed, without_self};
use crate::parameter::{argument_of, last_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Lifetime, PathArguments, Result, ReturnType, Type};

/// What a function returns.
pub(crate) struct Output {
    /// It is a `Result`.
    pub(crate) is_fallible: bool,
    /// The error is `ToolError` as it stands.
    is_tool_error: bool,
    pub(crate) shape: Shape,
}

/// What the answer is made of.
pub(crate) enum Shape {
    /// What the function wrote into it.
    Written,
    Text,
    /// A value of this type, with a schema.
    Structured(TokenStream),
}

impl Output {
    /// Reads what a function returns. `as_text` says that its text is the answer, whatever its type.
    pub(crate) fn of(output: &ReturnType, as_text: bool, own_type: Option<&TokenStream>) -> Result<Self> {
        let ReturnType::Type(_, ty) = output else {
            return Ok(Self { is_fallible: false, is_tool_error: false, shape: Shape::Written });
        };
        let inner = argument_of(ty, "Result");
        let is_tool_error =
            error_of(ty).is_some_and(|error| last_name(error).is_some_and(|name| name == "ToolError"));
        let value = inner.unwrap_or(ty);
        let shape = match value {
            Type::Tuple(unit) if unit.elems.is_empty() => Shape::Written,
            ty if as_text || is_text(ty) => Shape::Text,
            ty => Shape::Structured(structured(ty, own_type)?),
        };
        Ok(Self { is_fallible: inner.is_some(), is_tool_error, shape })
    }

    /// Whether the trait returns the same.
    pub(crate) fn is_of_trait(&self) -> bool {
        self.is_fallible && self.is_tool_error && matches!(self.shape, Shape::Written)
    }

    /// Whether the answer is made of what the function returns.
    pub(crate) fn writes_answer(&self) -> bool {
        !matches!(self.shape, Shape::Written)
    }

    /// The tokens that make a `Result<(), ToolError>` of `__value`. `shape` names the static that knows of the schema.
    pub(crate) fn conversion(&self, shape: &Ident) -> TokenStream {
        let written = match self.shape {
            Shape::Written => quote!({
                let () = __value;
                ::core::result::Result::Ok(())
            }),
            Shape::Text => quote!(::mcpool::__private::answer_text(__call, &__value)),
            Shape::Structured(_) => quote!(#shape.answer(__call, &__value)),
        };
        if !self.is_fallible {
            return written;
        }
        quote!(match __value {
            ::core::result::Result::Ok(__value) => #written,
            ::core::result::Result::Err(__error) => ::core::result::Result::Err({
                #[allow(unused_imports)]
                use ::mcpool::__private::{DisplayedError as _, IntoError as _};
                (&__error).kind_of_error().tool_error(__error)
            }),
        })
    }
}

/// The error of a `Result`.
fn error_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let mut types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.nth(1)
}

fn is_text(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_text(&reference.elem),
        Type::Group(group) => is_text(&group.elem),
        Type::Paren(paren) => is_text(&paren.elem),
        ty => {
            let of_text = ["Cow", "Box", "Arc", "Rc"].iter().find_map(|name| argument_of(ty, name));
            let is_named = |ty: &Type, name: &str| last_name(ty).is_some_and(|last| last == name);
            is_named(ty, "String")
                || is_named(ty, "str")
                || of_text.is_some_and(|inner| is_named(inner, "str"))
        }
    }
}

/// The type of an answer as the body of a function may write it.
fn structured(ty: &Type, own_type: Option<&TokenStream>) -> Result<TokenStream> {
    let tokens = ty.to_token_stream();
    if names(tokens.clone(), "impl") {
        let fault =
            "name the type of the answer: it decides the schema; or return its text, with `#[tool(text)]`";
        return Err(Error::new(ty.span(), fault));
    }
    let tokens = match own_type {
        Some(own_type) => without_self(tokens, own_type),
        None => tokens,
    };
    Ok(renamed(&tokens, &Lifetime::new("'_", Span::call_site())).tokens)
}
