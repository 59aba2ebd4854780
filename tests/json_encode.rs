//! What is written is what `serde_json` would write, however it comes in pieces, and stays within the limit.

use bumpalo::Bump;
use mcpool::wire::{Lexer, Raw, Reply, ReplyError};
use mcpool_pools::BufferPool;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
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
