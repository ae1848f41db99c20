//! Finds out in which sources the AWS SDK looks for credentials, for the error of missing ones.
//!
//! The SDK decides alone which credentials it uses. This module only reads the same variables and
//! files, in the same order.

use std::path::PathBuf;

use crate::input_file::{self, Input};
use crate::secrets::{CredentialSource, CredentialSources};

/// The keys of a profile that provide credentials, or name a source of them.
const KEYS: [&str; 9] = [
    "aws_access_key_id",
    "credential_process",
    "credential_source",
    "login_session",
    "role_arn",
    "source_profile",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

/// Returns the sources that the environment variables and the files of the AWS CLI configure.
pub(super) fn detect() -> CredentialSources {
    let files = [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")];
    let texts = files.iter().filter_map(|(variable, name)| {
        let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws").join(name));
        input_file::read_text(&path.or_else(home)?, Input::Configuration).ok()
    });
    sources(
        |name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        &texts.collect::<Vec<_>>(),
    )
}

/// Returns the sources, in the order in which the SDK tries them.
fn sources(variable: impl Fn(&str) -> Option<String>, files: &[String]) -> CredentialSources {
    let is_set = |name: &str| variable(name).is_some();
    let requested = variable("AWS_PROFILE");
    let profile = requested.clone().unwrap_or_else(|| "default".to_owned());
    let sections: Vec<Section> = files.iter().filter_map(|text| section(text, &profile)).collect();
    let container =
        ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let has_instance = variable("AWS_EC2_METADATA_DISABLED")
        .is_none_or(|value| !value.eq_ignore_ascii_case("true"));
    let source_of_profile = CredentialSource::Profile(profile);
    let of_profile = sections.iter().any(|section| section.has_credentials);
    // Whether a source is tried, and whether it is configured.
    let all = [
        (CredentialSource::Variables, true, is_set("AWS_ACCESS_KEY_ID")),
        (source_of_profile, true, of_profile),
        (
            CredentialSource::WebIdentity,
            is_set("AWS_WEB_IDENTITY_TOKEN_FILE"),
            is_set("AWS_WEB_IDENTITY_TOKEN_FILE"),
        ),
        (
            CredentialSource::Container,
            container.iter().any(|name| is_set(name)),
            container.iter().any(|name| is_set(name)),
        ),
        (CredentialSource::Instance, has_instance, has_instance),
    ];
    let unknown_profile = requested.filter(|_| sections.is_empty());
    let mut sources = CredentialSources { unknown_profile, ..CredentialSources::default() };
    for (source, is_tried, is_configured) in all {
        if is_configured && sources.configured.is_none() {
            sources.configured = Some(source.clone());
        }
        if is_tried {
            sources.tried.push(source);
        }
    }
    sources
}

/// The section of a profile.
struct Section {
    has_credentials: bool,
}

/// Returns the section of a profile in a file: `[profile NAME]` or `[NAME]`.
fn section(text: &str, profile: &str) -> Option<Section> {
    let mut found: Option<Section> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let header = line.trim().strip_prefix('[').and_then(|line| line.split(']').next());
        if let Some(header) = header {
            let name = header.trim();
            let name = name.strip_prefix("profile ").map_or(name, str::trim);
            is_inside = name.trim_matches('"') == profile;
            if is_inside {
                found.get_or_insert(Section { has_credentials: false });
            }
        } else if let Some(section) = found.as_mut().filter(|_| is_inside) {
            let key = line.split('=').next().unwrap_or_default().trim();
            section.has_credentials |= KEYS.contains(&key);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], files: &[&str]) -> CredentialSources {
        let variable = |name: &str| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        sources(variable, &files.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn profiles() {
        let text = "[default]\nregion = eu-west-2\n[profile ci]\nsso_session = x\n  [ spaced ]\n[profile \"a b\"]";
        for known in ["default", "ci", "spaced", "a b"] {
            assert_eq!(found(&[("AWS_PROFILE", known)], &[text]).unknown_profile, None, "{known}");
        }
        for unknown in ["region", "profile", "c", "eu-west-2"] {
            let sources = found(&[("AWS_PROFILE", unknown)], &["", text]);
            assert_eq!(sources.unknown_profile.as_deref(), Some(unknown));
        }
        assert_eq!(found(&[], &[]).unknown_profile, None);
        let ci = CredentialSource::Profile("ci".to_owned());
        assert_eq!(found(&[("AWS_PROFILE", "ci")], &[text]).configured, Some(ci));
        // A profile with a region only provides no credentials.
        assert_eq!(found(&[], &[text]).configured, Some(CredentialSource::Instance));
    }

    #[test]
    fn order_of_the_sdk() {
        let off = ("AWS_EC2_METADATA_DISABLED", "true");
        let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
        let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/");
        let keys = ("AWS_ACCESS_KEY_ID", "x");
        let profile = "[default]\ncredential_process = x";
        let default = CredentialSource::Profile("default".to_owned());
        for (variables, files, configured) in [
            ([off].as_slice(), [].as_slice(), None),
            (&[], &[], Some(CredentialSource::Instance)),
            (&[container], &[], Some(CredentialSource::Container)),
            (&[container, token], &[], Some(CredentialSource::WebIdentity)),
            (&[container, token], &[profile], Some(default)),
            (&[container, token, keys], &[profile], Some(CredentialSource::Variables)),
        ] {
            assert_eq!(found(variables, files).configured, configured, "{variables:?}");
        }
        assert_eq!(
            found(&[off, token, container], &[]).to_string(),
            "the environment variables, the profile `default`, the web identity token or the \
             container endpoint"
        );
    }
}
