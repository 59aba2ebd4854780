//! Tokens of an issuer that the test itself is.

use super::*;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::TcpListener;

const ISSUER: &str = "https://issuer.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";

/// A key of an issuer.
struct Key {
    kid: &'static str,
    algorithm: Algorithm,
    encoding: EncodingKey,
    /// The public part, where the library cannot tell it.
    public: Option<Value>,
}

impl Key {
    fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let (encoding, public) = match algorithm {
            Algorithm::ES256 => (ec_key(), None),
            Algorithm::EdDSA => ed_key(kid),
            _ => (rsa_key(), None),
        };
        Self { kid, algorithm, encoding, public }
    }

    fn jwk(&self) -> Value {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let mut jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.encoding).expect("signed")
    }
}

fn ec_key() -> EncodingKey {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).expect("PEM")
}

/// The generator writes the second version of PKCS #8, the library reads the first: the seed is the same.
fn ed_key(kid: &str) -> (EncodingKey, Option<Value>) {
    use base64::Engine as _;
    const PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let der = key.serialize_der();
    let seed = der.windows(4).position(|four| four == &PREFIX[12..]).expect("a seed") + 4;
    let first_version = [&PREFIX[..], &der[seed..seed + 32]].concat();
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.public_key_raw());
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA"});
    (EncodingKey::from_ed_der(&first_version), Some(public))
}

fn rsa_key() -> EncodingKey {
    use rsa::pkcs1::EncodeRsaPrivateKey as _;
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).expect("a key");
    EncodingKey::from_rsa_der(key.to_pkcs1_der().expect("DER").as_bytes())
}

fn key_file(keys: &[&Key]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write_keys(file.as_file_mut(), keys);
    file
}

fn write_keys(file: &mut std::fs::File, keys: &[&Key]) {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    file.write_all(json!({"keys": keys}).to_string().as_bytes()).expect("written");
}

fn server(keys: KeySource, scopes: &[&str]) -> ResourceServer {
    ResourceServer::new(OAuthConfig {
        resource: RESOURCE.to_owned(),
        issuer: ISSUER.to_owned(),
        audience: None,
        authorization_servers: Vec::new(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        keys,
        clock_skew: Duration::from_mins(1),
    })
    .expect("a resource server")
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().cast_signed()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": RESOURCE, "sub": "ann", "exp": now() + 300, "scope": "read write"})
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn identify(server: &ResourceServer, token: &str) -> Result<Principal, Refusal> {
    server.identify(Some(format!("Bearer {token}").as_bytes())).map(|admitted| admitted.principal)
}

#[test]
fn good_tokens_of_every_algorithm_come_in() {
    let keys =
        [Key::new("e", Algorithm::ES256), Key::new("d", Algorithm::EdDSA), Key::new("r", Algorithm::RS256)];
    let file = key_file(&[&keys[0], &keys[1], &keys[2]]);
    let server = server(KeySource::File(file.path().into()), &["read"]);
    let mut principals = Vec::new();
    for key in &keys {
        let token = key.sign(&claims());
        principals.push(identify(&server, &token).expect("good"));
        assert_eq!(identify(&server, &token).expect("remembered"), principals[0]);
    }
    let other = identify(&server, &keys[0].sign(&with("sub", json!("bob")))).expect("good");
    assert_ne!(other, principals[0]);
    for member in ["scope", "scp"] {
        let mut claims = claims();
        claims["scope"] = Value::Null;
        claims[member] = json!(["read"]);
        assert!(identify(&server, &keys[0].sign(&claims)).is_ok(), "{member}");
    }
}

#[test]
fn who_has_the_scope_admin_is_one() {
    let key = Key::new("e", Algorithm::ES256);
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &[]);
    for (scope, want) in [("read write", false), ("read admin", true), ("administrator", false)] {
        let token = format!("Bearer {}", key.sign(&with("scope", json!(scope))));
        let admitted = server.identify(Some(token.as_bytes())).expect("good");
        assert_eq!(admitted.is_admin, want, "{scope}");
    }
}

#[test]
fn other_tokens_stay_out() {
    let (key, stranger) = (Key::new("e", Algorithm::ES256), Key::new("e", Algorithm::ES256));
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &[]);
    for (what, claims) in [
        ("expired", with("exp", json!(now() - 120))),
        ("not yet valid", with("nbf", json!(now() + 120))),
        ("another issuer", with("iss", json!("https://other.example.com"))),
        ("another audience", with("aud", json!("https://other.example.com"))),
        ("no audience", with("aud", Value::Null)),
        ("no expiry", with("exp", Value::Null)),
    ] {
        let refused = identify(&server, &key.sign(&claims)).expect_err(what);
        assert_eq!(refused.status(), 401, "{what}");
        let challenge = refused.challenge().expect("a challenge");
        assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
        assert!(challenge.contains(
            r#"resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp""#
        ));
    }
    for claims in
        [with("exp", json!(now() - 30)), with("nbf", json!(now() + 30)), with("aud", json!(["x", RESOURCE]))]
    {
        assert!(identify(&server, &key.sign(&claims)).is_ok(), "within the skew: {claims}");
    }
    assert!(identify(&server, &stranger.sign(&claims())).is_err(), "signed by a stranger");
    let refused = server.identify(None).expect_err("nothing shown");
    assert!(!refused.challenge().expect("a challenge").contains("error="), "{refused:?}");
}

#[test]
fn no_algorithm_is_taken_for_another() {
    let key = Key::new("e", Algorithm::ES256);
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &[]);
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let none = format!("{}.{}.", base64(r#"{"alg":"none","kid":"e"}"#), base64(&claims().to_string()));
    assert!(identify(&server, &none).is_err());
    // The public key, which everybody has, as a shared secret.
    let public = key.jwk().to_string();
    let secret = EncodingKey::from_secret(public.as_bytes());
    let header = Header { kid: Some("e".to_owned()), ..Header::new(Algorithm::HS256) };
    let forged = encode(&header, &claims(), &secret).expect("signed");
    assert!(identify(&server, &forged).is_err());
    let header = Header { kid: Some("e".to_owned()), ..Header::new(Algorithm::EdDSA) };
    let of_another_family =
        encode(&header, &claims(), &Key::new("e", Algorithm::EdDSA).encoding).expect("signed");
    assert!(identify(&server, &of_another_family).is_err());
    for token in ["", "a", "a.b", "a.b.c", "....", &"a".repeat(9_000)] {
        assert!(identify(&server, token).is_err(), "{token}");
    }
}

#[test]
fn a_token_without_the_scope_is_good_for_something_else() {
    let key = Key::new("e", Algorithm::ES256);
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &["read", "admin"]);
    let refused = identify(&server, &key.sign(&claims())).expect_err("no scope admin");
    assert_eq!(refused.status(), 403);
    let challenge = refused.challenge().expect("a challenge");
    assert!(
        challenge.contains(r#"error="insufficient_scope""#) && challenge.contains(r#"scope="read admin""#)
    );
}

#[test]
fn keys_of_a_file_follow_their_rotation() {
    let (old, new) = (Key::new("old", Algorithm::ES256), Key::new("new", Algorithm::ES256));
    let mut file = key_file(&[&old]);
    let server = server(KeySource::File(file.path().into()), &[]);
    assert!(identify(&server, &old.sign(&claims())).is_ok());
    assert!(identify(&server, &new.sign(&claims())).is_err());
    file.as_file_mut().set_len(0).expect("emptied");
    std::io::Seek::rewind(file.as_file_mut()).expect("at its start");
    write_keys(file.as_file_mut(), &[&new]);
    let later = SystemTime::now() + Duration::from_secs(5);
    file.as_file().set_modified(later).expect("another time");
    assert!(identify(&server, &new.sign(&claims())).is_ok());
    assert!(identify(&server, &old.sign(&with("sub", json!("bob")))).is_err());
    file.as_file_mut().set_len(0).expect("emptied");
    file.as_file().set_modified(later + Duration::from_secs(5)).expect("another time");
    assert!(
        identify(&server, &new.sign(&with("sub", json!("eve")))).is_ok(),
        "a broken file changes nothing"
    );
}

#[test]
fn keys_of_a_url_are_fetched() {
    let key = Key::new("e", Algorithm::ES256);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let body = json!({"keys": [key.jwk()]}).to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("asked");
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked).expect("a request");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).expect("answered");
    });
    let server = server(KeySource::parse(&url), &[]);
    serving.join().expect("answered");
    let token = key.sign(&claims());
    let deadline = Instant::now() + Duration::from_mins(1);
    while identify(&server, &token).is_err() {
        assert!(Instant::now() < deadline, "the keys never came");
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = KeyStore::open(KeySource::Url("http://keys.example.com/".to_owned())).err();
    assert!(error.is_some_and(|error| error.to_string().contains("https only")));
}

#[test]
fn metadata_tells_where_tokens_come_from() {
    let key = Key::new("e", Algorithm::ES256);
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &["read"]);
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let metadata: Value =
            serde_json::from_str(server.metadata_at(path.as_bytes()).expect("metadata")).expect("JSON");
        assert_eq!(metadata["resource"], RESOURCE);
        assert_eq!(metadata["authorization_servers"], json!([ISSUER]));
        assert_eq!(metadata["scopes_supported"], json!(["read"]));
    }
    assert!(server.metadata_at(b"/.well-known/other").is_none());
}

#[test]
fn remembered_tokens_are_bounded() {
    let key = Key::new("e", Algorithm::ES256);
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &[]);
    let remembered = Remembered {
        principal: Principal::of_token(&[0; 32]),
        expires: 0,
        has_scopes: true,
        is_admin: false,
    };
    for n in 0..10_000_u32 {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        server.remembered().insert(digest, remembered);
    }
    assert_eq!(server.remembered().len(), MAX_REMEMBERED);
}
