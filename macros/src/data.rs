//! Types of arguments and answers: `#[arguments]` and `#[answer]` derive what they need, through `mcpool` alone.

use crate::lifetimes::{names, renamed};
use crate::parameter::is_optional_cow;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Error, Fields, Item, Lifetime, Result, parse_quote};

/// Expands `#[arguments]`: fields with a lifetime borrow.
pub(crate) fn arguments(options: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    none(options, "arguments")?;
    let mut item = parse(item, "arguments")?;
    let all_fields = match &mut item {
        Item::Struct(item) => vec![&mut item.fields],
        Item::Enum(item) => item.variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        _ => Vec::new(),
    };
    for fields in all_fields {
        borrow(fields);
    }
    Ok(quote! {
        #[derive(::mcpool::__private::serde::Deserialize, ::mcpool::__private::schemars::JsonSchema)]
        #[serde(crate = "::mcpool::__private::serde")]
        #[schemars(crate = "::mcpool::__private::schemars")]
        #item
    })
}

/// Expands `#[answer]`.
pub(crate) fn answer(options: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    none(options, "answer")?;
    let item = parse(item, "answer")?;
    Ok(quote! {
        #[derive(::mcpool::__private::serde::Serialize, ::mcpool::__private::schemars::JsonSchema)]
        #[serde(crate = "::mcpool::__private::serde")]
        #[schemars(crate = "::mcpool::__private::schemars")]
        #item
    })
}

fn none(options: &TokenStream, name: &str) -> Result<()> {
    if options.is_empty() {
        return Ok(());
    }
    let fault = format!("`#[mcpool::{name}]` has no options; those of serde stand in `#[serde(..)]`");
    Err(Error::new_spanned(options, fault))
}

fn parse(item: TokenStream, name: &str) -> Result<Item> {
    let fault = || format!("`#[mcpool::{name}]` stands on a struct or an enum");
    let item: Item = syn::parse2(item).map_err(|error| Error::new(error.span(), fault()))?;
    match item {
        Item::Struct(_) | Item::Enum(_) => Ok(item),
        other => Err(Error::new_spanned(other, fault())),
    }
}

/// Has serde borrow what has a lifetime, which it does by itself for `&str` and `&[u8]` alone.
fn borrow(fields: &mut Fields) {
    for field in fields {
        let marks: Vec<_> =
            field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")).collect();
        let says_so = marks.iter().any(|mark| names(mark.to_token_stream(), "borrow"));
        // Any name will do: whether there is a lifetime is what counts.
        if says_so || !renamed(&field.ty, &Lifetime::new("'_", Span::call_site())).borrows {
            continue;
        }
        let decodes_by_itself = marks.iter().any(|mark| {
            ["default", "deserialize_with", "with"].iter().any(|name| names(mark.to_token_stream(), name))
        });
        field.attrs.push(parse_quote!(#[serde(borrow)]));
        if is_optional_cow(&field.ty) && !decodes_by_itself {
            let with =
                parse_quote!(#[serde(default, deserialize_with = "::mcpool::__private::optional_cow")]);
            field.attrs.push(with);
        }
    }
}
