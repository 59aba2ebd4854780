//! Settings that need a cargo feature which a build may lack: what its help says of them, and what it says of who sets
//! them.

/// A feature that not every build has.
struct Feature {
    name: &'static str,
    is_in: bool,
    /// How the names of its settings begin.
    prefix: &'static str,
    /// The setting that asks for it.
    asked_by: &'static str,
    /// Whether only servers of sockets need it.
    is_for_sockets: bool,
    /// What else to do.
    instead: &'static str,
}

const FEATURES: [Feature; 3] = [
    Feature {
        name: "tls",
        is_in: cfg!(feature = "tls"),
        prefix: "tls_",
        asked_by: "tls_cert",
        is_for_sockets: true,
        instead: "have a proxy encrypt in front of --http 127.0.0.1:PORT",
    },
    Feature {
        name: "oauth",
        is_in: cfg!(feature = "oauth"),
        prefix: "oauth_",
        asked_by: "oauth_issuer",
        is_for_sockets: true,
        instead: "use --token-file",
    },
    Feature {
        name: "webhook",
        is_in: cfg!(feature = "webhook"),
        prefix: "alert_webhook_",
        asked_by: "alert_webhook_url",
        is_for_sockets: false,
        instead: "send alerts with --alert-command",
    },
];

/// The command that builds a program with all of them.
const BUILD: &str = concat!("cargo install --git ", env!("CARGO_PKG_REPOSITORY"), " mcpool --features full");

/// What help says of a setting that this build knows and cannot use.
pub(super) fn remark(setting: &str) -> Option<String> {
    remark_among(&FEATURES, setting)
}

fn remark_among(features: &[Feature], setting: &str) -> Option<String> {
    let lacked = features.iter().find(|feature| !feature.is_in && setting.starts_with(feature.prefix))?;
    Some(format!("Not in this build, which lacks `{}`: {BUILD}", lacked.name))
}

/// A setting that asks for what this build lacks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{setting} is set, and this program was built without the feature `{feature}`: build one that has it ({BUILD}), or \
     {instead}"
)]
pub(super) struct MissingFeature {
    setting: &'static str,
    feature: &'static str,
    instead: &'static str,
}

/// Refuses settings that ask for what this build lacks; `is_set` knows by the name of a setting whether it is set.
///
/// # Errors
/// Names the setting, how to get the feature, and what to do without it.
pub(super) fn check(is_set: impl Fn(&str) -> bool, serves_sockets: bool) -> Result<(), MissingFeature> {
    check_among(&FEATURES, is_set, serves_sockets)
}

fn check_among(
    features: &[Feature],
    is_set: impl Fn(&str) -> bool,
    serves_sockets: bool,
) -> Result<(), MissingFeature> {
    let lacked = features.iter().find(|feature| {
        !feature.is_in && is_set(feature.asked_by) && (serves_sockets || !feature.is_for_sockets)
    });
    match lacked {
        None => Ok(()),
        Some(&Feature { name, asked_by, instead, .. }) => {
            Err(MissingFeature { setting: asked_by, feature: name, instead })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Setting;

    /// The features as a build has them that lacks them all.
    fn none() -> [Feature; 3] {
        FEATURES.map(|feature| Feature { is_in: false, ..feature })
    }

    #[test]
    fn every_setting_of_a_feature_has_a_remark_in_builds_without_it() {
        let settings = Setting::ALL.iter().map(|setting| setting.name);
        let remarked: Vec<_> = settings.filter(|name| remark_among(&none(), name).is_some()).collect();
        let want = ["tls_cert", "tls_key", "alert_webhook_url", "alert_webhook_secret_file"];
        assert!(want.iter().all(|name| remarked.contains(name)), "{remarked:?}");
        assert_eq!(remarked.iter().filter(|name| name.starts_with("oauth_")).count(), 6, "{remarked:?}");
        assert_eq!(remarked.len(), want.len() + 6, "{remarked:?}");
        let remark = remark_among(&none(), "oauth_jwks").expect("a remark");
        assert!(remark.contains("`oauth`: cargo install --git https://"), "{remark}");
        for feature in FEATURES.iter().filter(|feature| feature.is_in) {
            assert_eq!(super::remark(feature.asked_by), None);
        }
    }

    #[test]
    fn who_asks_for_a_feature_that_lacks_is_told_how_to_get_it() {
        let refused = |set: &[&str], serves_sockets| {
            check_among(&none(), |name| set.contains(&name), serves_sockets)
                .map_err(|error| error.to_string())
        };
        let both = ["tls_cert", "alert_webhook_url"];
        let told = refused(&both, true).expect_err("it lacks");
        assert!(
            told.starts_with("tls_cert is set, and this program was built without the feature `tls`: "),
            "{told}"
        );
        assert!(told.contains("mcpool --features full), or have a proxy encrypt"), "{told}");
        // One that serves who started it encrypts nothing.
        let told = refused(&both, false).expect_err("it lacks");
        assert!(told.starts_with("alert_webhook_url is set"), "{told}");
        let told = refused(&["oauth_issuer"], true).expect_err("it lacks");
        assert!(told.contains("or use --token-file"), "{told}");
        assert_eq!(refused(&["token_file"], true), Ok(()));
    }
}
