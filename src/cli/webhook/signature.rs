//! Signs what is sent to a webhook, as the specification Standard Webhooks says: HMAC-SHA256 over id, time and body.

use crate::cli::error::CliError;
use crate::watched_file;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::path::Path;

/// Shortest key: that of the specification.
const MIN_KEY_BYTES: usize = 24;
/// What a key in base64 begins with.
const PREFIX: &str = "whsec_";

/// The key. It has no `Debug`, so that it gets into no log.
pub(super) struct Signer {
    key: Hmac<Sha256>,
}

impl Signer {
    /// Reads the key: the first line of the file, `whsec_` and base64, or else the bytes of the line themselves.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let fault = |why: &dyn std::fmt::Display| {
            CliError::Usage(format!("cannot use alert_webhook_secret_file {}: {why}", path.display()))
        };
        let text = watched_file::read_text(path, watched_file::MAX_BYTES).map_err(|error| fault(&error))?;
        Self::of(text.lines().next().unwrap_or_default().trim()).map_err(|why| fault(&why))
    }

    fn of(secret: &str) -> Result<Self, &'static str> {
        let key = match secret.strip_prefix(PREFIX) {
            Some(base64) => STANDARD.decode(base64).map_err(|_| "what follows whsec_ is not base64")?,
            None => secret.as_bytes().to_vec(),
        };
        if key.len() < MIN_KEY_BYTES {
            return Err("the secret is shorter than 24 bytes: make one with `openssl rand -base64 32`");
        }
        let key = Hmac::new_from_slice(&key).map_err(|_| "no key can be made of it")?;
        Ok(Self { key })
    }

    /// A key given as text.
    #[cfg(test)]
    pub(super) fn of_test(secret: &str) -> Self {
        Self::of(secret).expect("a key")
    }

    /// The header `webhook-signature`: `v1,` and the base64 of the code over `ID.TIMESTAMP.BODY`.
    pub(super) fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut code = self.key.clone();
        for part in [id.as_bytes(), b".", timestamp_s.to_string().as_bytes(), b".", body] {
            code.update(part);
        }
        format!("v1,{}", STANDARD.encode(code.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let signer = Signer::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let signature =
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_reason() {
        let fault = |secret: &str| Signer::of(secret).err().unwrap_or_default();
        assert!(fault("short").contains("24 bytes") && fault("whsec_c2hvcnQ=").contains("24 bytes"));
        assert!(fault("whsec_%%%").contains("base64") && fault("").contains("24 bytes"));
        assert!(Signer::of("a text of twenty-four bytes or more").is_ok());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        assert!(Signer::read(&path).is_err(), "no file");
        std::fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("written");
        let read = Signer::read(&path).expect("a key");
        assert_eq!(
            read.sign("a", 1, b""),
            Signer::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key").sign("a", 1, b"")
        );
    }
}
