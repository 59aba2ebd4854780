//! [`match_key`]: which of a few known keys comes next.
//!
//! Nearly all messages spell their keys alike: no white space before the colon, no escapes. So each key that is looked
//! for is compared as a whole, quotes and colon included; only what is spelt otherwise, or is not looked for, is
//! read as a string.

/// Walks over the key of the member at the lexer's place, and gives the value beside it:
/// `match_key!(lexer, arena, { "id" => Key::Id, "method" => Key::Method }, Key::Other)`.
///
/// Fails as `Lexer::key` does.
macro_rules! match_key {
    ($lexer:expr, $arena:expr, { $($name:literal => $key:expr),+ $(,)? }, $other:expr) => {{
        $lexer.skip_white_space();
        $(if $lexer.take(concat!("\"", $name, "\":")) {
            $key
        } else)+ {
            match $lexer.key($arena)? {
                $($name => $key,)+
                _ => $other,
            }
        }
    }};
}

pub(crate) use match_key;

#[cfg(test)]
mod tests {
    use crate::wire::{DecodeError, Lexer};
    use bumpalo::Bump;

    fn keys(text: &str) -> Result<Vec<char>, DecodeError> {
        let arena = Bump::new();
        let mut lexer = Lexer::from_text(text);
        lexer.enter_object()?;
        let mut found = Vec::new();
        while lexer.next_member()? {
            found.push(match_key!(lexer, &arena, { "a" => 'a', "ab" => 'b', "a/c" => 'c' }, '-'));
            lexer.raw()?;
        }
        Ok(found)
    }

    #[test]
    fn keys_are_found_however_they_are_spelt() {
        for (text, want) in [
            (r#"{"a":1,"ab":2,"a/c":3}"#, "abc"),
            (r#"{ "a" : 1 , "\u0061b":2, "a\/c" :3}"#, "abc"),
            ("{\n\t\"a\":1,\r\n\"b\":2,\"A\":3,\"\":4,\"abc\":5}", "a----"),
            (r#"{"a:":1,"a\":":2}"#, "--"),
        ] {
            let found: String = keys(text).expect(text).into_iter().collect();
            assert_eq!(found, want, "{text}");
        }
        for text in [r#"{"a"1}"#, r#"{"a"#, "{a:1}", r#"{"a":1,}"#, r#"{"a"#] {
            assert!(keys(text).is_err(), "{text}");
        }
    }
}
