//! Attributes told apart by their names.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;

/// Whether an attribute has this name, as the last of its path.
pub(crate) fn is_named(attribute: &Attribute, name: &str) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == name)
}

/// Takes the attributes out that `is_wanted` chooses.
pub(crate) fn take(
    attributes: &mut Vec<Attribute>,
    is_wanted: impl Fn(&Attribute) -> bool,
) -> Vec<Attribute> {
    let (wanted, others) = std::mem::take(attributes).into_iter().partition(is_wanted);
    *attributes = others;
    wanted
}

/// The conditions under which an item is there.
pub(crate) fn conditions(attributes: &[Attribute]) -> TokenStream {
    let conditions = attributes.iter().filter(|attribute| is_named(attribute, "cfg"));
    quote!(#(#conditions)*)
}
