//! What is written is what `serde_json` would write, however it comes in pieces, and stays within the limit.

use bumpalo::Bump;
use mcpool::wire::{Lexer, Raw, Reply, ReplyError};
use mcpool_pools::BufferPool;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

fn written(write: impl FnOnce(&mut Reply)) -> Vec<u8> {
    let mut reply = Reply::new(BufferPool::default(), 1 << 20);
    write(&mut reply);
    reply.finish().expect("room").to_vec()
}

/// Cuts `bytes` at the given places.
fn chunks<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn body<T: AsRef<str>>(text: T) -> Vec<u8> {
    let quoted = serde_json::to_vec(text.as_ref()).unwrap();
    quoted[1..quoted.len() - 1].to_vec()
}

/// Bytes that are mostly the beginnings and middles of characters.
fn almost_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "\\PC{0,4}".prop_map(String::into_bytes),
        3 => vec(select(vec![0xC3, 0xE2, 0xF0, 0xF4, 0xED, 0xA4, 0x80, 0x9F, 0x98, 0xFF, 0xC0, 0x41]), 0..5),
        1 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn strings_are_written_as_serde_json_writes_them(text in any::<String>(), plain in "[a-z \"]{0,200}") {
        for text in [&text, &plain] {
            prop_assert_eq!(written(|reply| reply.string(text)), serde_json::to_vec(text).unwrap());
            let bytes = serde_json::to_vec(text).unwrap();
            let arena = Bump::new();
            prop_assert_eq!(Lexer::from_bytes(&bytes).unwrap().string(&arena), Ok(text.as_str()));
        }
    }

    #[test]
    fn bytes_in_any_chunks_become_the_text_that_std_makes_of_them(
        bytes in almost_text(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let ours = written(|reply| {
            let mut text = reply.lossy_text();
            for chunk in chunks(&bytes, &cuts) {
                text.push(chunk);
            }
        });
        prop_assert_eq!(ours, body(String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn base64_of_any_chunks_is_that_of_the_whole(
        bytes in prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 3_000..7_000)],
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let whole = written(|reply| reply.base64().push(&bytes));
        let parts = written(|reply| {
            let mut base64 = reply.base64();
            for chunk in chunks(&bytes, &cuts) {
                base64.push(chunk);
            }
        });
        prop_assert_eq!(&parts, &whole);
        prop_assert_eq!(whole.len(), bytes.len().div_ceil(3) * 4);
    }

    #[test]
    fn values_are_written_as_serde_json_writes_them(
        value in vec((any::<String>(), any::<Option<f32>>(), any::<bool>()), 0..5),
        number in prop_oneof![any::<f64>(), (-9_i32..9).prop_map(f64::from)],
        integer in any::<i64>(),
    ) {
        prop_assert_eq!(written(|reply| reply.value(&value).expect("JSON")), serde_json::to_vec(&value).unwrap());
        prop_assert_eq!(written(|reply| reply.integer(integer)), integer.to_string().into_bytes());
        let read: Option<f64> = serde_json::from_slice(&written(|reply| reply.number(number))).unwrap();
        prop_assert_eq!(read, Some(number).filter(|number| number.is_finite()));
    }

    #[test]
    fn a_reply_holds_no_more_than_its_limit(text in any::<String>(), max_bytes in 0_usize..80) {
        let mut reply = Reply::new(BufferPool::default(), max_bytes);
        reply.string(&text);
        let whole = serde_json::to_vec(&text).unwrap();
        prop_assert_eq!(reply.is_full(), whole.len() > max_bytes);
        prop_assert!(reply.len() <= max_bytes);
        let fits = (whole.len() <= max_bytes).then_some(whole).ok_or(ReplyError::TooLong { limit_bytes: max_bytes });
        prop_assert_eq!(reply.finish().map(|written| written.to_vec()), fits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn parts_of_a_string_end(
        parts in vec((almost_text(), vec(any::<Index>(), 0..3), select(vec![None, Some(""), Some("\n"), Some("\u{80}x")])), 0..6),
    ) {
        let ours = written(|reply| {
            let mut text = reply.lossy_text();
            for (bytes, cuts, separator) in &parts {
                for chunk in chunks(bytes, cuts) {
                    text.push(chunk);
                }
                match separator {
                    Some(separator) => text.push_str(separator),
                    None => text.end_part(),
                }
            }
        });
        let lossy = |(bytes, _, separator): &(Vec<u8>, _, Option<&str>)| {
            String::from_utf8_lossy(bytes).into_owned() + separator.unwrap_or_default()
        };
        prop_assert_eq!(ours, body(parts.iter().map(lossy).collect::<String>()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_of_others_is_read_and_put_on_one_line(
        value in any::<(Vec<(String, Option<bool>)>, i64)>(),
        junk in "\\PC{0,3}",
    ) {
        let pretty = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n");
        let ours = [
            written(|reply| reply.raw(Raw::check(&pretty).expect("JSON"))),
            written(|reply| {
                reply.value(&[RawValue::from_string(pretty.clone()).expect("JSON")]).expect("JSON");
            }),
        ];
        for ours in &ours {
            prop_assert!(!ours.contains(&b'\n') && !ours.contains(&b'\r'));
        }
        prop_assert_eq!(&serde_json::from_slice::<(Vec<(String, Option<bool>)>, i64)>(&ours[0]).unwrap(), &value);
        prop_assert_eq!(&serde_json::from_slice::<[(Vec<(String, Option<bool>)>, i64); 1]>(&ours[1]).unwrap()[0], &value);
        let spoilt = format!("{pretty}{junk}");
        prop_assert_eq!(Raw::check(&spoilt).is_ok(), serde_json::from_str::<&RawValue>(&spoilt).is_ok());
    }
}

#[test]
fn known_base64() {
    for (bytes, expected) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
    {
        let ours = written(|reply| {
            let mut base64 = reply.base64();
            bytes.as_bytes().chunks(1).for_each(|chunk| base64.push(chunk));
        });
        assert_eq!(ours, expected.as_bytes());
    }
}

#[test]
fn every_control_character_is_escaped_as_by_serde_json() {
    for character in '\0'..='\u{FF}' {
        for text in [character.to_string(), format!("{:x<31}{character}{:x<33}", "", "")] {
            assert_eq!(written(|reply| reply.string(&text)), serde_json::to_vec(&text).unwrap());
        }
    }
}

#[test]
fn whole_numbers_have_no_fraction_and_what_is_no_number_is_null() {
    for (number, expected) in [
        (1.0, "1"),
        (-3.0, "-3"),
        (0.5, "0.5"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (1e300, "1e+300"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ] {
        assert_eq!(written(|reply| reply.number(number)), expected.as_bytes());
    }
}

#[test]
fn what_was_written_can_be_repeated() {
    let ours = written(|reply| {
        reply.literal("[");
        reply.string(&"é\"".repeat(500));
        let range = 1..reply.len();
        reply.literal(",");
        reply.repeat(range);
        reply.literal("]");
    });
    let text = "é\"".repeat(500);
    assert_eq!(ours, serde_json::to_vec(&[&text, &text]).unwrap());

    let mut reply = Reply::new(BufferPool::default(), 5);
    reply.literal("123");
    reply.repeat(0..3);
    assert!(reply.is_full());
    assert_eq!(reply.len(), 3);
    reply.literal("4");
    assert_eq!(reply.len(), 3, "a full reply stays as it is");
    assert_eq!(reply.finish().err(), Some(ReplyError::TooLong { limit_bytes: 5 }));
}

#[test]
fn a_value_that_cannot_be_json_is_an_error() {
    let ours = written(|reply| {
        reply.literal("[1,");
        assert!(reply.value(&(2, BTreeMap::from([((1, 2), 3)]))).is_err());
        reply.literal("3]");
    });
    assert_eq!(ours, b"[1,3]", "nothing of it is written");
}

/// A string of any kind of bytes, often long enough to be copied in words, in blocks, and in more than one piece.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ -~]{0,12}",
        2 => "[a-z]{30,200}",
        2 => "[\\x00-\\x1F\"\\\\\\x7F]{1,4}",
        1 => "\\PC{0,6}",
        1 => any::<String>(),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Bytes as bytes: serde would write a slice as a list.
#[derive(Debug, Clone)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

#[derive(Debug, Clone, Serialize, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    First,
    #[serde(rename = "se\"cond\n")]
    Second,
}

#[derive(Debug, Clone, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Inner<T>(T);

#[derive(Debug, Clone, Serialize)]
struct Nothing;

#[derive(Debug, Clone, Serialize)]
enum Shape {
    Unit(()),
    One(Option<f64>),
    Pair(i128, u128),
    Fields { long_name_of_a_field: char, f: f32 },
    None {},
    Empty(),
}

#[derive(Debug, Clone, Serialize)]
struct Outer {
    shapes: Vec<Shape>,
    nothing: (Nothing, (), Option<Nothing>),
    numbers: (i8, i16, i32, i64, u8, u16, u32, u64),
    text: String,
    bytes: Bytes,
    address: std::net::IpAddr,
    by_text: BTreeMap<String, bool>,
    by_number: BTreeMap<i64, Named>,
    by_wide: BTreeMap<u128, Inner<u8>>,
    by_char: BTreeMap<char, u8>,
    by_bool: BTreeMap<bool, u8>,
    by_name: BTreeMap<Named, Inner<Named>>,
    by_inner: BTreeMap<Inner<String>, u8>,
    by_option: BTreeMap<Option<u8>, u8>,
    by_address: BTreeMap<std::net::IpAddr, u8>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Unit(())),
        Just(Shape::None {}),
        Just(Shape::Empty()),
        any::<Option<f64>>().prop_map(Shape::One),
        any::<(i128, u128)>().prop_map(|(number, positive)| Shape::Pair(number, positive)),
        any::<(char, f32)>().prop_map(|(character, f)| Shape::Fields { long_name_of_a_field: character, f }),
    ]
}

fn others() -> impl Strategy<Value = BTreeMap<String, serde_json::Value>> {
    let leaf = prop_oneof![
        any_text().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<Option<bool>>().prop_map(|value| serde_json::to_value(value).unwrap()),
    ];
    let value = leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(any_text(), inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map(any_text(), value, 0..4)
}

type Keys = (i64, u128, char, bool, Option<String>, Option<u8>, std::net::IpAddr);

fn outer() -> impl Strategy<Value = Outer> {
    let named = || select(vec![Named::First, Named::Second]);
    let simple = (any::<(i8, i16, i32, i64, u8, u16, u32, u64)>(), any::<Keys>(), named());
    (vec(shape(), 0..4), simple, any_text(), vec(any::<u8>(), 0..9), others()).prop_map(
        |(shapes, (numbers, keys, name), text, bytes, others)| Outer {
            shapes,
            nothing: (Nothing, (), keys.3.then_some(Nothing)),
            numbers,
            by_text: BTreeMap::from([(text.clone(), keys.3), (keys.4.clone().unwrap_or_default(), false)]),
            text,
            bytes: Bytes(bytes),
            address: keys.6,
            by_number: BTreeMap::from([(keys.0, name.clone()), (0, Named::First)]),
            by_wide: BTreeMap::from([(keys.1, Inner(1))]),
            by_char: BTreeMap::from([(keys.2, 5), ('"', 6)]),
            by_bool: BTreeMap::from([(keys.3, 7)]),
            by_name: BTreeMap::from([(name.clone(), Inner(name))]),
            by_inner: keys.4.map(|key| (Inner(key), 2)).into_iter().collect(),
            by_option: keys.5.map(|key| (Some(key), 3)).into_iter().collect(),
            by_address: BTreeMap::from([(keys.6, 4)]),
            others,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn values_of_every_shape_are_written_as_serde_json_writes_them(value in outer()) {
        prop_assert_eq!(written(|reply| reply.value(&value).expect("JSON")), serde_json::to_vec(&value).unwrap());
        prop_assert_eq!(written(|reply| reply.string(&value.text)), serde_json::to_vec(&value.text).unwrap());
    }

    #[test]
    fn a_value_stays_within_the_limit_of_its_reply(value in outer(), part in any::<Index>()) {
        let whole = serde_json::to_vec(&value).unwrap();
        let limit_bytes = part.index(whole.len() + 1);
        let mut reply = Reply::new(BufferPool::default(), limit_bytes);
        reply.value(&value).expect("JSON");
        prop_assert!(reply.len() <= limit_bytes);
        let fits = (whole.len() <= limit_bytes).then_some(whole).ok_or(ReplyError::TooLong { limit_bytes });
        prop_assert_eq!(reply.finish().map(|written| written.to_vec()), fits);
    }
}

/// A string at every place of the array that it is gathered in, with a byte that is escaped at every place of it.
#[test]
fn strings_of_every_length_with_an_escape_at_every_place() {
    for length in (0..40).chain([63, 64, 65, 127, 128, 129, 200]) {
        for place in 0..length {
            for special in ["\"", "\u{1}", "é"] {
                let text = format!("{}{special}{}", "x".repeat(place), "y".repeat(length - place - 1));
                assert_eq!(written(|reply| reply.string(&text)), serde_json::to_vec(&text).unwrap());
            }
        }
    }
    for length in 0..600 {
        let value = ("x".repeat(length), "\\\n", 12, "y".repeat(600 - length), "\u{7}".repeat(length / 3));
        assert_eq!(written(|reply| reply.value(&value).unwrap()), serde_json::to_vec(&value).unwrap());
    }
}

/// A map with one key that comes in any type.
struct Keyed<T>(T);

impl<T: Serialize> Serialize for Keyed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(&self.0, &true)?;
        map.end()
    }
}

#[test]
fn what_serde_json_refuses_as_a_key_is_refused() {
    fn is_refused<T: Serialize>(key: T) -> bool {
        let keyed = Keyed(key);
        let ours = written(|reply| {
            reply.literal("[");
            let result = reply.value(&keyed).map_err(|error| error.to_string());
            let theirs = serde_json::to_string(&keyed).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(result, theirs);
        });
        let theirs = serde_json::to_string(&keyed);
        assert_eq!(ours, format!("[{}", theirs.as_deref().unwrap_or_default()).as_bytes());
        theirs.is_err()
    }
    let raw = RawValue::from_string("1".into()).unwrap();
    assert!(is_refused(f64::NAN) && is_refused(f32::INFINITY) && !is_refused(-0.0) && !is_refused(1.5_f32));
    assert!(is_refused(()) && is_refused(None::<u8>) && is_refused(Nothing) && is_refused(Bytes(vec![1])));
    assert!(is_refused([1, 2]) && is_refused(vec!["a"]) && is_refused((1, 2)) && is_refused(raw));
    assert!(is_refused(Shape::Unit(())) && is_refused(Shape::None {}) && is_refused(Shape::Empty()));
    assert!(is_refused(BTreeMap::from([("a", 1)])) && is_refused(Keyed("a")));
    assert!(
        !is_refused(Named::Second) && !is_refused(Inner(Some('\n'))) && !is_refused(format_args!("{}\"", 1))
    );
}

#[test]
fn raw_values_are_written_wherever_they_stand() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let value =
        BTreeMap::from([("a", vec![raw("{ \"x\" : [1.50] }")]), ("b", vec![raw("\"\\u0041\""), raw("1e2")])]);
    assert_eq!(written(|reply| reply.value(&value).unwrap()), serde_json::to_vec(&value).unwrap());
    let long = raw(&format!("[{}0]", "1, ".repeat(1_000)));
    assert_eq!(written(|reply| reply.value(&(1, &long)).unwrap()), serde_json::to_vec(&(1, &long)).unwrap());
}
