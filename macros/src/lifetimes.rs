//! Types with other lifetimes: what a function's signature leaves out, a struct has to write.

use proc_macro2::{Group, Ident, Spacing, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use std::iter::Peekable;
use syn::Lifetime;

/// A type whose lifetimes have one name.
pub(crate) struct Renamed {
    pub(crate) tokens: TokenStream,
    /// Whether there is such a lifetime.
    pub(crate) borrows: bool,
}

/// Gives all lifetimes of a type the name `lifetime`, those too that are left out behind `&` and in `Cow<str>`.
/// `'static` stays.
pub(crate) fn renamed(ty: &impl ToTokens, lifetime: &Lifetime) -> Renamed {
    let mut renamed = Renamed { tokens: TokenStream::new(), borrows: false };
    renamed.extend(ty.to_token_stream(), lifetime);
    renamed
}

impl Renamed {
    fn extend(&mut self, tokens: TokenStream, lifetime: &Lifetime) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(quote) if quote.as_char() == '\'' => {
                    let Some(TokenTree::Ident(name)) = tokens.next() else { continue };
                    if name == "static" {
                        Lifetime::new("'static", name.span()).to_tokens(&mut self.tokens);
                    } else {
                        self.push(lifetime);
                    }
                }
                TokenTree::Punct(reference) if reference.as_char() == '&' => {
                    reference.to_tokens(&mut self.tokens);
                    if !is_quote(tokens.peek()) {
                        self.push(lifetime);
                    }
                }
                TokenTree::Ident(name) if name == "Cow" => {
                    name.to_tokens(&mut self.tokens);
                    self.open_cow(&mut tokens, lifetime);
                }
                TokenTree::Group(group) => {
                    let mut inner = Self { tokens: TokenStream::new(), borrows: false };
                    inner.extend(group.stream(), lifetime);
                    self.borrows |= inner.borrows;
                    TokenTree::from(with_stream(&group, inner.tokens)).to_tokens(&mut self.tokens);
                }
                other => other.to_tokens(&mut self.tokens),
            }
        }
    }

    fn push(&mut self, lifetime: &Lifetime) {
        self.borrows = true;
        lifetime.to_tokens(&mut self.tokens);
    }

    /// `Cow<str>` is `Cow<'_, str>`.
    fn open_cow(&mut self, tokens: &mut Peekable<impl Iterator<Item = TokenTree>>, lifetime: &Lifetime) {
        let opens = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '<');
        let Some(bracket) = tokens.next_if(opens) else { return };
        bracket.to_tokens(&mut self.tokens);
        if !is_quote(tokens.peek()) {
            self.push(lifetime);
            quote!(,).to_tokens(&mut self.tokens);
        }
    }
}

/// Writes `ty` wherever `Self` stands.
pub(crate) fn without_self(tokens: TokenStream, ty: &TokenStream) -> TokenStream {
    let replaced = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(name) if name == "Self" => ty.clone(),
        TokenTree::Group(group) => {
            let inner = without_self(group.stream(), ty);
            TokenTree::from(with_stream(&group, inner)).into()
        }
        other => other.into(),
    });
    replaced.collect()
}

/// Whether a name stands anywhere in `tokens`.
pub(crate) fn names(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => names(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn is_quote(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(sign)) if sign.as_char() == '\'' && sign.spacing() == Spacing::Joint)
}

fn with_stream(group: &Group, stream: TokenStream) -> Group {
    let mut changed = Group::new(group.delimiter(), stream);
    changed.set_span(group.span());
    changed
}

/// A name as JSON has it.
pub(crate) fn plain_name(name: &Ident) -> String {
    let text = name.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{renamed, without_self};
    use proc_macro2::Span;
    use quote::{ToTokens, quote};
    use syn::{Lifetime, Type, parse_str};

    #[test]
    fn lifetimes_that_are_written_and_left_out_have_one_name() {
        let lifetime = Lifetime::new("'a", Span::call_site());
        for (ty, want, borrows) in [
            ("&str", "&'a str", true),
            ("&'x str", "&'a str", true),
            ("Option<&str>", "Option<&'a str>", true),
            ("Cow<str>", "Cow<'a, str>", true),
            ("std::borrow::Cow<'_, str>", "std::borrow::Cow<'a, str>", true),
            ("Vec<Words<'_>>", "Vec<Words<'a>>", true),
            ("(u8, &[u8])", "(u8, &'a [u8])", true),
            ("&'static str", "&'static str", false),
            ("Vec<u8>", "Vec<u8>", false),
            ("Cow", "Cow", false),
        ] {
            let ty: Type = parse_str(ty).expect("a type");
            let want: Type = parse_str(want).expect("a type");
            let found = renamed(&ty, &lifetime);
            assert_eq!(found.tokens.to_string(), want.to_token_stream().to_string());
            assert_eq!(found.borrows, borrows, "{}", found.tokens);
        }
    }

    #[test]
    fn self_is_written_out() {
        let found = without_self(quote!(Vec<(Self, Option<Self>)>), &quote!(Notes));
        assert_eq!(found.to_string(), quote!(Vec<(Notes, Option<Notes>)>).to_string());
    }
}
