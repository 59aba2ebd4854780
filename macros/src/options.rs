//! What stands in the parentheses of `#[tool(..)]`.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Expr, ExprLit, Ident, Lit, LitBool, LitStr, Result, Token};

/// What a tool is told beside its function.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    /// How the type is called that implements the trait.
    pub(crate) type_name: Option<Ident>,
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
    /// It works on a thread that may block.
    pub(crate) blocking: bool,
    /// The answer is the text of what is returned, whatever its type.
    pub(crate) text: bool,
    /// How long a call may take, the wait for its turn included.
    pub(crate) timeout_ms: Option<Expr>,
    /// How many calls run at once.
    pub(crate) max_concurrent: Option<Expr>,
}

const KNOWN: &str = "an option of a tool is one of: name, title, description, type, read_only, destructive, idempotent, \
                     open_world, blocking, text, timeout_ms, max_concurrent";
/// A thread cannot be ended from outside, and one that waits is one that others lack.
const BLOCKING_LIMIT: &str = "a blocking tool has no timeout_ms and no max_concurrent: check `call.is_cancelled()` in its \
                              loops, and see `max_blocking_threads` of `Limits`";

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|option| options.take(&option)).parse2(tokens)?;
        match options.timeout_ms.as_ref().or(options.max_concurrent.as_ref()) {
            Some(limit) if options.blocking => Err(syn::Error::new_spanned(limit, BLOCKING_LIMIT)),
            _ => Ok(options),
        }
    }

    pub(crate) fn take(&mut self, option: &ParseNestedMeta<'_>) -> Result<()> {
        let name = option.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match name.as_str() {
            "name" => self.name = Some(checked_name(option.value()?.parse()?)?),
            "title" => self.title = Some(option.value()?.parse()?),
            "description" => self.description = Some(option.value()?.parse()?),
            "type" => self.type_name = Some(option.value()?.parse()?),
            "read_only" => self.read_only = Some(flag(option)?),
            "destructive" => self.destructive = Some(flag(option)?),
            "idempotent" => self.idempotent = Some(flag(option)?),
            "open_world" => self.open_world = Some(flag(option)?),
            "blocking" => self.blocking = flag(option)?,
            "text" => self.text = flag(option)?,
            "timeout_ms" => self.timeout_ms = Some(limit(option)?),
            "max_concurrent" => self.max_concurrent = Some(limit(option)?),
            _ => return Err(option.error(KNOWN)),
        }
        Ok(())
    }
}

/// `read_only` and `read_only = true` are the same.
fn flag(option: &ParseNestedMeta<'_>) -> Result<bool> {
    if option.input.peek(Token![=]) {
        return Ok(option.value()?.parse::<LitBool>()?.value);
    }
    Ok(true)
}

/// A number, or a constant. No call at all would be no tool.
fn limit(option: &ParseNestedMeta<'_>) -> Result<Expr> {
    let value: Expr = option.value()?.parse()?;
    if let Expr::Lit(ExprLit { lit, .. }) = &value {
        let is_positive = matches!(lit, Lit::Int(number) if number.base10_digits() != "0");
        if !is_positive {
            return Err(syn::Error::new_spanned(&value, "a limit is a whole number, 1 or more"));
        }
    }
    Ok(value)
}

fn checked_name(name: LitStr) -> Result<LitStr> {
    let text = name.value();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=128).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(name);
    }
    Err(syn::Error::new(name.span(), "the name of a tool is 1 to 128 characters of A-Z a-z 0-9 _ . -"))
}

#[cfg(test)]
mod tests {
    use super::Options;
    use quote::quote;

    #[test]
    fn options_are_read() {
        let options =
            Options::parse(quote!(name = "a.b", type = Other, read_only, open_world = false, blocking));
        let options = options.expect("options");
        assert_eq!(options.name.expect("a name").value(), "a.b");
        assert_eq!(options.type_name.expect("a type").to_string(), "Other");
        assert_eq!((options.read_only, options.open_world), (Some(true), Some(false)));
        assert_eq!((options.destructive, options.idempotent), (None, None));
        assert!(options.blocking && !options.text);
        let options = Options::parse(quote!(timeout_ms = 500, max_concurrent = MOST)).expect("options");
        assert!(options.timeout_ms.is_some() && options.max_concurrent.is_some());
    }

    #[test]
    fn what_is_no_option_is_refused_with_those_that_are() {
        for (tokens, part) in [
            (quote!(readonly), "one of: name, title"),
            (quote!(name = "with space"), "1 to 128 characters"),
            (quote!(name = ""), "1 to 128 characters"),
            (quote!(read_only = 1), "boolean"),
            (quote!(timeout_ms = 0), "1 or more"),
            (quote!(timeout_ms = "5"), "1 or more"),
            (quote!(max_concurrent = 1.5), "1 or more"),
            (quote!(blocking, timeout_ms = 5), "a blocking tool has no timeout_ms"),
            (quote!(max_concurrent = 4, blocking), "a blocking tool has no timeout_ms"),
        ] {
            let error = Options::parse(tokens.clone()).err().expect("an error").to_string();
            assert!(error.contains(part), "{tokens}: {error}");
        }
    }
}
