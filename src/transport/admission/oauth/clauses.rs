//! The MUSTs of RFC 7515, 7517, 7518, 7519, 8725 and 9068 that concern who takes tokens, each with a row.
//!
//! A row names its clause, makes its token, and says why that is refused, so that no row passes for another's
//! reason. Clauses about encryption (RFC 7516), about making tokens, and about JSON serialization do not apply: nothing
//! here encrypts, makes tokens, or takes them in another form than the compact one.

use super::issuer::{ISSUER, Key, RESOURCE, base64, claims, key_set, now, with, without};
use super::jwk::KeySet;
use super::token::{Fault, Rules, check};
use serde_json::{Value, json};

fn keys(keys: &[&Key]) -> KeySet {
    KeySet::parse(key_set(keys).as_bytes()).expect("keys")
}

fn outcome(token: &str, keys: &KeySet) -> Result<(), Fault> {
    let rules = Rules { issuer: ISSUER, audience: RESOURCE, clock_skew_seconds: 60.0 };
    check(token.as_bytes(), keys, &rules, now() as f64).map(|_| ())
}

fn header(key: &Key, member: &str, value: Value) -> String {
    let mut header = key.header();
    header[member] = value;
    key.sign_text(&header.to_string(), &claims().to_string())
}

type Row = (&'static str, String, Result<(), Fault>);

fn assert_rows(rows: &[Row], keys: &KeySet) {
    for (clause, token, want) in rows {
        assert_eq!(outcome(token, keys), *want, "{clause}");
    }
}

#[test]
fn the_form_of_a_token() {
    let key = Key::new("e", "ES256");
    let good = key.sign(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let standard = good.replacen('.', "+.", 1);
    // 86 characters of base64url hold 64 bytes and four bits, which must be zero.
    let (all, last) = signature.split_at(signature.len() - 1);
    let index = b"AQgw".iter().position(|letter| *letter == last.as_bytes()[0]).expect("bits that are zero");
    let trailing = format!("{head}.{body}.{all}{}", ["B", "R", "h", "x"][index]);
    let rows = [
        ("as it should be", good.clone(), Ok(())),
        ("7515 7.1: three parts", format!("{head}.{body}"), Err(Fault::Form)),
        ("7515 7.1: no fourth", format!("{good}.{signature}"), Err(Fault::Form)),
        ("7516: five parts are encrypted", format!("{good}.a.b"), Err(Fault::Form)),
        ("7515 2: no padding", format!("{good}=="), Err(Fault::Form)),
        ("7515 2: no padding in the middle", format!("{head}=.{body}.{signature}"), Err(Fault::Form)),
        ("7515 2: the alphabet for URLs", standard, Err(Fault::Form)),
        ("7515 5.2: no white space", format!("{head}. {body}.{signature}"), Err(Fault::Form)),
        ("7515 5.2: no line breaks", format!("{head}.{body}\n.{signature}"), Err(Fault::Form)),
        ("4648 3.5: trailing bits are zero", trailing, Err(Fault::Form)),
        ("7515 5.2: an empty header", format!(".{body}.{signature}"), Err(Fault::Header)),
        ("7519 6 and 8725 3.2: a signature", format!("{head}.{body}."), Err(Fault::Signature)),
        ("7515 3.2: not the JSON form", json!({"payload": body}).to_string(), Err(Fault::Form)),
        ("nothing", String::new(), Err(Fault::Form)),
        ("dots", "..".to_owned(), Err(Fault::Header)),
    ];
    assert_rows(&rows, &keys(&[&key]));
}

#[test]
fn the_header_of_a_token() {
    let (key, attacker) = (Key::new("e", "ES256"), Key::new("e", "ES256"));
    let claims = claims().to_string();
    let text = |header: &str| key.sign_text(header, &claims);
    let mut brought = key.header();
    brought["jwk"] = attacker.jwk();
    let brought = attacker.sign_text(&brought.to_string(), &claims);
    let url = "http://127.0.0.1:1/keys";
    let rows = [
        ("7515 4: JSON", text("{"), Err(Fault::Header)),
        ("7515 4: an object", text("[]"), Err(Fault::Header)),
        (
            "7515 4: UTF-8",
            key.sign_text("{\"alg\":\"ES256\",\"x\":\"\\ud800\"}", &claims),
            Err(Fault::Header),
        ),
        (
            "7515 4: members once",
            text(r#"{"alg":"ES256","typ":"at+jwt","kid":"e","kid":"e"}"#),
            Err(Fault::Header),
        ),
        ("7515 4.1.1: alg", text(r#"{"typ":"at+jwt","kid":"e"}"#), Err(Fault::Header)),
        ("7515 4.1.1: alg is a text", header(&key, "alg", json!(1)), Err(Fault::Header)),
        ("7515 4.1.1: its case counts", header(&key, "alg", json!("es256")), Err(Fault::Algorithm)),
        ("7515 4.1.4: kid is a text", header(&key, "kid", json!(1)), Err(Fault::Header)),
        ("7515 4.1.4: its case counts", header(&key, "kid", json!("E")), Err(Fault::UnknownKey)),
        ("8725 3.10: a kid that is a path", header(&key, "kid", json!("../../e")), Err(Fault::UnknownKey)),
        ("8725 3.10: a kid that is SQL", header(&key, "kid", json!("' OR 1=1 --")), Err(Fault::UnknownKey)),
        ("7515 4.1.11: crit", header(&key, "crit", json!(["exp"])), Err(Fault::Critical)),
        ("7515 4.1.11: crit is not empty", header(&key, "crit", json!([])), Err(Fault::Critical)),
        ("7797 6: b64", header(&key, "b64", json!(false)), Err(Fault::Critical)),
        ("7516 4.1.3: zip", header(&key, "zip", json!("DEF")), Err(Fault::Critical)),
        ("8725 3.11 and 9068 4: typ", text(r#"{"alg":"ES256","kid":"e"}"#), Err(Fault::Type)),
        ("9068 4: another typ", header(&key, "typ", json!("JWT")), Err(Fault::Type)),
        ("9068 4: another typ", header(&key, "typ", json!("logout+jwt")), Err(Fault::Type)),
        ("9068 4: typ is a text", header(&key, "typ", json!(["at+jwt"])), Err(Fault::Header)),
        ("9068 4: typ in full", header(&key, "typ", json!("application/at+jwt")), Ok(())),
        ("7515 4.1.9: a media type has no case", header(&key, "typ", json!("AT+JWT")), Ok(())),
        ("7519 5.2: a nested token", header(&key, "cty", json!("JWT")), Err(Fault::Nested)),
        ("7519 5.2: a nested token", header(&key, "cty", json!("application/jwt")), Err(Fault::Nested)),
        ("7515 4: what is not known is ignored", header(&key, "other", json!(1)), Ok(())),
        ("8725 3.10: jku is not followed", header(&key, "jku", json!(url)), Ok(())),
        ("8725 3.10: x5u is not followed", header(&key, "x5u", json!(url)), Ok(())),
        ("7515 4.1.6: x5c is not believed", header(&key, "x5c", json!(["MIIB"])), Ok(())),
        ("8725 3.10: a key that the token brings", brought, Err(Fault::Signature)),
        ("7515 6: without a kid the key that fits", text(r#"{"alg":"ES256","typ":"at+jwt"}"#), Ok(())),
    ];
    assert_rows(&rows, &keys(&[&key]));
}

#[test]
fn the_algorithm_of_a_token() {
    let (ec, rsa, ed) = (Key::new("e", "ES256"), Key::new("r", "RS256"), Key::new("d", "EdDSA"));
    let all = keys(&[&ec, &rsa, &ed]);
    let claims = claims().to_string();
    let unsigned = |algorithm: &str| {
        let header = json!({"typ": "at+jwt", "alg": algorithm, "kid": "e"}).to_string();
        format!("{}.{}.", base64(header), base64(&claims))
    };
    // The public key, which everybody has, as a shared secret.
    let forged = |secret: &[u8]| {
        use hmac::{KeyInit as _, Mac as _};
        let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": "r"}).to_string();
        let signed = format!("{}.{}", base64(header), base64(&claims));
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).expect("any length");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", base64(mac.finalize().into_bytes()))
    };
    let named = |key: &Key, algorithm: &str, kid: &str| {
        key.sign_text(&json!({"typ": "at+jwt", "alg": algorithm, "kid": kid}).to_string(), &claims)
    };
    let rows = [
        ("8725 3.2 and 9068 4: none", unsigned("none"), Err(Fault::Algorithm)),
        ("8725 3.2: none in other words", unsigned("None"), Err(Fault::Algorithm)),
        ("8725 3.2: none in other words", unsigned("nOnE"), Err(Fault::Algorithm)),
        (
            "8725 2.1: a public key as a secret",
            forged(&rsa.jwk().to_string().into_bytes()),
            Err(Fault::Algorithm),
        ),
        ("8725 2.1: an empty secret", forged(b""), Err(Fault::Algorithm)),
        ("8725 3.1: a key has one algorithm", named(&rsa, "PS256", "r"), Err(Fault::UnknownKey)),
        ("8725 3.1: a key has one algorithm", named(&rsa, "RS512", "r"), Err(Fault::UnknownKey)),
        ("8725 3.1: a key of another kind", named(&ec, "ES256", "r"), Err(Fault::UnknownKey)),
        ("8725 3.1: a key of another kind", named(&ed, "EdDSA", "e"), Err(Fault::UnknownKey)),
        ("7518 3.4: another curve", named(&ec, "ES384", "e"), Err(Fault::UnknownKey)),
        ("9864 2.2: the name that says all", named(&ed, "Ed25519", "d"), Ok(())),
    ];
    assert_rows(&rows, &all);
}

#[test]
fn the_numbers_of_a_signature() {
    let ec = Key::new("e", "ES256");
    let claims = claims().to_string();
    let cut = ec.sign_text(&ec.header().to_string(), &claims);
    let signed = cut.rsplit_once('.').expect("parts").0.to_owned();
    let with_signature = |signature: &[u8]| format!("{signed}.{}", base64(signature));
    let good = ec.signature(signed.as_bytes());
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let rows = [
        ("7518 3.4: r and s", with_signature(&good), Ok(())),
        ("8725 3.4: zeros", with_signature(&[0; 64]), Err(Fault::Signature)),
        ("8725 3.4: r is zero", with_signature(&[&[0; 32], &good[32..]].concat()), Err(Fault::Signature)),
        ("8725 3.4: s is zero", with_signature(&[&good[..32], &[0; 32]].concat()), Err(Fault::Signature)),
        (
            "8725 3.4: r is the order",
            with_signature(&[&order[..], &good[32..]].concat()),
            Err(Fault::Signature),
        ),
        (
            "8725 3.4: s is the order",
            with_signature(&[&good[..32], &order[..]].concat()),
            Err(Fault::Signature),
        ),
        ("7518 3.4: 64 bytes", with_signature(&good[..63]), Err(Fault::Signature)),
        ("7518 3.4: 64 bytes", with_signature(&[&good[..], &[0]].concat()), Err(Fault::Signature)),
        (
            "7518 3.4: not DER",
            with_signature(&[&[0x30, 0x44, 2, 0x20], &good[..]].concat()),
            Err(Fault::Signature),
        ),
    ];
    assert_rows(&rows, &keys(&[&ec]));
}

/// Every bit of the signature and of what is signed counts.
#[test]
fn the_signature_of_a_token() {
    let claims = claims().to_string();
    for algorithm in
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"]
    {
        let key = Key::new("k", algorithm);
        let token = key.sign_text(&key.header().to_string(), &claims);
        let own = keys(&[&key]);
        assert_eq!(outcome(&token, &own), Ok(()), "{algorithm}");
        let (signed, signature) = token.rsplit_once('.').expect("parts");
        let other = key.sign(&with("sub", json!("bob")));
        assert_eq!(
            outcome(&format!("{}.{signature}", other.rsplit_once('.').expect("parts").0), &own),
            Err(Fault::Signature),
            "{algorithm}"
        );
        let mut broken = key.signature(signed.as_bytes());
        let last = broken.len() - 1;
        broken[last] ^= 1;
        assert_eq!(
            outcome(&format!("{signed}.{}", base64(broken)), &own),
            Err(Fault::Signature),
            "{algorithm}"
        );
    }
}

#[test]
fn the_claims_of_a_token() {
    let key = Key::new("e", "ES256");
    let (now, sign) = (now() as f64, |claims: Value| key.sign(&claims));
    let text = |claims: &str| key.sign_text(&key.header().to_string(), claims);
    let twice = claims().to_string().replacen('{', r#"{"sub":"root","#, 1);
    let huge = claims().to_string().replacen('{', r#"{"nbf":1e999,"#, 1);
    let mut rows: Vec<Row> = vec![
        ("7519 4: an object", text("[]"), Err(Fault::Claims)),
        ("7519 7.2: JSON", text("claims"), Err(Fault::Claims)),
        ("7519 4: members once", text(&twice), Err(Fault::Claims)),
        ("7519 2: a date is a number", text(&huge), Err(Fault::Claims)),
        ("9068 4: iss is exact", sign(with("iss", json!("https://issuer.example.com/"))), Err(Fault::Issuer)),
        (
            "9068 4: its case counts",
            sign(with("iss", json!("https://ISSUER.example.com"))),
            Err(Fault::Issuer),
        ),
        ("7519 4.1.1: iss is a text", sign(with("iss", json!([ISSUER]))), Err(Fault::Claim("iss"))),
        (
            "7519 4.1.3: another aud",
            sign(with("aud", json!("https://other.example.com"))),
            Err(Fault::Audience),
        ),
        ("7519 4.1.3: a prefix", sign(with("aud", json!("https://mcp.example.com"))), Err(Fault::Audience)),
        ("7519 4.1.3: one of several", sign(with("aud", json!(["x", RESOURCE]))), Ok(())),
        ("7519 4.1.3: none of several", sign(with("aud", json!(["x", "y"]))), Err(Fault::Audience)),
        ("7519 4.1.3: aud has texts", sign(with("aud", json!([RESOURCE, 1]))), Err(Fault::Claim("aud"))),
        ("7519 4.1.3: for nobody", sign(with("aud", json!([]))), Err(Fault::Claim("aud"))),
        ("7519 4.1.3: aud is no object", sign(with("aud", json!({"0": RESOURCE}))), Err(Fault::Claim("aud"))),
        ("7519 4.1.4: expired", sign(with("exp", json!(now - 61.0))), Err(Fault::Expired)),
        ("7519 4.1.4: on the second", sign(with("exp", json!(now - 60.0))), Err(Fault::Expired)),
        ("7519 4.1.4: within the skew", sign(with("exp", json!(now - 30.0))), Ok(())),
        ("7519 2: a fraction", sign(with("exp", json!(now + 0.5))), Ok(())),
        ("7519 2: before 1970", sign(with("exp", json!(-1))), Err(Fault::Expired)),
        ("7519 2: far away", sign(with("exp", json!(u64::MAX))), Ok(())),
        ("7519 4.1.5: not yet", sign(with("nbf", json!(now + 120.0))), Err(Fault::NotYet)),
        ("7519 4.1.5: within the skew", sign(with("nbf", json!(now + 30.5))), Ok(())),
        ("7519 4.1.5: it may be missing", sign(without("nbf")), Ok(())),
        ("7519 4: what is not known is ignored", sign(with("other", json!({"a": [1]}))), Ok(())),
        ("8693 4.2: scopes may be missing", sign(without("scope")), Ok(())),
        ("7519 4.1.2: sub says somebody", sign(with("sub", json!(""))), Err(Fault::Claim("sub"))),
    ];
    for claim in ["iss", "aud", "exp", "sub", "client_id", "iat", "jti"] {
        rows.push(("9068 2.2: required", sign(without(claim)), Err(Fault::Claim(claim))));
        rows.push(("9068 2.2: required", sign(with(claim, Value::Null)), Err(Fault::Claim(claim))));
        rows.push(("7519 4.1: its kind", sign(with(claim, json!(true))), Err(Fault::Claim(claim))));
    }
    for date in ["exp", "nbf", "iat"] {
        rows.push((
            "7519 2: a date is no text",
            sign(with(date, json!("9999999999"))),
            Err(Fault::Claim(date)),
        ));
        rows.push(("7519 2: a date is no list", sign(with(date, json!([1]))), Err(Fault::Claim(date))));
    }
    assert_rows(&rows, &keys(&[&key]));
}

/// What becomes of a set whose one key is changed in one place: used, or left out.
#[test]
fn the_keys_of_an_issuer() {
    let (ec, ed) = (Key::new("e", "ES256"), Key::new("d", "EdDSA"));
    let rsa = Key::new("r", "RS256");
    let changed = |key: &Key, member: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[member] = value;
        jwk.to_string()
    };
    let lacking = |key: &Key, member: &str| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().expect("an object").remove(member);
        jwk.to_string()
    };
    let short = base64([&[0x80][..], &[1; 127]].concat());
    let almost = base64([&[0x7f][..], &[0xff; 255]].concat());
    let zero = base64([&[0, 0x80][..], &[1; 255]].concat());
    let twice = ec.jwk().to_string().replacen('{', r#"{"kty":"EC","#, 1);
    for (clause, jwk, want) in [
        ("as it should be", ec.jwk().to_string(), 1),
        ("as it should be", rsa.jwk().to_string(), 1),
        ("as it should be", ed.jwk().to_string(), 1),
        ("7517 4.1: kty", lacking(&ec, "kty"), 0),
        ("7517 5: an unknown kty is ignored", changed(&ec, "kty", json!("AKP")), 0),
        ("7517 4.1: its case counts", changed(&ec, "kty", json!("ec")), 0),
        ("8725 2.1: secrets are not published", json!({"kty": "oct", "k": base64([1; 32])}).to_string(), 0),
        ("7517 4: members once", twice, 0),
        ("7517 5: what is no key is ignored", "7".to_owned(), 0),
        ("7517 4.2: use", changed(&ec, "use", json!("sig")), 1),
        ("7517 4.2: for encryption", changed(&ec, "use", json!("enc")), 0),
        ("7517 4.2: use is a text", changed(&ec, "use", json!(1)), 0),
        ("7517 4.3: key_ops", changed(&ec, "key_ops", json!(["verify"])), 1),
        ("7517 4.3: other operations", changed(&ec, "key_ops", json!(["encrypt"])), 0),
        ("7517 4.3: none twice", changed(&ec, "key_ops", json!(["verify", "verify"])), 0),
        ("7517 4.3: a list", changed(&ec, "key_ops", json!("verify")), 0),
        ("7517 4.4: alg of another kind", changed(&ec, "alg", json!("RS256")), 0),
        ("7517 4.4: alg of another curve", changed(&ec, "alg", json!("ES384")), 0),
        ("7517 4.4: an alg that is not accepted", changed(&rsa, "alg", json!("RSA-OAEP")), 0),
        ("7517 4.4: a shared secret", changed(&rsa, "alg", json!("HS256")), 0),
        ("7517 4.4: it may be missing", lacking(&ec, "alg"), 1),
        ("7517 4.4: it may be missing", lacking(&rsa, "alg"), 1),
        ("7517 4.5: kid may be missing", lacking(&ec, "kid"), 1),
        ("7517 4.5: kid is a text", changed(&ec, "kid", json!(1)), 0),
        ("7518 3.3: 2048 bits", changed(&rsa, "n", json!(short)), 0),
        ("7518 3.3: 2048 bits, not one less", changed(&rsa, "n", json!(almost)), 0),
        ("7518 6.3.1.1: no leading zero", changed(&rsa, "n", json!(zero)), 0),
        ("7518 6.3.1.2: e", changed(&rsa, "e", json!("")), 0),
        ("7518 6.3.1: n", lacking(&rsa, "n"), 0),
        ("7518 6.2.1.1: the curve", lacking(&ec, "crv"), 0),
        ("7518 6.2.1.1: another curve", changed(&ec, "crv", json!("secp256k1")), 0),
        ("7518 6.2.1.2: full length", changed(&ec, "x", json!(base64([1; 31]))), 0),
        ("7518 6.2.1.3: both coordinates", lacking(&ec, "y"), 0),
        ("8037 2: 32 bytes", changed(&ed, "x", json!(base64([1; 33]))), 0),
        ("8037 2: another curve", changed(&ed, "crv", json!("Ed448")), 0),
        ("7515 2: base64url", changed(&ed, "x", json!("a+/=")), 0),
        ("8725 3.5: a private key for all", changed(&ec, "d", json!(base64([1; 32]))), 0),
    ] {
        let set = KeySet::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).expect(clause);
        assert_eq!(set.len(), want, "{clause}: {jwk}");
    }
}

#[test]
fn a_set_that_is_none() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]} x"#] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "7517 5: {text}");
    }
}

#[test]
fn the_choice_of_a_key() {
    let (first, second) = (Key::new("same", "ES256"), Key::new("same", "ES256"));
    let both = keys(&[&first, &second]);
    let token = |key: &Key| key.sign(&claims());
    assert_eq!(outcome(&token(&first), &both), Ok(()), "7517 4.5: keys may share a kid");
    assert_eq!(outcome(&token(&second), &both), Ok(()), "7517 4.5: keys may share a kid");
    // 8725 3.4: a point that is not on the curve.
    let mut jwk = first.jwk();
    jwk["y"] = json!(base64([7; 32]));
    let off = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).expect("keys");
    assert_eq!(outcome(&token(&first), &off), Err(Fault::Signature));
    // 8725 3.1: without an alg a key is good for one algorithm all the same.
    let rsa = Key::new("r", "RS256");
    let mut jwk = rsa.jwk();
    jwk.as_object_mut().expect("an object").remove("alg");
    let bare = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).expect("keys");
    assert_eq!(outcome(&token(&rsa), &bare), Ok(()));
    assert_eq!(outcome(&token(&Key::new("r", "PS256")), &bare), Err(Fault::UnknownKey));
}
