//! The resource server with tokens that the tests sign.

use super::super::issuer::{ISSUER, Key, RESOURCE, claims, key_set, now, with};
use super::super::settings::KeySource;
use super::*;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn key_file(keys: &[&Key]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(key_set(keys).as_bytes()).expect("written");
    file
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

fn identify(server: &ResourceServer, token: &str) -> Result<Principal, Refusal> {
    server.identify(Some(format!("Bearer {token}").as_bytes())).map(|admitted| admitted.principal)
}

#[test]
fn good_tokens_of_every_algorithm_come_in() {
    let keys = [Key::new("e", "ES256"), Key::new("d", "EdDSA"), Key::new("r", "RS256")];
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
    let key = Key::new("e", "ES256");
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
    let (key, stranger) = (Key::new("e", "ES256"), Key::new("e", "ES256"));
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

/// Two clients, or two issuers' notions of nobody, are never one principal.
#[test]
fn principals_are_subjects_with_their_clients() {
    let key = Key::new("e", "ES256");
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &[]);
    let mut principals: Vec<_> =
        [("ann", "app"), ("ann", "other"), ("app", "ann"), ("annapp", "x"), ("ann", "appx")]
            .iter()
            .map(|(subject, client)| {
                let mut claims = claims();
                claims["sub"] = json!(subject);
                claims["client_id"] = json!(client);
                identify(&server, &key.sign(&claims)).expect("good").key()
            })
            .collect();
    principals.sort_unstable();
    principals.dedup();
    assert_eq!(principals.len(), 5);
}

#[test]
fn a_token_without_the_scope_is_good_for_something_else() {
    let key = Key::new("e", "ES256");
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
fn keys_of_a_file_follow_their_rotation_and_take_their_tokens_along() {
    let (old, new) = (Key::new("old", "ES256"), Key::new("new", "ES256"));
    let file = key_file(&[&old]);
    let write = |text: &str| std::fs::write(file.path(), text).expect("written");
    let server = server(KeySource::File(file.path().into()), &[]);
    let (of_old, of_new) = (old.sign(&claims()), new.sign(&claims()));
    let comes_in = |token: &str| identify(&server, token).is_ok();
    assert_eq!([comes_in(&of_old), comes_in(&of_new)], [true, false]);
    for (what, text, want) in [
        ("both", key_set(&[&old, &new]), [true, true]),
        ("the old one is gone", key_set(&[&new]), [false, true]),
        ("an empty file", String::new(), [false, true]),
        ("no keys", "{}".to_owned(), [false, true]),
        ("the old one again", key_set(&[&old]), [true, false]),
        ("no key at all", key_set(&[]), [false, false]),
        ("both again", key_set(&[&old, &new]), [true, true]),
    ] {
        write(&text);
        assert_eq!([comes_in(&of_old), comes_in(&of_new)], want, "{what}");
    }
    std::fs::remove_file(file.path()).expect("removed");
    assert_eq!([comes_in(&of_old), comes_in(&of_new)], [true, true], "what is gone is kept");
}

#[test]
fn keys_of_a_url_are_fetched() {
    let key = Key::new("e", "ES256");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let body = key_set(&[&key]);
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
    let error = KeyStore::open(&KeySource::Url("http://keys.example.com/".to_owned())).err();
    assert!(error.is_some_and(|error| error.to_string().contains("https only")));
}

#[test]
fn metadata_tells_where_tokens_come_from() {
    let key = Key::new("e", "ES256");
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
    let key = Key::new("e", "ES256");
    let file = key_file(&[&key]);
    let server = server(KeySource::File(file.path().into()), &[]);
    let remembered = Remembered {
        principal: Principal::of_token(&[0; 32]),
        key: [0; 32],
        expires: 0.0,
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

#[test]
fn settings_that_would_break_a_challenge_are_refused() {
    let key = Key::new("e", "ES256");
    let file = key_file(&[&key]);
    for (resource, scope, want) in [
        (RESOURCE, "read", true),
        ("http://localhost:8000/mcp", "files:read", true),
        ("mcp.example.com/mcp", "read", false),
        ("https:///mcp", "read", false),
        ("https://user@mcp.example.com/mcp", "read", false),
        ("https://mcp.example.com/mcp#part", "read", false),
        ("https://mcp.example.com/\"", "read", false),
        ("https://mcp.example.com/\r\nx: y", "read", false),
        (RESOURCE, "a b", false),
        (RESOURCE, "a\"", false),
        (RESOURCE, "a\r\nx: y", false),
        (RESOURCE, "", false),
    ] {
        let outcome = ResourceServer::new(OAuthConfig {
            resource: resource.to_owned(),
            issuer: ISSUER.to_owned(),
            audience: None,
            authorization_servers: Vec::new(),
            scopes: vec![scope.to_owned()],
            keys: KeySource::File(file.path().into()),
            clock_skew: Duration::from_mins(1),
        });
        assert_eq!(outcome.is_ok(), want, "{resource:?} {scope:?}");
    }
}
