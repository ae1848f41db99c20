//! Finds out whether the profile in `AWS_PROFILE` exists, for the error of a missing one.

use std::path::PathBuf;

use crate::input_file::{self, Input};
use crate::operations::RunError;
use crate::secrets::SourceError;

/// Replaces the error of missing or failing credentials, if the profile does not exist.
pub(super) fn explain(error: RunError) -> RunError {
    match error {
        RunError::Source(SourceError::NoCredentials | SourceError::Credentials { .. }) => {
            match unknown() {
                Some(profile) => SourceError::UnknownProfile { profile }.into(),
                None => error,
            }
        }
        error => error,
    }
}

/// Returns the profile in `AWS_PROFILE`, if no file of the AWS CLI contains it.
fn unknown() -> Option<String> {
    let profile = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty())?;
    let files = [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")];
    let exists = files.iter().any(|(variable, name)| {
        let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws").join(name));
        let text = path.or_else(home);
        let text = text.and_then(|path| input_file::read_text(&path, Input::Configuration).ok());
        text.is_some_and(|text| contains(&text, &profile))
    });
    (!exists).then_some(profile)
}

/// Returns whether a configuration file has a section for a profile: `[profile NAME]` or `[NAME]`.
fn contains(text: &str, profile: &str) -> bool {
    text.lines().any(|line| {
        let section = line.trim().strip_prefix('[').and_then(|line| line.split(']').next());
        section.is_some_and(|section| {
            let name = section.trim();
            let name = name.strip_prefix("profile ").map_or(name, str::trim);
            name.trim_matches('"') == profile
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        let text = "[default]\nregion = eu-west-2\n[profile ci]\n  [ spaced ]\n[profile \"a b\"]";
        for known in ["default", "ci", "spaced", "a b"] {
            assert!(contains(text, known), "{known}");
        }
        for unknown in ["region", "profile", "c", "eu-west-2"] {
            assert!(!contains(text, unknown), "{unknown}");
        }
    }
}
