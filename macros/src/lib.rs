//! The attributes of `mcpool` that make a function a tool. `mcpool` exports them, with examples.
//!
//! What is generated implements the traits of `mcpool` as a person would write them by hand, and names everything by
//! absolute paths, so that a crate that uses it depends on `mcpool` alone.

mod attributes;
mod data;
mod description;
mod emit;
mod function;
mod lifetimes;
mod methods;
mod options;
mod output;
mod parameter;

use proc_macro::TokenStream;
use syn::Error;

/// Makes a function a tool.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(options.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes the methods of a type tools that share its state.
#[proc_macro_attribute]
pub fn toolset(options: TokenStream, item: TokenStream) -> TokenStream {
    methods::expand(options.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes a type one that arguments are decoded into.
#[proc_macro_attribute]
pub fn arguments(options: TokenStream, item: TokenStream) -> TokenStream {
    data::arguments(&options.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes a type one that answers are written from.
#[proc_macro_attribute]
pub fn answer(options: TokenStream, item: TokenStream) -> TokenStream {
    data::answer(&options.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}
