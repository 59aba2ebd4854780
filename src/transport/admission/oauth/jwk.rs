//! The public keys of an issuer: a JWK set (RFC 7517, 7518) in which each key is good for one algorithm.
//!
//! A key that cannot be used is left out: an issuer may publish some for other purposes. Signatures are verified by
//! `ring`, with public keys only.

use super::strict_json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Keys of a set; an issuer has as many as it has rotations under way, and those of other purposes.
const MAX_KEYS: usize = 256;

/// What signs access tokens: never a shared secret, so that a public key cannot pass for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Ed25519,
}

impl Algorithm {
    /// The algorithm of that name in a header or key; names are compared as they are (RFC 7515, 4.1.1).
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            // The second is the name that says all (RFC 9864).
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }

    fn is_rsa(self) -> bool {
        !matches!(self, Self::Es256 | Self::Es384 | Self::Ed25519)
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
    digest: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// As `ring` takes it.
    Encoded(Vec<u8>),
}

impl Key {
    /// The key that a JWK is, if it is one that verifies signatures.
    fn parse(text: &str) -> Option<Self> {
        let jwk = strict_json::object(text.as_bytes())?;
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if !is_for_signatures(&jwk) {
            return None;
        }
        let (natural, material) = match (text("kty")?, text("crv")) {
            // Without a word on the algorithm it is the one that everybody has (RFC 9068, 4).
            ("RSA", _) => (Algorithm::Rs256, rsa(bytes(&jwk, "n")?, bytes(&jwk, "e")?)?),
            ("EC", Some("P-256")) => (Algorithm::Es256, point(&jwk, 32)?),
            ("EC", Some("P-384")) => (Algorithm::Es384, point(&jwk, 48)?),
            ("OKP", Some("Ed25519")) => {
                (Algorithm::Ed25519, Material::Encoded(bytes(&jwk, "x").filter(|x| x.len() == 32)?))
            }
            _ => return None,
        };
        let algorithm = match jwk.get("alg") {
            None => natural,
            Some(name) => Algorithm::parse(name.as_str()?)
                .filter(|named| *named == natural || named.is_rsa() && natural.is_rsa())?,
        };
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        let digest = digest(algorithm, &material);
        Some(Self { id, algorithm, material, digest })
    }

    /// Whether a token of that header may be of this key.
    fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.algorithm == algorithm && id.is_none_or(|id| self.id.as_deref() == Some(id))
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether this key signed the message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Rsa { modulus, exponent } => {
                let parameters = match self.algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature)
            }
            Material::Encoded(key) => {
                let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
                    Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
                    _ => &signature::ED25519,
                };
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// What a key is good for, if it says (RFC 7517, 4.2 and 4.3). A private key that was published is everybody's.
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let is_signing = jwk.get("use").is_none_or(|purpose| purpose == "sig");
    let is_verifying = jwk.get("key_ops").is_none_or(|operations| {
        let Some(operations) = operations.as_array() else { return false };
        let is_repeated = operations.iter().enumerate().any(|(at, one)| operations[..at].contains(one));
        !is_repeated && operations.iter().any(|operation| operation == "verify")
    });
    let is_private = ["d", "p", "q", "k"].iter().any(|member| jwk.contains_key(*member));
    if is_private {
        tracing::warn!("a key with its private part was published and is not used");
    }
    is_signing && is_verifying && !is_private
}

/// RFC 7518, 3.3: 2048 bits at least; 6.3.1: no leading zeros.
fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Option<Material> {
    const BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
    let first = modulus.first().copied().unwrap_or_default();
    let is_long =
        BYTES.contains(&modulus.len()) && if modulus.len() == 256 { first >= 0x80 } else { first > 0 };
    let is_exponent = (1..=5).contains(&exponent.len()) && exponent[0] != 0;
    (is_long && is_exponent).then_some(Material::Rsa { modulus, exponent })
}

/// RFC 7518, 6.2.1: coordinates have their full length. Whether the point is on the curve shows when it is used.
fn point(jwk: &Map<String, Value>, length: usize) -> Option<Material> {
    let coordinate = |name| bytes(jwk, name).filter(|bytes| bytes.len() == length);
    Some(Material::Encoded([&[4][..], &coordinate("x")?, &coordinate("y")?].concat()))
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}

fn digest(algorithm: Algorithm, material: &Material) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix([algorithm as u8]);
    let parts = match material {
        Material::Rsa { modulus, exponent } => [&modulus[..], exponent],
        Material::Encoded(key) => [&key[..], &[]],
    };
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// The keys of an issuer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWK set; says so when nothing in it can be used.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Any<'t> {
            #[serde(borrow)]
            keys: Vec<&'t RawValue>,
        }
        let Any { keys } = serde_json::from_slice(text)?;
        let keys: Vec<_> = keys.iter().filter_map(|key| Key::parse(key.get())).take(MAX_KEYS).collect();
        if keys.is_empty() {
            tracing::warn!("the issuer has no key that can be used: every access token is refused");
        }
        Ok(Self { keys })
    }

    /// The keys that a token with that header may be of. Several may have one name (RFC 7517, 4.5).
    pub(super) fn fitting<'k>(
        &'k self,
        id: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k Key> {
        self.keys.iter().filter(move |key| key.fits(id, algorithm))
    }

    /// Whether the key of that digest is still one of the issuer's.
    pub(super) fn holds(&self, digest: &[u8; 32]) -> bool {
        self.keys.iter().any(|key| key.digest == *digest)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
