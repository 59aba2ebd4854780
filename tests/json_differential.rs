//! Our JSON against `serde_json`'s: the same texts are accepted, and the same values come out.
//!
//! Each text is decoded into every type below by both. What differs on purpose has a test of its own at the
//! end: a byte order mark is passed over, skipped values count towards the depth limit, and a key is a number
//! when its characters spell one, escaped or not.

use bumpalo::Bump;
use mcpool::wire::{DecodeError, DecodeFault, Elements, Kind, Lexer, Raw};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Debug;

fn decode<'f, T: Deserialize<'f>>(bytes: &'f [u8], arena: &'f Bump) -> Result<T, DecodeError> {
    let mut lexer = Lexer::from_bytes(bytes)?;
    let value = lexer.decode(arena)?;
    lexer.finish()?;
    Ok(value)
}

/// Decodes by both. Ours may borrow where theirs owns, so what they decoded is compared as it is written.
#[track_caller]
fn same_as<'f, Ours, Theirs>(bytes: &'f [u8], arena: &'f Bump)
where
    Ours: Deserialize<'f> + Serialize,
    Theirs: DeserializeOwned + Serialize,
{
    let ours = decode::<Ours>(bytes, arena);
    // serde_json does not look for UTF-8 in strings that it skips; a frame is UTF-8 or refused.
    let theirs = std::str::from_utf8(bytes).ok().map(serde_json::from_str::<Theirs>);
    let text = String::from_utf8_lossy(bytes);
    let name = std::any::type_name::<Theirs>();
    match (ours, theirs) {
        (Ok(ours), Some(Ok(theirs))) => assert_eq!(
            serde_json::to_string(&ours).unwrap(),
            serde_json::to_string(&theirs).unwrap(),
            "{text:?} as {name}"
        ),
        (Err(_), None | Some(Err(_))) => {}
        (ours, theirs) => panic!(
            "{text:?} as {name}: ours {:?}, theirs {:?}",
            ours.map(|_| "accepts"),
            theirs.map(|theirs| theirs.map(|_| "accepts"))
        ),
    }
}

#[track_caller]
fn same<T: DeserializeOwned + Serialize>(bytes: &[u8], arena: &Bump) {
    same_as::<T, T>(bytes, arena);
}

#[derive(Serialize, Deserialize)]
struct Borrowing<'f> {
    #[serde(borrow)]
    a: &'f str,
    b: Option<&'f str>,
    c: Option<Vec<&'f str>>,
    #[serde(default)]
    count: i64,
}

#[derive(Serialize, Deserialize)]
struct Owning {
    a: String,
    b: Option<String>,
    c: Option<Vec<String>>,
    #[serde(default)]
    count: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    a: u8,
    #[serde(default, rename = "b")]
    second: bool,
}

#[derive(Serialize, Deserialize)]
struct Flat {
    a: Value,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
enum External {
    A,
    B(i32),
    C(u8, String),
    D { a: f64, b: Option<bool> },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "a")]
enum Internal {
    A,
    B { b: i64 },
    C(BTreeMap<String, Value>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "a", content = "b")]
enum Adjacent {
    A,
    B(Option<i16>),
    C { a: bool },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    Text(String),
    Pair(bool, Option<u8>),
    Fields { a: Value },
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Unit;

#[derive(Serialize, Deserialize)]
struct Newtype(u16);

#[derive(Serialize, Deserialize)]
struct Two(i8, Option<String>);

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    A,
    B,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Number(i64);

/// Any value, skipped.
#[derive(Serialize)]
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A map keyed by floats, as a list: floats have no order.
#[derive(Serialize)]
struct ByFloat(Vec<(f64, Value)>);

impl<'de> Deserialize<'de> for ByFloat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = ByFloat;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<ByFloat, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(ByFloat(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn check(bytes: &[u8]) {
    if bytes.starts_with("\u{FEFF}".as_bytes()) {
        return;
    }
    let arena = Bump::new();
    let arena = &arena;
    same::<Value>(bytes, arena);
    same::<Skipped>(bytes, arena);
    numbers(bytes, arena);
    same_as::<&str, String>(bytes, arena);
    same::<char>(bytes, arena);
    same::<bool>(bytes, arena);
    same::<()>(bytes, arena);
    same::<Unit>(bytes, arena);
    same::<Newtype>(bytes, arena);
    same::<Option<Option<Value>>>(bytes, arena);
    same_as::<Vec<&str>, Vec<String>>(bytes, arena);
    same::<Vec<f64>>(bytes, arena);
    same::<Vec<Option<i64>>>(bytes, arena);
    same::<(i64, Value)>(bytes, arena);
    same::<[Value; 2]>(bytes, arena);
    same::<[Value; 0]>(bytes, arena);
    same::<Two>(bytes, arena);
    same_as::<Borrowing<'_>, Owning>(bytes, arena);
    same::<Strict>(bytes, arena);
    same::<Flat>(bytes, arena);
    same::<External>(bytes, arena);
    same::<Vec<External>>(bytes, arena);
    same::<Internal>(bytes, arena);
    same::<Adjacent>(bytes, arena);
    same::<Untagged>(bytes, arena);
    same_as::<BTreeMap<&str, bool>, BTreeMap<String, bool>>(bytes, arena);
    // See `keys_that_spell_numbers`.
    if !bytes.contains(&b'\\') {
        same::<BTreeMap<i8, Value>>(bytes, arena);
        same::<BTreeMap<u64, Value>>(bytes, arena);
        same::<BTreeMap<i128, Value>>(bytes, arena);
        same::<BTreeMap<u128, Value>>(bytes, arena);
        same::<BTreeMap<Number, Value>>(bytes, arena);
        same::<BTreeMap<Option<i32>, Value>>(bytes, arena);
        same::<ByFloat>(bytes, arena);
        // serde_json 1.0.154 takes a key that is no truth value for text from its second byte on, and panics
        // where that is within a character.
        if bytes.is_ascii() {
            same::<BTreeMap<bool, Value>>(bytes, arena);
        }
    }
    same::<BTreeMap<char, Value>>(bytes, arena);
    same::<BTreeMap<Name, Value>>(bytes, arena);
    raw_text(bytes, arena);
    elements(bytes, arena);
}

fn numbers(bytes: &[u8], arena: &Bump) {
    same::<i8>(bytes, arena);
    same::<i16>(bytes, arena);
    same::<i32>(bytes, arena);
    same::<i64>(bytes, arena);
    same::<i128>(bytes, arena);
    same::<u8>(bytes, arena);
    same::<u16>(bytes, arena);
    same::<u32>(bytes, arena);
    same::<u64>(bytes, arena);
    same::<u128>(bytes, arena);
    same::<f32>(bytes, arena);
    same::<f64>(bytes, arena);
}

fn raw_text(bytes: &[u8], arena: &Bump) {
    let ours = decode::<Raw<'_>>(bytes, arena).ok().map(Raw::as_str);
    let theirs = serde_json::from_slice::<&RawValue>(bytes).ok().map(RawValue::get);
    assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(bytes));
}

fn elements(bytes: &[u8], arena: &Bump) {
    let list = decode::<Elements<'_, Borrowing<'_>>>(bytes, arena);
    let ours = list.and_then(|list| list.iter(arena).collect::<Result<Vec<_>, _>>()).ok();
    // As in `same_as`: serde_json accepts what is no UTF-8 in strings that it skips.
    let theirs =
        std::str::from_utf8(bytes).ok().and_then(|text| serde_json::from_str::<Vec<Owning>>(text).ok());
    let written = |json: Result<String, _>| json.unwrap();
    assert_eq!(
        ours.map(|list| written(serde_json::to_string(&list))),
        theirs.map(|list| written(serde_json::to_string(&list))),
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
}

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "-0", "1", "-1", "01", "-01", "00", "+1", "1.", "1.0", "-0.0", "0.", ".5", "-.5", "-", "--1", "1e",
    "1e+", "1e5", "1E-5", "1e+05", "1.5e3", "1e400", "-1e400", "1e-400", "1e99999999999999999999",
    "0e99999999999999999999", "1e308", "1.7976931348623157e308", "1.7976931348623159e308", "5e-324",
    "2e-324", "2.2250738585072011e-308", "127", "128", "-128", "-129", "255", "256", "32767", "32768",
    "65535", "65536", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "18446744073709551615", "18446744073709551616", "18446744073709551619",
    "99999999999999999999", "-99999999999999999999", "170141183460469231731687303715884105727",
    "170141183460469231731687303715884105728", "-170141183460469231731687303715884105728",
    "-170141183460469231731687303715884105729", "340282366920938463463374607431768211455",
    "340282366920938463463374607431768211456", "3.4028235e38", "3.5e38", "16777217", "16777217.0",
    "1.00000017881393432617187499", "1.00000017881393432617187501", "0.1", "0.3", "1e23", "8.5e22",
    "123456789012345678901234567890.5", "0.000000000000000000000000000001", "NaN", "Infinity", "-Infinity",
    "1_000", "0x10", "1 2", "١",
];

#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "", " ", "null", "true", "false", "nul", "nulll", "truefalse", "True", "n", "t", "[", "]", "{", "}",
    "[]", "{}", "[ ]", "{ }", "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1}", "{1}", "{]", "[1", "{\"a\"",
    "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{\"a\"}", "{\"a\" 1}", "{\"a\"::1}", "{a:1}",
    "{'a':1}", "{1:1}", "{null:1}", "[]]", "{}}", "[] []", "[]x", "1,", ",", ":", "\"", "\"\"", "\"a",
    "\"\\", "\"\\\"", "\"\\\\\"", "\"\\x\"", "\"\\u\"", "\"\\u12\"", "\"\\u123g\"", "\"\\u+123\"",
    "\"\\u0041\"", "\"\\u0000\"", "\"\\U0041\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud83d\\ude00\"",
    "\"\\uD83D\\uDE00\"", "\"\\ud83d\\ud83d\"", "\"\\ud83dx\"", "\"\\ud83d\\n\"", "\"\\ude00\\ud83d\"",
    "\"\\ud83d\\u\"", "\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"", "\"\t\"", "\"\n\"", "\"\u{0}\"", "\"\u{1f}\"",
    "\"\u{7f}\"", "\"\u{80}\"", "\"\u{10ffff}\"", "\"\u{2028}\u{2029}\"", "\"ä\\u00e4ä\"", "'a'", "/**/1",
    "1//", "\u{a0}1", "\u{c}1", "\u{b}1", "\t\n\r 1 \t\n\r", "[\u{2003}]", "{\"a\":1,\"a\":2}",
    "{\"a\":\"x\",\"a\":\"y\"}", "{\"a\":\"x\",\"z\":1,\"z\":2}", "{\"\\u0061\":\"x\"}",
    "{\"a\":\"\\n\",\"b\":\"\\ud83d\\ude00\",\"c\":[\"\\\"\",\"p\"]}", "[\"x\",null,[\"y\"],3]",
    "[\"x\",null,[\"y\"],3,4]", "[\"x\",null]", "{\"a\":\"x\",\"b\":null,\"unknown\":[{\"deep\":[1,{}]}]}",
    "{\"a\":1,\"b\":true,\"c\":0}", "{\"a\":1,\"b\":true}", "[5,true]", "[5]", "\"A\"", "\"B\"", "\"E\"",
    "{\"A\":null}", "{\"A\":1}", "{\"A\":[]}", "{\"B\":-7}", "{\"B\":\"x\"}", "{\"C\":[1,\"x\"]}",
    "{\"C\":[1]}", "{\"C\":[1,\"x\",2]}", "{\"D\":{\"a\":1,\"b\":null}}", "{\"D\":[1,true]}",
    "{\"D\":[1,true,2]}", "{\"B\":1,\"B\":2}", "{\"B\":1,}", "{\"B\"}", "{}",
    "[\"A\",{\"B\":1},{\"D\":{\"a\":0}}]", "{\"a\":\"A\"}", "{\"b\":1,\"a\":\"B\"}",
    "{\"a\":\"C\",\"x\":1,\"y\":[2]}", "{\"a\":\"B\",\"b\":null}", "{\"b\":{\"a\":true},\"a\":\"C\"}",
    "[\"B\",5]", "{\"1\":1,\"-2\":2}", "{\"01\":1}", "{\"-0\":1}", "{\" 1\":1}", "{\"1 \":1}", "{\"\":1}",
    "{\"1.5\":1}", "{\"1e2\":1}", "{\"1e400\":1}", "{\"300\":1}", "{\"true\":1}",
    "{\"false\":2,\"true\":3}", "{\"tru\":1}", "{\"x\":1}", "{\"xy\":1}", "{\"A\":1,\"B\":2}",
    "[null,null]", "[true,false]", "[true]", "[1,{\"x\":[]}]", "{\"a\":{}}",
];

#[test]
fn nasty_texts() {
    for text in TEXTS.iter().chain(NUMBERS) {
        check(text.as_bytes());
        check(format!(" {text} ").as_bytes());
        check(format!("[{text}]").as_bytes());
        check(format!("[{text},{text}]").as_bytes());
        check(format!("{{\"a\":{text}}}").as_bytes());
        check(format!("{{\"x\":{text},\"a\":\"s\"}}").as_bytes());
        check(format!("{{\"{text}\":1}}").as_bytes());
        check(format!("\"{text}\"").as_bytes());
    }
}

#[test]
fn every_text_cut_short() {
    for text in TEXTS {
        (0..text.len()).for_each(|end| check(&text.as_bytes()[..end]));
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    let cases: [&[u8]; 12] = [
        b"\xFF",
        b"\x80",
        b"\xC3",
        b"\xC0\x80",
        b"\xE0\x80\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xF0\x9F\x98",
        b"\xC3\x28",
        b"\xF8\x88\x80\x80\x80",
        b"\xFE",
        b"a\xC3\xA4\xC3",
    ];
    for case in cases {
        for (before, behind) in
            [("", ""), ("\"", "\""), ("{\"a\":\"", "\"}"), ("{\"x\":[\"", "\"]}"), ("{\"", "\":1}")]
        {
            let bytes = [before.as_bytes(), case, behind.as_bytes()].concat();
            check(&bytes);
            let error = decode::<IgnoredAny>(&bytes, &Bump::new()).unwrap_err();
            assert_eq!(*error.fault(), DecodeFault::Utf8);
            assert_eq!(error.offset(), std::str::from_utf8(&bytes).unwrap_err().valid_up_to());
        }
    }
}

#[test]
fn strings_of_every_length_with_every_byte_at_every_place() {
    let arena = Bump::new();
    for length in (0..70).chain([127, 128, 129]) {
        for byte in (0..0x80_u8).filter(|byte| *byte < 0x22 || *byte == b'\\' || *byte == 0x7F) {
            for place in 0..length {
                let mut text = vec![b'x'; length];
                text[place] = byte;
                let text = [b"\"", &text[..], b"\""].concat();
                same_as::<&str, String>(&text, &arena);
                same::<Skipped>(&text, &arena);
            }
        }
    }
}

#[test]
fn nesting_is_limited_to_127_levels_also_where_it_is_skipped() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"b\":", "}]")] {
        for levels in [126, 127, 128, 129, 200, 100_000] {
            let times = levels / open.matches(['[', '{']).count();
            let text = format!("{}1{}", open.repeat(times), close.repeat(times));
            let is_accepted = times * open.matches(['[', '{']).count() <= 127;
            let (bytes, arena) = (text.as_bytes(), Bump::new());
            same::<Value>(bytes, &arena);
            assert_eq!(serde_json::from_slice::<Value>(bytes).is_ok(), is_accepted);
            for skipped in [decode::<IgnoredAny>(bytes, &arena).err(), decode::<Raw<'_>>(bytes, &arena).err()]
            {
                assert_eq!(
                    skipped.map(|error| error.fault().clone()),
                    (!is_accepted).then_some(DecodeFault::TooDeep)
                );
            }
        }
    }
    // Within a value that is walked into, the levels around it count.
    let text = format!("[[{}1{}]]", "[".repeat(125), "]".repeat(125));
    assert!(decode::<Vec<Vec<Raw<'_>>>>(text.as_bytes(), &Bump::new()).is_ok());
    let text = format!("[[{}1{}]]", "[".repeat(126), "]".repeat(126));
    assert!(decode::<Vec<Vec<Raw<'_>>>>(text.as_bytes(), &Bump::new()).is_err());
}

#[test]
fn half_a_surrogate_pair_passes_unread_and_is_refused_where_it_is_read() {
    let arena = Bump::new();
    for text in [r#""\ud800""#, r#""\udc00x""#, r#""\ud83d\ud83d""#, r#""\ud83dA""#] {
        assert_eq!(decode::<Raw<'_>>(text.as_bytes(), &arena).unwrap().as_str(), text);
        let error = decode::<&str>(text.as_bytes(), &arena).unwrap_err();
        assert_eq!((error.fault().clone(), error.is_syntax()), (DecodeFault::LoneSurrogate, false));
    }
}

#[test]
fn a_number_beyond_a_double_passes_unread_and_is_refused_where_it_is_read() {
    let arena = Bump::new();
    for text in ["1e400", "-1e400", &"9".repeat(400)] {
        assert_eq!(decode::<Raw<'_>>(text.as_bytes(), &arena).unwrap().as_str(), text);
        let error = decode::<f64>(text.as_bytes(), &arena).unwrap_err();
        assert_eq!((error.fault().clone(), error.is_syntax()), (DecodeFault::NumberOutOfRange, false));
    }
}

#[test]
fn a_byte_order_mark_is_passed_over_once() {
    let arena = Bump::new();
    assert_eq!(decode::<u8>("\u{FEFF}1".as_bytes(), &arena), Ok(1));
    assert!(decode::<u8>("\u{FEFF}\u{FEFF}1".as_bytes(), &arena).is_err());
    assert!(decode::<u8>(" \u{FEFF}1".as_bytes(), &arena).is_err());
    assert!(decode::<Vec<u8>>("[\u{FEFF}1]".as_bytes(), &arena).is_err());
}

/// `serde_json` reads the number between the quotes and so refuses an escaped digit; here the key is a string
/// first, as it is in JSON.
#[test]
fn keys_that_spell_numbers() {
    let arena = Bump::new();
    let map = decode::<BTreeMap<i32, u8>>(br#"{"\u0031": 2}"#, &arena);
    assert_eq!(map, Ok(BTreeMap::from([(1, 2)])));
    assert!(decode::<BTreeMap<i32, u8>>(br#"{"\u0020": 2}"#, &arena).is_err());
}

/// Found by comparing: keys were parsed by Rust's rules, which take minus zero for an integer and have
/// infinities.
#[test]
fn numbers_in_keys_follow_json() {
    for key in ["-0", "1e400", "+1", "inf", "NaN", "1.", "18446744073709551616"] {
        check(format!("{{\"{key}\":1}}").as_bytes());
    }
}

/// Found by comparing: rounded to a double first, the last bit may differ.
#[test]
fn a_single_is_rounded_once() {
    same::<f32>(b"1.00000017881393432617187499", &Bump::new());
    same::<f32>(b"[3.4028236e38]", &Bump::new());
}

#[test]
fn raw_values_know_their_kind() {
    let arena = Bump::new();
    for (text, kind) in [
        ("null", Kind::Null),
        ("true", Kind::Bool),
        ("-1", Kind::Number),
        ("\"\"", Kind::String),
        ("[1]", Kind::Array),
        ("{}", Kind::Object),
    ] {
        let raw = decode::<Vec<Raw<'_>>>(format!("[ {text} ]").as_bytes(), &arena).map(|list| list[0].kind());
        assert_eq!(raw, Ok(kind));
    }
    assert!(decode::<Elements<'_, u8>>(b"{}", &arena).is_err());
}

#[test]
fn escaped_strings_live_in_the_arena_and_plain_ones_in_the_frame() {
    let arena = Bump::new();
    let frame = br#"["plain", "esc\u0061ped"]"#;
    let [plain, escaped] = decode::<[&str; 2]>(frame, &arena).unwrap();
    assert!(frame.as_ptr_range().contains(&plain.as_ptr()));
    assert!(!frame.as_ptr_range().contains(&escaped.as_ptr()));
    assert_eq!((plain, escaped), ("plain", "escaped"));
}

fn white_space() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 2 => Just(" ".to_owned()), 1 => "[ \t\n\r]{0,12}"]
}

fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,12}",
        2 => "\\PC{0,6}".prop_map(|text| text.replace(['"', '\\'], "")),
        1 => "[a-z]{30,80}",
        2 => select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u20ac", "\\ud83d\\ude00", "\\u0000"])
            .prop_map(str::to_owned),
        1 => select(vec!["\\ud800", "\\x", "\t", "\\u00", "\u{1}"]).prop_map(str::to_owned),
    ];
    vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn key() -> impl Strategy<Value = String> {
    let common =
        vec!["a", "b", "c", "count", "A", "B", "C", "D", "1", "-1", "0", "true", "false", "1.5", "x"];
    prop_oneof![8 => select(common).prop_map(|key| format!("\"{key}\"")), 1 => string()]
}

/// JSON texts, almost all well-formed, of keys and values that the types above look for.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        3 => select(NUMBERS).prop_map(str::to_owned),
        3 => any::<i64>().prop_map(|number| number.to_string()),
        3 => (-3_i64..300).prop_map(|number| number.to_string()),
        3 => any::<f64>().prop_map(|number| format!("{number:e}").replace("NaN", "0").replace("inf", "0")),
        1 => "-?[0-9]{1,40}(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    ];
    let word = select(vec!["null", "true", "false", "\"A\"", "\"B\"", "\"C\"", "\"D\""]);
    let leaf = prop_oneof![3 => number, 3 => string(), 3 => word.prop_map(str::to_owned)];
    let spaced = |text: BoxedStrategy<String>| {
        (white_space(), text, white_space()).prop_map(|(before, text, behind)| before + &text + &behind)
    };
    leaf.boxed().prop_recursive(4, 32, 5, move |inner| {
        let inner = spaced(inner.boxed()).boxed();
        let member = (spaced(key().boxed()), inner.clone()).prop_map(|(key, value)| key + ":" + &value);
        prop_oneof![
            vec(inner, 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        2 => select(br#""\{}[],:0-.eEtfnu "#.to_vec()),
        1 => any::<u8>(),
    ];
    let change = (any::<Index>(), byte, 0_u8..4);
    (json(), vec(change, 1..4)).prop_map(|(json, changes)| {
        let mut bytes = json.into_bytes();
        for (place, byte, how) in changes {
            let place = place.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(place, byte),
                1 if place < bytes.len() => drop(bytes.remove(place)),
                2 if place < bytes.len() => bytes[place] = byte,
                3 => bytes.truncate(place),
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn generated_texts(json in json()) {
        check(json.as_bytes());
    }

    #[test]
    fn texts_that_were_damaged(bytes in mutated()) {
        check(&bytes);
    }
}

#[test]
fn text_that_is_no_utf8_is_refused_where_it_is_skipped_too() {
    check(b"[{\"-1\":\"\xe0{\xb7\",\"a\":\"A\"}]");
}

#[test]
fn errors_tell_the_place() {
    let at = |text: &str| -> (usize, String) {
        let error = decode::<Value>(text.as_bytes(), &Bump::new()).unwrap_err();
        (error.offset(), error.to_string())
    };
    assert_eq!(at("[1,]"), (3, "expected a value at byte 3".to_owned()));
    assert_eq!(at("{\"a\" 1}"), (5, "expected a colon at byte 5".to_owned()));
    assert_eq!(at("[1] x"), (4, "expected the end of the message at byte 4".to_owned()));
    assert_debug::<DecodeError>();
}

fn assert_debug<T: Debug + std::error::Error>() {}
