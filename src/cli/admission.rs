//! Makes the admission rules from the settings.

use super::config::Settings;
use super::error::CliError;
use crate::transport::admission::{AdmissionConfig, AdmissionError, Auth, TokenFile, check_exposure};
use crate::transport::{Listener, LocalAddress};

/// Makes the rules that the settings describe.
///
/// # Errors
/// When a file cannot be used, or the settings need a feature that this build lacks.
pub(super) fn config(settings: &Settings) -> Result<AdmissionConfig, CliError> {
    Ok(AdmissionConfig {
        allowed_hosts: settings.allowed_hosts.clone(),
        allowed_origins: settings.allowed_origins.clone(),
        auth: auth(settings)?,
        cors: settings.cors,
    })
}

fn auth(settings: &Settings) -> Result<Auth, AdmissionError> {
    if let Some(path) = &settings.token_file {
        return TokenFile::open(path).map(Auth::TokenFile);
    }
    match &settings.oauth_issuer {
        None => Ok(Auth::None),
        Some(issuer) => oauth(settings, issuer),
    }
}

#[cfg(feature = "oauth")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn oauth(settings: &Settings, issuer: &str) -> Result<Auth, AdmissionError> {
    use crate::transport::admission::{KeySource, OAuthConfig};
    /// What providers assume; clocks that are set at all differ by less than a minute.
    const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_mins(1);
    Ok(Auth::OAuth(OAuthConfig {
        resource: settings.oauth_resource.clone().unwrap_or_default(),
        issuer: issuer.to_owned(),
        audience: settings.oauth_audience.clone(),
        authorization_servers: settings.oauth_authorization_servers.clone(),
        scopes: settings.oauth_scopes.clone(),
        keys: KeySource::parse(settings.oauth_jwks.as_deref().unwrap_or_default()),
        clock_skew: CLOCK_SKEW,
    }))
}

#[cfg(not(feature = "oauth"))]
fn oauth(_settings: &Settings, _issuer: &str) -> Result<Auth, AdmissionError> {
    // `missing::check` has said how to get it.
    Err(AdmissionError::OAuth("this program was built without the feature `oauth`".to_owned()))
}

/// Refuses sockets that other machines can reach without credentials.
///
/// # Errors
/// Names the first such socket.
pub(super) fn check(listeners: &[Listener], auth: &Auth, insecure: bool) -> Result<(), CliError> {
    for listener in listeners {
        if let LocalAddress::Tcp { address, .. } = listener.local_addr() {
            check_exposure(*address, auth, insecure)?;
        }
    }
    Ok(())
}
