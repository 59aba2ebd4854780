//! An issuer for tests: keys of every kind, tokens of any header and claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const ISSUER: &str = "https://issuer.example.com";
pub(super) const RESOURCE: &str = "https://mcp.example.com/mcp";
/// Of nobody: it signs tokens of these tests alone.
const RSA: &[u8] = include_bytes!("../../../../tests/fixtures/oauth/rsa_2048.der");

/// A key of an issuer.
pub(super) struct Key {
    pub(super) kid: &'static str,
    pub(super) algorithm: &'static str,
    private: Private,
}

enum Private {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    pub(super) fn new(kid: &'static str, algorithm: &'static str) -> Self {
        let random = SystemRandom::new();
        let ec = |kind| {
            let made = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
            Private::Ec(EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).expect("a key"))
        };
        let private = match algorithm {
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" | "Ed25519" => {
                let made = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                Private::Ed(Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("a key"))
            }
            _ => Private::Rsa(RsaKeyPair::from_pkcs8(RSA).expect("a key")),
        };
        Self { kid, algorithm, private }
    }

    /// Its public part.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.private {
            Private::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "n": base64(public.n), "e": base64(public.e)})
            }
            Private::Ec(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Private::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key().as_ref())})
            }
        };
        jwk["kid"] = self.kid.into();
        jwk["alg"] = self.algorithm.into();
        jwk
    }

    pub(super) fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": self.algorithm, "kid": self.kid})
    }

    /// A token of those claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header().to_string(), &claims.to_string())
    }

    /// A token of any two texts.
    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }

    pub(super) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.private {
            Private::Ec(key) => key.sign(&random, message).expect("signed").as_ref().to_vec(),
            Private::Ed(key) => key.sign(message).as_ref().to_vec(),
            Private::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signature).expect("signed");
                signature
            }
        }
    }
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn key_set(keys: &[&Key]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({"keys": keys}).to_string()
}

pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().cast_signed()
}

/// All that RFC 9068 demands.
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "ann", "client_id": "app", "jti": "1",
        "exp": now() + 300, "iat": now(), "scope": "read write",
    })
}

pub(super) fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

pub(super) fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(member);
    claims
}
