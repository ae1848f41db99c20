//! A directory of JSON files, for tests and offline work.

use std::path::{Component, Path};

use zeroize::Zeroizing;

use super::{Secret, SecretError, SecretId, Stage};

pub(super) fn read(directory: &Path, id: &SecretId, stage: Stage) -> Result<Secret, SecretError> {
    if stage == Stage::Pending {
        return Err(SecretError::NoStages { id: id.clone() });
    }
    let below = Path::new(&id.0);
    if !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(SecretError::NotAPath { id: id.clone() });
    }
    let path = directory.join(format!("{}.json", id.0));
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => SecretError::Missing { id: id.clone(), region: None },
        std::io::ErrorKind::PermissionDenied => SecretError::Denied { id: id.clone() },
        _ => SecretError::Unreadable { id: id.clone(), reason: error.to_string() },
    })?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::Binary { id: id.clone() })?;
    Secret::parse(id, text)
}
