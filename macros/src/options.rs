//! What stands in the parentheses of `#[tool(..)]`.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Ident, LitBool, LitStr, Result, Token};

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
}

const KNOWN: &str = "an option of a tool is one of: name, title, description, type, read_only, destructive, idempotent, \
                     open_world, blocking, text";

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|option| options.take(&option)).parse2(tokens)?;
        Ok(options)
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
    }

    #[test]
    fn what_is_no_option_is_refused_with_those_that_are() {
        for (tokens, part) in [
            (quote!(readonly), "one of: name, title"),
            (quote!(name = "with space"), "1 to 128 characters"),
            (quote!(name = ""), "1 to 128 characters"),
            (quote!(read_only = 1), "boolean"),
        ] {
            let error = Options::parse(tokens.clone()).err().expect("an error").to_string();
            assert!(error.contains(part), "{tokens}: {error}");
        }
    }
}
