//! The parameters of a tool's function: which are arguments of the tool, which come from the server.

use crate::attributes::{is_named, take};
use crate::lifetimes::{names, renamed, without_self};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Ident, Lifetime, Meta, Pat, PatType, Path, PathArguments,
    Receiver, ReceiverKind, Result, Type, TypeReference,
};

/// A parameter, by what the tool gives it.
pub(crate) enum Parameter {
    /// `&mut CallContext`, or what it dereferences to.
    Context { is_mutable: bool },
    /// What calls share.
    State(State),
    /// All arguments, as one value.
    Whole(Whole),
    /// One argument.
    Field(Box<Field>),
}

/// What calls share.
pub(crate) struct State {
    /// The type of the field that holds it.
    pub(crate) held: TokenStream,
}

/// All arguments, as one value.
pub(crate) struct Whole {
    pub(crate) ty: TokenStream,
    /// The function takes a reference.
    pub(crate) by_reference: bool,
    pub(crate) span: Span,
}

/// One argument.
pub(crate) struct Field {
    pub(crate) name: Ident,
    /// Documentation and attributes of serde and schemars.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) ty: TokenStream,
    pub(crate) borrows: bool,
    /// The function takes a reference to what is decoded.
    pub(crate) by_reference: bool,
    pub(crate) default: Option<Default>,
    /// `Option<Cow<str>>`, which serde would copy.
    pub(crate) is_optional_cow: bool,
}

/// What an argument is that is left out.
pub(crate) enum Default {
    OfType,
    Value(Box<Expr>),
}

/// The lifetime of arguments in generated code.
pub(crate) fn lifetime() -> Lifetime {
    Lifetime::new("'arguments", Span::call_site())
}

impl Parameter {
    /// Reads a parameter, and takes what only the attribute understands off it. `own_type` is what `Self` means.
    pub(crate) fn take(parameter: &mut FnArg, own_type: Option<&TokenStream>) -> Result<Self> {
        let typed = match parameter {
            FnArg::Receiver(receiver) => return of_receiver(receiver, own_type),
            FnArg::Typed(typed) => typed,
        };
        let marks = take(&mut typed.attrs, |attribute| {
            ["state", "arguments", "default", "doc", "serde", "schemars"]
                .iter()
                .any(|name| attribute.path().is_ident(name))
        });
        let is_marked = |name| marks.iter().any(|mark| is_named(mark, name));
        if let Some(is_mutable) = context(&typed.ty) {
            return Ok(Self::Context { is_mutable });
        }
        if is_marked("state") {
            if own_type.is_some() {
                return Err(Error::new(typed.ty.span(), "the state of a method is `&self`"));
            }
            return state(&typed.ty).map(Self::State);
        }
        if names(typed.ty.to_token_stream(), "impl") {
            return Err(Error::new(typed.ty.span(), "name the type of an argument: it decides the schema"));
        }
        if is_marked("arguments") || matches!(*typed.pat, Pat::Struct(_) | Pat::TupleStruct(_)) {
            return Ok(Self::Whole(whole(&typed.ty, own_type)));
        }
        field(typed, marks, own_type).map(|field| Self::Field(Box::new(field)))
    }

    /// What the function is given, where `__call` is the context and `__arguments` what was decoded.
    pub(crate) fn expression(&self) -> TokenStream {
        match self {
            Self::Context { is_mutable: true } => quote!(&mut *__call),
            Self::Context { is_mutable: false } => quote!(&*__call),
            Self::State(_) => quote!(&self.0),
            Self::Whole(Whole { by_reference: true, .. }) => quote!(&__arguments),
            Self::Whole(_) => quote!(__arguments),
            Self::Field(field) => {
                let name = &field.name;
                if field.by_reference { quote!(&__arguments.#name) } else { quote!(__arguments.#name) }
            }
        }
    }

    /// Whether the function borrows from what was decoded, which must stay until it ends.
    pub(crate) fn is_by_reference(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.by_reference,
            Self::Field(field) => field.by_reference,
            Self::Context { .. } | Self::State(_) => false,
        }
    }
}

impl Field {
    /// The field of the struct that arguments are decoded into. `defaults` begins the names of functions for defaults.
    pub(crate) fn declaration(&self, defaults: &Ident) -> TokenStream {
        let Self { name, attributes, ty, .. } = self;
        let mut marks = TokenStream::new();
        if self.borrows {
            marks.extend(quote!(#[serde(borrow)]));
        }
        if self.is_optional_cow {
            marks.extend(quote!(#[serde(default, deserialize_with = "::mcpool::__private::optional_cow")]));
        }
        match &self.default {
            Some(Default::OfType) => marks.extend(quote!(#[serde(default)])),
            Some(Default::Value(_)) => {
                let function = self.default_function(defaults).to_string();
                marks.extend(quote!(#[serde(default = #function)]));
            }
            None => {}
        }
        quote!(#(#attributes)* #marks #name: #ty)
    }

    /// The function that gives the default, where it is a value.
    pub(crate) fn default_item(&self, defaults: &Ident) -> Option<TokenStream> {
        let Some(Default::Value(value)) = &self.default else { return None };
        let (function, ty, lifetime) = (self.default_function(defaults), &self.ty, lifetime());
        let generics = self.borrows.then(|| quote!(<#lifetime>));
        Some(quote!(fn #function #generics() -> #ty { #value }))
    }

    fn default_function(&self, defaults: &Ident) -> Ident {
        Ident::new(&format!("{defaults}_{}", crate::lifetimes::plain_name(&self.name)), Span::call_site())
    }
}

fn of_receiver(receiver: &Receiver, own_type: Option<&TokenStream>) -> Result<Parameter> {
    let Some(own_type) = own_type else {
        return Err(Error::new(
            receiver.span(),
            "a method becomes a tool with `#[mcpool::toolset]` on its `impl` block, and `#[tool]` on the method",
        ));
    };
    let is_shared = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
        ReceiverKind::Typed(_, ty) => {
            matches!(&**ty, Type::Reference(reference) if reference.mutability.is_none())
        }
        _ => false,
    };
    if !is_shared {
        return Err(Error::new(
            receiver.span(),
            "a tool takes `&self`: its calls run at the same time. What changes needs a lock or an atomic",
        ));
    }
    Ok(Parameter::State(State { held: quote!(::std::sync::Arc<#own_type>) }))
}

/// Whether the type is the context of a call, and a mutable reference to it.
fn context(ty: &Type) -> Option<bool> {
    let Type::Reference(reference) = ty else { return None };
    let name = last_name(&reference.elem)?;
    (name == "CallContext" || name == "RequestContext").then_some(reference.mutability.is_some())
}

fn state(ty: &Type) -> Result<State> {
    let Type::Reference(TypeReference { elem, mutability: None, .. }) = ty else {
        return Err(Error::new(
            ty.span(),
            "state is taken as `&T`: calls run at the same time. What changes needs a lock or an atomic",
        ));
    };
    let is_shared = last_name(elem).is_some_and(|name| name == "Arc");
    let held = if is_shared { quote!(#elem) } else { quote!(::std::sync::Arc<#elem>) };
    Ok(State { held })
}

fn whole(ty: &Type, own_type: Option<&TokenStream>) -> Whole {
    let (decoded, by_reference) = match ty {
        Type::Reference(TypeReference { elem, .. }) => (&**elem, true),
        owned => (owned, false),
    };
    let tokens = written_out(decoded, own_type);
    Whole {
        ty: renamed(&tokens, &Lifetime::new("'a", Span::call_site())).tokens,
        by_reference,
        span: ty.span(),
    }
}

fn field(typed: &PatType, marks: Vec<Attribute>, own_type: Option<&TokenStream>) -> Result<Field> {
    let name = match &*typed.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => pattern.ident.clone(),
        other => {
            let fault = "an argument needs a name, which clients see";
            return Err(Error::new(other.span(), fault));
        }
    };
    let (defaults, attributes): (Vec<_>, Vec<_>) =
        marks.into_iter().partition(|mark| mark.path().is_ident("default"));
    let default = defaults.first().map(default_of).transpose()?;
    let (decoded, by_reference) = decoded(&typed.ty)?;
    let tokens = written_out(&decoded, own_type);
    let renamed = renamed(&tokens, &lifetime());
    let is_optional_cow = default.is_none() && is_optional_cow(&typed.ty);
    let (ty, borrows) = (renamed.tokens, renamed.borrows);
    Ok(Field { name, attributes, ty, borrows, by_reference, default, is_optional_cow })
}

fn written_out(ty: &impl ToTokens, own_type: Option<&TokenStream>) -> TokenStream {
    let tokens = ty.to_token_stream();
    match own_type {
        Some(own_type) => without_self(tokens, own_type),
        None => tokens,
    }
}

/// What a parameter is decoded into, and whether the function takes a reference to that. Strings, bytes and paths are
/// borrowed from the message; a slice is decoded into a `Vec`.
fn decoded(ty: &Type) -> Result<(TokenStream, bool)> {
    let Type::Reference(TypeReference { elem, mutability, lifetime, .. }) = ty else {
        return Ok((ty.to_token_stream(), false));
    };
    if mutability.is_some() {
        return Err(Error::new(
            ty.span(),
            "an argument is `T` or `&T`; the context of a call is `&mut CallContext`",
        ));
    }
    if lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") {
        return Err(Error::new(ty.span(), "an argument lives as long as the call, which is not `'static`"));
    }
    let is_byte = |ty: &Type| last_name(ty).is_some_and(|name| name == "u8");
    match &**elem {
        Type::Slice(slice) if !is_byte(&slice.elem) => {
            let element = &slice.elem;
            Ok((quote_spanned!(ty.span()=> ::std::vec::Vec<#element>), true))
        }
        Type::Slice(_) => Ok((ty.to_token_stream(), false)),
        elem => {
            let is_borrowed =
                last_name(elem).is_some_and(|name| name == "str" || name == "Path" || name == "RawValue");
            Ok(if is_borrowed { (ty.to_token_stream(), false) } else { (elem.to_token_stream(), true) })
        }
    }
}

fn default_of(mark: &Attribute) -> Result<Default> {
    match &mark.meta {
        Meta::Path(_) => Ok(Default::OfType),
        Meta::List(list) => list.parse_args().map(|value| Default::Value(Box::new(value))),
        Meta::NameValue(pair) => Err(Error::new(pair.span(), "write `#[default]` or `#[default(value)]`")),
    }
}

/// Whether a type is `Option<Cow<str>>`.
pub(crate) fn is_optional_cow(ty: &Type) -> bool {
    let Some(inner) = argument_of(ty, "Option") else { return false };
    let Some(text) = argument_of(inner, "Cow") else { return false };
    last_name(text).is_some_and(|name| name == "str")
}

/// The first type in the angle brackets of a type of this name.
pub(crate) fn argument_of<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    let last = path_of(ty)?.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The last name of a type's path.
pub(crate) fn last_name(ty: &Type) -> Option<&Ident> {
    path_of(ty)?.segments.last().map(|last| &last.ident)
}

fn path_of(ty: &Type) -> Option<&Path> {
    match ty {
        Type::Path(path) => Some(&path.path),
        Type::Group(group) => path_of(&group.elem),
        Type::Paren(paren) => path_of(&paren.elem),
        _ => None,
    }
}
